"""Training objectives: every module of this folder that defines OBJECTIVE is one.

Adding an objective is adding a file; `clm` is the shortest example.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from .objective import Objective


def _find_objectives() -> dict[str, Objective]:
    """All objectives by name, in alphabetical order."""
    modules = [
        import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
    ]
    found = [module.OBJECTIVE for module in modules if hasattr(module, "OBJECTIVE")]
    return {objective.name: objective for objective in sorted(found, key=lambda one: one.name)}


OBJECTIVES = _find_objectives()
# How figures draw their models.
LOOKS = {name: objective.look for name, objective in OBJECTIVES.items()}

__all__ = ["LOOKS", "OBJECTIVES", "Objective"]
