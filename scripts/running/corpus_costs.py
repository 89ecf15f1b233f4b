"""Estimate pairs, disk, time and memory of the text of a run before it is fetched.

The number of pairs in a source is not known before fetching. For the paper's corpora the paper's
number is used, so the estimate is too high for a mirror with less text.
"""

from __future__ import annotations

import math

from .configuration import Configuration, generated_pairs

# Pairs in all splits of the corpora of Vázquez et al. 2022, their Table 3.
PAPER_PAIRS = {
    "europarl-en-de": 1_925_000,
    "europarl-en-fi": 1_915_000,
    "europarl-en-et": 705_000,
    "wmt-en-de": 5_003_000,
    "newstest2018-en-de": 2_900,
    "newstest2018-en-fi": 3_000,
    "newstest2018-en-et": 2_000,
}
# Assumed number of pairs in any other corpus.
UNKNOWN_PAIRS = 2_000_000
# Bytes of a sentence on one side; 130 to 180 in Europarl. Archives take about a third of it.
SENTENCE_BYTES = 170
ARCHIVE_SHARE = 0.35
# Bytes per sentence: 32 token ids of two bytes, and the position of its beginning.
TOKEN_BYTES = 2 * 32 + 12
# Pairs per second; much slower than measured (62,000 with cleaning), for slow file systems.
PAIRS_PER_SECOND = 3000
START_UP_MINUTES = 10
# Bytes of memory that SentencePiece needs per sentence that it learns from.
VOCABULARY_BYTES = 1500


def corpus_pairs(configuration: Configuration, name: str) -> int:
    """Estimated number of sentence pairs in all splits of a corpus."""
    corpus = configuration.corpora[name]
    generated = generated_pairs(corpus.sources)
    if generated is not None:
        return generated
    sizes = [getattr(corpus, split) for split in ("train", "valid", "test")]
    if all(isinstance(size, int) for size in sizes):
        return sum(sizes)
    return PAPER_PAIRS.get(name, UNKNOWN_PAIRS)


def corpus_disk(configuration: Configuration, name: str) -> int:
    """Megabytes of a corpus: its archives and its splits."""
    plain = 2 * corpus_pairs(configuration, name) * SENTENCE_BYTES
    return math.ceil(plain * (1 + ARCHIVE_SHARE) / 1e6)


def tokens_disk(configuration: Configuration, corpus: str, sides: int) -> int:
    """Megabytes of the token ids of one or both sides of a corpus."""
    return math.ceil(sides * corpus_pairs(configuration, corpus) * TOKEN_BYTES / 1e6)


def text_minutes(configuration: Configuration, corpus: str) -> int:
    """Minutes to request for a job that reads a whole corpus once or twice."""
    seconds = corpus_pairs(configuration, corpus) / PAIRS_PER_SECOND
    return START_UP_MINUTES + math.ceil(seconds / 60)


def vocabulary_memory(configuration: Configuration, corpus: str, sides: int) -> int:
    """Megabytes of memory needed to learn a vocabulary from a corpus."""
    sentences = sides * corpus_pairs(configuration, corpus)
    limit = configuration.vocabulary.sentences
    return 500 + math.ceil((min(sentences, limit) if limit else sentences) * VOCABULARY_BYTES / 1e6)
