"""Split a corpus into training, validation and test pairs without common pairs.

Pairs are drawn by their content: the order of the draw is a hash of pair and seed. So the splits
of the same pairs do not depend on the version of a random number generator.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from common.files import UserError

REST = "rest"
EVERY = "every "
SPLITS = ("train", "valid", "test")
UNUSED, NEAR_DUPLICATE = -1, -2
PART = 1 << 20  # keys processed at once, to limit memory


class Keys(NamedTuple):
    """Hash keys of sentence pairs; both arrays have shape (pairs,) and type uint64.

    `exact` is equal for equal pairs, `folded` also for near-identical pairs.
    """

    exact: np.ndarray
    folded: np.ndarray


def first_occurrences(keys: np.ndarray) -> np.ndarray:
    """Mark the first occurrence of every key.

    Parameters
    ----------
    keys
        Shape (pairs,), uint64.

    Returns
    -------
    numpy.ndarray
        Shape (pairs,), bool: True where no earlier pair has the same key.
    """
    is_first = np.ones(len(keys), dtype=bool)
    # Process a sixteenth of the keys at a time: equal keys start with the same four bits.
    for start in range(16):
        places = places_starting_with(keys, start)
        chosen = keys[places]
        order = np.argsort(chosen, kind="stable")
        repeated = chosen[order[1:]] == chosen[order[:-1]]
        is_first[places[order[1:][repeated]]] = False
    return is_first


def places_starting_with(keys: np.ndarray, start: int) -> np.ndarray:
    """Return the positions, int64, of the keys whose highest four bits are `start`."""
    parts = range(0, len(keys), PART)
    found = [np.flatnonzero(keys[at : at + PART] >> np.uint64(60) == start) + at for at in parts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def are_among(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mark the keys that are in `wanted`, which is small; shape (keys,), bool."""
    wanted = np.unique(wanted)
    marked = np.zeros(len(keys), dtype=bool)
    if len(wanted):
        for start in range(0, len(keys), PART):
            part = keys[start : start + PART]
            near = wanted[np.minimum(np.searchsorted(wanted, part), len(wanted) - 1)]
            marked[start : start + PART] = near == part
    return marked


def mix_keys(keys: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """Return a pseudorandom uint64 number for each key; it depends only on key and seed.

    The finaliser of SplitMix64 (Steele et al. 2014).
    """
    start = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64
    mixed = keys + np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def draw_places(
    keys: np.ndarray, eligible: np.ndarray, size: int, seed: int, stream: int
) -> np.ndarray:
    """Draw the positions of `size` eligible keys; the draw depends only on keys and seed.

    Parameters
    ----------
    keys
        Shape (pairs,), uint64.
    eligible
        Shape (pairs,), bool.
    size
        At most the number of eligible keys.
    seed, stream
        Different values draw different keys.

    Returns
    -------
    numpy.ndarray
        Shape (size,), int64, in the order of the draw: a longer draw starts with a shorter one.
    """
    high_bits = np.zeros(1 << 16, dtype=np.int64)
    parts = [slice(start, start + PART) for start in range(0, len(keys), PART)]
    for part in parts:
        mixed = mix_keys(keys[part][eligible[part]], seed, stream)
        high_bits += np.bincount((mixed >> np.uint64(48)).astype(np.int64), minlength=1 << 16)
    # The keys with the smallest numbers are drawn: numbers above this bound are not needed.
    bound = int(np.searchsorted(np.cumsum(high_bits), size))
    places, numbers = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint64)]
    for part in parts if size else []:
        mixed = mix_keys(keys[part], seed, stream)
        chosen = np.flatnonzero(eligible[part] & (mixed >> np.uint64(48) <= bound))
        places.append(chosen + part.start)
        numbers.append(mixed[chosen])
    order = np.argsort(np.concatenate(numbers), kind="stable")
    return np.concatenate(places)[order[:size]]


