"""The SGML in which WMT publishes its test sets."""

import html
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from running.files import UserError

# The files are no valid XML (bare ampersands occur), so tags are matched one by one.
TAGS = re.compile(
    rb"<doc\b(?P<document>[^>]*)>|<seg\b(?P<segment>[^>]*)>(?P<text>.*?)</seg>",
    re.DOTALL | re.IGNORECASE,
)
DOCUMENT_NAME = re.compile(rb"""docid\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
SEGMENT_NAME = re.compile(rb"""\bid\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)

LARGEST_FILE = 1 << 26  # bytes; a test set has a few thousand segments

Segments = dict[tuple[str, str], bytes]


def read_segments(stream: BinaryIO, name: str) -> Segments:
    """Read the segments of one WMT SGML file.

    Parameters
    ----------
    stream
        The bytes of the file; test sets are small, so they are read at once.
    name
        The file's name, for messages.

    Returns
    -------
    dict
        (document, segment) to the text in UTF-8, entities replaced, in the order of the file.

    Raises
    ------
    UserError
        When a segment has no id, an id occurs twice, there is no segment at all, or the file is
        larger than any test set.
    """
    content = stream.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UserError(f"{name} has more than {LARGEST_FILE} bytes: it is no test set.")
    segments: Segments = {}
    document = ""
    for match in TAGS.finditer(content):
        if match["segment"] is None:
            document = _attribute(DOCUMENT_NAME, match["document"], "docid", name)
            continue
        key = (document, _attribute(SEGMENT_NAME, match["segment"], "id", name))
        if key in segments:
            raise UserError(f"{name}: segment {key[1]} of document {key[0]} occurs twice.")
        # surrogateescape keeps invalid bytes as they are; cleaning counts and drops them.
        text = match["text"].decode("utf-8", "surrogateescape")
        segments[key] = html.unescape(text).encode("utf-8", "surrogateescape")
    if not segments:
        raise UserError(f"{name} has no <seg> elements: it is not a test set in WMT's SGML.")
    return segments


def _attribute(pattern: re.Pattern, attributes: bytes, wanted: str, name: str) -> str:
    match = pattern.search(attributes)
    if match is None:
        tag = attributes.decode("utf-8", "replace").strip()
        raise UserError(f"{name}: an element has no {wanted}: <... {tag}>.")
    return match[1].decode("utf-8", "replace")


def pair_segments(
    source: Segments, reference: Segments, names: Sequence[str]
) -> Iterator[tuple[bytes, bytes]]:
    """Pair the segments of two files by document and segment, in the order of the first.

    Raises
    ------
    UserError
        When the numbers of segments differ or a segment has no partner.
    """
    if len(source) != len(reference):
        raise UserError(
            f"{names[0]} has {len(source)} segments and {names[1]} has {len(reference)}: "
            "the files do not belong together."
        )
    for key, text in source.items():
        if key not in reference:
            raise UserError(
                f"segment {key[1]} of document {key[0]} is in {names[0]} but not in {names[1]}."
            )
        yield text, reference[key]
