"""The section `interventions` of the configuration, and its mistakes.

interventions:
  clm-en:
    freeze-middle: {freeze: [{components: [key, query], layers: [3, 8]}], from_update: 0}
    freeze-least: {freeze: least, share: 0.25, from: 0.1, estimator: probe}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from losschange.cube.estimators import parse_estimator
from losschange.cube.layout import COMPONENTS
from running.configuration_fields import Count, Positive, Section
from running.variants import NAME, RESERVED

from .cells import CellGroup, Rule, cells_of_group, cells_of_model

if TYPE_CHECKING:
    from running.configuration import Configuration
    from running.models import Model

KEY = "interventions"
HURTING, LEAST, MOST, RANDOM = "hurting", "least", "most", "random"
# Which rules need which keys beside `from` or `from_update`.
WITH_SHARE, WITH_ESTIMATOR = (LEAST, MOST, RANDOM), (HURTING, LEAST, MOST)


def _kind(value: object) -> str:
    return "rule" if isinstance(value, str) else "cells"


Groups = Annotated[list[CellGroup], Field(min_length=1), Tag("cells")]


class Intervention(Section):
    """Which cells of a model freeze, and from which update on.

    Attributes
    ----------
    freeze : list of CellGroup, or the name of a rule
        "hurting": the cells whose LCA from then on is positive. "least", "most": those that
        contribute least or most per parameter. "random": any.
    from_update : int or None
        Updates made before they freeze.
    from_share : float or None
        The same as a share of the training; the key is `from`.
    estimator : str
        Whose LCA a rule looks at.
    share : float or None
        Of the model's parameters, for "least", "most" and "random".
    draws : int or None
        Of "random"; each is a model of its own.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    freeze: Annotated[Groups | Annotated[Rule, Tag("rule")], Discriminator(_kind)]
    from_update: Count | None = None
    from_share: float | None = Field(default=None, alias="from")
    estimator: str = "batch"
    share: float | None = None
    draws: Positive | None = None

    @property
    def rule(self) -> str | None:
        """Name of the rule; None where the cells are listed."""
        return self.freeze if isinstance(self.freeze, str) else None

    @property
    def groups(self) -> list[CellGroup]:
        """The listed cells; empty where a rule chooses them."""
        return [] if isinstance(self.freeze, str) else self.freeze

    def first_frozen(self, updates: int) -> int:
        """Updates made before the cells freeze, of a training of so many updates."""
        if self.from_share is not None:
            return round(self.from_share * updates)
        return self.from_update or 0

    def children(self, name: str) -> list[str]:
        """Names of the models that it trains; several draws are numbered."""
        if self.rule != RANDOM:
            return [name]
        return [f"{name}-{draw}" for draw in range(1, (self.draws or 1) + 1)]


class Settings(RootModel[dict[str, dict[str, Intervention]]]):
    """Interventions by parent model and name."""

    root: dict[str, dict[str, Intervention]] = Field(default_factory=dict)


def mistakes(configuration: Configuration) -> Iterator[str]:
    """A line for every mistake: the key, the value found, and what is needed."""
    trained = {model.name: model for model in configuration.trained_models()}
    for parent, interventions in configuration.interventions.root.items():
        key = f"{KEY}.{parent}"
        if parent not in trained:
            yield (
                f"{key}: this run does not train that model; allowed are {', '.join(trained)}, or "
                "add it to models, or take interventions out of studies"
            )
            continue
        yield from _same_names(key, interventions)
        if 0 not in configuration.snapshots_of(trained[parent]):
            which = "main" if parent in configuration.main_models.values() else "others"
            yield (
                f"{key}: cells are also put back to their initial values, which needs the snapshot "
                f"of update 0 of {parent}; set snapshots.{which} to 2 or more, or to a list with 0"
            )
        for name, one in interventions.items():
            if not NAME.fullmatch(name) or RESERVED.fullmatch(name):
                yield (
                    f"{key}: found the name {name!r}; allowed are lower-case letters, digits and "
                    "hyphens, such as freeze-least, but not matched or seed2"
                )
            yield from _of_time(f"{key}.{name}", one, configuration, trained[parent])
            yield from _of_rule(f"{key}.{name}", one, configuration, trained[parent])
            if one.rule is None:
                yield from _of_cells(f"{key}.{name}", one, configuration, trained[parent])


