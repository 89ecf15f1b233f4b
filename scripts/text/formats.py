"""Read a text in any supported format, recognised by its content and then by its name.

The formats are plain text with one sentence per line, the mark-up of test sets (see `markup`), and
IWSLT's train.tags (see `tagged_lines`); each may be compressed with gzip.
"""

import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from common.files import UserError
from text.lines import ByteStream, LineBatch, LineError, pair_lines
from text.markup import pair_segments, read_segments
from text.tagged_lines import LEFT_OUT, UNPACKED, TaggedLines, check_landmarks

HEAD = 1 << 16  # bytes read to recognise the format
UNPACKED_LIMIT = 50 * 10**9  # bytes that a text packed inside an archive may unpack to
PLAIN, SEGMENTS, TAGGED = "a sentence on every line", "segments in mark-up", "IWSLT's train.tags"
MARKUP_STARTS = tuple(
    f"<{name}".encode()
    for name in ("?xml", "!doctype", "!--", "srcset", "refset", "tstset", "mteval", "dataset")
)
TAGGED_STARTS = tuple(f"<{name}".encode() for name in sorted(LEFT_OUT | UNPACKED))
GZIP = b"\x1f\x8b"
# Formats that are not supported, by their first bytes.
PACKED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
}


def read_pairs(
    streams: Sequence[ByteStream], names: Sequence[str], languages: Sequence[str]
) -> Iterator[LineBatch]:
    """Read the aligned sentences of two texts in any supported format.

    Parameters
    ----------
    streams
        The bytes of both sides.
    names
        Their names, for messages, and for the format if the content does not show it.
    languages
        Languages of both sides; they select the texts in files with several texts.

    Yields
    ------
    tuple of two lists of bytes
        The same number of lines of each side, without their line feeds.

    Raises
    ------
    UserError
        If a format is not supported, the sides have different formats or numbers of sentences, or
        mark-up cannot be read.
    """
    sides, formats = [], []
    for stream, name in zip(streams, names, strict=True):
        head, side = _unpacked(stream, name)
        sides.append(side)
        formats.append(_format(head, name))
    if formats[0] != formats[1]:
        raise UserError(
            f"{names[0]} holds {formats[0]}, but {names[1]} holds {formats[1]}: the two sides "
            "should have the same format. Correct the members of the source."
        )
    if formats[0] == SEGMENTS:
        first, second = (read_segments(*side) for side in zip(sides, names, languages, strict=True))
        pairs = list(pair_segments(first, second, names))
        yield [one for one, _ in pairs], [two for _, two in pairs]
    elif formats[0] == TAGGED:
        tagged = [TaggedLines(side, name) for side, name in zip(sides, names)]
        try:
            yield from pair_lines(tagged[0], tagged[1], names)
        except LineError:
            # Its error is clearer: it gives the first lines at which the sides differ.
            check_landmarks(tagged, names)
            raise
        check_landmarks(tagged, names)
    else:
        yield from pair_lines(sides[0], sides[1], names)


def _unpacked(stream: ByteStream, name: str) -> tuple[bytes, ByteStream]:
    """The first bytes of a text, and a stream of the whole text; gzip files are decompressed.

    Raises
    ------
    UserError
        If the text is compressed in another way.
    """
    head, whole = _peeked(stream)
    if head.startswith(GZIP):
        head, whole = _peeked(_Limited(gzip.GzipFile(fileobj=whole), name))
    for start, kind in PACKED.items():
        if head.startswith(start):
            raise UserError(
                f"{name} is itself packed, by {kind}, which is not read inside an archive. Unpack "
                "it and make an archive of the text, or use another source."
            )
    return head, whole


def _format(head: bytes, name: str) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:4096].lower()
    base = PurePosixPath(name).name.lower().removesuffix(".gz")
    is_tmx = start.startswith((b"<tmx", b"<?xml", b"<!doctype")) and b"<tmx" in start
    if is_tmx or start.startswith((b"<html", b"<!doctype html")):
        kind = "TMX" if is_tmx else "a web page"
        raise UserError(
            f"{name} is {kind}, which is not read. Make two texts of it with a sentence on every "
            "line, or use another source."
        )
    if base.startswith("train.tags"):
        return TAGGED
    if b"<seg" in head.lower() or start.startswith(MARKUP_STARTS):
        starts = start.startswith((*MARKUP_STARTS, *TAGGED_STARTS))
        if starts or base.endswith((".sgm", ".sgml", ".xml")):
            return SEGMENTS
    if start.startswith(TAGGED_STARTS):
        return TAGGED
    if base.endswith((".sgm", ".sgml", ".xml")):
        return SEGMENTS
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{name} is in UTF-16, but text should be in UTF-8. Convert it.")
    return PLAIN


def _peeked(stream: ByteStream) -> tuple[bytes, "_Rewound"]:
    head = b""
    while len(head) < HEAD and (block := stream.read(HEAD - len(head))):
        head += block
    return head, _Rewound(head, stream)


class _Rewound(io.RawIOBase):
    """A stream that returns its first bytes again after they were read."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            size = len(self._head) if size < 0 else size
            block, self._head = self._head[:size], self._head[size:]
            return block
        return self._stream.read(size)


class _Limited:
    """A stream that raises an error after `UNPACKED_LIMIT` bytes."""

    def __init__(self, stream: ByteStream, name: str) -> None:
        self._stream, self._name, self._left = stream, name, UNPACKED_LIMIT

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise UserError(
                f"{self._name} unpacks to more than {UNPACKED_LIMIT} bytes: it is not read."
            )
        return block
