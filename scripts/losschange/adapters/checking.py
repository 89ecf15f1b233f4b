"""Checks of arguments that are common to the adapters that show a recording."""

from losschange.errors import RecordingError


def check_every(every: int) -> int:
    """Return the number of updates between two points; RecordingError if it is invalid."""
    if not isinstance(every, int) or every < 1:
        raise RecordingError(f"every is {every!r}; it must be a number of updates, 1 or more")
    return every