def check_sizes(sizes: Mapping[str, int | str]) -> None:
    """Check the sizes of the splits as configured.

    Raises
    ------
    UserError
        If a split is unknown or a size is neither a number of pairs nor an allowed "rest".
    """
    for split, size in sizes.items():
        if split not in SPLITS:
            raise UserError(f"splits: {split!r} is none of {', '.join(SPLITS)}.")
        if split == "valid" and nth_of(size):
            continue
        if size == REST:
            if split != "train" and not is_test_only(sizes):
                raise UserError(
                    f'splits: {split} cannot be "rest". Only train can, or test where it is the '
                    "only split."
                )
        elif isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise UserError(
                f'splits: {split} should be a number of pairs or "rest", but is {size!r}.'
            )


def nth_of(size: int | str) -> int:
    """n of a split that is every n-th pair, "every <n>"; 0 for any other size."""
    number = str(size).removeprefix(EVERY) if str(size).startswith(EVERY) else ""
    return int(number) if number.isdigit() else 0


def is_test_only(sizes: Mapping[str, int | str]) -> bool:
    """Whether the whole corpus is a test set, which stays complete and in order."""
    return sizes.get("test") == REST and not any(sizes.get(split) for split in ("train", "valid"))


def assign_splits(
    keys: Keys, kept: np.ndarray, sizes: Mapping[str, int | str], seed: int
) -> np.ndarray:
    """Assign every pair to a split.

    Validation and test pairs are drawn uniformly from the first pairs of all groups of
    near-identical pairs; with "every <n>", validation pairs are every n-th of these, in order. The
    other pairs of their groups are not used, so that near-identical text is never in two splits.
    Training pairs are all remaining pairs, or a uniform draw of them.

    Parameters
    ----------
    keys
        Keys of the pairs.
    kept
        Shape (pairs,), bool: the pairs that get a split. Of equal pairs only the first may be
        marked; in a group of near-identical pairs either the first pair is marked or none.
    sizes
        Split to number of pairs; train may be "rest", valid "every <n>".
    seed
        Seed of the draws.

    Returns
    -------
    numpy.ndarray
        Shape (pairs,), int8: the index of the split in `SPLITS`, `UNUSED`, or `NEAR_DUPLICATE` for
        pairs left out because a near-identical pair was drawn.

    Raises
    ------
    UserError
        If there are fewer pairs than requested.
    """
    check_sizes(sizes)
    labels = np.full(len(kept), UNUSED, dtype=np.int8)
    if is_test_only(sizes):
        labels[kept] = SPLITS.index("test")
        return labels

    candidates = kept & first_occurrences(keys.folded)
    nth = nth_of(sizes.get("valid", 0))
    if nth:
        chosen = np.flatnonzero(candidates)[nth - 1 :: nth]
        labels[kept & are_among(keys.folded, keys.folded[chosen])] = NEAR_DUPLICATE
        labels[chosen] = SPLITS.index("valid")
        candidates &= labels == UNUSED
        sizes = {**sizes, "valid": 0}
    held_out = [(split, int(sizes.get(split, 0))) for split in ("valid", "test")]
    wanted, available = sum(size for _, size in held_out), int(np.sum(candidates))
    if wanted > available:
        raise _too_few("valid and test", wanted, available, int(np.sum(kept)))
    drawn = draw_places(keys.folded, candidates, wanted, seed, stream=0)
    labels[kept & are_among(keys.folded, keys.folded[drawn])] = NEAR_DUPLICATE
    start = 0
    for split, size in held_out:
        labels[drawn[start : start + size]] = SPLITS.index(split)
        start += size

    remaining = kept & (labels == UNUSED)
    available = int(np.sum(remaining))
    if sizes.get("train") == REST:
        labels[remaining] = SPLITS.index("train")
        return labels
    size = int(sizes.get("train", 0))
    if size > available:
        raise _too_few("train", size, available, int(np.sum(kept)))
    labels[draw_places(keys.exact, remaining, size, seed, stream=1)] = SPLITS.index("train")
    return labels


def _too_few(what: str, asked: int, available: int, total: int) -> UserError:
    return UserError(
        f"splits ask for {asked} pairs for {what}, but there are only {available} "
        f"(of {total} pairs after cleaning). Ask for fewer in the configuration"
        + (' or for train: "rest", ' if what == "train" else ", ")
        + "or add a source."
    )
