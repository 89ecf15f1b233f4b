"""Print whether measured numbers keep their limits."""

from collections.abc import Iterable


def within_limits(found: Iterable[tuple[str, float, float, str]]) -> bool:
    """Print a line for each (what, number, limit, unit); whether all limits are kept."""
    kept = True
    for what, number, limit, unit in found:
        kept &= number <= limit
        word = "pass" if number <= limit else "FAIL"
        print(f"{word}: {what} {number:.2f} {unit} (limit {limit})", flush=True)
    return kept
