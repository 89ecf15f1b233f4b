"""What needs the model once more with words hidden: influence, and information of masked words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from representations import information
from representations.checks import Floats, Integers
from representations.influence import choose_words, influence
from representations.resampling import Estimate
from representations.words import single_piece
from training.layer_states import layer_states
from training.trained_model import TrainedModelHandle

from .word_states import WordBatch, text_side, word_batches


def describe_hidden_words(
    handle: TrainedModelHandle,
    vocabulary: Path,
    words: xr.Dataset,
    name: str,
    settings: Mapping[str, Any],
    seed: int,
) -> xr.Dataset:
    """Influence by layer and frequency bin; for a model that reads masked text, the information at
    masked words too.

    Parameters
    ----------
    handle, vocabulary, words, name
        See word_batches.
    settings : mapping
        The section `representations` of the configuration.
    seed : int
    """
    tokens, extent = settings["max_tokens"], settings["measures"]
    batches = list(word_batches(handle, vocabulary, words, name, tokens))
    found = measure_influence(handle, batches, words, extent["change_repeats"], seed)
    # Only a masked model predicts what it reads.
    if handle.predicted != "source":
        return found
    masked = masked_information(
        handle, vocabulary, words, name, tokens, settings["masks"], extent, seed
    )
    # A merge of different layers would sort their names, 10 before 2.
    return masked.merge(found.reindex(layer=masked["layer"].values))


@torch.no_grad()
def measure_influence(
    handle: TrainedModelHandle,
    batches: Sequence[WordBatch],
    words: xr.Dataset,
    repeats: int,
    seed: int,
) -> xr.Dataset:
    """Influence of one word per sentence on the others, by layer and frequency bin.

    The layers run one after the other over all batches, so one layer's states are in memory.

    Parameters
    ----------
    handle : TrainedModelHandle
    batches : sequence of WordBatch
        All sentences of the table, without masks.
    words : xr.Dataset
    repeats : int
        Halves for the intervals.
    seed : int

    Returns
    -------
    xr.Dataset by layer and frequency_bin
        influence, influence_floor, influence_low and influence_high.

    Raises
    ------
    RepresentationError
        If a frequency bin is empty, or has too few sentences for PWCCA.
    """
    sentences = words["sentence"].values
    chosen = [
        choose_words(words["frequency_bin"].values == group, sentences, seed)
        for group in range(int(words.attrs["frequency_bins"]))
    ]
    # As many other words for every group: a distance depends on their number.
    samples = min(int(np.isin(sentences, sentences[rows]).sum()) - len(rows) for rows in chosen)
    side = text_side(handle)
    states = [handle.start(some.batch) for some in batches]
    rows: list[list[Estimate]] = []
    for stage in range(len(handle.stages)):
        if handle.side(stage) != side:
            continue
        after = [handle.run_layer(stage, state) for state in states]
        plain = np.concatenate(
            [some.pool(state[side]) for some, state in zip(batches, after, strict=True)]
        )
        rows.append(
            [
                influence(
                    plain,
                    _without(handle, stage, batches, states, group),
                    sentences,
                    group,
                    samples,
                    repeats,
                    seed,
                )
                for group in chosen
            ]
        )
        states = after
    parts = np.moveaxis(np.array(rows, dtype=np.float64), -1, 0)
    layers = [str(layer + 1) for layer in range(len(rows))]
    return xr.Dataset(
        {
            f"influence{ending}": (("layer", "frequency_bin"), values)
            for ending, values in zip(("", "_floor", "_low", "_high"), parts, strict=True)
        },
        coords={"layer": layers},
    )


@torch.no_grad()
def masked_information(
    handle: TrainedModelHandle,
    vocabulary: Path,
    words: xr.Dataset,
    name: str,
    max_tokens: int,
    masks: int,
    extent: Mapping[str, int],
    seed: int,
) -> xr.Dataset:
    """What the states at masked words know of the piece that was read, and of the original word.

    Only where the piece that is read differs from the original one, and only words that are one
    piece in all vocabularies.

    Parameters
    ----------
    handle, vocabulary, words, name, max_tokens
        See word_batches.
    masks : int
        How often the sentences are read, with other masks each time.
    extent : mapping
        types, samples, clusters and repeats, as in representations.description.Extent.
    seed : int

    Returns
    -------
    xr.Dataset by layer
        masked_input_share and masked_output_share, each with _floor, _low and _high.

    Raises
    ------
    RepresentationError
        If too few words were masked for the clusters.
    """
    side = text_side(handle)
    whole = np.zeros(words.sizes["word"], dtype=bool)
    whole[single_piece(words)] = True
    found: dict[str, list[np.ndarray]] = {}
    rows: list[Integers] = []
    seen: list[Integers] = []
    for mask in range(masks):
        for some in word_batches(handle, vocabulary, words, name, max_tokens, seed + mask):
            read = handle.tokens(some.batch)[side].ids.cpu().numpy().ravel()
            targets = handle.start(some.batch)["targets"].cpu().numpy().ravel()
            changed = (targets >= 0) & (targets != read)
            here = np.flatnonzero(changed[some.first] & whole[some.rows])
            rows.append(here + some.start)
            seen.append(read[some.first[here]])
            for layer, states in layer_states(handle, some.batch)[side].items():
                pooled = some.pool(states)[here].astype(np.float32)
                found.setdefault(layer, []).append(pooled)
    places, pieces = np.concatenate(rows), np.concatenate(seen)
    types = words["type"].values[places]
    kept = information.most_frequent_types(types, extent["types"])
    kept = np.sort(np.random.default_rng(seed).permutation(kept)[: extent["samples"]])
    sentences = words["sentence"].values[places][kept]
    table: dict[str, list[Estimate]] = {"masked_input_share": [], "masked_output_share": []}
    for parts in found.values():
        clusters = information.cluster(np.concatenate(parts)[kept], extent["clusters"], seed)
        for key, labels in zip(table, (pieces[kept], types[kept]), strict=True):
            known = information.cluster_information(
                clusters, labels, sentences, repeats=extent["repeats"], seed=seed
            )
            table[key].append(known.share)
    values = {
        f"{key}{ending}": ("layer", np.array([getattr(one, part) for one in column]))
        for key, column in table.items()
        for ending, part in (("", "value"), ("_floor", "floor"), ("_low", "low"), ("_high", "high"))
    }
    return xr.Dataset(values, coords={"layer": list(found)}, attrs={"masked_words": len(kept)})


def _without(
    handle: TrainedModelHandle,
    stage: int,
    batches: Sequence[WordBatch],
    states: Sequence[Mapping],
    group: Integers,
) -> Floats:
    """States of all words at a layer's output with the group's words hidden as keys."""
    side = text_side(handle)
    [attention] = [name for name in handle.stages[stage] if handle.attentions[name].key == side]
    found = []
    for some, state in zip(batches, states, strict=True):
        hidden = torch.zeros(state[side].shape[:2], dtype=torch.bool)
        inside = group[(group >= some.rows.start) & (group < some.rows.stop)] - some.start
        for word in inside:
            hidden.view(-1)[some.first[word] : some.first[word] + some.pieces[word]] = True
        after = handle.step_without_keys(stage, state, {attention: hidden.to(state[side].device)})
        # A hidden word has no state; `influence` leaves it out.
        found.append(some.pool(torch.nan_to_num(after[side])))
    return np.concatenate(found)
