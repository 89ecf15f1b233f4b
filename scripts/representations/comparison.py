"""Two spaces compared: every layer of one model with every layer of another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import xarray as xr

from .checks import Floats, Integers
from .cka import cka
from .covariances import Covariances, covariances_of
from .errors import RepresentationError
from .pwcca import CanonicalCorrelations, correlations_of, svcca_of
from .resampling import Estimate, estimate, interval
from .rsa import rsa
from .sources import Source, layers_of

RSA = ("rsa", "rsa_uncentred")
CANONICAL = ("pwcca", "pwcca_reversed", "svcca")
MEASURES = (*RSA, "cka", *CANONICAL)


def compare_states(
    first: Source,
    second: Source,
    words: xr.Dataset,
    measures: Sequence[str] = ("rsa", "cka", "pwcca", "pwcca_reversed"),
    rsa_words: int = 1_000,
    repeats: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """Similarities of all pairs of layers of two models, with floors and intervals.

    Parameters
    ----------
    first, second : mapping of layer to array (words, d), path of a states file or a checkpoint
        The second model's layers are read once for every layer of the first.
    words : xr.Dataset
        From representations.words.make_words, the same for both.
    measures : sequence of str
        Names of MEASURES. "pwcca" is weighed by the first model, "pwcca_reversed" by the second.
    rsa_words : int
        Words for RSA, whose cost grows with their square.
    repeats : int
        Halves of the sentences for intervals, 0 for none.
    seed : int

    Returns
    -------
    xr.Dataset by first_layer and second_layer
        For every measure m the variables m, m_floor (rows permuted), m_low and m_high.

    Raises
    ------
    RepresentationError
        If a measure is unknown or cannot be had: the layers and reason are named.
    """
    for name in measures:
        if name not in MEASURES:
            raise RepresentationError(
                f"unknown measure {name!r} of two spaces; allowed: {', '.join(MEASURES)}"
            )
    one, two = _kept(first, words), _kept(second, words)
    sentences = words["sentence"].values
    few = np.sort(np.random.default_rng(seed).permutation(len(sentences))[:rsa_words])
    names: list[str] = []
    found: dict[str, list[list[Estimate]]] = {name: [] for name in measures}
    others: list[str] = []
    for layer, states in layers_of(one, words):
        names.append(layer)
        row: dict[str, list[Estimate]] = {name: [] for name in measures}
        others = []
        for other, its_states in layers_of(two, words):
            others.append(other)
            whole = _Pair(states, its_states, sentences, repeats, seed)
            part = _Pair(states[few], its_states[few], sentences[few], repeats, seed)
            for name in measures:
                try:
                    number = (part if name in RSA else whole).estimate(name)
                except RepresentationError as error:
                    raise RepresentationError(
                        f"layers {layer} and {other}, {name}: {error}"
                    ) from error
                row[name].append(number)
        for name in measures:
            found[name].append(row[name])
    table = xr.Dataset(coords={"first_layer": names, "second_layer": others})
    for name, estimates in found.items():
        parts = np.moveaxis(np.array(estimates, dtype=np.float64), -1, 0)
        for ending, values in zip(("", "_floor", "_low", "_high"), parts, strict=True):
            table[name + ending] = (("first_layer", "second_layer"), values)
    return table


class _Pair:
    """Two views; what several measures need of them is made once."""

    def __init__(
        self, first: Floats, second: Floats, sentences: Integers, repeats: int, seed: int | None
    ):
        self.first, self.second, self.sentences = first, second, sentences
        self.repeats, self.seed = repeats, seed

    def estimate(self, name: str) -> Estimate:
        if name not in CANONICAL:
            measure = cka if name == "cka" else partial(rsa, centre=name == "rsa")
            return estimate(
                measure,
                self.first,
                self.second,
                self.sentences,
                repeats=self.repeats,
                seed=self.seed or 0,
            )
        value = self._canonical(name)
        low, high = interval(
            lambda rows: self._part(rows)._canonical(name),
            self.sentences,
            value,
            self.repeats,
            self.seed or 0,
        )
        return Estimate(value, self._canonical(name, permuted=True), low, high)

    def _part(self, rows: Integers) -> _Pair:
        # Parts serve intervals, which need no floor.
        return _Pair(self.first[rows], self.second[rows], self.sentences[rows], 0, None)

    def _canonical(self, name: str, permuted: bool = False) -> float:
        if name == "svcca":
            return svcca_of(self._sums, permuted=permuted)
        found = self._permuted if permuted else self._plain
        return found.first if name == "pwcca" else found.second

    # From covariances: several times faster than from states, and the floor comes with them.
    @cached_property
    def _sums(self) -> Covariances:
        return covariances_of(self.first, self.second, seed=self.seed)

    @cached_property
    def _plain(self) -> CanonicalCorrelations:
        return correlations_of(self._sums)

    @cached_property
    def _permuted(self) -> CanonicalCorrelations:
        return correlations_of(self._sums, permuted=True)


def _kept(source: Source, words: xr.Dataset) -> Source:
    """A source that is cheap to read again: a checkpoint is run once and its states are kept."""
    if isinstance(source, str | Path) and Path(source).is_dir():
        return dict(layers_of(source, words))
    return source
