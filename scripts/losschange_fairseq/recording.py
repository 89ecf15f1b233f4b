"""Settings of a recording, and the recorder's options made from them and fairseq's objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from losschange.cube.estimators import parse_estimator
from losschange.cube.word_bins import bin_words
from losschange.errors import RecordingError
from losschange.recording.partition import Partition

from .probes import BatchGradient, FreshText, ProbeText, SampleSource, word_counts
from .smoothing import unsmoothed
from .texts import TargetFilter, TextSettings, make_filter, parse_texts


@dataclass(frozen=True)
class RecordingSettings:
    """The plug-in's option `--lca-recording`.

    Parameters
    ----------
    strides : mapping of estimator to int
        Updates between two records; 0 = not recorded. "batch" is recorded at every update.
    texts : mapping of name to mapping
        Texts beside "train" and "valid": fields of losschange_fairseq.texts.TextSettings.
    probe_tokens, fresh_tokens : int
        Tokens of each probe and of each fresh batch; they are drawn with `seed`.
    max_tokens : int or None
        Tokens per batch when a probe is evaluated; None = all in one batch.
    seed : int
    details : mapping of estimator to sequence of str
        Some of "positive", "helped", "vocabulary".
    simpson_tolerance : float, optional
        Nats: intervals are split for Simpson's rule until their error is at most this.
    vocabulary_bins : int
        Groups of words by frequency, for "vocabulary".
    vocabulary_division : {"mass", "rank"}
        Groups with equal shares of the text, or with equal numbers of words.
    """

    strides: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    probe_tokens: int = 4096
    fresh_tokens: int = 4096
    max_tokens: int | None = None
    seed: int = 1
    details: Mapping[str, Sequence[str]] = field(default_factory=dict)
    simpson_tolerance: float | None = None
    vocabulary_bins: int = 25
    vocabulary_division: str = "mass"

    @classmethod
    def parse(cls, text: str | None) -> RecordingSettings:
        """Read the settings from a JSON object; missing settings have their defaults."""
        return cls(**json.loads(text or "{}"))

    def measures(self, task, model, criterion, optimizer, partition: Partition) -> dict:
        """The arguments of losschange.recording.recorder.Recorder for these settings.

        Parameters
        ----------
        task, model, criterion, optimizer : of fairseq
        partition : Partition

        Raises
        ------
        RecordingError
            If an estimator's text is unknown, is not in the data folder, or has no token that
            counts.
        """
        strides = {name: stride for name, stride in self.strides.items() if stride}
        gradient = BatchGradient(model, unsmoothed(criterion, task), optimizer)
        texts = parse_texts(self.texts)
        sources: dict[tuple[str, int | None], SampleSource] = {}
        filters: dict[str, TargetFilter | None] = {}
        probes: dict[str, ProbeText] = {}
        fresh: dict[str, FreshText] = {}
        for name in strides:
            estimator = parse_estimator(name)
            if estimator.rule == "batch":
                continue
            text = estimator.text
            if text not in texts:
                raise RecordingError(
                    f"the estimator {name!r} looks at the text {text!r}, which is unknown; known: "
                    f"{', '.join(texts)}"
                )
            _check_whole(name, texts[text])
            split, sentences = place = texts[text].split, texts[text].sentences
            if place not in sources:
                sources[place] = SampleSource(
                    task, split, model, self.seed, self.max_tokens, sentences
                )
            if text not in filters:
                filters[text] = make_filter(text, texts[text], task, lambda: _target_counts(task))
            if estimator.needs_probe and text not in probes:
                samples = self._probe_samples(text, sources[place], filters[text])
                probes[text] = ProbeText(gradient, samples)
            if estimator.rule == "fresh":
                fresh[text] = FreshText(gradient, sources[place], self.fresh_tokens, filters[text])
        return {
            "strides": strides,
            "probes": probes,
            "fresh": fresh,
            "details": self.details,
            "word_bins": self._word_bins(task, partition),
            "simpson_tolerance": self.simpson_tolerance,
        }

    def _probe_samples(
        self, text: str, source: SampleSource, select: TargetFilter | None
    ) -> list[Mapping]:
        if source.sentences is not None:
            samples = source.whole()
        else:
            samples = source.draw(self.probe_tokens, source.probe_key)
        if select is None:
            return samples
        selected = select(samples)
        if not selected:
            raise RecordingError(
                f"the text {text!r} counts none of the target tokens in its probe of about "
                f"{self.probe_tokens} tokens; raise probe_tokens, or let more tokens count"
            )
        return selected

    def _word_bins(self, task, partition: Partition):
        if not any("vocabulary" in names for names in self.details.values()):
            return None
        words = len(task.target_dictionary)
        shapes = zip(partition.names, partition.shapes, strict=True)
        matrices = [name for name, shape in shapes if len(shape) == 2 and shape[0] == words]
        counts = word_counts(Path(task.options.data), words)
        return bin_words(counts, matrices, self.vocabulary_bins, self.vocabulary_division)


def _check_whole(name: str, text: TextSettings) -> None:
    """Raise RecordingError if an exact estimator has a text without `sentences`."""
    if parse_estimator(name).rule == "exact" and text.sentences is None:
        raise RecordingError(
            f"the estimator {name!r} passes a whole text; give its text a number of `sentences`"
        )


def _target_counts(task) -> np.ndarray:
    """How often each word is a target in the training text."""
    language = getattr(task.options, "target_lang", None)
    return word_counts(Path(task.options.data), len(task.target_dictionary), language)
