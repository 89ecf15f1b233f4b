"""Loss, BLEU and chrF of a model with some of its heads closed.

Losses and BLEU statistics are kept for each sentence, so that sentences can be resampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch

from attention_heads.handle import Gates
from attention_heads.passes import evaluating, resume
from losschange_fairseq.head_mask import close_heads
from text.vocabulary import load_vocabulary, normaliser_of

from .quality import TrainedModel, bleu_tokenizer, translation_scores
from .trained_model import TrainedModelHandle

# Columns of the BLEU statistics: matches and n-grams of length 1 to 4, lengths of both sides.
BLEU_STATISTICS = 10


@dataclass(frozen=True)
class Scores:
    """The scores of one model.

    Parameters
    ----------
    losses : array (sentences,)
        Sum over the sentence's target tokens, nats.
    targets : array (sentences,)
    bleu_statistics : array (translations, BLEU_STATISTICS)
        Of every translated sentence; no rows for a language model.
    attributes : dict
        loss and perplexity of the whole text; bleu and chrf of all translations.
    """

    losses: np.ndarray
    targets: np.ndarray
    bleu_statistics: np.ndarray
    attributes: dict[str, float | str]

    def variables(self) -> dict[str, tuple[str | tuple[str, ...], np.ndarray]]:
        """The arrays as further variables of attention_heads.storage.write_gates."""
        return {
            "sentence_loss": ("sentence", self.losses.astype(np.float32)),
            "targets": ("sentence", self.targets.astype(np.int32)),
            "bleu_statistics": (("translation", "statistic"), self.bleu_statistics),
        }


@dataclass(frozen=True)
class Translated:
    """The sentences to translate, and the settings of the translation.

    Parameters
    ----------
    split : str
    reference, vocabulary : path
    language : str
    sentences : int
        Number of sentences, from the first of the split; 0 = all.
    beam : int
    length_penalty : float
    max_tokens, seed : int
    """

    split: str
    reference: Path
    vocabulary: Path
    language: str
    sentences: int
    beam: int
    length_penalty: float
    max_tokens: int
    seed: int


class _Translator(TrainedModel):
    """Translates with a model that is already loaded."""

    def __init__(self, handle: TrainedModelHandle, max_tokens: int):
        self.model, self.cfg, self.task = handle.module, handle.cfg, handle.task
        self.cuda, self.max_tokens = handle.device.type == "cuda", max_tokens


def score(
    handle: TrainedModelHandle,
    batches: Iterable[Any],
    gates: Gates | None = None,
    translated: Translated | None = None,
) -> Scores:
    """Score a model with hard gates.

    Parameters
    ----------
    handle : TrainedModelHandle
    batches : iterable
        Text with targets.
    gates : Gates, optional
        1 for open heads, 0 for closed ones; by default all heads are open.
    translated : Translated, optional
        By default nothing is translated.
    """
    losses, targets = [], []
    with torch.no_grad(), evaluating(handle.module):
        for batch in batches:
            output = resume(handle, handle.start(batch), gates=gates)
            losses.append(output.losses.double().sum(-1).cpu())
            targets.append(output.predicted.sum(-1).cpu())
        each, number = torch.cat(losses).numpy(), torch.cat(targets).numpy()
        mean = float(each.sum() / max(number.sum(), 1))
        attributes: dict[str, float | str] = {"loss": mean, "perplexity": float(np.exp(mean))}
        statistics = np.zeros((0, BLEU_STATISTICS))
        if translated is not None:
            statistics, found = _translate(handle, gates or {}, translated)
            attributes |= found
    return Scores(each, number, statistics, attributes)


def _translate(
    handle: TrainedModelHandle, gates: Mapping[str, torch.Tensor], what: Translated
) -> tuple[np.ndarray, dict[str, float | str]]:
    vocabulary = load_vocabulary(what.vocabulary)
    normalisation = normaliser_of(what.vocabulary)
    hooks = close_heads(handle.module, {name: each.tolist() for name, each in gates.items()})
    try:
        translations = _Translator(handle, what.max_tokens).translate(
            what.split, vocabulary, what.beam, what.length_penalty, what.sentences
        )
    finally:
        for hook in hooks:
            hook.remove()
    with open(what.reference, encoding="utf-8", newline="\n") as lines:
        references = [line.rstrip("\n") for line in islice(lines, len(translations))]
    found = translation_scores(translations, references, what.seed, what.language, normalisation)
    kept = ("bleu", "chrf", "bleu_shuffled_sources", "bleu_signature", "chrf_signature")
    attributes = {name: value for name in kept if (value := found[name]) is not None}
    if normalisation is not None:
        translations, references = (
            [normalisation[1](text) for text in side] for side in (translations, references)
        )
    bleu = sacrebleu.BLEU(tokenize=bleu_tokenizer(what.language))
    scored = [bleu.corpus_score([one], [[other]]) for one, other in zip(translations, references)]
    rows = [[*each.counts, *each.totals, each.sys_len, each.ref_len] for each in scored]
    return np.array(rows, dtype=float).reshape(-1, BLEU_STATISTICS), attributes
