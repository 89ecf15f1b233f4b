"""Keep what is the same for hundreds of resamplings of one training."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

Of = TypeVar("Of")
Found = TypeVar("Found")


def kept(function: Callable[[Of], Found]) -> Callable[[Of], Found]:
    """A function of one object that is called once for each, as long as the object lives."""
    results: WeakKeyDictionary[Of, Found] = WeakKeyDictionary()

    @wraps(function)
    def get(of: Of) -> Found:
        if of not in results:
            results[of] = function(of)
        return results[of]

    return get
