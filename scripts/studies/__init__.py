"""Studies: one folder each, with its figures, tables, claims and section of the report."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .study import Study

FOLDER = Path(__file__).parent


def study_names() -> list[str]:
    """Names of all existing studies."""
    return sorted(path.parent.name for path in FOLDER.glob("*/study.py"))


def load_study(name: str) -> Study:
    """The record of one study."""
    study: Study = import_module(f"{__name__}.{name}.study").STUDY
    return study


def load_studies(names: Iterable[str]) -> list[Study]:
    """Records of the named studies, in the order of the report."""
    return sorted(map(load_study, dict.fromkeys(names)), key=lambda study: study.order)
