"""Memory that a training frees and needs again at once."""

from __future__ import annotations

import ctypes

# Of glibc's mallopt.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 2**30  # bytes at the end of the heap before any are given back
LARGEST_ON_HEAP = 2**25  # bytes; the most that glibc takes


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, instead of having the system clear it at every update.

    A CPU training frees and asks for the same megabytes some hundred times per update; glibc gives
    them back and gets them as empty pages, each of which costs an interruption.

    Returns
    -------
    bool
        False where the C library is not glibc, and nothing was changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT)) and bool(mallopt(MMAP_THRESHOLD, LARGEST_ON_HEAP))
