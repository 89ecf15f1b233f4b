"""Modules of the studies, found by the folders below scripts/studies/."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "studies"


def study_names() -> list[str]:
    """Names of all existing studies."""
    return sorted(path.parent.name for path in FOLDER.glob("*/study.py"))


def module_of_study(study: str, name: str) -> ModuleType:
    """A module of a study's folder."""
    return import_module(f"studies.{study}.{name}")
