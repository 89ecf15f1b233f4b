"""The study's section of config.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from running.configuration_fields import Section
from running.models import parse_model

if TYPE_CHECKING:
    from running.configuration import Configuration

KEY = "zhu2020"


class Settings(Section):
    """Models that are trained once more as in Zhu et al. 2020: with nothing tied.

    Attributes
    ----------
    untied : list of str
        Translation models of the run; each is trained again as <model>.untied.
    training, recording : mapping
        Further keys of `training` and `recording` that differ for them.
    """

    untied: list[str] = []
    training: dict[str, Any] = {}
    recording: dict[str, Any] = {}


def mistakes(configuration: Configuration) -> Iterator[str]:
    """Names under `untied` that no translation model can have; one that is not trained is not."""
    for name in configuration.zhu2020.untied:
        try:
            translates = parse_model(name).translates
        except ValueError:
            translates = False
        if not translates:
            yield (
                f"zhu2020.untied: found {name!r}; allowed are the names of translation models, "
                "such as mt-de-en"
            )
