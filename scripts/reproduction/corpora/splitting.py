"""Division of a corpus into training, validation and test pairs that share nothing.

Pairs are drawn by their content: the order of draw is a hash of the pair and the seed. So the
same pairs give the same splits whatever the version of any random number generator.
"""

from collections.abc import Mapping

import numpy as np

from reproduction.corpora.cleaning import Keys
from reproduction.files import UserError

REST = "rest"
SPLITS = ("train", "valid", "test")
UNUSED, NEAR_DUPLICATE = -1, -2


def first_occurrences(keys: np.ndarray) -> np.ndarray:
    """Mark the first of every run of equal keys.

    Parameters
    ----------
    keys
        Shape (pairs,), uint64.

    Returns
    -------
    numpy.ndarray
        Shape (pairs,), bool: True where no earlier pair has the same key.
    """
    order = np.argsort(keys, kind="stable")
    is_first = np.ones(len(keys), dtype=bool)
    is_first[order[1:]] = keys[order[1:]] != keys[order[:-1]]
    return is_first


def draw_order(keys: np.ndarray, seed: int, stream: int) -> np.ndarray:
    """Return the positions of `keys` in a random order that depends on keys and seed only.

    Each key is mixed with the seed by the finaliser of SplitMix64 (Steele et al. 2014).
    """
    start = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64
    mixed = keys + np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


def check_sizes(sizes: Mapping[str, int | str]) -> None:
    """Check the sizes of the splits as configured.

    Raises
    ------
    UserError
        When a split is unknown or a size is neither a number of pairs nor an allowed "rest".
    """
    for split, size in sizes.items():
        if split not in SPLITS:
            raise UserError(f"splits: {split!r} is none of {', '.join(SPLITS)}.")
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


def is_test_only(sizes: Mapping[str, int | str]) -> bool:
    """Tell whether the whole corpus is a test set, to be kept complete and in order."""
    return sizes.get("test") == REST and not any(sizes.get(split) for split in ("train", "valid"))


def assign_splits(keys: Keys, sizes: Mapping[str, int | str], seed: int) -> np.ndarray:
    """Assign every pair to a split.

    Validation and test pairs are drawn uniformly, one from each group of near-identical pairs;
    the others of such a group are used nowhere, so that no text straddles two splits. Training
    pairs are all that remain, or a uniform draw of them.

    Parameters
    ----------
    keys
        Of the pairs, without exact duplicates.
    sizes
        Split to number of pairs; train may be "rest".
    seed
        Another seed draws other pairs.

    Returns
    -------
    numpy.ndarray
        Shape (pairs,), int8: the position of the split in `SPLITS`, `UNUSED`, or
        `NEAR_DUPLICATE` for pairs left out because one like them was drawn.

    Raises
    ------
    UserError
        When there are fewer pairs than asked for.
    """
    check_sizes(sizes)
    labels = np.full(len(keys.exact), UNUSED, dtype=np.int8)
    if is_test_only(sizes):
        labels[:] = SPLITS.index("test")
        return labels

    candidates = np.flatnonzero(first_occurrences(keys.folded))
    candidates = candidates[draw_order(keys.folded[candidates], seed, stream=0)]
    held_out = [(split, sizes.get(split, 0)) for split in ("valid", "test")]
    wanted = sum(size for _, size in held_out)
    if wanted > len(candidates):
        raise _too_few("valid and test", wanted, len(candidates), len(labels))
    labels[np.isin(keys.folded, keys.folded[candidates[:wanted]])] = NEAR_DUPLICATE
    start = 0
    for split, size in held_out:
        labels[candidates[start : start + size]] = SPLITS.index(split)
        start += size

    remaining = np.flatnonzero(labels == UNUSED)
    size = sizes.get("train", 0)
    if size != REST:
        if size > len(remaining):
            raise _too_few("train", size, len(remaining), len(labels))
        remaining = remaining[draw_order(keys.exact[remaining], seed, stream=1)[:size]]
    labels[remaining] = SPLITS.index("train")
    return labels


def _too_few(what: str, asked: int, available: int, total: int) -> UserError:
    return UserError(
        f"splits ask for {asked} pairs for {what}, but there are only {available} "
        f"(of {total} pairs after cleaning). Ask for fewer in the configuration"
        + (' or for train: "rest", ' if what == "train" else ", ")
        + "or add a source."
    )
