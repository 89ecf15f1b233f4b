"""Claims about attention heads, from a podcast with the author of Voita et al. 2019."""

from . import functions, pruning  # noqa: F401  (each adds claims to the list)
from .registry import CLAIMS

__all__ = ["CLAIMS"]
