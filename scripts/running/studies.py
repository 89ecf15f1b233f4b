"""Find the studies by their folders below scripts/studies/, and call their optional modules.

A study's folder has `study.py`, which defines STUDY (running.study), and may have
- `settings.py`: KEY, the name of its section in config.yaml, and Settings, the class of this
  section, with a default for every key; and optionally `mistakes(configuration)`, which yields a
  line for every mistake that needs the rest of the configuration to be found;
- `variants.py`: `variants(configuration)`, the further trainings that it needs (running.variants),
  and optionally `resume_points(configuration)`, the updates whose whole state models must save, by
  model;
- `cost.py`: `cost_lines(configuration)`, lines for the table of costs on what it computes in
  addition to its trainings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from common.study_modules import FOLDER, module_of_study, study_names

if TYPE_CHECKING:
    from .configuration import RunConfiguration
    from .configuration_fields import Section
    from .study import Study
    from .variants import Variant


def load_study(name: str) -> Study:
    """The record of one study."""
    study: Study = module_of_study(name, "study").STUDY
    return study


def load_studies(names: Iterable[str]) -> list[Study]:
    """Records of the named studies, in the order of the report."""
    return sorted(map(load_study, dict.fromkeys(names)), key=lambda study: study.order)


def settings_of_studies() -> dict[str, type[Section]]:
    """The class of every section of config.yaml that belongs to a study, by its key."""
    modules = [_module(name, "settings") for name in study_names()]
    return {module.KEY: module.Settings for module in modules if module}


def mistakes_of_study(name: str, configuration: RunConfiguration) -> Iterator[str]:
    """A line for every mistake in a study's section of the configuration."""
    check = getattr(_module(name, "settings"), "mistakes", None)
    if check:
        yield from check(configuration)


def variants_of_study(name: str, configuration: RunConfiguration) -> list[Variant]:
    """The further trainings that a study needs."""
    module = _module(name, "variants")
    return list(module.variants(configuration)) if module else []


def resume_points_of_study(
    name: str, configuration: RunConfiguration
) -> Mapping[str, Iterable[int]]:
    """Updates whose whole state a study needs, by the name of the model."""
    ask = getattr(_module(name, "variants"), "resume_points", None)
    return ask(configuration) if ask else {}


def cost_lines_of_study(name: str, configuration: RunConfiguration) -> list[str]:
    """Lines on what a study costs in addition to its trainings; none if it has no cost.py."""
    module = _module(name, "cost")
    return list(module.cost_lines(configuration)) if module else []


def _module(study: str, name: str) -> ModuleType | None:
    """A module of a study's folder, None if the study does not have it."""
    return module_of_study(study, name) if (FOLDER / study / f"{name}.py").is_file() else None
