"""Quality of a trained model: its loss on unseen text, and BLEU and chrF of its translations."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import sacrebleu
import sentencepiece
import torch
from fairseq import checkpoint_utils, utils
from fairseq.data import BaseWrapperDataset

import losschange_fairseq  # noqa: F401  (the checkpoints name its tasks)
from common.files import UserError
from losschange_fairseq.batches import samples_left_out, size_limit, whole_text
from losschange_fairseq.smoothing import unsmoothed
from text.vocabulary import SPECIAL_IDS, unigram_entropy

LANGUAGE_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
# Languages written without spaces between words for which sacrebleu has no tokenizer.
UNSPACED = {"th", "lo", "km", "my", "bo", "dz", "yue", "ii"}


class TrainedModel:
    """A model loaded from its checkpoint.

    Parameters
    ----------
    checkpoint : path
    data : path
        Folder of token ids.
    max_tokens : int
        Tokens per batch.
    """

    def __init__(self, checkpoint: Path, data: Path, max_tokens: int):
        models, self.cfg, self.task = checkpoint_utils.load_model_ensemble_and_task(
            [str(checkpoint)], arg_overrides={"data": str(data)}
        )
        self.cuda = torch.cuda.is_available()
        self.model = models[0].eval()
        if self.cuda:
            self.model = self.model.cuda()
        self.criterion = unsmoothed(self.task.build_criterion(self.cfg.criterion), self.task)
        self.max_tokens = max_tokens

    @torch.no_grad()
    def loss(self, split: str) -> dict[str, float | None]:
        """Mean loss of a split in nats per target token, its perplexity, and two baselines.

        The samples are those of the loss that training records; `left_out` counts samples that
        are too long. For a masked language model the targets are the masked tokens, drawn once
        by seed.
        `unigram_entropy` is the entropy of the split's target tokens. No model without context
        has a lower loss, except a masked model, which can copy tokens that were left unchanged.
        `context_free` is the lowest loss of a masked model without context (None for the other
        objectives). In both baselines the <s> that begins a sample has loss 0: its position
        reveals it.

        Raises
        ------
        UserError
            If every sample of the split is too long.
        """
        total, size, counts = 0.0, 0, np.zeros(len(self.task.target_dictionary), dtype=np.int64)
        masks, begins = getattr(self.cfg.task, "mask_prob", None), 0
        self.task.load_dataset(split, combine=False, epoch=1)
        dataset = self.task.dataset(split)
        limit = size_limit(self.task, self.model, self.cfg.dataset.max_tokens)
        for sample in self._batches(dataset, limit):
            seen = sample["net_input"]["src_tokens"] if masks else sample["target"]
            # The true token: the target where it is masked, the input elsewhere.
            hidden = sample["target"] != SPECIAL_IDS["pad_id"]
            tokens = torch.where(hidden, sample["target"], seen).cpu().numpy()
            counts += np.bincount(tokens.ravel(), minlength=len(counts))
            begins += int((sample["target"] == SPECIAL_IDS["bos_id"]).sum())
            loss, sample_size, _ = self.criterion(self.model, sample)
            total += float(loss)
            size += int(sample_size)
        if not size:
            raise UserError(
                f"{split}: every sample is longer than max_tokens {self.cfg.dataset.max_tokens} of "
                "the training, so it has no loss. Take other text."
            )
        counts[[SPECIAL_IDS["pad_id"], SPECIAL_IDS["bos_id"]]] = 0
        mean, others = total / size, 1.0 - begins / size
        context_free = None
        if masks:
            task = self.cfg.task
            context_free = others * context_free_loss(
                counts, task.leave_unmasked_prob, task.random_token_prob
            )
        return {
            "loss": mean,
            "perplexity": math.exp(min(mean, 700.0)),
            "tokens": size,
            "left_out": samples_left_out(dataset, limit),
            "unigram_entropy": others * unigram_entropy(counts),
            "context_free": context_free,
        }

    def translate(
        self,
        split: str,
        vocabulary: sentencepiece.SentencePieceProcessor,
        beam: int,
        length_penalty: float,
        sentences: int,
    ) -> list[str]:
        """Translations of a split's first sentences (0 = all), in order, as plain text."""
        options = argparse.Namespace(beam=beam, lenpen=length_penalty, max_len_a=1.5, max_len_b=10)
        generator = self.task.build_generator([self.model], options)
        found: dict[int, str] = {}
        self.task.load_dataset(split, combine=False, epoch=1)
        dataset = self.task.dataset(split)
        count = min(sentences or len(dataset), len(dataset))
        first = _First(dataset, count) if count < len(dataset) else dataset
        for sample in self._batches(first, size_limit(self.task, self.model, None)):
            outputs = self.task.inference_step(generator, [self.model], sample)
            for number, hypotheses in zip(sample["id"].tolist(), outputs, strict=True):
                ids = [i for i in hypotheses[0]["tokens"].tolist() if i >= len(SPECIAL_IDS)]
                found[number] = vocabulary.decode(ids)
        # A sentence that is too long for the model counts with an empty translation.
        return [found.get(number, "") for number in range(count)]

    def _batches(self, dataset, limit) -> Iterator[Mapping]:
        order, _ = dataset.filter_indices_by_size(dataset.ordered_indices(), limit)
        longest = max((int(dataset.num_tokens(index)) for index in order), default=0)
        batches = whole_text(
            self.task, dataset, limit, max(self.max_tokens, longest), self.cfg.common.seed
        )
        for sample in batches.next_epoch_itr(shuffle=False, set_dataset_epoch=False):
            if sample:
                yield utils.move_to_cuda(sample) if self.cuda else sample


