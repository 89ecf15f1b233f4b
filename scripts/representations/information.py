"""How much a layer's states know of a word: mutual information by clusters (Voita et al. 2019,
section 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import MiniBatchKMeans

from .checks import Floats, Integers, as_labels, as_states
from .errors import RepresentationError
from .resampling import Estimate, interval, permutations


class Information(NamedTuple):
    """Mutual information of states and types.

    Attributes
    ----------
    nats : Estimate
        Plug-in value in nats; its floor is that of permuted labels, and large.
    share : Estimate
        (value − floor) / H(type): 0 if nothing is known, 1 − floor / H(type) if everything is.
        Its own floor is that of one more permutation, close to 0.
    entropy : float
        H(type) in nats.
    """

    nats: Estimate
    share: Estimate
    entropy: float


def most_frequent_types(types: ArrayLike, number: int) -> Integers:
    """Rows of the `number` most frequent types; of equally frequent ones the first in order."""
    found = np.asarray(types)
    labels = as_labels(found, len(found), "types")
    order = np.argsort(-np.bincount(labels), kind="stable")[:number]
    return np.flatnonzero(np.isin(labels, order))


def entropy(labels: ArrayLike) -> float:
    """Plug-in entropy of labels in nats."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return _entropy(counts)


def mutual_information(first: ArrayLike, second: ArrayLike) -> float:
    """Plug-in mutual information of two labellings of the same samples, in nats.

    Biased upwards by about (labels − 1)²/2n: read it beside that of permuted labels.
    """
    one, two = np.asarray(first), np.asarray(second)
    one, two = as_labels(one, len(one), "labels"), as_labels(two, len(one), "labels")
    joint = np.unique(one * (two.max() + 1) + two, return_counts=True)[1]
    return max(0.0, _entropy(np.bincount(one)) + _entropy(np.bincount(two)) - _entropy(joint))


def cluster(states: ArrayLike, clusters: int, seed: int = 0) -> Integers:
    """Cluster of every state (samples,), by k-means on mini-batches.

    Raises
    ------
    RepresentationError
        With fewer states than clusters.
    """
    found = as_states(states)
    if not 2 <= clusters <= len(found):
        raise RepresentationError(
            f"{len(found)} states cannot be divided into {clusters} clusters; take between 2 "
            f"and {len(found)}"
        )
    # float32 halves the time and is far finer than the distances of clusters.
    scaled = (found - found.mean(axis=0)) / max(found.std(), np.finfo(float).tiny)
    means = MiniBatchKMeans(clusters, batch_size=max(1024, clusters), n_init=1, random_state=seed)
    return np.asarray(means.fit_predict(scaled.astype(np.float32)), dtype=np.int64)


def type_information(
    states: ArrayLike,
    types: ArrayLike,
    sentences: ArrayLike,
    clusters: int = 200,
    floor_repeats: int = 5,
    repeats: int = 20,
    seed: int = 0,
) -> Information:
    """Mutual information of a word's state and its type.

    Parameters
    ----------
    states : array (samples, dimensions)
        Of the most frequent types; as many samples wherever two numbers are compared.
    types : array (samples,)
        What the states are to tell: the word itself (input), or the next or the original word
        (output).
    sentences : array (samples,)
    clusters : int
    floor_repeats : int
        How often the labels are permuted. The clusters do not depend on them and are kept.
    repeats, seed : int

    Raises
    ------
    RepresentationError
        If all samples are of one type, whose entropy is 0, or too few for the clusters.
    """
    return cluster_information(
        cluster(states, clusters, seed), types, sentences, floor_repeats, repeats, seed
    )


def cluster_information(
    clusters: ArrayLike,
    types: ArrayLike,
    sentences: ArrayLike,
    floor_repeats: int = 5,
    repeats: int = 20,
    seed: int = 0,
) -> Information:
    """The same for states that are clustered already: input and output share the clusters."""
    found = np.asarray(clusters)
    labels = as_labels(types, len(found), "types")
    whole = entropy(labels)
    if whole == 0:
        raise RepresentationError(
            f"all {len(labels)} samples are of one word type, so there is nothing to know of it"
        )
    value, floor = _corrected(found, labels, floor_repeats, seed)
    once = _corrected(found, labels, 1, seed + 1)[1]
    # The interval is that of what is left after the correction: it varies, the floor hardly does.
    difference = value - floor
    low, high = interval(
        lambda rows: np.subtract(*_corrected(found[rows], labels[rows], 1, seed + 1)),
        sentences,
        difference,
        repeats,
        seed,
    )
    return Information(
        Estimate(value, floor, floor + low, floor + high),
        Estimate(difference / whole, (once - floor) / whole, low / whole, high / whole),
        whole,
    )


def _corrected(
    clusters: Integers, labels: Integers, repeats: int, seed: int
) -> tuple[float, float]:
    value = mutual_information(clusters, labels)
    floors = [
        mutual_information(clusters, labels[rows])
        for rows in permutations(len(labels), repeats, seed)
    ]
    return value, float(np.mean(floors))


def _entropy(counts: Floats | Integers) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
