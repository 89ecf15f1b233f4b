"""Sentences as meanings, before they are put into words of any language.

What can be learnt from the text lies here: sentences of a document share a topic and favour the
same nouns, a subject often takes up the object of the sentence before, verbs choose the class
of their subject and object and their preposition, nouns choose their adjectives.
All arrays have shape (sentences,).
"""

from typing import NamedTuple

import numpy as np

from text.artificial.concepts import (
    CELL,
    CLASSES,
    GENERAL,
    PERSON,
    TIMES,
    TOPICS,
    VERBS_PER_ROW,
    Concepts,
    noun_cell,
)

DEFINITE, INDEFINITE, THIS, OUR = range(4)
# Persons, as verbs inflect for them: I, he, we, they.
FIRST, THIRD, FIRST_PLURAL, THIRD_PLURAL = range(4)
PRESENT, PAST, FUTURE, ABILITY = range(4)
NO_CONJUNCTION, BECAUSE, ALTHOUGH, IF, AND, BUT = range(-1, 5)
ABSENT = -1
DOMAINS = {"parliament": range(18), "news": range(6, TOPICS)}


class NounPhrase(NamedTuple):
    """A noun and what belongs to it; `ABSENT` where it has no such part."""

    present: np.ndarray  # bool
    noun: np.ndarray
    plural: np.ndarray  # 0 or 1
    determiner: np.ndarray
    adjective: np.ndarray
    modifier: np.ndarray  # first part of a compound
    owner: np.ndarray  # noun in the genitive
    owner_plural: np.ndarray


class Clause(NamedTuple):
    """Who does what to whom, where and how."""

    present: np.ndarray  # bool
    pronoun: np.ndarray  # person where the subject is a pronoun, else `ABSENT`
    person: np.ndarray  # person of the verb
    subject: NounPhrase
    verb: np.ndarray
    tense: np.ndarray
    negated: np.ndarray  # bool
    object: NounPhrase
    relation: np.ndarray
    place: NounPhrase
    adverb: np.ndarray


class Sentences(NamedTuple):
    """A main clause, perhaps with a time before it and a second clause behind it."""

    time: np.ndarray
    main: Clause
    conjunction: np.ndarray  # `NO_CONJUNCTION` where there is no second clause
    second: Clause


class Draw:
    """Draws from the distributions that all of the text shares.

    Parameters
    ----------
    generator
        Source of all randomness.
    size
        Number of sentences.
    """

    def __init__(self, generator: np.random.Generator, size: int):
        self.generator = generator
        self.size = size

    def chance(self, probability) -> np.ndarray:
        """Return bool of shape (sentences,), True with the given probability."""
        return self.generator.random(self.size, dtype=np.float32) < probability

    def rank(self, number: int, size: int | None = None) -> np.ndarray:
        """Return ranks in 0..number-1, with Zipf's distribution."""
        weights = 1.0 / np.arange(1, number + 1)
        # A table of 4096 entries is quicker than a search for each draw.
        table = np.searchsorted(np.cumsum(weights) / weights.sum(), np.arange(4096) / 4096)
        draws = self.generator.random(size or self.size, dtype=np.float32)
        return table[(draws * 4096).astype(np.intp)]

    def optional(self, probability: float, values: np.ndarray) -> np.ndarray:
        """Return `values`, or `ABSENT` where the draw fails."""
        return np.where(self.chance(probability), values, ABSENT)


