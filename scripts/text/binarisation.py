"""Text to token ids that fairseq reads, in one pass and without a text of pieces on disk.

The bytes are those that `spm_encode` and then `fairseq-preprocess` write. The one exception is
U+0085, an obsolete line separator: fairseq takes it for white space, SentencePiece for a character.
Cleaned text has none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import sentencepiece

from running.code_version import code_digest
from running.files import UserError

from .text_lines import read_line_batches
from .token_files import TokenWriter, id_type
from .vocabulary import SPECIAL_IDS, dictionary_lines, load_vocabulary, unigram_entropy
from .workplace import workplace

# Whose edits may change the ids.
CODE = ("binarisation.py", "text_lines.py", "token_files.py", "vocabulary.py")

Item = TypeVar("Item")
Result = TypeVar("Result")


class EncodedLines(NamedTuple):
    """Some sentences as ids.

    Attributes
    ----------
    ids : int array (tokens,)
        Of all sentences, each with its end-of-sentence.
    sizes : int array (sentences,)
    counts : int array (vocabulary,)
    """

    ids: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray


def binarise(
    model_path: Path,
    languages: Sequence[str],
    splits: Mapping[str, Path],
    output: Path,
    threads: int = 1,
) -> None:
    """Write a fairseq data folder: dictionaries, token ids and their statistics.

    Parameters
    ----------
    model_path : path
        SentencePiece model made by `learn_vocabulary`.
    languages : sequence of str
        One language, or the two of a pair (source and target share the dictionary).
    splits : mapping of str to path
        Name of the split to the text's path without its language suffix.
    output : path
        Folder; the files appear together when all are complete, `tokens.json` last. It holds
        sentences, tokens, unknown tokens and the unigram entropy (nats per token, end-of-sentence
        included) per split and language, and the digests of the vocabulary and of this code.
    threads : int
        Threads that encode; the bytes do not depend on it.

    Raises
    ------
    UserError
        If the model is missing, damaged or another's; if a text is not UTF-8, empty, or has
        another number of lines than its other side; if the disk is full.
    """
    processor = load_vocabulary(model_path)
    with workplace(output) as folder:
        names = ["dict.txt"] if len(languages) == 1 else [f"dict.{lang}.txt" for lang in languages]
        for name in names:
            lines = dictionary_lines(processor)
            (folder / name).write_text("".join(lines), encoding="utf-8")
        statistics: dict[str, dict] = {}
        for split, text in splits.items():
            statistics[split] = {}
            for language in languages:
                infix = "" if len(languages) == 1 else f".{'-'.join(languages)}.{language}"
                prefix = f"{split}{infix}"
                path = Path(f"{text}.{language}")
                names += [f"{prefix}.bin", f"{prefix}.idx"]
                statistics[split][language] = _binarise_file(
                    processor, path, folder / prefix, threads
                )
            _check_sides(text, statistics[split])
        summary = {
            "vocabulary": processor.get_piece_size(),
            "vocabulary_sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
            "sentencepiece": sentencepiece.__version__,
            "code": code_digest(Path(__file__).with_name(name) for name in CODE),
            "splits": statistics,
        }
        record = folder / "tokens.json"
        record.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
        for name in [*names, record.name]:
            os.replace(folder / name, output / name)


def _binarise_file(
    processor: sentencepiece.SentencePieceProcessor, text: Path, prefix: Path, threads: int
) -> dict[str, float]:
    """Write prefix.bin and prefix.idx; sentences, tokens, unknown and entropy of the text."""
    size = processor.get_piece_size()
    counts = np.zeros(size, dtype=np.int64)
    with open(f"{prefix}.bin", "wb") as data:
        writer = TokenWriter(data, size)
        encode = partial(_encode_lines, processor)
        for encoded in _map_in_threads(encode, read_line_batches(text), threads):
            writer.add(encoded.ids, encoded.sizes)
            counts += encoded.counts
    if not writer.sentences:
        raise UserError(f"{text} is empty. Delete it, so that its corpus is prepared again.")
    writer.write_index(Path(f"{prefix}.idx"))
    return {
        "sentences": writer.sentences,
        "tokens": int(counts.sum()),
        "unknown": int(counts[SPECIAL_IDS["unk_id"]]),
        "unigram_entropy": unigram_entropy(counts),
    }


def _encode_lines(
    processor: sentencepiece.SentencePieceProcessor, lines: list[bytes]
) -> EncodedLines:
    size = processor.get_piece_size()
    sentences = processor.encode(lines, out_type="numpy", add_eos=True, num_threads=1)
    ids = np.concatenate(sentences)
    sizes = np.fromiter(map(len, sentences), dtype=np.int32, count=len(sentences))
    return EncodedLines(ids.astype(id_type(size)), sizes, np.bincount(ids, minlength=size))


def _map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Results in the order of the items, which are read only a few ahead.

    Threads, since SentencePiece lets go of Python's lock while it encodes: nothing is copied from
    process to process, and none is left behind when this one is killed.
    """
    items = iter(items)
    with ThreadPoolExecutor(threads) as executor:
        waiting = deque(executor.submit(function, item) for item in islice(items, 2 * threads + 1))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(executor.submit(function, item) for item in islice(items, 1))
            yield result


def _check_sides(text: Path, statistics: Mapping[str, Mapping]) -> None:
    """Both sides of a text need the same number of sentences."""
    sentences = {language: numbers["sentences"] for language, numbers in statistics.items()}
    if len(set(sentences.values())) > 1:
        found = " and ".join(f"{text}.{name} has {lines}" for name, lines in sentences.items())
        raise UserError(
            f"{found} lines, but the two sides should be aligned line by line. Delete them, so "
            "that the corpus is prepared again."
        )
