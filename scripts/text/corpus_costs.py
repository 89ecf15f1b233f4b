"""Estimate pairs, disk, time and memory of the text of a run before it is fetched.

The number of pairs in a source is not known before fetching. The paper's number is used if there
is one, so the estimate is too high for a mirror with less text.
"""

from __future__ import annotations

import math

from running.configuration import Configuration, synthetic_pairs
from studies.vazquez2022.paper_values import SENTENCES

# Assumed number of pairs in a real source that the paper does not count.
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

_UNITS = {"K": 1e3, "M": 1e6}


def corpus_pairs(configuration: Configuration, name: str) -> int:
    """Estimated number of sentence pairs in all splits of a corpus."""
    corpus = configuration.corpora[name]
    generated = [synthetic_pairs(source) for source in corpus.sources]
    if all(generated):
        return sum(pairs for pairs, _ in generated)
    sizes = [getattr(corpus, split) for split in ("train", "valid", "test")]
    if all(isinstance(size, int) for size in sizes):
        return sum(sizes)
    if name not in SENTENCES:
        return UNKNOWN_PAIRS
    printed = SENTENCES[name][2]
    return round(sum(float(text[:-1]) * _UNITS[text[-1]] for text in printed.values()))


def corpus_disk(configuration: Configuration, name: str) -> int:
    """Megabytes of a corpus: its archives and its splits."""
    plain = 2 * corpus_pairs(configuration, name) * SENTENCE_BYTES
    return math.ceil(plain * (1 + ARCHIVE_SHARE) / 1e6)


def tokens_disk(configuration: Configuration, corpus: str, sides: int) -> int:
    """Megabytes of the token ids of one or both sides of a corpus."""
    return math.ceil(sides * corpus_pairs(configuration, corpus) * TOKEN_BYTES / 1e6)


def text_minutes(configuration: Configuration, corpus: str) -> int:
    """Minutes that a job should request that reads a whole corpus once or twice."""
    seconds = corpus_pairs(configuration, corpus) / PAIRS_PER_SECOND
    return START_UP_MINUTES + math.ceil(seconds / 60)


def vocabulary_memory(configuration: Configuration, corpus: str, sides: int) -> int:
    """Megabytes of memory needed to learn a vocabulary from a corpus."""
    sentences = sides * corpus_pairs(configuration, corpus)
    limit = configuration.vocabulary.sentences
    return 500 + math.ceil((min(sentences, limit) if limit else sentences) * VOCABULARY_BYTES / 1e6)