def draw_sentences(
    generator: np.random.Generator, size: int, domain: str, concepts: Concepts
) -> Sentences:
    """Draw the meanings of `size` consecutive sentences, in documents of about 20.

    Parameters
    ----------
    generator
        Source of all randomness.
    size
        Number of sentences; the first starts a document.
    domain
        One of `DOMAINS`: they share topics and the general words, and each has its own topics.
    concepts
        What goes with what.
    """
    draw = Draw(generator, size)
    topics = np.array(DOMAINS[domain])
    if domain == "news":
        topics = topics[::-1]  # what news has of its own is the most frequent in it
    starts = draw.chance(0.05)
    document = np.cumsum(starts)
    documents = int(document[-1]) + 1
    # A power above 1 makes the first topics the frequent ones.
    topic_of_document = topics[(generator.random(documents) ** 1.5 * len(topics)).astype(int)]
    stray = topics[(generator.random(size) * len(topics)).astype(int)]
    topic = np.where(draw.chance(0.9), topic_of_document[document], stray)
    favourites = draw.rank(CELL, documents * CLASSES).reshape(documents, CLASSES)[document]
    context = (draw, concepts, topic, favourites)
    main = _draw_clause(context, np.ones(size, dtype=bool), pronouns=0.2)
    main = _take_up(draw, main, starts)
    conjunction = draw.optional(0.4, draw.rank(BUT + 1))
    second = _draw_clause(context, conjunction != NO_CONJUNCTION, pronouns=0.4)
    time = draw.optional(0.2, (draw.rank(TIMES // 4) * 4 + main.tense) % TIMES)
    return Sentences(time, main, conjunction, second)


def _take_up(draw: Draw, clause: Clause, starts: np.ndarray) -> Clause:
    """Let some subjects be the noun that was the object of the sentence before."""
    before = np.roll(clause.object.noun, 1)
    known = np.roll(clause.object.present, 1) & ~starts
    known[0] = False
    taken = known & draw.chance(0.3)
    subject = clause.subject
    noun = np.where(taken, before, subject.noun)
    determiner = np.where(taken, THIS, subject.determiner)
    unchanged = ~taken
    subject = subject._replace(
        noun=noun,
        determiner=determiner,
        adjective=np.where(unchanged, subject.adjective, ABSENT),
        modifier=np.where(unchanged, subject.modifier, ABSENT),
    )
    return clause._replace(subject=subject)


def _draw_clause(context, present: np.ndarray, pronouns: float) -> Clause:
    draw, concepts, topic, _ = context
    row = np.where(draw.chance(0.2), GENERAL, topic)
    verb = row * VERBS_PER_ROW + draw.rank(VERBS_PER_ROW)
    pronoun = draw.optional(pronouns, draw.rank(4))
    subject = _draw_noun_phrase(context, present & (pronoun == ABSENT), concepts.subject[verb])
    person = np.where(pronoun != ABSENT, pronoun, np.where(subject.plural, THIRD_PLURAL, THIRD))
    has_object = concepts.is_transitive[verb]
    has_place = draw.chance(0.45) | ~has_object
    usual = draw.chance(0.75)
    relation = np.where(usual, concepts.relation[verb], draw.rank(10))
    return Clause(
        present=present,
        pronoun=np.where(present, pronoun, ABSENT),
        person=person,
        subject=subject,
        verb=verb,
        tense=draw.rank(4),
        negated=draw.chance(0.1),
        object=_draw_noun_phrase(context, present & has_object, concepts.object[verb]),
        relation=relation,
        place=_draw_noun_phrase(context, present & has_place, concepts.place[verb]),
        adverb=draw.optional(0.2, concepts.adverbs[verb, draw.rank(4)]),
    )


def _draw_noun_phrase(context, present: np.ndarray, noun_class: np.ndarray) -> NounPhrase:
    draw, concepts, topic, favourites = context
    row = np.where(draw.chance(0.25), GENERAL, topic)
    favourite = favourites[np.arange(draw.size), noun_class]
    rank = np.where(draw.chance(0.35), favourite, draw.rank(CELL))
    noun = noun_cell(row, noun_class) + rank
    determiner = np.where(draw.chance(0.6), DEFINITE, 1 + draw.rank(3))
    owner_class = np.where(draw.chance(0.5), PERSON, (noun_class + 2) % CLASSES)
    return NounPhrase(
        present=present,
        noun=noun,
        plural=draw.chance(0.3).astype(np.intp),
        determiner=determiner,
        adjective=draw.optional(0.35, concepts.adjectives[noun, draw.rank(8)]),
        modifier=draw.optional(0.15, concepts.modifiers[noun, draw.rank(4)]),
        owner=draw.optional(0.12, noun_cell(topic, owner_class) + draw.rank(CELL)),
        owner_plural=draw.chance(0.3).astype(np.intp),
    )