def context_free_loss(counts: np.ndarray, left: float, random: float) -> float:
    """Best loss (nats per masked token) of a masked language model that ignores context.

    The model predicts from the frequencies of the tokens and the input at the predicted position.
    For a share of these positions the input is the token itself (left unchanged) or a random one
    (§2.2), and the model cannot tell which of the two.

    Parameters
    ----------
    counts : int array (vocabulary,)
    left, random : float
        Shares of the predicted tokens that are left unchanged or replaced by a random token.
    """
    p = counts[counts > 0] / counts.sum()
    entropy = -(p * np.log(p)).sum()
    noise = random / len(counts)
    if left + noise == 0:
        return float(entropy)
    # A predicted position shows token x with probability left * p(x) + noise.
    shown = left * p + noise
    # Probability that the true token is w: p(w) * (left + noise) together with w as the shown
    # token, p(w) * noise together with any other shown token.
    same = ((left + noise) * p * np.log((left + noise) * p / shown)).sum()
    other = 0.0
    if noise:
        log_ratio = np.log(noise / shown)
        other = noise * ((1 - p) * log_ratio).sum() - noise * entropy * (len(p) - 1)
        # A shown token that never occurs in the text is random: it does not depend on the true one.
        other -= noise * (len(counts) - len(p)) * entropy
    return float((1 - left - random) * entropy - same - other)


class _First(BaseWrapperDataset):
    """The first sentences of a fairseq dataset."""

    def __init__(self, dataset, sentences: int):
        super().__init__(dataset)
        self.sentences = sentences

    def __len__(self) -> int:
        return self.sentences

    def ordered_indices(self) -> np.ndarray:
        order = self.dataset.ordered_indices()
        return order[order < self.sentences]


def bleu_tokenizer(language: str) -> str:
    """sacrebleu's tokenizer for BLEU of text in a language.

    For Chinese, Japanese and Korean it is sacrebleu's default; the latter two need sacrebleu's
    extras "ja" and "ko". Without the extras, and for other languages written without spaces
    between words, every character is a token.
    """
    if language in UNSPACED:
        return "char"
    tokenizer = LANGUAGE_TOKENIZERS.get(language, "13a")
    try:
        sacrebleu.BLEU(tokenize=tokenizer)
    except (RuntimeError, ImportError):
        return "char"
    return tokenizer


def translation_scores(
    translations: Sequence[str],
    references: Sequence[str],
    seed: int,
    language: str = "en",
    normalisation: tuple[str, Callable[[str], str]] | None = None,
) -> dict[str, float | str | None]:
    """BLEU and chrF of translations, with the signatures that make them comparable.

    `bleu_shuffled_sources` is a baseline: the BLEU of a model that translates, for each sentence,
    the source of another sentence drawn by seed. A translation depends only on its source, so the
    translations are permuted instead of computed again. It is None for a single sentence.

    Parameters
    ----------
    translations, references
        Plain text.
    seed
        Seed of the permutation.
    language
        Language of both; decides BLEU's tokenizer.
    normalisation
        Name and function, applied to translations and references: translations consist of
        normalised pieces, so correct ones would differ from references that are not normalised.
        The signatures name it.
    """
    bleu, chrf = sacrebleu.BLEU(tokenize=bleu_tokenizer(language)), sacrebleu.CHRF()
    suffix = ""
    if normalisation is not None:
        name, normalise = normalisation
        translations, references = (
            [normalise(text) for text in side] for side in (translations, references)
        )
        suffix = f"|norm:{name}"
    shuffled = None
    if len(translations) > 1:
        order = np.random.default_rng(seed).permutation(len(translations))
        exchanged = list(translations)
        # Take the next sentence in a random order, so that no sentence keeps its own source.
        for place, other in zip(order, np.roll(order, 1), strict=True):
            exchanged[place] = translations[other]
        shuffled = bleu.corpus_score(exchanged, [references]).score
    return {
        "bleu": bleu.corpus_score(translations, [references]).score,
        "bleu_shuffled_sources": shuffled,
        "chrf": chrf.corpus_score(translations, [references]).score,
        "bleu_signature": f"{bleu.get_signature()}{suffix}",
        "chrf_signature": f"{chrf.get_signature()}{suffix}",
        "sentences": len(translations),
    }
