"""Variants: further trainings of a model, with a few settings changed, that a study asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Suffixes of a model's name that mean something else.
RESERVED = re.compile(r"matched|seed\d+")


@dataclass(frozen=True)
class Variant:
    """A training of a model that differs from the model's own in a few settings.

    It is a model by itself, called `<parent>.<name>`, with the parent's objective, languages and
    text, and it has all the files that a model has.

    Attributes
    ----------
    parent : str
        Name of a model that the run trains.
    name : str
        Lower-case letters, digits and hyphens.
    training : mapping
        The keys of `training` that differ from the parent's, with their values.
    recording : mapping
        The keys of `recording` that differ; the texts for main models alone are left out.
    files : mapping of str to path
        Further files that its training reads, by name. `{seed}` in a path stands for the suffix of
        the training: "" for the first seed, ".seed2" for seed 2.
    snapshots : tuple of int or None
        Updates after which its weights are saved; None means only the last.
    updates_made : int
        Updates that it takes over from its parent and does not compute.

    Raises
    ------
    ValueError
        If the name has another form, or if nothing differs from the parent.
    """

    parent: str
    name: str
    training: Mapping[str, Any] = field(default_factory=dict)
    recording: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    snapshots: tuple[int, ...] | None = None
    updates_made: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or RESERVED.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not the name of a variant; allowed are lower-case letters, "
                "digits and hyphens, such as quarter-batch, but not matched or seed2"
            )
        if not (self.training or self.recording or self.files):
            raise ValueError(f"{self.full_name}: nothing differs from {self.parent}")

    @property
    def full_name(self) -> str:
        """Name of the variant as a model."""
        return f"{self.parent}.{self.name}"

    def files_of(self, training: str) -> dict[str, str]:
        """Paths of `files` for one training of the variant, such as "clm-en.frozen.seed2"."""
        suffix = training.removeprefix(self.full_name)
        return {name: path.replace("{seed}", suffix) for name, path in self.files.items()}
