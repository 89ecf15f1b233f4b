"""Read segments from the mark-up formats of published test sets.

Three formats are read by the same scanner: the SGML of WMT until 2018, the XML of IWSLT, which has
the same elements, and the XML of WMT from 2019 on, where one file holds the source and the
references. Real files are not always well-formed (bare ampersands occur), so no XML parser is used.
"""

import codecs
import html.entities
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from common.files import UserError
from text.lines import ByteStream

LARGEST_FILE = 1 << 26  # bytes; a test set has a few thousand segments

TOKEN = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[(?P<literal>.*?)\]\]>|<![A-Za-z][^>]*>"
    r"|<(?P<close>/?)(?P<tag>[A-Za-z][\w:.-]*)(?P<attributes>(?:\s[^<>]*)?)/?>",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]*);")
ENCODING = re.compile(rb"""^\s*<\?xml[^>]*\bencoding\s*=\s*["']([\w.:-]+)["']""")
SETS = {"srcset", "refset", "tstset"}
SIDES = {"src", "ref", "hyp"}
# Elements that hold segments and other elements, but no text of their own.
STRUCTURE = SETS | SIDES | {"mteval", "dataset", "collection", "doc", "p", "hl", "poster", "seg"}

Segments = dict[tuple[str, str], bytes]


class Side(NamedTuple):
    """The text of a file that a segment belongs to.

    `element` is src, ref or hyp in WMT's XML and empty in the other formats, where a file holds
    one text; `translator` distinguishes several references.
    """

    element: str = ""
    language: str = ""
    translator: str = ""


def unescape(text: str) -> str:
    """Replace entities that end in a semicolon; bare ampersands are not changed."""
    return ENTITY.sub(_character, text)


def _character(match: re.Match) -> str:
    name = match[1]
    if not name.startswith("#"):
        return html.entities.html5.get(name + ";", match[0])
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    if number == 0 or number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return "\ufffd"  # no character has this number
    return chr(number)


def one_line(text: str) -> bytes:
    """The text of an element as one line of UTF-8.

    Bytes that are not UTF-8 are not changed; cleaning counts and drops their pairs.
    """
    return " ".join(unescape(text).split()).encode("utf-8", "surrogateescape")


def read_segments(stream: ByteStream, name: str, language: str | None = None) -> Segments:
    """Read the segments of one file in one language.

    Parameters
    ----------
    stream
        The bytes of the file; test sets are small, so they are read at once.
    name
        The file's name, for messages.
    language
        Such as "de". In WMT's XML it selects the source or a reference; of several references the
        first translator's is read. It is ignored for files with one text.

    Returns
    -------
    dict
        (document, segment) to the text: one line in UTF-8, with entities replaced. In the order of
        the file.

    Raises
    ------
    UserError
        If mark-up cannot be read or is not closed, a segment has no id, an id occurs twice, or
        there is text outside the segments (the message gives the line); if there is no segment or
        no text in the language, or the file is larger than any test set.
    """
    content = _whole(stream)
    if len(content) > LARGEST_FILE:
        raise UserError(f"{name} has more than {LARGEST_FILE} bytes: it is no test set.")
    sides = _Scanner(_decode(content, name), name).scan()
    if not sides:
        raise UserError(
            f"{name} has no <seg> elements: it is not a test set in the mark-up of WMT or IWSLT."
        )
    return sides[_choose(sides, name, language)]


def _whole(stream: ByteStream) -> bytes:
    """All bytes of a stream, or one more than `LARGEST_FILE`; a single read may return less."""
    content = bytearray()
    while len(content) <= LARGEST_FILE:
        block = stream.read(LARGEST_FILE + 1 - len(content))
        if not block:
            break
        content += block
    return bytes(content)


def _decode(content: bytes, name: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    stated = ENCODING.match(content)
    encoding = stated[1].decode() if stated else "utf-8"
    try:
        if codecs.lookup(encoding).name in ("utf-8", "ascii"):
            return content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        return content.decode(encoding)
    except (LookupError, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}: it says that its encoding is {encoding}, but cannot be read so ({error}). "
            "Convert it to UTF-8, or correct what it says."
        ) from None


