"""The training text of IWSLT: one sentence per line, with lines of mark-up between them."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple, NoReturn

from common.files import UserError
from text.lines import BLOCK, ByteStream, LineError
from text.markup import one_line

# Tags of lines with metadata of a talk, such as its address, speaker and translator.
LEFT_OUT = {
    *("url", "talkid", "keywords", "speaker", "reviewer", "translator", "doc", "transcript"),
    *("file", "head", "content", "lang", "dtime", "videourl", "videopath", "date", "wordnum"),
}
# Tags around sentences, such as titles.
UNPACKED = {"title", "description"}
# Tags at the beginning of a talk; a file has all of them or none.
TALK_STARTS = {"doc", "url", "talkid"}

FIRST_TAG = re.compile(r"\s*<(/?)([A-Za-z][\w:.-]*)(?:\s[^<>]*)?/?>")
ANY_TAG = re.compile(rf"</?({'|'.join(sorted(LEFT_OUT | UNPACKED | {'seg'}))})(\s[^<>]*)?/?>", re.I)


class Landmark(NamedTuple):
    """A tag that both sides must have before or around the same sentence.

    `sentence` is the number of sentences before it; `line` is its line in the file, from 1.
    """

    sentence: int
    tag: str
    line: int


class TaggedLines:
    """A stream of the sentences in a train.tags file, a line each.

    Parameters
    ----------
    stream
        The bytes of the file.
    name
        Its name, for messages.

    Attributes
    ----------
    landmarks : list of Landmark
        The landmarks read so far; both sides of a text must have the same.
    """

    def __init__(self, stream: ByteStream, name: str) -> None:
        self._stream, self._name = stream, name
        self._rest, self._line, self._sentences = b"", 0, 0
        self._ended = False
        self.landmarks: list[Landmark] = []

    def read(self, size: int = BLOCK) -> bytes:
        """Sentences in about the next `size` bytes; empty only at the end of the stream.

        Raises
        ------
        UserError
            If mark-up is unknown or not closed; gives the line.
        """
        sentences = b""
        while not sentences and not self._ended:
            block = self._stream.read(size)
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            if not block:
                self._ended = True
                lines += [self._rest] if self._rest else []
            sentences = b"".join(map(self._sentence, lines))
            if len(self._rest) > BLOCK:
                self._line += 1
                self._refuse(f"a line of more than {BLOCK} bytes")
        return sentences

    def _sentence(self, line: bytes) -> bytes:
        """The sentence in a line, with its line feed; empty if the line has no sentence."""
        self._line += 1
        text = line.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
        match = FIRST_TAG.match(text)
        tag = match[2].lower() if match else ""
        if match and not match[1] and tag in TALK_STARTS | UNPACKED:
            self.landmarks.append(Landmark(self._sentences, tag, self._line))
        if match and tag in LEFT_OUT:
            self._check_left_out(text, tag, match)
            return b""
        if tag in UNPACKED:
            inside = re.fullmatch(rf"<{tag}(?:\s[^<>]*)?>(.*)</{tag}\s*>", text, re.IGNORECASE)
            text = inside[1] if inside else self._refuse(f"<{tag}> is not closed on its line")
        elif match and (match.end() == len(text) or text.lower().endswith(f"</{tag}>")):
            self._refuse(f"unknown mark-up: {text[:60]}")
        if ANY_TAG.search(text):
            self._refuse(f"mark-up in the middle of a line: {text[:60]}")
        self._sentences += 1
        return one_line(text) + b"\n"

    def _check_left_out(self, text: str, tag: str, match: re.Match) -> None:
        after = text[match.end() :].lower()
        inside, closing = after.removesuffix(f"</{tag}>"), after.endswith(f"</{tag}>")
        if after and (not closing or ANY_TAG.search(inside)):
            self._refuse(f"<{tag}> is not the only element of its line: {text[:60]}")

    def _refuse(self, problem: str) -> NoReturn:
        raise UserError(f"{self._name}, line {self._line}: {problem}. Correct the file.")


def check_landmarks(sides: Sequence[TaggedLines], names: Sequence[str]) -> None:
    """Check that talks, titles and descriptions begin at the same sentences of both sides.

    Raises
    ------
    LineError
        If they do not: the sides are misaligned. Gives the lines of the first difference.
    """
    for tag in sorted(TALK_STARTS | UNPACKED):
        first, second = ([mark for mark in side.landmarks if mark.tag == tag] for side in sides)
        if tag in TALK_STARTS and not (first and second):
            continue
        for one, other in zip_longest(first, second):
            if one is None or other is None or one.sentence != other.sentence:
                places = ", ".join(
                    f"{name}, line {mark.line}, before sentence {mark.sentence + 1}"
                    if mark
                    else f"{name}, nowhere"
                    for name, mark in zip(names, (one, other))
                )
                raise LineError(
                    f"the two sides have <{tag}> at different places ({places}): a line is "
                    "missing on one of them. Correct the files."
                )
