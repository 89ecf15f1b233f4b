"""Claims 10 to 20: of papers, blogs and talks on the spaces of the three objectives.

Importing a module here adds its claims to the list.
"""

from . import comparing, describing, knowing
from .registry import CLAIMS

MODULES = (knowing, describing, comparing)

__all__ = ["CLAIMS", "MODULES"]
