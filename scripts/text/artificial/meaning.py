"""Sentences as meanings, before they are put into the words of a language.

Meanings have regularities that a model can learn: sentences of a document share a topic, verbs
have usual objects and adverbs, nouns have usual adjectives. All arrays have shape (sentences,) and
hold numbers of concepts, or `ABSENT` where a sentence has no such part.
"""

from typing import NamedTuple

import numpy as np

from text.artificial import lexicon
from text.artificial.lexicon import USUAL, Concepts, noun_cell

ABSENT = -1
DEFINITE, INDEFINITE, THIS = range(3)
CONJUNCTIONS = 3  # because, although, if
# From the most frequent topic to the rarest: two are shared, and each domain has two of its own.
DOMAINS = {"parliament": (0, 1, 2, 3), "news": (1, 2, 5, 4)}
SENTENCES_PER_DOCUMENT = 10


class NounPhrase(NamedTuple):
    """A noun with its number, determiner and adjective."""

    noun: np.ndarray
    plural: np.ndarray  # 0 or 1
    determiner: np.ndarray
    adjective: np.ndarray


class Clause(NamedTuple):
    """Subject, verb, object, place and adverb of a clause."""

    pronoun: np.ndarray  # 0 he, 1 they; absent where the subject is a noun
    subject: NounPhrase
    verb: np.ndarray
    plural: np.ndarray  # 0 or 1, of subject and verb
    past: np.ndarray  # 0 or 1
    object: NounPhrase
    place: NounPhrase
    adverb: np.ndarray


class Sentences(NamedTuple):
    """A main clause, perhaps with a time before it and a subordinate clause behind it."""

    time: np.ndarray
    main: Clause
    conjunction: np.ndarray  # absent where the subordinate clause is to be left out
    subordinate: Clause


class Draw:
    """Draws the parts of `size` sentences."""

    def __init__(self, generator: np.random.Generator, size: int, concepts: Concepts):
        self.generator, self.size, self.concepts = generator, size, concepts

    def chance(self, probability: float) -> np.ndarray:
        """True with the given probability."""
        return self.generator.random(self.size) < probability

    def rank(self, number: int) -> np.ndarray:
        """Numbers from 0 to `number` - 1 by Zipf's law: n with a weight of 1 / (n + 1)."""
        weights = np.cumsum(1 / np.arange(1, number + 1))
        return np.searchsorted(weights / weights[-1], self.generator.random(self.size))

    def phrase(self, present: np.ndarray, noun: np.ndarray, determiner: int) -> NounPhrase:
        """Noun phrases, where they are present."""
        adjective = self.concepts.adjectives[noun, self.rank(USUAL)]
        return NounPhrase(
            noun=_only(present, noun),
            plural=self.chance(0.3).astype(np.intp),
            determiner=_only(present, np.where(self.chance(0.15), THIS, determiner)),
            adjective=_only(present & self.chance(0.25), adjective),
        )

    def clause(self, topic: np.ndarray, past: np.ndarray, pronoun: np.ndarray) -> Clause:
        """Clauses about topics."""
        verb = topic * lexicon.VERBS_PER_TOPIC + self.rank(lexicon.VERBS_PER_TOPIC)
        person, any_thing, place = (
            noun_cell(topic, kind) + self.rank(lexicon.NOUNS_PER_CELL) for kind in lexicon.CLASSES
        )
        usual_thing = self.concepts.objects[verb, self.rank(lexicon.USUAL_OBJECTS)]
        thing = np.where(self.chance(0.8), usual_thing, any_thing)
        is_transitive = self.concepts.is_transitive[verb]
        subject = self.phrase(pronoun == ABSENT, person, DEFINITE)
        adverb = self.concepts.adverbs[verb, self.rank(USUAL)]
        return Clause(
            pronoun=pronoun,
            subject=subject,
            verb=verb,
            plural=np.where(pronoun == ABSENT, subject.plural, pronoun),
            past=past,
            object=self.phrase(is_transitive, thing, INDEFINITE),
            place=self.phrase(~is_transitive | self.chance(0.08), place, DEFINITE),
            adverb=_only(self.chance(0.15), adverb),
        )


def draw_sentences(
    generator: np.random.Generator, size: int, domain: str, concepts: Concepts
) -> Sentences:
    """Draw the meanings of `size` sentences in a row; the first one starts a document."""
    draw = Draw(generator, size, concepts)
    topics = np.array(DOMAINS[domain])
    starts = np.arange(size) // SENTENCES_PER_DOCUMENT * SENTENCES_PER_DOCUMENT
    topic = topics[draw.rank(len(topics))][starts]
    past = draw.chance(0.4).astype(np.intp)
    return Sentences(
        # Times with an odd number are in the past.
        time=_only(draw.chance(0.1), 2 * draw.rank(lexicon.TIMES // 2) + past),
        main=draw.clause(topic, past, _only(draw.chance(0.2), draw.rank(2))),
        conjunction=_only(draw.chance(0.08), draw.rank(CONJUNCTIONS)),
        subordinate=draw.clause(topic, past, draw.rank(2)),
    )


def _only(condition: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.where(condition, numbers, ABSENT)
