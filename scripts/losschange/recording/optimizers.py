"""What an optimizer holds, and how its steps are watched.

The gradient that counts is the one that the optimizer was given. Some optimizers change `p.grad`
inside of their step and some loops clear it right after, so it is read before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType, MethodType
from typing import Any

import torch
from torch import Tensor

from losschange.errors import RecordingError

from .parameters import refuse_flat


def stepping_optimizer(optimizer: Any) -> Any:
    """The optimizer that moves the parameters, inside of accelerate's wrapper.

    Raises
    ------
    RecordingError
        If it is none, or one whose step has several gradients.
    """
    # The wrapper's step does nothing while gradients accumulate, or where fp16 overflows.
    while hasattr(optimizer, "accelerator_state") and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    kind = type(optimizer).__name__
    if not callable(getattr(optimizer, "step", None)) or not hasattr(optimizer, "param_groups"):
        raise RecordingError(
            f"{kind} is no optimizer: it lacks step() or param_groups. Give the optimizer that "
            "moves the parameters"
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise RecordingError(
            "one step of LBFGS evaluates the loss at several points, so there is no one gradient "
            "whose product with the step is the loss change; train with a first-order optimizer"
        )
    return optimizer


def held_parameters(optimizer: Any) -> list[Tensor]:
    """All parameters of an optimizer, in the order of its groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def leaves_gradients(optimizer: Any) -> bool:
    """Whether an optimizer's step is known not to change the gradients that it is given.

    SGD writes Nesterov's momentum into them.
    """
    if type(optimizer) is torch.optim.SGD:
        return not any(group["nesterov"] for group in optimizer.param_groups)
    return type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)


def check_optimizers(named: Sequence[tuple[str, Tensor]], optimizers: Sequence[Any]) -> None:
    """Raise RecordingError unless every trained parameter is held by exactly one optimizer."""
    held: dict[int, Tensor] = {}
    for optimizer in optimizers:
        for parameter in held_parameters(optimizer):
            refuse_flat(f"a parameter of {type(optimizer).__name__}", parameter)
            if id(parameter) in held:
                raise RecordingError(
                    f"a parameter of shape {tuple(parameter.shape)} is held twice by the "
                    "optimizers; each must be moved by one of them only"
                )
            held[id(parameter)] = parameter
    for name, parameter in named:
        if held.pop(id(parameter), None) is None:
            raise RecordingError(
                f"the optimizer does not hold the trainable parameter {name!r}; give it to the "
                "optimizer, or freeze it with requires_grad_(False)"
            )
    for parameter in held.values():
        if parameter.requires_grad and parameter.numel():
            raise RecordingError(
                f"the optimizer moves a parameter of shape {tuple(parameter.shape)} that the "
                "model does not have; attach the recorder to the whole model"
            )


