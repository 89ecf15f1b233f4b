"""The 32 claims of Vázquez et al. 2022. Importing a module here adds its claims to the list."""

from . import contributions, dynamics, noise, robustness
from .registry import CLAIMS

MODULES = (contributions, dynamics, noise, robustness)

__all__ = ["CLAIMS", "MODULES"]
