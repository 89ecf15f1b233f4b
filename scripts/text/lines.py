"""Read aligned lines of two streams in batches; memory does not grow with the text."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Protocol

from common.files import UserError

BLOCK = 1 << 20  # bytes read at once
SMALLEST_BATCH = 4096  # lines, except in the last batch of a text
LONGEST_LINE = 1 << 24  # bytes; a longer line is an error

LineBatch = tuple[list[bytes], list[bytes]]


class ByteStream(Protocol):
    """All that is asked of a stream here: it can be read in parts."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class LineError(UserError):
    """Two texts are not aligned line by line, or a text has no lines."""


class _Side:
    """One text: its lines that were read but not yet returned."""

    def __init__(self, stream: ByteStream, name: str) -> None:
        self.stream, self.name = stream, name
        self.waiting: list[bytes] = []
        self.read, self.rest, self.ended = 0, b"", False
        self.carriage_returns = 0

    def fill(self, number: int) -> None:
        """Read until there are `number` lines or the text ends."""
        while len(self.waiting) < number and not self.ended:
            block = self.stream.read(BLOCK)
            if not self.read:
                self.carriage_returns += block.count(b"\r")
            lines = (self.rest + block).split(b"\n")
            self.rest = lines.pop()
            if not block:
                self.ended = True
                lines += [self.rest] if self.rest else []
            elif len(self.rest) > LONGEST_LINE:
                raise LineError(
                    f"{self.name}: line {self.read + len(lines) + 1} has more than {LONGEST_LINE} "
                    "bytes. This is no text with a sentence on every line; correct the member's "
                    "name or the address of the source."
                )
            self.read += len(lines)
            self.waiting += lines

    def take(self, number: int) -> list[bytes]:
        """Remove and return the first `number` lines."""
        taken, self.waiting = self.waiting[:number], self.waiting[number:]
        return taken


def pair_lines(first: ByteStream, second: ByteStream, names: Sequence[str]) -> Iterator[LineBatch]:
    """Pair the lines of two streams, split at line feeds only.

    Yields
    ------
    tuple of two lists of bytes
        The same number of lines of each stream, without their line feeds.

    Raises
    ------
    LineError
        At the end, if one stream has more lines than the other; earlier, if a line is too long.
    """
    sides = [_Side(stream, name) for stream, name in zip((first, second), names)]
    while True:
        for side in sides:
            side.fill(SMALLEST_BATCH)
        number = min(len(side.waiting) for side in sides)
        if not number:
            break
        yield sides[0].take(number), sides[1].take(number)
    for side in sides:
        while not side.ended:
            side.waiting = []
            side.fill(1)
        if side.read <= 1 and side.carriage_returns > 1:
            raise LineError(
                f"{side.name} has {side.carriage_returns} carriage returns and no line feed: its "
                "lines end as on old Macintoshes. Convert the line ends to line feeds."
            )
    if sides[0].read != sides[1].read:
        raise LineError(
            f"{names[0]} has {sides[0].read} lines and {names[1]} has {sides[1].read}, but the two "
            "sides should be aligned line by line. The files do not belong together, or one was "
            "cut off."
        )


def read_text_pairs(paths: Sequence[Path]) -> Iterator[LineBatch]:
    """Read the aligned lines of two text files; yields as `pair_lines`.

    Raises
    ------
    UserError
        When a file is missing; LineError as `pair_lines`.
    """
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: there is no such text. Make it, or correct its name.")
    with ExitStack() as stack:
        first, second = (stack.enter_context(open(path, "rb")) for path in paths)
        yield from pair_lines(first, second, [str(path) for path in paths])


def single_pairs(batches: Iterator[LineBatch]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of all batches one by one."""
    return chain.from_iterable(zip(*batch) for batch in batches)
