"""A study: a list of figures, tables and claims made from the run's models.

A study is a folder in scripts/studies/ with a module `study` that defines STUDY. If it has more
than figures and tables, it also has a rules file rules/studies/<name>.smk. config.yaml lists the
studies of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .run_files import RunFiles

# Files by the name of the input; those named "summaries" are opened before they are passed on.
Inputs = Mapping[str, list[str]]


def no_options(files: RunFiles) -> Mapping[str, Any]:
    """The options of an illustration that needs only its inputs: none."""
    return {}


@dataclass(frozen=True)
class Illustration:
    """A figure or a table of a study.

    The study's folder has the module `figures/figure<number>.py` or `tables/table<number>.py`,
    and `captions/figure<number>.rst` or `captions/table<number>.rst`.

    Attributes
    ----------
    number : str
        Such as "3" or "Z1"; the target is called `figure3`. Unique over all studies.
    inputs : callable (RunFiles) -> mapping
        The files that it is made from.
    options : callable (RunFiles) -> mapping
        Further values that it needs, as JSON.
    by_estimator : bool
        Whether it shows one estimator. Its default is `figures.estimator`; the target
        `figure3.<estimator>` shows any other recorded estimator.
    """

    number: str
    inputs: Callable[[RunFiles], Inputs]
    options: Callable[[RunFiles], Mapping[str, Any]] = no_options
    by_estimator: bool = False


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes
    ----------
    name : str
        Name of its folder.
    title : str
        Title of its part of the report.
    figures, tables : tuple of Illustration
    order : int
        Position in the report: smaller numbers come first; the paper's own study has 10.
    section : str or None
        Module of its folder with `sections(context)`, which makes the study's sections of the
        report; with None, one section shows all its figures and tables.
    treebanks : bool
        Whether it needs the treebanks of the main models' languages.
    """

    name: str
    title: str
    figures: tuple[Illustration, ...] = ()
    tables: tuple[Illustration, ...] = ()
    order: int = 20
    section: str | None = None
    treebanks: bool = False
