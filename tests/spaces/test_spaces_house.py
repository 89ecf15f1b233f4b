"""The library of representation spaces stands on its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import representations

FOLDER = Path(representations.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
FOREIGN = {"fairseq", "snakemake", "losschange_fairseq", "reproduction", "matplotlib"}
ALLOWED = {"numpy", "scipy", "sklearn", "xarray", "netCDF4", "losschange"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_one_module_needs_pytorch(path):
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            used.add(node.module.partition(".")[0])
    more = {"torch", "transformers"} if path.stem == "huggingface" else set()
    assert used - set(sys.stdlib_module_names) <= ALLOWED | more


def test_importing_all_but_the_checkpoints_loads_no_pytorch():
    names = [path.stem for path in MODULES if path.stem not in ("huggingface", "__init__")]
    program = "import sys\n" + "\n".join(f"import representations.{name}" for name in names)
    program += f"\nprint([name for name in {sorted(FOREIGN | {'torch'})} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
