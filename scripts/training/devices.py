"""The device that a training runs on."""

from __future__ import annotations

import torch

from common.files import UserError


def choose_device(device: str, workers: int) -> str:
    """The device of a training, "cpu" or "cuda", for a setting that may be "auto".

    Raises
    ------
    UserError
        If there are fewer GPUs than the setting and the number of workers ask for.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("execution.device is cuda, but torch finds no GPU; set it to auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and torch.cuda.device_count() < workers:
        raise UserError(
            f"{workers} workers need a GPU each, but torch finds {torch.cuda.device_count()}; "
            "ask for as many (execution.gpus), or set execution.device to cpu"
        )
    return device


def kind_of_device(device: str) -> str:
    """The name of the GPU as PyTorch gives it, or "cpu"."""
    return torch.cuda.get_device_name() if device == "cuda" else device
