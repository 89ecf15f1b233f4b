"""Checks that checkpoints are of one architecture, and finds each parameter's stored tensor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losschange.errors import CheckpointError

from .series import Checkpoint
from .stored import ALL, StoredTensors

# Keys of a configuration that say nothing about the architecture.
IGNORED_SETTINGS = {
    "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache",
    "id2label", "label2id", "_commit_hash", "auto_map",
}  # fmt: skip
# Prefixes that wrappers, and models with an output layer, add to the names of a bare model.
PREFIXES = ("module.", "_orig_mod.", "model.")


def check_series(series: Sequence[Checkpoint]) -> None:
    """Raise CheckpointError unless all checkpoints can be read and are of one architecture.

    Reads the names and shapes of their tensors and their configurations, no weights.
    """
    first, shapes, settings = series[0], {}, {}
    for checkpoint in series:
        with StoredTensors(checkpoint) as stored:
            found = dict(stored.shapes)
        own = _settings(checkpoint)
        if checkpoint is first:
            shapes, settings = found, own
            continue
        for name in sorted(settings.keys() & own.keys()):
            if settings[name] != own[name]:
                raise CheckpointError(
                    f"{checkpoint} is of another architecture than {first}: {name} is "
                    f"{own[name]!r} instead of {settings[name]!r}"
                )
        difference = _difference(shapes, found)
        if difference:
            raise CheckpointError(
                f"{checkpoint} is of another architecture than {first}: {difference}"
            )


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    if checkpoint.config is None:
        return {}
    try:
        found = json.loads(checkpoint.config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.config} is damaged ({error}); fetch it again") from None
    return {name: value for name, value in found.items() if name not in IGNORED_SETTINGS}


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        parts = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(extra)}"] * bool(extra)
        tied = {"lm_head.weight", "embed_out.weight", "output.weight", "decoder.weight"}
        ends = {".".join(name.split(".")[-2:]) for name in [*missing, *extra]}
        hint = "; tied and untied words cannot be mixed" if ends <= tied else ""
        return f"it {' and '.join(parts)}{hint}"
    for name, shape in expected.items():
        if found[name] != shape:
            return f"{name} has shape {found[name]} instead of {shape}"
    return None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class NameMap:
    """Which stored tensor each parameter and buffer of a model is read from.

    Parameters
    ----------
    model : torch.nn.Module
    shapes : mapping of stored name to shape
    renamed : mapping of name to stored name, optional
        Another way to read the stored names, to be tried beside the common ones.

    Attributes
    ----------
    aliases : dict of parameter name to list of str
        Stored names of each trained parameter: several where tied words were stored twice.
    buffers : dict of buffer name to str
    """

    def __init__(
        self,
        model: torch.nn.Module,
        shapes: Mapping[str, Sequence[int]],
        renamed: Mapping[str, str] | None = None,
    ):
        named = list(model.named_parameters(remove_duplicate=False))
        names: dict[int, list[str]] = {}
        for name, parameter in named:
            names.setdefault(id(parameter), []).append(name)
        wanted = {name for name, _ in named}
        ways = [*_renamings(model, shapes), renamed or {}]
        renamed = max(ways, key=lambda to: len(wanted & to.keys()))
        self.aliases: dict[str, list[str]] = {}
        self.missing: list[str] = []
        for name, parameter in model.named_parameters():
            there = [renamed[alias] for alias in names[id(parameter)] if alias in renamed]
            if there:
                self.aliases[name] = there
            elif parameter.requires_grad:
                self.missing.append(name)
        self.wrong = [
            f"{stored} has shape {tuple(shapes[stored])}, but the model's {name} "
            f"{tuple(parameter.shape)}"
            for name, parameter in model.named_parameters()
            for stored in self.aliases.get(name, ())
            if tuple(shapes[stored]) != tuple(parameter.shape)
        ]
        self.buffers = {name: renamed[name] for name, _ in model.named_buffers() if name in renamed}

    @property
    def complete(self) -> bool:
        """Whether every trained parameter has a stored tensor of its shape."""
        return not self.missing and not self.wrong

    def read(self, stored: StoredTensors, name: str, rows: slice = ALL) -> Tensor:
        """Rows of the tensor of a parameter.

        Raises
        ------
        CheckpointError
            If the model ties words that differ in the checkpoint.
        """
        first, *others = self.aliases[name]
        tensor = stored.read(first, rows)
        for other in others:
            if not torch.equal(tensor, stored.read(other, rows)):
                raise CheckpointError(
                    f"{stored.checkpoint}: {first} and {other} differ, but the model ties them; "
                    "tied and untied words cannot be mixed in a series"
                )
        return tensor

    def complaint(self, checkpoint: Checkpoint) -> str:
        """What is wrong, in a sentence."""
        what = self.wrong[0] if self.wrong else f"it lacks {_some(self.missing)}"
        return f"{checkpoint} does not fit the model: {what}"


def _renamings(model: torch.nn.Module, shapes: Mapping[str, Sequence[int]]) -> list[dict[str, str]]:
    """Ways to read stored names as the model's: as they are, without or with a prefix."""
    base = getattr(model, "base_model_prefix", "")
    prefixes = dict.fromkeys([*PREFIXES, *([f"{base}."] if base else [])])
    ways = [{name: name for name in shapes}]
    for prefix in prefixes:
        ways.append({name.removeprefix(prefix): name for name in shapes})
        ways.append({prefix + name: name for name in shapes})
    return ways