def _choose(sides: dict[Side, Segments], name: str, language: str | None) -> Side:
    """The text in a language: the source if it has this language, else the first reference."""
    if list(sides) == [Side()]:
        return Side()
    fitting = [
        side
        for side in sides
        if side.element in ("src", "ref")
        and re.split("[-_]", side.language.lower())[0] == (language or "").lower()
    ]
    if not fitting:
        known = ", ".join(f"{side.element or 'text'} {side.language}".strip() for side in sides)
        raise UserError(
            f"{name} has no text in the language {language}; it has: {known}. Correct the "
            "languages of the corpus or the member of the source."
        )
    return min(fitting, key=lambda side: side.element != "src")


class _Scanner:
    """Scans the mark-up of one file and collects its segments.

    Parameters
    ----------
    content : str
    name : str
        For messages.
    """

    def __init__(self, content: str, name: str) -> None:
        self._content, self._name = content, name
        self._document, self._side = "", Side()
        self._segment: str | None = None  # id of the open segment
        self._opened = 0  # position where it was opened
        self._text: list[str] = []
        self._stray: int | None = None  # position of text outside of segments
        self._sides: dict[Side, Segments] = {}

    def scan(self) -> dict[Side, Segments]:
        """The segments of every side."""
        end, may_hold_text = 0, False
        for match in TOKEN.finditer(self._content):
            self._take_text(end, match.start(), may_hold_text)
            end = match.end()
            if match["literal"] is not None:
                # Escape the text, so that replacing entities later leaves it unchanged.
                self._text.append(match["literal"].replace("&", "&amp;"))
            elif match["tag"]:
                tag = match["tag"].lower()
                may_hold_text = not match["close"] and tag not in STRUCTURE
                self._take_tag(tag, match)
        if self._segment is not None:
            self._refuse(self._opened, f"segment {self._segment} has no </seg>")
        self._take_text(end, len(self._content), False)
        if self._sides and self._stray is not None:
            text = self._content[self._stray :].split("<")[0].strip()
            self._refuse(self._stray, f"text outside the segments: {text[:40]!r}")
        return self._sides

    def _take_text(self, start: int, end: int, may_hold_text: bool) -> None:
        text = self._content[start:end]
        if self._segment is not None:
            self._text.append(text)
        elif not may_hold_text and text.strip() and self._stray is None:
            self._stray = start + len(text) - len(text.lstrip())

    def _take_tag(self, tag: str, match: re.Match) -> None:
        place, closes = match.start(), bool(match["close"])
        if self._segment is not None:
            if tag == "seg" and closes:
                self._end_segment(place)
                return
            if tag in STRUCTURE:
                self._refuse(self._opened, f"segment {self._segment} has no </seg>")
            self._refuse(place, f"<{tag}> inside a segment, where only text is read")
        if tag == "seg":
            if closes:
                self._refuse(place, "</seg> without <seg>")
            self._segment = self._attribute(match, "id")
            self._opened, self._text = place, []
            if match[0].endswith("/>"):
                self._end_segment(place)
        elif tag == "doc" and not closes:
            # The attribute is docid in WMT's SGML and id in WMT's XML.
            self._document = self._attribute(match, "docid", "id")
        elif tag in SIDES:
            found = _attributes(match["attributes"])
            translator = found.get("translator", found.get("system", ""))
            self._side = Side() if closes else Side(tag, found.get("lang", ""), translator)

    def _end_segment(self, place: int) -> None:
        segments = self._sides.setdefault(self._side, {})
        key = (self._document, self._segment or "")
        if key in segments:
            self._refuse(self._opened, f"segment {key[1]} of document {key[0]} occurs twice")
        segments[key] = one_line("".join(self._text))
        self._segment = None

    def _attribute(self, match: re.Match, *names: str) -> str:
        found = _attributes(match["attributes"])
        for name in names:
            if name in found:
                return found[name]
        self._refuse(match.start(), f"an element has no {names[0]}: {match[0][:60]}")

    def _refuse(self, place: int, problem: str) -> NoReturn:
        line = self._content.count("\n", 0, place) + 1
        raise UserError(f"{self._name}, line {line}: {problem}. Correct the file.")


def _attributes(text: str) -> dict[str, str]:
    found = ATTRIBUTE.finditer(text)
    return {match[1].lower(): match[2] or match[3] or match[4] or "" for match in found}


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
