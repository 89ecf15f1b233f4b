"""The fingerprint of a training: everything that its numbers depend on.

A saved state is resumed only by a training with the same fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from losschange import RECORDING_VERSION
from running.models import Model


def fingerprint_of(
    model: Model,
    seed: int,
    training: Mapping[str, object],
    recording: Mapping[str, object],
    data: Path,
    files: Mapping[str, Path],
) -> dict[str, object]:
    """The fingerprint of a training: its settings, and the digests of the files that it reads.

    Parameters
    ----------
    model : Model
    seed : int
    training, recording : mapping
        As `training.run.train_model` takes them.
    data : path
        Folder of token ids.
    files : mapping of str to path
        Further files that a variant reads.
    """
    return {
        "model": model.name,
        "seed": seed,
        "tokens": _digest_of_tokens(data),
        "recording_version": RECORDING_VERSION,
        "recording": dict(recording),
        **training,
        **{f"file {name}": _digest(path).hex() for name, path in files.items()},
    }


def _digest_of_tokens(data: Path) -> str:
    """SHA-256 over the dictionaries and token ids of training and validation."""
    digest = hashlib.sha256()
    for path in sorted([*data.glob("dict*.txt"), *data.glob("train.*"), *data.glob("valid.*")]):
        digest.update(path.name.encode())
        digest.update(_digest(path))
    return digest.hexdigest()


def _digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
