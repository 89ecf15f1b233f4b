"""SentencePiece vocabularies whose ids are fairseq's ids.

The model is trained with fairseq's special symbols at fairseq's places, so that the fairseq
dictionary is exactly the vocabulary: same symbols, same numbers, same size.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from .files import UserError, replace_when_complete

# fairseq numbers <s>, <pad>, </s>, <unk> from 0 and puts the dictionary's symbols after them.
SPECIAL_IDS = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}


def learn_vocabulary(
    texts: Sequence[Path],
    size: int,
    sentences: int,
    seed: int,
    threads: int,
    model_path: Path,
    vocabulary_path: Path,
) -> None:
    """Learn a byte-pair-encoding vocabulary (paper §3) and write the model and its symbols.

    Parameters
    ----------
    texts : sequence of path
        One file for a monolingual, two for a vocabulary shared by a language pair.
    size : int
        Symbols in the vocabulary, the four special ones included.
    sentences : int
        Learn from this many sentences, drawn by seed from all texts together; 0 takes all.
    seed : int
    threads : int
        Does not change the result.
    model_path, vocabulary_path : path
        The SentencePiece model and its readable list of symbols.

    Raises
    ------
    UserError
        If the text is too small for so large a vocabulary.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sample(texts, sentences, seed),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            max_sentence_length=1 << 20,
            num_threads=threads,
            minloglevel=2,
            **SPECIAL_IDS,
        )
    except RuntimeError as error:
        raise UserError(_explain(str(error), texts, size)) from None
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    with replace_when_complete(model_path) as temporary:
        temporary.write_bytes(model.getvalue())
    with replace_when_complete(vocabulary_path) as temporary:
        lines = (f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n" for i in range(size))
        temporary.write_text("".join(lines), encoding="utf-8")


def dictionary_lines(processor: sentencepiece.SentencePieceProcessor) -> Iterator[str]:
    """Lines of the fairseq dictionary that gives every symbol the id that SentencePiece has."""
    for number in range(len(SPECIAL_IDS), processor.get_piece_size()):
        yield f"{processor.id_to_piece(number)} 1\n"


def unigram_entropy(counts: np.ndarray) -> float:
    """Entropy in nats per token of the distribution with these counts.

    No model that ignores context can have a lower loss on the text that was counted.

    Parameters
    ----------
    counts : int array (vocabulary,)
    """
    probabilities = counts[counts > 0] / counts.sum()
    return float(-(probabilities * np.log(probabilities)).sum())


def _sample(texts: Sequence[Path], sentences: int, seed: int) -> Iterator[str]:
    """All lines of the texts, or as many as asked for, drawn by seed, in their order."""
    total = sum(_count_lines(path) for path in texts)
    chosen = None
    if 0 < sentences < total:
        chosen = np.zeros(total, dtype=bool)
        chosen[np.random.default_rng(seed).choice(total, sentences, replace=False)] = True
    position = 0
    for path in texts:
        with open(path, encoding="utf-8", newline="\n") as lines:
            for line in lines:
                if chosen is None or chosen[position]:
                    yield line.rstrip("\n")
                position += 1


def _count_lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _explain(message: str, texts: Sequence[Path], size: int) -> str:
    names = ", ".join(str(path) for path in texts)
    largest = re.search(r"<= (\d+)", message)
    if "too high" in message and largest:
        return (
            f"a vocabulary of {size} symbols cannot be learnt from {names}: the text supports at "
            f"most {largest[1]}. Lower vocabulary.size or take more text"
        )
    required = re.search(r"required_chars|smaller than", message)
    if required:
        return (
            f"a vocabulary of {size} symbols is smaller than the characters of {names}; "
            f"raise vocabulary.size ({message.strip()})"
        )
    return f"SentencePiece could not learn {size} symbols from {names}: {message.strip()}"
