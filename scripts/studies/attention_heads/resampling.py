"""One training's heads as they were measured, or a resampling over sentences and groups of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from attention_heads.ratios import ratio
from losschange.claims.judging import MissingData

from .evidence import Training

NGRAMS = 4
# Share of the queries that make a head positional, and one for rare tokens; points above the best
# fixed offset that make it syntactic (Voita et al. 2019, section 5).
POSITIONAL, RARE, SYNTACTIC = 0.9, 0.5, 0.1
# Points above a random key that a head for rare tokens needs as well. The first words of a causal
# model see so few keys that heads without training look at one of the two rarest in half of the
# cases.
RARE_GAIN = 0.1
# BLEU above that of translations of other sentences, below which a translation says nothing.
LEAST_BLEU = 1.0


class HeadResample:
    """Means of a training's measures, over all sentences or over sentences drawn again.

    Parameters
    ----------
    training : Training
    scratch : Dataset or None
        Scores of the model that was trained from scratch with closed heads.
    random : Generator, optional
        Draws the resampling; without it, every sentence counts once.
    """

    def __init__(
        self,
        training: Training,
        scratch: xr.Dataset | None = None,
        random: np.random.Generator | None = None,
    ):
        self.training, self.scratch = training, scratch
        self._seed = None if random is None else int(random.integers(2**63))

    @property
    def resampled(self) -> bool:
        """Whether this is a resampling."""
        return self._seed is not None

    @property
    def recorded(self) -> HeadResample:
        """The same training with every sentence once."""
        return HeadResample(self.training, self.scratch)

    @property
    def own(self) -> str:
        """The attention that is judged: the encoder's, or the only one of a language model."""
        names = self.training.attentions
        return "encoder" if "encoder" in names else names[0]

    def counts(self, number: int, what: int) -> np.ndarray:
        """How often each of some things counts; `what` makes the draws of different things differ.

        The same things, such as sentences, are drawn alike for every model and measure.
        """
        if self._seed is None:
            return np.ones(number)
        random = np.random.default_rng([self._seed, what])
        return random.multinomial(number, np.full(number, 1 / number)).astype(float)

    def mean(self, variable: str, attention: str) -> np.ndarray:
        """Mean over sentences (layers, heads) of a variable by sentence."""
        values = self.training.by_sentence(variable, attention)
        weights = self.counts(len(values), 0)[:, None, None]
        known = ~np.isnan(values)
        total = (weights * np.where(known, values, 0.0)).sum(0)
        mass = (weights * known).sum(0)
        return ratio(total, mass)

    def rates(
        self, kind: str, attention: str, chosen: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """How often heads do something (layers, heads, ...), and the baseline (...).

        Parameters
        ----------
        kind : {"positional", "rare", "syntactic"}
        attention : str
        chosen : slice
            Groups of sentences that count.

        Raises
        ------
        MissingData
            If no sentence could show it.
        """
        if f"{kind}_hits" not in self.training.heads:
            raise MissingData(str(self.training.heads.attrs.get("no_syntax") or f"no {kind} heads"))
        hits, chances, baseline = self.training.by_group(kind, attention)
        weights = self.counts(len(hits), 1)[chosen]
        number, expected = (np.tensordot(weights, each[chosen], 1) for each in (chances, baseline))
        found = np.tensordot(weights, hits[chosen], 1)
        return ratio(found, number), ratio(expected, number)

    def functions(self, attention: str) -> dict[str, np.ndarray]:
        """Heads that are positional, rare-token or syntactic (layers, heads).

        A syntactic head must be above the best offset on both halves of the sentences, for the
        same relation and direction: of many relations, heads are above some by chance.
        """
        places = np.nan_to_num(self.rates("positional", attention)[0]).max(-1)
        rate, chance = self.rates("rare", attention)
        least = np.maximum(RARE, np.nan_to_num(chance[1]) + RARE_GAIN)
        found = {
            "positional": places >= POSITIONAL,
            "rare": np.nan_to_num(rate[..., 1], nan=-1.0) >= least,
            "syntactic": np.zeros(places.shape, dtype=bool),
        }
        if "syntactic_hits" in self.training.heads:
            halves = [self.rates("syntactic", attention, slice(half, None, 2)) for half in (0, 1)]
            gains = [np.nan_to_num(own - offset, nan=-1.0) for own, offset in halves]
            found["syntactic"] = (np.minimum(*gains) >= SYNTACTIC).any((-2, -1))
        return found

    def has_function(self, attention: str) -> np.ndarray:
        """Heads with any of these functions (layers, heads)."""
        return np.any(list(self.functions(attention).values()), axis=0)

    def loss(self, scores: xr.Dataset, variable: str = "sentence_loss") -> float:
        """Loss of a model on the validation sentences, nats per target token."""
        weights = self.counts(scores.sizes["sentence"], 2)
        return float(weights @ scores[variable].values / (weights @ scores["targets"].values))

    def bleu(self, scores: xr.Dataset) -> float:
        """BLEU of a model's translations."""
        rows = scores["bleu_statistics"].values
        if not len(rows):
            raise MissingData(f"{self.training.name} does not translate")
        import sacrebleu  # only where there are translations

        total = self.counts(len(rows), 3) @ rows
        correct, number = total[:NGRAMS], total[NGRAMS : 2 * NGRAMS]
        return float(
            sacrebleu.BLEU.compute_bleu(
                correct.tolist(),
                number.tolist(),
                int(total[-2]),
                int(total[-1]),
                # As sacrebleu smooths the score of a whole text.
                smooth_method="exp",
            ).score
        )

    def drawn_heads(self, number: int, what: int) -> np.ndarray:
        """Numbers of heads drawn again, for claims about heads as a population."""
        if self._seed is None:
            return np.arange(number)
        return np.random.default_rng([self._seed, 10 + what]).integers(0, number, number)


def check_worth(resample: HeadResample) -> None:
    """Refuse heads that do nothing: closing all of them at once must cost something.

    Raises
    ------
    MissingData
        If it does not. Models that were not pruned are not checked.
    """
    several = len(resample.training.attentions) > 1
    control = resample.training.control(encoder_only=several)
    if control is not None:
        _check_closed(control)


def check_pruning(resample: HeadResample, gates: xr.Dataset, control: xr.Dataset | None) -> None:
    """Refuse a pruning from which nothing can be learnt.

    Raises
    ------
    MissingData
        If there is no price, the gates have not converged, closing all heads costs nothing, or
        there is no control arm.
    """
    if control is None:
        raise MissingData("there is no control arm")
    for reason in (gates.attrs.get("no_price"), gates.attrs.get("not_converged")):
        if reason:
            raise MissingData(str(reason))
    _check_closed(gates)


def _check_closed(gates: xr.Dataset) -> None:
    rises = gates["closed_sentence_loss"].values - gates["unpruned_sentence_loss"].values
    error = rises.std(ddof=1) / np.sqrt(len(rises))
    if rises.mean() <= 2 * error:
        raise MissingData("closing all of these heads at once costs nothing: they do nothing")


def check_translations(control: xr.Dataset) -> None:
    """Refuse translations that are no better than those of other sentences.

    Raises
    ------
    MissingData
    """
    bleu, chance = control.attrs.get("bleu", np.nan), control.attrs.get("bleu_shuffled_sources", 0)
    if not bleu - chance >= LEAST_BLEU:
        raise MissingData(
            f"the control arm translates no better (BLEU {bleu:.1f}) than a model that is given "
            f"another sentence (BLEU {chance:.1f})"
        )


def at_most(
    arms: list[xr.Dataset], share: float, kept: Callable[[xr.Dataset], float]
) -> xr.Dataset:
    """The pruning that keeps most heads, but at most a share of them.

    Raises
    ------
    MissingData
        If none keeps so few.
    """
    found = [each for each in arms if kept(each) <= share]
    if not found:
        least = min(map(kept, arms), default=1.0)
        raise MissingData(
            f"no price leaves as few heads as {share:.0%}; the fewest are {least:.0%}"
        )
    return max(found, key=kept)