class StepWatch:
    """Calls functions around every step of an optimizer.

    A step that GradScaler found to overflow moves nothing and is no update: nothing is called.

    Parameters
    ----------
    optimizer
        One of PyTorch's, or anything with `step` and `param_groups`.
    begin : callable () -> None
        Called before parameters are moved.
    given : callable (factor) -> None
        Called when the gradients are those that the optimizer uses; `factor` is what they must
        be multiplied by to be rid of GradScaler's factor.
    end : callable () -> None
        Called after the step.
    """

    def __init__(
        self,
        optimizer: Any,
        begin: Callable[[], None],
        given: Callable[[float | Tensor], None],
        end: Callable[[], None],
    ):
        self._optimizer = optimizer
        self._begin, self._given, self._end = begin, given, end
        self._outer: FrameType | None = None
        self._depth = 0
        self._skipped = False
        self._closure: _Closure | None = None
        # A step that torch.compile translates must call the hooks at every update, not trace them.
        outside: Any = torch.compiler.disable
        self._hooks = outside(self._before), outside(self._after)
        # A class that is called an optimizer but never ran Optimizer.__init__ has no hooks.
        if hasattr(optimizer, "_optimizer_step_pre_hooks"):
            before = optimizer.register_step_pre_hook(self._hooks[0])
            after = optimizer.register_step_post_hook(self._hooks[1])
            # Before those of the training, one of which may clear the gradients.
            optimizer._optimizer_step_post_hooks.move_to_end(after.id, last=False)
            self._undo = [before.remove, after.remove, self._stay_last(optimizer, before.id)]
        else:
            self._undo = [self._replace_step(optimizer)]

    def remove(self) -> None:
        """Remove all hooks."""
        for undo in self._undo:
            undo()
        self._undo = []

    def _stay_last(self, optimizer: Any, number: int) -> Callable[[], None]:
        """Keep a hook behind those that the training registers later: they may change gradients."""
        register = optimizer.register_step_pre_hook

        def register_step_pre_hook(this: Any, hook: Callable[..., Any]) -> Any:
            if this is not optimizer:
                return type(this).register_step_pre_hook(this, hook)
            handle = register(hook)
            if number in optimizer._optimizer_step_pre_hooks:
                optimizer._optimizer_step_pre_hooks.move_to_end(number)
            return handle

        return _replace(optimizer, register_step_pre_hook)

    def _replace_step(self, optimizer: Any) -> Callable[[], None]:
        """Replace an optimizer's step by one with hooks; return a function that restores it."""
        original = optimizer.step

        def step(this: Any, *arguments: Any, **options: Any) -> Any:
            if this is not optimizer:
                return type(this).step(this, *arguments, **options)
            if not self._undo:  # removed, while another recorder's step still calls this one
                return original(*arguments, **options)
            changed = self._hooks[0](optimizer, (optimizer, *arguments), options)
            taken, options = changed or ((optimizer, *arguments), options)
            result = original(*taken[1:], **options)
            self._hooks[1](optimizer, taken[1:], options)
            return result

        return _replace(optimizer, step)

    def _before(
        self, optimizer: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._outer is not None and _is_running(self._outer):
            self._depth += 1  # a step that calls the step of its base class
            return None
        self._outer, self._depth = _caller(), 0
        self._closure, self._skipped = None, bool(getattr(optimizer, "found_inf", None))
        if self._skipped:
            return None
        self._begin()
        scale = getattr(optimizer, "grad_scale", None)
        factor = 1.0 if scale is None else 1.0 / scale
        closure = options.get("closure", arguments[1] if len(arguments) > 1 else None)
        if not callable(closure):
            self._given(factor)
            return None
        moved = held_parameters(optimizer)
        self._closure = _Closure(closure, moved, lambda: self._given(factor))
        if "closure" in options:
            return arguments, {**options, "closure": self._closure}
        return (arguments[0], self._closure, *arguments[2:]), options

    def _after(self, optimizer: Any, arguments: Any, options: Any) -> None:
        if self._depth:
            self._depth -= 1
            return
        self._outer = None
        if self._skipped:
            return
        if self._closure is not None:
            self._closure.check(type(optimizer).__name__)
        self._end()


def _replace(owner: Any, function: Callable[..., Any]) -> Callable[[], None]:
    """Replace the method of a function's name in one object; return a function that restores it.

    A copy of the object has the method, too, bound to the copy: `function` must tell them apart. If
    it was replaced once more in the meantime, that one calls `function`, which then stays.
    """
    name, method = function.__name__, MethodType(function, owner)
    own = vars(owner).get(name)
    setattr(owner, name, method)

    def restore() -> None:
        if vars(owner).get(name) is not method:
            return
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    return restore


class _Closure:
    """A closure that checks whether it was called once, at the parameters before the step."""

    def __init__(
        self, function: Callable[..., Any], moved: Sequence[Tensor], given: Callable[[], None]
    ):
        self._function, self._given = function, given
        self._moved, self._versions = moved, [parameter._version for parameter in moved]
        self._samples = _samples(moved)
        self._calls, self._elsewhere = 0, False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._calls += 1
        if self._calls == 1:
            self._elsewhere = self._versions != [p._version for p in self._moved] or any(
                not torch.equal(a, b)
                for a, b in zip(self._samples, _samples(self._moved), strict=True)
            )
        result = self._function(*arguments, **options)
        if self._calls == 1:
            self._given()
        return result

    def check(self, kind: str) -> None:
        """Raise RecordingError unless the step had one gradient, at the parameters before it."""
        if self._calls == 1 and not self._elsewhere:
            return
        how = (
            "after it had moved the parameters"
            if self._calls == 1
            else f"{self._calls} times in one step"
        )
        raise RecordingError(
            f"{kind} called its closure {how}, so there is no one gradient whose product with the "
            "step is the loss change; train with an optimizer that takes one gradient a step"
        )


def _samples(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The first scalar of tensors on the CPU: reading those of a GPU would wait for it."""
    return [t.detach().reshape(-1)[:1].clone() for t in tensors if t.device.type == "cpu"]


def _caller() -> FrameType | None:
    """The call of the step that called a hook, outside of what torch.compile puts between them."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("torch._dynamo"):
        frame = frame.f_back
    return frame


def _is_running(frame: FrameType) -> bool:
    """Whether a function's call has not ended yet. A step that raised leaves its frame behind."""
    running: FrameType | None = sys._getframe(1)
    while running is not None:
        if running is frame:
            return True
        running = running.f_back
    return False
