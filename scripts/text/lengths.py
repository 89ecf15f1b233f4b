"""Length of a sentence in words, or in characters for languages without spaces between words."""

import re
from collections.abc import Iterable, Mapping, Sequence

WORDS, CHARACTERS, BY_SCRIPT = "words", "characters", "script"
UNITS = (WORDS, CHARACTERS)

# Scripts without spaces between words. From Unicode's Blocks: Thai to Myanmar, Khmer, the Tai
# scripts, Balinese and Javanese, kana and Bopomofo, Han, Yi.
_BLOCKS = (
    "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff"
    "\uaa60-\uaa7f\u3005-\u3007\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua4cf\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{_BLOCKS}]")
# \w matches letters and digits but no vowel signs, which belong to the preceding letter.
_UNSPACED_LETTER = re.compile(rf"(?=\w)[{_BLOCKS}]")
_ASCII = bytes(range(0x80))


def sentence_length(text: str, unit: str = BY_SCRIPT) -> int:
    """The length of a sentence whose words are separated by single spaces.

    Parameters
    ----------
    text
        One clean line.
    unit
        "words" counts words separated by spaces, "characters" all characters but spaces. "script"
        counts words, but in scripts without spaces between words it counts every letter.
    """
    if unit == WORDS:
        return text.count(" ") + 1
    if unit == CHARACTERS:
        return len(text) - text.count(" ")
    if text.isascii() or not _UNSPACED.search(text):
        return text.count(" ") + 1
    spaced = _UNSPACED.sub(" ", text).split()
    words = sum(any(map(str.isalnum, word)) for word in spaced)
    return max(len(_UNSPACED_LETTER.findall(text)) + words, 1)


def unit_of_batch(lines: Iterable[str | None], unit: str) -> str:
    """The unit for these lines: "words" instead of "script" if both give the same lengths.

    "words" is faster. Lines that could not be read are None.
    """
    if unit != BY_SCRIPT:
        return unit
    text = "".join(line for line in lines if line)
    rare = "".join(set(text.encode().translate(None, _ASCII).decode()))
    return BY_SCRIPT if _UNSPACED.search(rare) else WORDS


def units_of(lengths: Mapping[str, str], languages: Sequence[str]) -> tuple[str, str]:
    """The units of both sides of a text: the configured ones, by default "script"."""
    first, second = (lengths.get(language, BY_SCRIPT) for language in languages)
    return first, second
