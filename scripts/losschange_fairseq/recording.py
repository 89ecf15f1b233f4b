"""What is recorded beside the training batch's own gradient, and how it is built for fairseq."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from losschange.cube.format import PROBES
from losschange.cube.word_bins import bin_words
from losschange.recording.partition import Partition

from .probes import SEED_OF_SPLIT, BatchGradient, FreshText, ProbeText, SampleSource, word_counts


@dataclass(frozen=True)
class RecordingSettings:
    """The plug-in's option `--lca-recording`.

    Parameters
    ----------
    strides : mapping of estimator to int
        Updates between two records; 0 = not recorded. "batch" is recorded at every update.
    probe_tokens, fresh_tokens : int
        Tokens of each probe and of each fresh batch, drawn by seed.
    max_tokens : int or None
        Tokens per batch when a probe is measured; None = all at once.
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
        """The settings of a JSON object; defaults for what it leaves out."""
        return cls(**json.loads(text or "{}"))

    def measures(self, task, model, criterion, optimizer, partition: Partition) -> dict:
        """The options of losschange.recording.recorder.Recorder that these settings mean.

        Parameters
        ----------
        task, model, criterion, optimizer : of fairseq
        partition : Partition
        """
        strides = {name: stride for name, stride in self.strides.items() if stride}
        gradient = BatchGradient(model, criterion, optimizer)
        probed = sorted({PROBES[name] for name in strides if name in PROBES})
        read = {*probed, "train"} if "fresh" in strides else probed
        sources = {
            split: SampleSource(task, split, model, self.seed, self.max_tokens) for split in read
        }
        probes = {
            split: ProbeText(
                gradient, sources[split].draw(self.probe_tokens, (SEED_OF_SPLIT[split],))
            )
            for split in probed
        }
        fresh = None
        if "fresh" in strides:
            fresh = FreshText(gradient, sources["train"], self.fresh_tokens)
        return {
            "strides": strides,
            "probes": probes,
            "fresh": fresh,
            "details": self.details,
            "word_bins": self._word_bins(task, partition),
            "simpson_tolerance": self.simpson_tolerance,
        }

    def _word_bins(self, task, partition: Partition):
        if not any("vocabulary" in names for names in self.details.values()):
            return None
        words = len(task.target_dictionary)
        shapes = zip(partition.names, partition.shapes, strict=True)
        matrices = [name for name, shape in shapes if len(shape) == 2 and shape[0] == words]
        counts = word_counts(Path(task.options.data), words)
        return bin_words(counts, matrices, self.vocabulary_bins, self.vocabulary_division)
