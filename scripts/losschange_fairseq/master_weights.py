"""The float32 parameters that a fairseq optimizer updates, and the gradients it uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fairseq.optim.amp_optimizer import AMPOptimizer
from torch import Tensor

from losschange.errors import RecordingError
from losschange.recording.allocation import FlatViews


class MasterWeights:
    """Views of the float32 parameters that an optimizer updates, in the order of the model's names.

    In float32 training these are the model's own parameters. fairseq's FP16Optimizer updates
    float32 copies instead, one per tensor or one flat tensor per device. Its gradients may still
    have to be multiplied by a common factor (1 / loss scale / sample size).

    Parameters
    ----------
    optimizer : fairseq optimizer
    named_parameters : sequence of (str, Parameter)
        The trainable parameters, tied ones once.

    Raises
    ------
    RecordingError
        If a trainable parameter is unknown to the optimizer, or the optimizer keeps no float32
        parameters (memory-efficient fp16), or skips steps unnoticed (automatic mixed precision).
    """

    def __init__(self, optimizer, named_parameters: Sequence[tuple[str, torch.nn.Parameter]]):
        self.optimizer = optimizer
        self.names = [name for name, _ in named_parameters]
        self._model_parameters = [parameter for _, parameter in named_parameters]
        if isinstance(optimizer, AMPOptimizer):
            raise RecordingError(
                "an AMPOptimizer skips steps that overflow without telling, so they would be "
                "recorded. Train with --fp16 or in float32 instead of --amp"
            )
        copies = getattr(optimizer, "fp32_params", None)
        half = next((p for p in self._model_parameters if p.dtype != torch.float32), None)
        if copies is None and half is not None:
            raise RecordingError(
                f"{type(optimizer).__name__} moves parameters in {half.dtype} and keeps no float32 "
                "copies; their steps are rounded away. Train with --fp16 or in float32"
            )
        held = optimizer.fp16_params if copies is not None else list(optimizer.params)
        positions = {id(parameter): position for position, parameter in enumerate(held)}
        for name, parameter in named_parameters:
            if id(parameter) not in positions:
                raise RecordingError(
                    f"the optimizer does not hold the trainable parameter {name!r}"
                )
        self._order = [positions[id(parameter)] for parameter in self._model_parameters]
        self._held = held
        self._copies = copies
        self._in_order = self._order == list(range(len(held)))
        self._pieces = self._pieces_of(getattr(optimizer, "flat", None))
        self._clipping: float | Tensor = 1.0
        self._watch_clipping()

    def parameters(self) -> list[Tensor]:
        """The present float32 parameters; where possible, every call returns the same tensors."""
        if self._pieces is not None:
            return self._pieces[0]
        if self._copies is None:
            return self._model_parameters
        return self._pick(lambda tensor: tensor)

    def moved_by_step(self) -> list[Sequence[Tensor]]:
        """All tensors that a step of the optimizer changes: lists with a tensor per parameter.

        The float32 parameters, the model's half-precision ones if it has such, and the optimizer's
        moments of every parameter once it has made a step.
        """
        found: list[Sequence[Tensor]] = [self.parameters()]
        if self._copies is not None:
            found.append(self._model_parameters)
        state, flat = self.optimizer.optimizer.state, getattr(self.optimizer, "flat", None)
        held = next(iter(state), None)
        if held is None:
            return found
        # A moment has the shape of its parameter; a counter of updates has not.
        moments = [n for n, t in state[held].items() if getattr(t, "shape", None) == held.shape]
        for name in moments:
            if flat is None:
                found.append(self._pick(lambda tensor, of=name: state[tensor][of]))
            else:
                views = FlatViews(state[flat][name], [parameter.shape for parameter in self._held])
                found.append([views[position] for position in self._order])
        return found

    def gradients(self) -> list[Tensor | None]:
        """The gradients that the optimizer holds; multiply them by `scale()`."""
        if self._pieces is not None:
            return self._pieces[1]
        return self._pick(lambda tensor: tensor.grad)

    def scale(self) -> float | Tensor:
        """Factor that turns the optimizer's gradients into unclipped ones of the mean loss."""
        return getattr(self.optimizer, "_multiply_factor", 1.0) * self._clipping

    def _watch_clipping(self) -> None:
        """Record the factor by which the optimizer clips the gradients of every update."""
        clip = self.optimizer.clip_grad_norm

        def watched(max_norm, *arguments, **options):
            norm = clip(max_norm, *arguments, **options)
            # The inverse of the factor that fairseq multiplies by.
            self._clipping = ((norm + 1e-6) / max_norm).clamp(min=1) if max_norm > 0 else 1.0
            return norm

        self.optimizer.clip_grad_norm = watched

    def _pieces_of(self, flat: torch.nn.Parameter | None) -> tuple[FlatViews, FlatViews] | None:
        """Parameters and gradients of an optimizer with one flat tensor of the model's own."""
        if flat is None or not self._in_order:
            return None
        shapes = [parameter.shape for parameter in self._held]
        return FlatViews(flat.detach(), shapes), FlatViews(flat.grad, shapes)

    def _pick(self, what) -> list[Tensor | None]:
        if self._copies is None:
            return [what(parameter) for parameter in self._model_parameters]
        if isinstance(self._copies, dict):
            return self._split_flat(what)
        return [what(self._copies[position]) for position in self._order]

    def _split_flat(self, what) -> list[Tensor]:
        """Views into the flat tensors; each holds parameters in the optimizer's order."""
        flat = {device: what(copy).detach() for device, copy in self._copies.items()}
        if len(flat) == 1 and self._in_order:
            (whole,) = flat.values()
            return FlatViews(whole, [parameter.shape for parameter in self._held])
        single = next(iter(flat)) if len(flat) == 1 else None
        offsets = dict.fromkeys(flat, 0)
        views = []
        for parameter in self._held:
            device = parameter.device.index if single is None else single
            start = offsets[device]
            offsets[device] = start + parameter.numel()
            views.append(flat[device][start : offsets[device]].view(parameter.shape))
        return [views[position] for position in self._order]
