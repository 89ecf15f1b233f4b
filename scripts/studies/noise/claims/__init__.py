"""The claims N-a to N-f of the study. Importing a module here adds its claims to the list."""

from . import laws, parts
from .registry import CLAIMS

MODULES = (parts, laws)

__all__ = ["CLAIMS", "MODULES"]
