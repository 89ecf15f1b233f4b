"""The claims of Zhu et al. 2020, a function for each."""

from . import layers, words  # noqa: F401
from .registry import CLAIMS

__all__ = ["CLAIMS"]
