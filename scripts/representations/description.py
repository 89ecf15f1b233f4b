"""One space described: every measure of a single model's layers, with floors and intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from . import contextuality, information, isotropy, neighbours
from .change import change
from .checks import Floats, Integers
from .errors import RepresentationError
from .resampling import Estimate
from .sources import Source, layers_of
from .words import equal_numbers, is_punctuation, single_piece

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Extent:
    """How much is looked at. The same for all spaces that are compared.

    Attributes
    ----------
    pairs : int
        Random pairs for the distributions of cosines and distances.
    types, samples, clusters : int
        Mutual information: the most frequent types, at most so many of their occurrences, and
        clusters.
    neighbour_words, neighbours : int
        Words whose nearest are searched, and how many nearest.
    repeats, change_repeats : int
        Halves of the sentences for every interval; fewer for change, where each takes a PWCCA
        for every frequency bin.
    seed : int
    """

    pairs: int = 100_000
    types: int = 100
    samples: int = 10_000
    clusters: int = 200
    neighbour_words: int = 5_000
    neighbours: int = 10
    repeats: int = 20
    change_repeats: int = 8
    seed: int = 0


Measure = Callable[[Floats, xr.Dataset, Extent], Mapping[str, Estimate | Floats]]


def describe_states(
    source: Source,
    words: xr.Dataset,
    measures: Sequence[str] | None = None,
    extent: Extent | None = None,
) -> xr.Dataset:
    """Isotropy, contextuality, information, neighbours and change of a model's layers.

    Parameters
    ----------
    source : mapping of layer to array (words, d), path of a states file or of a checkpoint
        A Hugging Face checkpoint (BERT, OPT, Marian) is given by the path of its folder.
    words : xr.Dataset
        From representations.words.make_words.
    measures : sequence of str, optional
        Names of MEASURES and "change"; by default all.
    extent : Extent, optional

    Returns
    -------
    xr.Dataset by layer
        For every measure m the variables m, m_floor, m_low and m_high; quantiles of cosines,
        distances and norms; `change` from the layer before by frequency bin, NaN at the first.

    Raises
    ------
    RepresentationError
        If a measure is unknown, or cannot be had from these words: the layer and reason are
        named.
    """
    wanted = [*MEASURES, "change"] if measures is None else list(measures)
    unknown = [name for name in wanted if name not in {*MEASURES, "change"}]
    if unknown:
        raise RepresentationError(
            f"unknown measure {unknown[0]!r}; allowed: {', '.join([*MEASURES, 'change'])}"
        )
    chosen = extent or Extent()
    layers: list[str] = []
    rows: list[dict[str, Estimate | Floats]] = []
    before: Floats | None = None
    for layer, states in layers_of(source, words):
        found: dict[str, Estimate | Floats] = {}
        try:
            for name in wanted:
                if name == "change":
                    found |= _change(before, states, words, chosen)
                else:
                    found |= MEASURES[name](states, words, chosen)
        except RepresentationError as error:
            raise RepresentationError(f"layer {layer}, {name}: {error}") from error
        layers.append(layer)
        rows.append(found)
        before = states
    return _table(layers, rows)


def _isotropy(states: Floats, words: xr.Dataset, extent: Extent) -> dict[str, Estimate | Floats]:
    sentences = words["sentence"].values
    pairs = isotropy.sample_pairs(states, sentences, extent.pairs, extent.seed)
    return {
        "average_similarity": isotropy.estimate_average_similarity(
            states, sentences, extent.repeats, extent.seed
        ),
        "average_squared_distance": np.array(isotropy.average_squared_distance(states)),
        "cosine_quantiles": np.quantile(pairs.cosine, QUANTILES),
        "euclid_quantiles": np.quantile(pairs.euclid, QUANTILES),
        "norm_quantiles": np.quantile(pairs.norms, QUANTILES),
    }


def _contextuality(
    states: Floats, words: xr.Dataset, extent: Extent
) -> dict[str, Estimate | Floats]:
    types, sentences = words["type"].values, words["sentence"].values
    spoken = np.flatnonzero(~is_punctuation(types))
    own = contextuality.self_similarity(
        states[spoken], types[spoken], sentences[spoken], repeats=extent.repeats, seed=extent.seed
    )
    intra = contextuality.intra_sentence_similarity(states, sentences, extent.repeats, extent.seed)
    return {
        "self_similarity": own.mean,
        "self_similarity_corrected": own.corrected,
        "intra_similarity": intra.raw,
        "intra_similarity_corrected": intra.corrected,
        "intra_similarity_leave_one_out": intra.leave_one_out,
    }


def _information(states: Floats, words: xr.Dataset, extent: Extent) -> dict[str, Estimate | Floats]:
    """Input: the word itself. Output: the word to its right, what a causal model predicts.

    Both are asked of the same clusters, those of all states that are used for one of them.
    """
    labels = {"input": words["type"].values, "output": words["right"].values}
    whole = single_piece(words)
    # At a sentence's end there is no next word.
    whole = whole[labels["output"][whole] != ""]
    rows = {}
    for name, column in labels.items():
        frequent = whole[information.most_frequent_types(column[whole], extent.types)]
        rows[name] = _some(frequent, extent.samples, extent.seed)
    used = np.union1d(rows["input"], rows["output"])
    clusters = information.cluster(states[used], extent.clusters, extent.seed)
    found: dict[str, Estimate | Floats] = {}
    for name, own in rows.items():
        known = information.cluster_information(
            clusters[np.searchsorted(used, own)],
            labels[name][own],
            words["sentence"].values[own],
            repeats=extent.repeats,
            seed=extent.seed,
        )
        found |= {f"{name}_information": known.nats, f"{name}_information_share": known.share}
    return found


def _neighbours(states: Floats, words: xr.Dataset, extent: Extent) -> dict[str, Estimate | Floats]:
    rows = _some(single_piece(words), extent.neighbour_words, extent.seed)
    table = words.isel(word=rows)
    sentences = table["sentence"].values
    near = neighbours.nearest(states[rows], sentences, extent.neighbours, extent.seed)
    found: dict[str, Estimate | Floats] = {
        f"neighbours_same_{name}": neighbours.share_with_same(
            near, table[name].values, sentences, extent.repeats, extent.seed
        )
        for name in ("type", "left", "right", "tag")
        if name in table
    }
    return found | {
        "neighbours_position_distance": neighbours.position_distance(
            near,
            table["type"].values,
            table["position"].values,
            sentences,
            extent.repeats,
            extent.seed,
        )
    }


def _change(
    before: Floats | None, states: Floats, words: xr.Dataset, extent: Extent
) -> dict[str, Estimate | Floats]:
    bins = int(words.attrs["frequency_bins"])
    if before is None:
        return {"change": Estimate(*np.full((4, bins), np.nan))}
    groups = equal_numbers(words["frequency_bin"].values, groups_expected=bins, seed=extent.seed)
    found = change(
        before, states, words["sentence"].values, groups, extent.change_repeats, extent.seed
    )
    return {"change": Estimate(*np.array(found).T)}


MEASURES: dict[str, Measure] = {
    "isotropy": _isotropy,
    "contextuality": _contextuality,
    "information": _information,
    "neighbours": _neighbours,
}


def _some(rows: Integers, most: int, seed: int) -> Integers:
    """At most so many of the rows, drawn without replacement, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _table(layers: Sequence[str], rows: Sequence[Mapping[str, Estimate | Floats]]) -> xr.Dataset:
    table = xr.Dataset(coords={"layer": list(layers), "quantile": list(QUANTILES)})
    for name in rows[0]:
        parts: list[tuple[str, list[object]]] = [("", [row[name] for row in rows])]
        if isinstance(rows[0][name], Estimate):
            parts = [
                (ending, [getattr(row[name], part) for row in rows])
                for ending, part in (("", "value"), ("_floor", "floor"), ("_low", "low"),
                                     ("_high", "high"))
            ]  # fmt: skip
        for ending, column in parts:
            values = np.array(column, dtype=np.float64)
            further = {1: (), 2: ("frequency_bin",) if name == "change" else ("quantile",)}
            table[name + ending] = (("layer", *further[values.ndim]), values)
    return table
