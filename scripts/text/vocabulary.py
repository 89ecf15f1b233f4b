"""SentencePiece vocabularies whose ids are fairseq's ids.

The model is trained with fairseq's special symbols at fairseq's ids, so that the fairseq
dictionary and the vocabulary have the same symbols, ids and size.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import sentencepiece

from common.files import UserError

from .text_lines import count_lines, read_line_batches
from .workplace import workplace

# fairseq numbers <s>, <pad>, </s>, <unk> from 0; the dictionary's symbols follow.
SPECIAL_IDS = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}


def learn_vocabulary(
    texts: Sequence[Path],
    size: int,
    sentences: int,
    seed: int,
    threads: int,
    model_path: Path,
    vocabulary_path: Path,
    normalisation: str = "nmt_nfkc",
) -> None:
    """Learn a byte-pair-encoding vocabulary (paper §3) and write the model and its symbols.

    Parameters
    ----------
    texts : sequence of path
        One file for the vocabulary of one language, two for one that a language pair shares.
    size : int
        Symbols in the vocabulary, including the four special ones.
    sentences : int
        Learn from this many sentences, drawn by seed from all texts together; 0 means all.
    seed : int
    threads : int
        Does not change the result.
    model_path, vocabulary_path : path
        The SentencePiece model and its readable list of symbols.
    normalisation : {"nmt_nfkc", "identity"}
        Normalisation of the text before it is cut into pieces. SentencePiece's "nmt_nfkc" replaces
        compatibility characters of Unicode (full-width punctuation, ligatures, circled numbers);
        "identity" changes nothing. It is stored in the model and also applied when text is encoded.

    Raises
    ------
    UserError
        If the text is too small for so large a vocabulary, not UTF-8 or missing.
    """
    with workplace(model_path.parent) as folder:
        model = _learn(texts, size, sentences, seed, threads, normalisation)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        lines = (f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n" for i in range(size))
        (folder / "vocabulary").write_text("".join(lines), encoding="utf-8")
        (folder / "model").write_bytes(model)
        os.replace(folder / "vocabulary", vocabulary_path)
        # Move the model last: if it exists, both files exist.
        os.replace(folder / "model", model_path)


def load_vocabulary(path: Path) -> sentencepiece.SentencePieceProcessor:
    """The vocabulary that `learn_vocabulary` wrote, ready to encode text.

    Raises
    ------
    UserError
        If the file is missing, damaged or not made by `learn_vocabulary`.
    """
    try:
        content = path.read_bytes()
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        # A file that was truncated between two symbols loads without error, but lacks this last
        # part of the model.
        rules = sentencepiece.SentencePieceNormalizer(model_proto=content)
        if not rules.serialized_normalizer_spec():
            raise RuntimeError("its end is missing")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such vocabulary. Learn it first.") from None
    except (RuntimeError, ValueError) as error:
        problem = str(error).strip() or "it is empty"
        raise UserError(
            f"{path} is no complete SentencePiece model ({len(content)} bytes): {problem}. "
            "Delete it, so that it is learnt again."
        ) from None
    found = {name: getattr(processor, name)() for name in SPECIAL_IDS}
    if found != SPECIAL_IDS:
        raise UserError(
            f"{path} numbers the special symbols {found}, but fairseq needs {SPECIAL_IDS}. "
            "Delete it, so that it is learnt again."
        )
    return processor


def normaliser_of(path: Path) -> tuple[str, Callable[[str], str]]:
    """The normalisation of a vocabulary: its name, and a function that applies it to a text.

    Raises
    ------
    UserError
        As `load_vocabulary`.
    """
    load_vocabulary(path)
    rules = sentencepiece.SentencePieceNormalizer(
        model_proto=path.read_bytes(), add_dummy_prefix=False, escape_whitespaces=False
    )
    # A protocol buffer whose first field is the name: a tag byte, a length byte, and the letters.
    specification = rules.serialized_normalizer_spec()
    return specification[2 : 2 + specification[1]].decode(), rules.normalize


def _learn(
    texts: Sequence[Path], size: int, sentences: int, seed: int, threads: int, normalisation: str
) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sample(texts, sentences, seed),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name=normalisation,
            max_sentence_length=1 << 20,
            num_threads=threads,
            minloglevel=2,
            bos_id=SPECIAL_IDS["bos_id"],
            pad_id=SPECIAL_IDS["pad_id"],
            eos_id=SPECIAL_IDS["eos_id"],
            unk_id=SPECIAL_IDS["unk_id"],
        )
    except RuntimeError as error:
        raise UserError(_explain(str(error), texts, size)) from None
    return model.getvalue()


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


def _sample(texts: Sequence[Path], sentences: int, seed: int) -> Iterator[bytes]:
    """All lines of the texts, or `sentences` lines drawn by seed, in their original order."""
    total = sum(count_lines(path) for path in texts)
    chosen = np.ones(total, dtype=bool)
    if 0 < sentences < total:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(total, sentences, replace=False)] = True
    position = 0
    for path in texts:
        for lines in read_line_batches(path):
            yield from compress(lines, chosen[position : position + len(lines)].tolist())
            position += len(lines)


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
