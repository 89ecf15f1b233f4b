"""Read a text file with one sentence per line; memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.files import UserError

BLOCK = 1 << 19  # bytes read at once; the last line of a block is read to its end


def read_line_batches(path: Path) -> Iterator[list[bytes]]:
    """Yield batches of lines without their line feeds, half a megabyte per batch.

    As for SentencePiece, only line feeds end a line, no other line separators of Unicode. A last
    line without a line feed counts as a line.

    Raises
    ------
    UserError
        If the text is missing or not UTF-8; gives the line and says what to do.
    """
    _check_presence(path)
    lines_before = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK) + file.readline():
            _check_encoding(block, path, lines_before)
            lines = block.split(b"\n")
            if block.endswith(b"\n"):
                lines.pop()
            lines_before += len(lines)
            yield lines


def count_lines(path: Path) -> int:
    """Number of lines, as `read_line_batches` counts them."""
    _check_presence(path)
    lines, last = 0, b"\n"
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            lines += block.count(b"\n")
            last = block
    return lines + (not last.endswith(b"\n"))


def _check_presence(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: there is no such text. Prepare its corpus first.")


def _check_encoding(block: bytes, path: Path, lines_before: int) -> None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line = lines_before + block.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 ({error.reason}). Delete the folder of the prepared "
            "corpus, so that it is made again, or convert the text."
        ) from None
