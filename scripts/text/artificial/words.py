"""Words of sentences and the relations between them, written as text and as CoNLL-U."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Slot(NamedTuple):
    """A place in the order of words, where each of many sentences has one word or none.

    Slots may share a name if no sentence has words in two of them. Tags and relations are those
    of Universal Dependencies.
    """

    name: str
    words: np.ndarray  # (sentences,) strings, empty where a sentence has no word here
    tag: str
    relation: str
    head: str  # name of the slot that the relation leads to; empty for the root


def write_lines(slots: Sequence[Slot]) -> list[str]:
    """Sentences as text, one line each, from slots in the order of their words."""
    words = np.stack([slot.words for slot in slots], axis=1).tolist()
    lines = (" ".join(filter(None, sentence)) for sentence in words)
    return [line.replace(" ,", ",").replace(" .", ".") + "\n" for line in lines]


def write_conllu(slots: Sequence[Slot]) -> Iterator[str]:
    """Sentences as CoNLL-U, each with its text, its words and an empty line.

    Of the ten columns ID, FORM, UPOS, HEAD and DEPREL are filled, and SpaceAfter in MISC.
    """
    words = np.stack([slot.words for slot in slots], axis=1)
    is_word = words != ""
    numbers = np.where(is_word, np.cumsum(is_word, axis=1), 0)
    number_of = {"": np.zeros(len(words), dtype=np.intp)}
    for slot, number in zip(slots, numbers.T):
        number_of[slot.name] = number_of.get(slot.name, 0) + number
    heads = np.stack([number_of[slot.head] for slot in slots], axis=1)
    for sentence, line in enumerate(write_lines(slots)):
        rows: list[str] = []
        # From the last word to the first, since the spaces stand with the word before.
        space = "_"
        for place in reversed(np.flatnonzero(is_word[sentence])):
            slot = slots[place]
            rows.append(
                f"{numbers[sentence, place]}\t{words[sentence, place]}\t_\t{slot.tag}\t_\t_\t"
                f"{heads[sentence, place]}\t{slot.relation}\t_\t{space}\n"
            )
            space = "SpaceAfter=No" if slot.tag == "PUNCT" else "_"
        yield f"# text = {line}{''.join(reversed(rows))}\n"
