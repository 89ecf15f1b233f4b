"""What fairseq asks of every module before every update, asked only where something changes."""

from __future__ import annotations


def remember_modes(model) -> None:
    """Let a model switch to a mode that all its modules are in already without a walk over them.

    fairseq calls `train()` and `set_num_updates()` three times per update; each walks over
    hundreds of modules.

    Parameters
    ----------
    model : fairseq model
        Changed in place; its modules must stay the same.
    """
    kind = type(model)
    model.__class__ = type(kind.__name__, (_RememberedModes, kind), {"__module__": __name__})
    every = tuple(model.modules())
    # Not through the module's own attributes: they would be registered as its parts.
    model.__dict__["_every_module"] = every
    model.__dict__["_counting_modules"] = tuple(
        module for module in every[1:] if hasattr(module, "set_num_updates")
    )


class _RememberedModes:
    def train(self, mode: bool = True):
        if all(module.training is mode for module in self._every_module):
            return self
        return super().train(mode)

    def set_num_updates(self, num_updates: int) -> None:
        for module in self._counting_modules:
            module.set_num_updates(num_updates)
