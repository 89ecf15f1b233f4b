"""Convert text to fairseq's token ids in one pass, without a file of subword pieces.

The files are byte-identical to those of `spm_encode` followed by `fairseq-preprocess`. The only
exception is U+0085, an obsolete line separator: fairseq treats it as white space, SentencePiece as
a character. Cleaned text does not contain it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import compress, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import sentencepiece

from common.code_version import code_digest
from common.files import UserError

from .steps import STEPS, Step
from .text_lines import read_line_batches
from .token_files import TokenWriter, id_type
from .vocabulary import (
    SPECIAL_IDS,
    dictionary_lines,
    load_vocabulary,
    normaliser_of,
    unigram_entropy,
)
from .workplace import workplace

# Source files whose changes may change the ids.
CODE = ("binarisation.py", "steps.py", "text_lines.py", "token_files.py", "vocabulary.py")

Item = TypeVar("Item")
Result = TypeVar("Result")


class EncodedLines(NamedTuple):
    """A batch of sentences as token ids.

    Attributes
    ----------
    ids : int array (tokens,)
        Ids of all sentences, each with its end-of-sentence symbol.
    sizes : int array (sentences,)
        Tokens of each sentence.
    counts : int array (vocabulary,)
        Occurrences of each id.
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
    limits: Sequence[Step] = (),
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
    limits : sequence of Step
        Cleaning steps on numbers of pieces. Sentences that they leave out of train and valid are
        counted in tokens.json. Test sets stay complete.

    Raises
    ------
    UserError
        If the model is missing, damaged or not made by `learn_vocabulary`; if a text is not UTF-8,
        is empty, or has another number of lines than its other side; if the disk is full.
    """
    processor = load_vocabulary(model_path)
    with workplace(output) as folder:
        names = ["dict.txt"] if len(languages) == 1 else [f"dict.{lang}.txt" for lang in languages]
        for name in names:
            lines = dictionary_lines(processor)
            (folder / name).write_text("".join(lines), encoding="utf-8")
        statistics: dict[str, dict] = {}
        left_out: dict[str, dict[str, int]] = {}
        for split, text in splits.items():
            statistics[split] = {}
            kept = None
            if limits and split in ("train", "valid"):
                texts = [Path(f"{text}.{language}") for language in languages]
                kept, left_out[split] = _within_limits(processor, texts, limits, threads)
            for language in languages:
                infix = "" if len(languages) == 1 else f".{'-'.join(languages)}.{language}"
                prefix = f"{split}{infix}"
                path = Path(f"{text}.{language}")
                names += [f"{prefix}.bin", f"{prefix}.idx"]
                statistics[split][language] = _binarise_file(
                    processor, path, folder / prefix, threads, kept
                )
            _check_sides(text, statistics[split])
        summary = {
            "vocabulary": processor.get_piece_size(),
            "normalisation": normaliser_of(model_path)[0],
            "vocabulary_sha256": hashlib.sha256(model_path.read_bytes()).hexdigest(),
            "sentencepiece": sentencepiece.__version__,
            "code": code_digest(Path(__file__).with_name(name) for name in CODE),
            "splits": statistics,
            "left_out": left_out,
        }
        record = folder / "tokens.json"
        record.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
        for name in [*names, record.name]:
            os.replace(folder / name, output / name)


def _within_limits(
    processor: sentencepiece.SentencePieceProcessor,
    texts: Sequence[Path],
    limits: Sequence[Step],
    threads: int,
) -> tuple[np.ndarray, dict[str, int]]:
    """Mask (sentences,) of the sentences within all limits, and number left out per reason."""
    encode = partial(_encode_lines, processor)
    sides = []
    for text in texts:
        sizes = [e.sizes for e in _map_in_threads(encode, read_line_batches(text), threads)]
        sides.append(np.concatenate([np.empty(0, dtype=np.int32), *sizes]) - 1)  # without </s>
    stem = texts[0].with_suffix("")
    found = {text.suffix[1:]: {"sentences": len(side)} for text, side in zip(texts, sides)}
    _check_sides(stem, found)
    kept, reasons = np.ones(len(sides[0]), dtype=bool), Counter[str]()
    for number, pieces in enumerate(zip(*(side.tolist() for side in sides))):
        tried = (STEPS[name].function(pieces, value) for name, value in limits)
        reason = next((reason for reason in tried if reason is not None), None)
        if reason is not None:
            kept[number] = False
            reasons[reason] += 1
    if len(kept) and not kept.any():
        raise UserError(
            f"{stem}: the limits in pieces leave out all {len(kept)} pairs ({dict(reasons)}). "
            "Raise them under cleaning."
        )
    return kept, dict(reasons)


def _binarise_file(
    processor: sentencepiece.SentencePieceProcessor,
    text: Path,
    prefix: Path,
    threads: int,
    kept: np.ndarray | None = None,
) -> dict[str, float]:
    """Write prefix.bin and prefix.idx; return sentences, tokens, unknown tokens and entropy.

    `kept`, bool (sentences,), marks the sentences to write; None writes all.
    """
    size = processor.get_piece_size()
    counts = np.zeros(size, dtype=np.int64)
    with open(f"{prefix}.bin", "wb") as data:
        writer = TokenWriter(data, size)
        encode = partial(_encode_lines, processor)
        for encoded in _map_in_threads(encode, _chosen(read_line_batches(text), kept), threads):
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


def _chosen(batches: Iterable[list[bytes]], kept: np.ndarray | None) -> Iterator[list[bytes]]:
    """The marked lines, in batches that are not empty."""
    position = 0
    for lines in batches:
        end = position + len(lines)
        chosen = lines if kept is None else list(compress(lines, kept[position:end].tolist()))
        position = end
        if chosen:
            yield chosen


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
    """Results in the order of the items; only a few items are read in advance.

    SentencePiece releases Python's global interpreter lock while it encodes, so threads are
    enough. Unlike processes, they copy no data and cannot outlive this process.
    """
    items = iter(items)
    with ThreadPoolExecutor(threads) as executor:
        waiting = deque(executor.submit(function, item) for item in islice(items, 2 * threads + 1))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(executor.submit(function, item) for item in islice(items, 1))
            yield result


def _check_sides(text: Path, statistics: Mapping[str, Mapping]) -> None:
    """Check that both sides of a text have the same number of sentences."""
    sentences = {language: numbers["sentences"] for language, numbers in statistics.items()}
    if len(set(sentences.values())) > 1:
        found = " and ".join(f"{text}.{name} has {lines}" for name, lines in sentences.items())
        raise UserError(
            f"{found} lines, but the two sides should be aligned line by line. Delete them, so "
            "that the corpus is prepared again."
        )
