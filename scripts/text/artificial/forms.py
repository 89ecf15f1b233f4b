"""Word forms by number, so that sentences can be put together as arrays and written at once."""

from collections.abc import Iterable, Sequence

import numpy as np

NONE = -1


class Forms:
    """The word forms of one language.

    Every form has a number. For a word at the start of a sentence, or one joined to what stands
    before it, the number is that of the form plus `initial` or `joined`.
    """

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def add(self, form: str) -> int:
        """Return the number of a form, a new one if need be; `NONE` for the empty form."""
        if not form:
            return NONE
        return self._numbers.setdefault(form, len(self._numbers))

    def table(self, forms: Iterable) -> np.ndarray:
        """Return the numbers of nested sequences of forms, as an array of the same shape."""
        if isinstance(forms, str):
            return np.array(self.add(forms))
        return np.array([self.table(form) for form in forms])

    def complete(self) -> None:
        """End the adding of forms; `initial` and `joined` are known from here on."""
        self.initial = len(self._numbers)
        self.joined = 2 * self.initial
        words = list(self._numbers)
        self._bytes = np.array(
            [f" {word}".encode() for word in words]
            + [(word[0].upper() + word[1:]).encode() for word in words]
            + [word.lower().encode() for word in words]
            + [b".\n"],
            dtype=object,
        )
        self.starts_with_vowel = np.array([word[0].lower() in "aeiou" for word in words])

    def text(self, columns: Sequence[np.ndarray]) -> bytes:
        """Return the text of sentences, one line each, with a full stop and a line feed.

        Parameters
        ----------
        columns
            Numbers of forms, each of shape (sentences,), in the order of the words; `NONE` where
            a sentence has no such word.
        """
        end = np.full(len(columns[0]), len(self._bytes) - 1)
        numbers = np.stack([*columns, end], axis=1)
        is_word = numbers != NONE
        ends = np.cumsum(is_word.sum(axis=1))
        words = numbers[is_word]
        words[np.concatenate([[0], ends[:-1]])] += self.initial
        return b"".join(self._bytes[words].tolist())


def select(condition: np.ndarray, column) -> np.ndarray:
    """Return `column` where the condition holds, `NONE` elsewhere."""
    return np.where(condition, column, NONE)
