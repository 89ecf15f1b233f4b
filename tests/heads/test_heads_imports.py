"""The library imports torch, numpy, scipy and xarray alone; its adapters transformers as well."""

import ast
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "scripts" / "attention_heads"
ALLOWED = {"torch", "numpy", "scipy", "xarray", "attention_heads"}


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: path.stem)
def test_only_a_few_packages_are_imported(path):
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            used.add((node.module or "").partition(".")[0])
    extra = {"transformers"} if path.stem.startswith("huggingface") else set()
    assert used - sys.stdlib_module_names <= ALLOWED | extra