def _same_names(key: str, interventions: dict[str, Intervention]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for name, one in interventions.items():
        for child in one.children(name):
            other = owners.setdefault(child, name)
            if other != name:
                yield (
                    f"{key}: {other} and {name} both train a model called {child}; give one of "
                    "them another name"
                )


def _of_time(
    key: str, one: Intervention, configuration: Configuration, model: Model
) -> Iterator[str]:
    if (one.from_update is None) == (one.from_share is None):
        found = "neither" if one.from_update is None else "both"
        yield (
            f"{key}: found {found} of from (a share of the training) and from_update (a number of "
            "updates); give one of them"
        )
    elif one.from_share is not None and not 0 < one.from_share < 1:
        yield (
            f"{key}.from: found {one.from_share:g}; allowed are shares above 0 and below 1, or "
            "from_update: 0 for all of the training"
        )
    else:
        updates = configuration.training_of(model).total_updates
        if one.first_frozen(updates) >= updates:
            yield (
                f"{key}.from_update: found {one.from_update}; {model.name} makes {updates} "
                f"updates, so allowed are 0 to {updates - 1}"
            )


def _of_rule(
    key: str, one: Intervention, configuration: Configuration, model: Model
) -> Iterator[str]:
    found = one.rule or "a list of cells"
    if one.share is None and one.rule in WITH_SHARE:
        yield f"{key}.share: missing; {found} needs the share of the parameters to freeze"
    if one.share is not None and one.rule not in WITH_SHARE:
        yield f"{key}.share: found {one.share:g}; {found} takes no share"
    elif one.share is not None and not 0 < one.share < 1:
        yield f"{key}.share: found {one.share:g}; allowed are shares above 0 and below 1"
    if one.draws is not None and one.rule != RANDOM:
        yield f"{key}.draws: found {one.draws}; {found} is not drawn"
    recording = configuration.recording_of(model)
    recorded = ["batch", *(name for name, stride in recording.estimators.items() if stride)]
    if one.rule not in WITH_ESTIMATOR:
        return
    if one.estimator not in recorded:
        yield (
            f"{key}.estimator: found {one.estimator!r}; {model.name} records {', '.join(recorded)}"
        )
        return
    updates = configuration.training_of(model).total_updates
    stride, start = recording.strides[one.estimator], one.first_frozen(updates)
    # The last interval of a probe ends with the training; other estimators see single updates.
    sees_the_end = parse_estimator(one.estimator).is_probe
    if start < updates and not sees_the_end and updates // stride * stride <= start:
        yield (
            f"{key}.estimator: found {one.estimator!r}, which {model.name} records every {stride} "
            f"updates and not once after update {start} of {updates}; freeze earlier, or choose "
            "another estimator"
        )


def _of_cells(
    key: str, one: Intervention, configuration: Configuration, model: Model
) -> Iterator[str]:
    """Components, layers and heads that the model does not have."""
    training = configuration.training_of(model)
    cells = cells_of_model(model.objective, training.model_dump())
    present = [name for name in COMPONENTS if any(cell.component == name for cell in cells)]
    depth = training.layers + 1
    for place, group in enumerate(one.groups):
        here, right = f"{key}.freeze.{place}", True
        for name in group.components:
            if name not in present:
                right = False
                yield (f"{here}.components: found {name!r}; {model.name} has {', '.join(present)}")
        first, last = group.layers or (0, depth)
        if not first <= last <= depth:
            right = False
            yield (
                f"{here}.layers: found [{first}, {last}]; {model.name} has the layers 0 "
                f"(embeddings), 1 to {training.layers}, and {depth} (after the last), first and "
                "last in this order"
            )
        heads = training.attention_heads
        wrong = [head for head in group.heads or [] if head >= heads]
        if wrong:
            right = False
            yield f"{here}.heads: found {wrong[0]}; {model.name} has the heads 0 to {heads - 1}"
        if right and not cells_of_group(cells, group):
            yield f"{here}: no cell of {model.name} has these components, layers and heads"
