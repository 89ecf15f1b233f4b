"""fairseq's Adam as one fused kernel over all parameters.

fairseq divides by sqrt(v) + eps and multiplies by sqrt(1 - beta2^t) / (1 - beta1^t); PyTorch's
AdamW divides by sqrt(v) / sqrt(1 - beta2^t) + eps. With eps / sqrt(1 - beta2^t) in the place of eps
the two are the same.
"""

from dataclasses import dataclass

import torch
from fairseq.optim import FairseqOptimizer, register_optimizer
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig


@dataclass
class FusedAdamConfig(FairseqAdamConfig):
    """Options of `fused_adam`: those of fairseq's adam."""


class FusedAdam(torch.optim.AdamW):
    """Adam with decoupled weight decay, fused, with fairseq's place for epsilon.

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
        """Make one step."""
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
    """fairseq's adam with a fused step, and its norm and factor in few calls."""

    def __init__(self, cfg: FusedAdamConfig, params):
        FairseqOptimizer.__init__(self, cfg)
        self._optimizer = FusedAdam(params, **self.optimizer_config)

    def multiply_grads(self, c):
        """Multiply all gradients by a number or a scalar tensor."""
        gradients = self._gradients()
        if gradients:
            torch._foreach_mul_(gradients, c.to(gradients[0].device) if torch.is_tensor(c) else c)

    def clip_grad_norm(self, max_norm, aggregate_norm_fn=None):
        """Norm of all gradients, clipped to `max_norm` where it is above 0."""
        if aggregate_norm_fn is not None:
            return super().clip_grad_norm(max_norm, aggregate_norm_fn)
        gradients = self._gradients()
        if not gradients:
            return torch.tensor(0.0)
        norm = torch.nn.utils.get_total_norm(gradients)
        if max_norm > 0:
            # fairseq's own factor
            torch._foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp_(max=1))
        return norm

    def _gradients(self) -> list[torch.Tensor]:
        return [
            p.grad for group in self.param_groups for p in group["params"] if p.grad is not None
        ]
