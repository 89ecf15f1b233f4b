"""The words of the artificial languages, and which words are usual together.

All four languages take their stems from one list, as if all were loan words. Nothing here depends
on the seed of a text, so that text of one seed can test a model trained on text of another.
"""

import random
from typing import NamedTuple

import numpy as np

LEXICON_SEED = 20220
TOPICS = 6
PERSON, THING, PLACE = CLASSES = range(3)
NOUNS_PER_CELL = 6  # nouns of one class in one topic, from frequent to rare
VERBS_PER_TOPIC = 6  # from frequent to rare; the last but one takes no object
NOUNS = TOPICS * len(CLASSES) * NOUNS_PER_CELL
VERBS = TOPICS * VERBS_PER_TOPIC
ADJECTIVES, ADVERBS, TIMES = 24, 8, 6
KINDS = {"noun": NOUNS, "verb": VERBS, "adjective": ADJECTIVES, "adverb": ADVERBS, "time": TIMES}
USUAL = 2  # number of usual adjectives of a noun, and of usual adverbs of a verb
USUAL_OBJECTS = 3
ONSETS = [*"bdfghklmnprstv", *(a + b for a in "bfgkp" for b in "lr"), "dr", "sl", "sp", "st", "tr"]
VOWELS = "aeiou"
CODAS = "bdfgklmnprst"


class Concepts(NamedTuple):
    """Properties of every noun or verb: arrays of numbers of concepts, or of bool."""

    gender: np.ndarray  # (NOUNS,) grammatical gender 0, 1, 2, where a language has it
    adjectives: np.ndarray  # (NOUNS, USUAL) from usual to rare
    objects: np.ndarray  # (VERBS, USUAL_OBJECTS) from usual to rare
    adverbs: np.ndarray  # (VERBS, USUAL) from usual to rare
    is_transitive: np.ndarray  # (VERBS,) bool


def noun_cell(topic, noun_class: int):
    """Number of the first noun of a class in a topic (a number or an array)."""
    return (topic * len(CLASSES) + noun_class) * NOUNS_PER_CELL


def make_concepts() -> Concepts:
    """Draw the properties of all nouns and verbs; the same in every call."""
    generator = random.Random(LEXICON_SEED)

    def draw(number: int, size: int, first: int = 0) -> list[int]:
        # Only random() is the same in every version of Python.
        return sorted(range(first, first + size), key=lambda _: generator.random())[:number]

    things = [noun_cell(verb // VERBS_PER_TOPIC, THING) for verb in range(VERBS)]
    return Concepts(
        gender=np.array([draw(1, 3)[0] for _ in range(NOUNS)]),
        adjectives=np.array([draw(USUAL, ADJECTIVES) for _ in range(NOUNS)]),
        objects=np.array([draw(USUAL_OBJECTS, NOUNS_PER_CELL, first) for first in things]),
        adverbs=np.array([draw(USUAL, ADVERBS) for _ in range(VERBS)]),
        is_transitive=np.arange(VERBS) % VERBS_PER_TOPIC != VERBS_PER_TOPIC - 2,
    )


def make_stems() -> dict[str, list[str]]:
    """The stems of all concepts by kind of word: different syllables, the same in every call."""
    generator = random.Random(LEXICON_SEED + 1)
    syllables = [onset + vowel + coda for onset in ONSETS for vowel in VOWELS for coda in CODAS]
    drawn = iter(sorted(syllables, key=lambda _: generator.random()))
    return {kind: [next(drawn) for _ in range(number)] for kind, number in KINDS.items()}
