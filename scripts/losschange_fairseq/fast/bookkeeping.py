"""What fairseq does around every update, without asking again what it was told already."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from fairseq.models import FairseqEncoder
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from .memory import keep_freed_memory

_WALK = FairseqEncoder.set_num_updates


class QuietTrainer(Trainer):
    """fairseq's Trainer, with plain settings and plain seeds while it makes an update."""

    def __init__(self, cfg, *arguments, **options):
        super().__init__(cfg, *arguments, **options)
        remember_modes(self.get_model())
        if not self.cuda:
            keep_freed_memory()
        # OmegaConf resolves every name at every look, some forty times per update.
        self._plain = _plain(OmegaConf.to_container(cfg, resolve=True))

    def train_step(self, samples, raise_oom=False):
        """Do forward, backward and parameter update."""
        if self._optimizer is None:
            # Built at the first look, from the settings as they were given.
            self._build_optimizer()
        given, self.cfg = self.cfg, self._plain
        try:
            return super().train_step(samples, raise_oom)
        finally:
            self.cfg = given

    def _set_seed(self):
        if self.cuda:
            super()._set_seed()
            return
        # torch.manual_seed would note a call for a GPU that never comes, with where it came from.
        torch.default_generator.manual_seed(self._plain.common.seed + self.get_num_updates())


def remember_modes(model) -> None:
    """Let a model switch to a mode that all its modules are in already without a walk over them.

    fairseq calls `train()` and `set_num_updates()` up to three times per update; each walks over
    hundreds of modules.

    Parameters
    ----------
    model : fairseq model
        Changed in place; its modules must stay the same.
    """
    every, kind = tuple(model.modules()), type(model)
    model.__class__ = type(kind.__name__, (_RememberedModes, kind), {"__module__": __name__})
    # Not through the module's own attributes: they would be registered as its parts.
    model.__dict__["_every_module"] = every
    model.__dict__["_counting_modules"] = tuple(
        module
        for module in every[1:]
        # An encoder's own is a walk over modules that are all here.
        if getattr(type(module), "set_num_updates", _WALK) is not _WALK
    )


class _RememberedModes:
    def train(self, mode: bool = True):
        if all(module.training is mode for module in self._every_module):
            return self
        return super().train(mode)

    def set_num_updates(self, num_updates: int) -> None:
        for module in self._counting_modules:
            module.set_num_updates(num_updates)


def _plain(values):
    if isinstance(values, dict) and all(isinstance(name, str) for name in values):
        return SimpleNamespace(**{name: _plain(value) for name, value in values.items()})
    return values
