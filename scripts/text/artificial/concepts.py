"""The concepts that the artificial languages have words for, and what goes with what.

The languages are the same whatever the seed of a text, so that text of one seed can test a
model trained on another.
"""

import random
from typing import NamedTuple

import numpy as np

LEXICON_SEED = 20220

TOPICS = 24
GENERAL = TOPICS  # the row of the words that belong to no topic
ROWS = TOPICS + 1
CLASSES = 5
PERSON, INSTITUTION, OBJECT, QUALITY, PLACE = range(CLASSES)
CELL = 14  # nouns of one class in one topic, from frequent to rare
NOUNS = ROWS * CLASSES * CELL
VERBS_PER_ROW = 24
VERBS = ROWS * VERBS_PER_ROW
ADJECTIVES = 400
ADVERBS = 120
TIMES = 24
RELATIONS = 10


class Concepts(NamedTuple):
    """What goes with what, for every noun or verb: arrays of concept numbers, or of bool."""

    gender: np.ndarray  # (NOUNS,) grammatical gender 0, 1, 2, where a language has it
    adjectives: np.ndarray  # (NOUNS, 8) adjectives of a noun, from usual to rare
    modifiers: np.ndarray  # (NOUNS, 4) nouns that form compounds with a noun
    subject: np.ndarray  # (VERBS,) class of its subjects
    object: np.ndarray  # (VERBS,) class of its objects
    is_transitive: np.ndarray  # (VERBS,) bool
    is_partial: np.ndarray  # (VERBS,) bool: partitive object where a language has it
    relation: np.ndarray  # (VERBS,) the relation it goes with
    place: np.ndarray  # (VERBS,) class of the noun of that relation
    adverbs: np.ndarray  # (VERBS, 4) adverbs of a verb, from usual to rare


def noun_cell(row, noun_class):
    """Return the number of the first noun of a class in a topic (or `GENERAL`)."""
    return (row * CLASSES + noun_class) * CELL


def make_concepts() -> Concepts:
    """Draw what goes with what, always the same."""
    generator = random.Random(LEXICON_SEED)
    pools = np.arange(ADJECTIVES).reshape(CLASSES, -1)
    adjectives, modifiers = [], []
    for noun in range(NOUNS):
        row, noun_class = divmod(noun // CELL, CLASSES)
        adjectives.append(_sample(generator, pools[noun_class], 8))
        other = noun_cell(row, (noun_class + 1) % CLASSES)
        modifiers.append(_sample(generator, np.arange(other, other + CELL), 4))
    verbs = range(VERBS)
    return Concepts(
        gender=np.array([int(generator.random() * 3) for _ in range(NOUNS)]),
        adjectives=np.array(adjectives),
        modifiers=np.array(modifiers),
        subject=np.array([generator.random() > 0.65 for _ in verbs]).astype(np.int64),
        object=np.array([int(generator.random() * CLASSES) for _ in verbs]),
        is_transitive=np.array([generator.random() < 0.75 for _ in verbs]),
        is_partial=np.array([generator.random() < 0.4 for _ in verbs]),
        relation=np.array([int(generator.random() * RELATIONS) for _ in verbs]),
        place=np.array([int(1 + generator.random() * (CLASSES - 1)) for _ in verbs]),
        adverbs=np.array([_sample(generator, np.arange(ADVERBS), 4) for _ in verbs]),
    )


def _sample(generator: random.Random, pool: np.ndarray, number: int) -> list[int]:
    # Only random() is the same in every version of Python.
    return sorted((int(item) for item in pool), key=lambda _: generator.random())[:number]
