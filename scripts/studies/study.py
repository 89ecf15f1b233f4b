"""What a study is: a list of figures, tables and claims made from the run's models.

A study is a folder here with a module `study` that defines STUDY, and where figures and tables
are not all there is, a rules file rules/studies/<name>.smk. config.yaml lists the studies of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .run_files import RunFiles

# name of an input to its files; "summaries" are opened before they are handed over
Inputs = Mapping[str, list[str]]


def no_options(files: RunFiles) -> Mapping[str, Any]:
    """For what is drawn from its inputs alone."""
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
        What it must know beside its inputs, as JSON can hold it.
    by_estimator : bool
        Whether it shows one estimator: that of `figures.estimator`, and under the name
        `figure3.<estimator>` any other that was recorded.
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
        Of its folder.
    title : str
        Of its part of the report.
    figures, tables : tuple of Illustration
    order : int
        Its place in the report: smaller numbers stand first, the paper's own study is 10.
    section : str or None
        Module of its folder that has `sections(context)`, the study's sections of the report; its
        figures and tables one after the other if None.
    """

    name: str
    title: str
    figures: tuple[Illustration, ...] = ()
    tables: tuple[Illustration, ...] = ()
    order: int = 20
    section: str | None = None
