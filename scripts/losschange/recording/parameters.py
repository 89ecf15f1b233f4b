"""Which parameters of a model are trained, and which of them can be recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from losschange.errors import RecordingError

from .shards import Shards

# The prefix that torch.compile adds to the names of parameters.
_COMPILED = "_orig_mod."
# Number of scalars of every parameter in the fingerprint of a model's state.
_SAMPLES = 16


def unwrap_model(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside the wrappers of torch.compile and data parallelism."""
    while True:
        compiled = getattr(model, "_orig_mod", None)
        if isinstance(model, torch.nn.parallel.DistributedDataParallel | torch.nn.DataParallel):
            model = model.module
        elif isinstance(compiled, torch.nn.Module):
            model = compiled
        else:
            return model


def trainable_parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and parameters that require a gradient, tied ones once and empty ones not at all.

    Names are those of the model as it was written, without torch.compile's additions.

    Raises
    ------
    RecordingError
        If a lazy module has not made its parameters yet.
    """
    found = []
    for name, parameter in unwrap_model(model).named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise RecordingError(
                f"{name!r} has no shape yet; run a batch through the model before recording"
            )
        if parameter.requires_grad and parameter.numel():
            found.append((name.replace(_COMPILED, ""), parameter))
    return found


def check_recordable(model: torch.nn.Module, named: Sequence[tuple[str, Tensor]]) -> None:
    """Raise RecordingError, naming the parameter or module, for what cannot be recorded.

    Parameters
    ----------
    model : torch.nn.Module
    named : sequence of (name, parameter)
        Those that are trained.
    """
    for name, parameter in named:
        refuse_flat(name, parameter)
        if parameter.dtype == torch.float64:
            raise RecordingError(
                f"{name!r} is torch.float64; the recorder keeps its copies in float32, in which "
                "small steps of float64 parameters are lost: train model.float()"
            )
        if parameter.dtype.is_complex:
            raise RecordingError(
                f"{name!r} is {parameter.dtype}; the recorder takes real parameters: train its "
                "real and imaginary parts (torch.view_as_real)"
            )
        if parameter.device.type == "mps":
            raise RecordingError(
                f"{name!r} is on the device mps, which lacks the float64 that sums of cells need; "
                "train on a CPU or with CUDA"
            )
        if parameter.dtype != torch.float32:
            raise RecordingError(
                f"{name!r} is {parameter.dtype}, whose steps are rounded away; train float32 "
                "parameters, with torch.autocast for speed"
            )
    devices = sorted({str(parameter.device) for _, parameter in named})
    if len(devices) > 1:
        raise RecordingError(
            f"the trainable parameters lie on {', '.join(devices)}; the recorder needs them all "
            "on one device"
        )
    for name, module in model.named_modules():
        if getattr(module, "max_norm", None) is not None and isinstance(
            module, torch.nn.Embedding | torch.nn.EmbeddingBag
        ):
            raise RecordingError(
                f"the embedding {name!r} has max_norm={module.max_norm}: every look at the model "
                "would shrink its rows, outside of the optimizer's step. Train without max_norm"
            )


def refuse_flat(name: str, parameter: Tensor) -> None:
    """Raise RecordingError if a parameter is a piece of several, laid end to end."""
    if type(parameter).__name__ == "FlatParameter" or "_flat_param" in name:
        raise RecordingError(
            f"FullyShardedDataParallel keeps {name!r} in pieces that mix parameters; divide the "
            "model with torch.distributed.fsdp.fully_shard, or train with DistributedDataParallel"
        )


def fingerprint(parameters: Iterable[Tensor], shards: Shards | None = None) -> str:
    """A short text that almost certainly differs between any two states of a training.

    Made of the bits of a few scalars of every parameter; the same whether and how the parameters
    are divided among processes.
    """
    samples = []
    for parameter in parameters:
        size = parameter.numel()
        # In float32, the last place of a large tensor would be rounded beyond its end.
        steps = min(_SAMPLES, size)
        places = torch.linspace(0, size - 1, steps, dtype=torch.float64).round().long()
        if shards is not None:
            samples.append(shards.scalars(parameter, places))
            continue
        flat = parameter.detach().reshape(-1)
        samples.append(flat[places.to(flat.device)].float())
    return hashlib.sha256(torch.cat(samples).cpu().numpy().tobytes()).hexdigest()[:16]
