"""Text to token ids in fairseq's memory-mapped format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from fairseq.data import indexed_dataset

from .files import replace_when_complete
from .vocabulary import SPECIAL_IDS, dictionary_lines, unigram_entropy

LINES_PER_BATCH = 10_000


def binarise(
    model_path: Path,
    languages: Sequence[str],
    splits: Mapping[str, Path],
    output: Path,
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
        Folder; `tokens.json`, written last, holds sentences, tokens and the unigram entropy
        (nats per token, end-of-sentence included) per split and language.
    """
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_path))
    output.mkdir(parents=True, exist_ok=True)
    names = ["dict.txt"] if len(languages) == 1 else [f"dict.{lang}.txt" for lang in languages]
    for name in names:
        with replace_when_complete(output / name) as temporary:
            temporary.write_text("".join(dictionary_lines(processor)), encoding="utf-8")
    statistics: dict[str, dict] = {}
    for split, text in splits.items():
        statistics[split] = {}
        for language in languages:
            infix = "" if len(languages) == 1 else f".{'-'.join(languages)}.{language}"
            statistics[split][language] = _binarise_file(
                processor, Path(f"{text}.{language}"), output / f"{split}{infix}"
            )
    summary = {"vocabulary": processor.get_piece_size(), "splits": statistics}
    with replace_when_complete(output / "tokens.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")


def _binarise_file(
    processor: sentencepiece.SentencePieceProcessor, text: Path, prefix: Path
) -> dict[str, float]:
    """Write prefix.bin and prefix.idx; sentences, tokens and unigram entropy of the text."""
    size = processor.get_piece_size()
    counts = np.zeros(size, dtype=np.int64)
    sentences = 0
    with (
        replace_when_complete(Path(f"{prefix}.bin")) as data,
        replace_when_complete(Path(f"{prefix}.idx")) as index,
        open(text, encoding="utf-8", newline="\n") as lines,
    ):
        builder = indexed_dataset.make_builder(str(data), impl="mmap", vocab_size=size)
        while batch := [line.rstrip("\n") for _, line in zip(range(LINES_PER_BATCH), lines)]:
            for ids in processor.encode(batch, out_type=int):
                builder.add_item(torch.IntTensor([*ids, SPECIAL_IDS["eos_id"]]))
                counts += np.bincount(ids, minlength=size)
            sentences += len(batch)
        counts[SPECIAL_IDS["eos_id"]] += sentences
        builder.finalize(str(index))
    return {
        "sentences": sentences,
        "tokens": int(counts.sum()),
        "unknown": int(counts[SPECIAL_IDS["unk_id"]]),
        "unigram_entropy": unigram_entropy(counts),
    }
