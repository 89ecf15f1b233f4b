"""A series of checkpoints: its files, and the update after which each was made."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losschange.errors import CheckpointError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
# Files of weights in a folder of Hugging Face, in the order in which they are looked for.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_STEP = re.compile(
    r"(?:global_?step|step|updates?|iter(?:ation)?|checkpoint|ckpt)[-_=]?(\d+)([kKmM]?)(?![\da-zA-Z])",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(\d+)([kKmM]?)(?![\da-zA-Z])")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Parameters
    ----------
    path : Path
        A file, or a folder of Hugging Face.
    update : int
        Updates made before it was written.
    """

    path: Path
    update: int

    @property
    def config(self) -> Path | None:
        """The folder's configuration, None if it has none."""
        config = self.path / "config.json"
        return config if config.is_file() else None

    def __str__(self) -> str:
        return f"{self.path} (update {self.update})"


def find_checkpoints(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    updates: Sequence[int] | None = None,
) -> list[Checkpoint]:
    """The checkpoints of a series in the order of training.

    Parameters
    ----------
    paths : path, or sequence of path
        Checkpoints in the order of training; or one folder that holds them, which are then put in
        the order of their numbers.
    updates : sequence of int, optional
        Update number of each; without it, the numbers in their names: "step1000",
        "checkpoint-500", "step_20k", "step1000-tokens4B".

    Raises
    ------
    CheckpointError
        If fewer than two are there, one is missing or has no number, or the numbers do not rise.
    """
    given = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    for path in given:
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {path}; leave it out, or fetch it again")
    whole = len(given) == 1 and given[0].is_dir() and not is_checkpoint(given[0])
    found = _inside(given[0]) if whole else given
    for path in found:
        if not is_checkpoint(path):
            raise CheckpointError(
                f"{path} is no checkpoint: expected a file that ends in {', '.join(SUFFIXES)}, or "
                f"a folder with one of {', '.join(WEIGHTS)}"
            )
    if updates is None:
        numbers = [update_of(path) for path in found]
    else:
        numbers = [int(number) for number in updates]
    if len(numbers) != len(found):
        raise CheckpointError(f"{len(found)} checkpoints, but {len(numbers)} update numbers")
    series = [Checkpoint(path, number) for path, number in zip(found, numbers, strict=True)]
    if whole and updates is None:
        series.sort(key=lambda one: one.update)
    if len(series) < 2:
        raise CheckpointError(f"{len(series)} checkpoints; a loss change needs two at least")
    for one, other in zip(series, series[1:]):
        if other.update <= one.update:
            raise CheckpointError(
                f"update numbers have to rise, but {other} comes after {one}; give the checkpoints "
                "in the order of training, or the folder that holds them all"
            )
    return series


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a file or folder of weights, by its name."""
    if path.is_dir():
        return any((path / name).is_file() for name in WEIGHTS)
    return path.suffix in SUFFIXES


def update_of(path: Path) -> int:
    """The update number in the name of a checkpoint.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    name = path.name if path.is_dir() else path.stem
    found = _STEP.findall(name) or _NUMBER.findall(name)
    if not found:
        raise CheckpointError(
            f"the name of {path} holds no update number, as in step1000 or checkpoint-500; give "
            "the numbers of all checkpoints"
        )
    digits, unit = found[-1]
    return int(digits) * _FACTORS[unit.lower()]


def _inside(folder: Path) -> list[Path]:
    """The checkpoints directly in a folder whose names have an update number."""
    inside = sorted(path for path in folder.iterdir() if is_checkpoint(path))
    numbered = [path for path in inside if _NUMBER.search(path.name)]
    if not numbered:
        raise CheckpointError(
            f"{folder} holds no checkpoints with update numbers in their names, as in step1000"
        )
    return numbered
