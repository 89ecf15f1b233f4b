"""The second pass over a corpus: write clean pairs to the files of their splits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import compress, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.files import UserError
from text.batches import map_in_order
from text.splitting import SPLITS
from text.steps import Step, change_text

BATCH = 1 << 14  # pairs

DealtLines = dict[str, tuple[list[bytes], list[bytes]]]


class Dealt(NamedTuple):
    """Counts of the written sentences.

    Attributes
    ----------
    lines, words : dict
        Split to the numbers of lines and of words, for each side.
    changed : Counter
        Name of a step to the number of training sentences that it changed.
    """

    lines: dict[str, list[int]]
    words: dict[str, list[int]]
    changed: Counter


def deal_out(
    clean: Sequence[Path],
    labels: np.ndarray,
    texts: Mapping[str, Sequence[Path]],
    changes: Sequence[Step],
    seed: int,
    processes: int = 1,
) -> Dealt:
    """Write each clean pair to the split given by its label.

    Parameters
    ----------
    clean
        The texts of both languages, one line per pair.
    labels
        Shape (pairs,), int8: the index of the split in `SPLITS`; pairs with other labels are not
        written.
    texts
        Split to the files of both languages.
    changes
        Steps that change training text; their randomness depends on `seed`.
    processes
        Number of processes that apply these steps; the files do not depend on it.
    """
    dealt = Dealt({split: [0, 0] for split in texts}, {split: [0, 0] for split in texts}, Counter())
    deal = partial(_deal_batch, splits=list(texts), changes=changes, seed=seed)
    with ExitStack() as stack:
        files = {
            split: [stack.enter_context(open(path, "wb")) for path in paths]
            for split, paths in texts.items()
        }
        batches = _read_batches(clean, labels)
        for lines, changed in map_in_order(deal, batches, processes if changes else 1):
            dealt.changed.update(changed)
            for split, sides in lines.items():
                for side, text in enumerate(map(b"".join, sides)):
                    files[split][side].write(text)
                    dealt.lines[split][side] += text.count(b"\n")
                    # Words are separated by one space; an empty line of a test set has no words.
                    words = text.count(b" ") + len(sides[side]) - sides[side].count(b"\n")
                    dealt.words[split][side] += words
    return dealt


def _read_batches(clean: Sequence[Path], labels: np.ndarray) -> Iterator[tuple]:
    with open(clean[0], "rb") as first, open(clean[1], "rb") as second:
        for start in range(0, len(labels), BATCH):
            part = labels[start : start + BATCH]
            yield list(islice(first, len(part))), list(islice(second, len(part))), part
        for file in (first, second):
            if file.readline():
                raise UserError(
                    f"{file.name} has more than the {len(labels)} lines it should have."
                )


def _deal_batch(
    batch: tuple[list[bytes], list[bytes], np.ndarray],
    splits: Sequence[str],
    changes: Sequence[Step],
    seed: int,
) -> tuple[DealtLines, Counter]:
    """Return the lines of each split in both languages, and the counts of `Dealt.changed`."""
    first, second, labels = batch
    lines: DealtLines = {}
    changed: Counter[str] = Counter()
    for split in splits:
        chosen = (labels == SPLITS.index(split)).tolist()
        lines[split] = (list(compress(first, chosen)), list(compress(second, chosen)))
    for step in changes if "train" in lines else []:
        for side in lines["train"]:
            before = side[:]
            side[:] = [_change_line(line, step, seed) for line in before]
            changed[step.name] += sum(old != new for old, new in zip(before, side))
    return lines, changed


def _change_line(line: bytes, step: Step, seed: int) -> bytes:
    return change_text(line.decode().removesuffix("\n"), step, seed).encode() + b"\n"
