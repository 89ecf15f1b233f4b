"""fairseq's Adam as one fused kernel over one flat tensor of all parameters.

fairseq divides by sqrt(v) + eps and multiplies by sqrt(1 - beta2^t) / (1 - beta1^t); PyTorch's
AdamW divides by sqrt(v) / sqrt(1 - beta2^t) + eps. If PyTorch is given eps / sqrt(1 - beta2^t)
instead of eps, the two are the same.
"""

from dataclasses import dataclass

import torch
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig


@dataclass
class FusedAdamConfig(FairseqAdamConfig):
    """Options of `fused_adam`: those of fairseq's adam."""


class FusedAdam(torch.optim.AdamW):
    """Fused Adam with decoupled weight decay; epsilon is added where fairseq adds it.

    Parameters
    ----------
    params : iterable of Parameter
    lr, betas, eps, weight_decay : as of fairseq.optim.adam.Adam
    """

    # FP16Optimizer may hold all float32 parameters as one flat tensor.
    supports_flat_params = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        for group in self.param_groups:
            group["updates"] = 0

    @torch.no_grad()
    def step(self, closure=None):
        """Update the parameters once."""
        given = [group["eps"] for group in self.param_groups]
        for group in self.param_groups:
            group["updates"] += 1
            group["eps"] /= (1 - group["betas"][1] ** group["updates"]) ** 0.5
        try:
            return super().step(closure)
        finally:
            for group, eps in zip(self.param_groups, given, strict=True):
                group["eps"] = eps


@register_optimizer("fused_adam", dataclass=FusedAdamConfig)
class FairseqFusedAdam(FairseqAdam):
    """fairseq's adam over one flat tensor; the model's parameters become views into it.

    Parameters
    ----------
    cfg : FusedAdamConfig
    params : iterable of Parameter
        All on one device and of one dtype.
    """

    def __init__(self, cfg: FusedAdamConfig, params):
        FairseqOptimizer.__init__(self, cfg)
        self._held = list(params)
        self._flat = self._held[0]
        if len(self._held) > 1:
            self._flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in self._held]))
            for parameter, view in self._views(self._flat.detach()):
                parameter.data = view
        if self._flat.grad is None:
            self._flat.grad = torch.zeros_like(self._flat)
        self._gradients = self._views(self._flat.grad)
        self._point_gradients()
        self._optimizer = FusedAdam([self._flat], **self.optimizer_config)

    @property
    def params(self):
        """The model's own parameters."""
        return iter(self._held)

    @property
    def flat(self) -> torch.nn.Parameter:
        """One tensor of all parameters in order; its gradient holds all their gradients."""
        return self._flat

    def zero_grad(self):
        """Clear all gradients; autograd adds to them in place."""
        self._flat.grad.zero_()
        self._point_gradients()

    def multiply_grads(self, c):
        """Multiply all gradients by a number or a scalar tensor."""
        self._flat.grad.mul_(c.to(self._flat.device) if torch.is_tensor(c) else c)

    def clip_grad_norm(self, max_norm, aggregate_norm_fn=None):
        """Norm of all gradients before clipping; clips them if `max_norm` is above 0."""
        norm = torch.linalg.vector_norm(self._flat.grad)
        if aggregate_norm_fn is not None:
            norm = aggregate_norm_fn(norm)
        if max_norm > 0:
            # The same factor as fairseq's.
            self._flat.grad.mul_((max_norm / (norm + 1e-6)).clamp_(max=1))
        return norm

    def _point_gradients(self):
        # FP16Optimizer resets the gradients of the model's own parameters: attach the views again.
        for parameter, view in self._gradients:
            if parameter.grad is not view:
                parameter.grad = view

    def _views(self, flat: torch.Tensor):
        """Every parameter, paired with its view into the flat tensor."""
        if len(self._held) == 1:
            return [(self._flat, flat)]
        pieces = flat.split([parameter.numel() for parameter in self._held])
        return [
            (parameter, piece.view(parameter.shape))
            for parameter, piece in zip(self._held, pieces, strict=True)
        ]
