"""Tensors of a checkpoint on disk, read one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from losschange.errors import CheckpointError

from .series import WEIGHTS, Checkpoint

# Keys of the weights in files that also hold other things, such as the optimizer's state.
NESTED = ("state_dict", "model_state_dict", "model", "module", "params")

ALL = slice(None)  # rows of a tensor

# How much of a file is compared with what it was when an interval was recorded.
PIECES, PIECE_BYTES = 256, 4096


class StoredTensors:
    """The tensors of a checkpoint, open for reading; nothing is in memory until it is read.

    Use it in a `with` block.

    Parameters
    ----------
    checkpoint : Checkpoint

    Attributes
    ----------
    shapes : dict of name to shape

    Raises
    ------
    CheckpointError
        If a file is missing, cut off, or holds no tensors.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._readers: dict[str, Callable[[str, slice], Tensor]] = {}

    def __enter__(self) -> StoredTensors:
        for file in files_of(self.checkpoint):
            self._open(file)
        if not self.shapes:
            raise CheckpointError(f"{self.checkpoint} holds no tensors")
        return self

    def __exit__(self, *error: object) -> None:
        self._readers = {}

    def read(self, name: str, rows: slice = ALL) -> Tensor:
        """Rows of a tensor (a single number is one), on the host, in the type that is stored."""
        try:
            return self._readers[name](name, rows)
        except (RuntimeError, OSError, ValueError) as error:
            raise _torn(self.checkpoint.path, error) from None

    def _open(self, file: Path) -> None:
        if not file.is_file():
            raise CheckpointError(
                f"{self.checkpoint}: the file {file.name} is missing; fetch the checkpoint again"
            )
        if file.suffix == ".safetensors":
            self._open_safetensors(file)
            return
        for name, tensor in _tensors_in(_load(file), file).items():
            self.shapes[name] = tuple(tensor.shape)
            self._readers[name] = partial(held, tensor)

    def _open_safetensors(self, file: Path) -> None:
        try:
            import safetensors
        except ImportError as error:
            raise CheckpointError(f"{file} needs the package safetensors ({error})") from None

        def read(name: str, rows: slice) -> Tensor:
            # Open the file for each tensor: pages read through a mapping stay in memory with it.
            try:
                with safetensors.safe_open(file, "pt") as handle:
                    found: Tensor = (
                        handle.get_slice(name)[rows]
                        if self.shapes[name]
                        else handle.get_tensor(name)
                    )
                    return found
            except safetensors.SafetensorError as error:
                raise _torn(file, error) from None

        try:
            with safetensors.safe_open(file, "pt") as handle:
                for name in handle.keys():  # noqa: SIM118  (it is no mapping)
                    self.shapes[name] = tuple(handle.get_slice(name).get_shape())
                    self._readers[name] = read
        except (safetensors.SafetensorError, OSError) as error:
            raise _torn(file, error) from None


def held(tensor: Tensor, name: str, rows: slice) -> Tensor:
    """Rows of a tensor that is there already."""
    return tensor[rows] if tensor.ndim else tensor


def files_of(checkpoint: Checkpoint) -> list[Path]:
    """The files that hold the weights of a checkpoint."""
    if checkpoint.path.is_file():
        return [checkpoint.path]
    name = next(name for name in WEIGHTS if (checkpoint.path / name).is_file())
    if not name.endswith(".json"):
        return [checkpoint.path / name]
    try:
        parts = json.loads((checkpoint.path / name).read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError) as error:
        raise _torn(checkpoint.path / name, error) from None
    return [checkpoint.path / part for part in dict.fromkeys(parts.values())]


def sample_of(file: Path) -> str:
    """Digest of the size of a file, and of pieces all over it.

    Checkpoints of other weights then differ, however alike their names and shapes are. To read
    large series whole would take as long as to record them.
    """
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as content:
        for number in range(PIECES):
            content.seek(max(0, size - PIECE_BYTES) * number // (PIECES - 1))
            digest.update(content.read(PIECE_BYTES))
    return digest.hexdigest()


def _load(file: Path) -> Any:
    """The content of a file of torch.save, read without running code from it."""
    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # The format before PyTorch 1.6 cannot be mapped into memory.
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and tensors each fail in ways of their own
        raise _torn(file, error) from None


def _tensors_in(held: Any, file: Path) -> dict[str, Tensor]:
    for _ in range(2):
        inner = [held[name] for name in NESTED if isinstance(held, Mapping) and name in held]
        if inner and isinstance(inner[0], Mapping):
            held = inner[0]
    if not isinstance(held, Mapping):
        raise CheckpointError(
            f"{file} holds a {type(held).__name__}; expected a dictionary of tensors (state_dict)"
        )
    return {str(name): found for name, found in held.items() if isinstance(found, Tensor)}


def _torn(file: Path, error: Exception) -> CheckpointError:
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return CheckpointError(f"{file} is damaged or cut off ({said}); fetch it again")
