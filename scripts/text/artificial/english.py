"""The artificial English: articles, little inflection, subject before verb before object."""

import numpy as np

from text.artificial.concepts import Concepts
from text.artificial.forms import NONE, Forms, select
from text.artificial.meaning import (
    ABILITY,
    ABSENT,
    FUTURE,
    INDEFINITE,
    PAST,
    THIRD,
    Clause,
    NounPhrase,
    Sentences,
)

RELATIONS = ["in", "from", "to", "on", "about", "with", "against", "for", "after", "without"]
CONJUNCTIONS = ["because", "although", "if", "and", "but"]
PRONOUNS = ["I", "he", "we", "they"]
DETERMINERS = (("the", "the"), ("a", ""), ("this", "these"), ("our", "our"))
SIBILANTS = ("s", "x", "sh", "ch", "z")


class English:
    """Puts meanings into the artificial English."""

    def __init__(self, stems: dict[str, list[str]], concepts: Concepts):
        self.forms = forms = Forms()
        self.nouns = forms.table([(stem, _with_s(stem)) for stem in stems["noun"]])
        self.verbs = forms.table([(v, _with_s(v), v + "ed") for v in stems["verb"]])
        self.adjectives = forms.table(stems["adjective"])
        self.adverbs = forms.table(stems["adverb"])
        self.times = forms.table(stems["time"])
        self.relations = forms.table(RELATIONS)
        self.conjunctions = forms.table(CONJUNCTIONS)
        self.pronouns = forms.table(PRONOUNS)
        self.determiners = forms.table(DETERMINERS)
        self.auxiliaries = forms.table(("do", "does", "did", "will", "can"))
        self.not_, self.of, self.the, self.an = (forms.add(w) for w in ("not", "of", "the", "an"))
        self.comma = forms.add(",")
        forms.complete()

    def columns(self, sentences: Sentences) -> list[np.ndarray]:
        """Return the words of sentences in their order; see `Forms.text`."""
        comma = self.comma + self.forms.joined
        has_time = sentences.time != ABSENT
        joins = sentences.conjunction != ABSENT
        return [
            select(has_time, self.times[sentences.time]),
            select(has_time, comma),
            *self._clause(sentences.main),
            select(joins, comma),
            select(joins, self.conjunctions[sentences.conjunction]),
            *self._clause(sentences.second),
        ]

    def _clause(self, clause: Clause) -> list[np.ndarray]:
        present, tense = clause.present, clause.tense
        is_third = clause.person == THIRD
        modal = (tense == FUTURE) | (tense == ABILITY)
        # Both the verb forms (base, -s, -ed) and do, does, did are counted 0, 1, 2.
        inflection = np.where(tense == PAST, 2, is_third)
        auxiliary = np.where(modal, tense + 1, inflection)
        has_auxiliary = modal | clause.negated
        verb = self.verbs[clause.verb, np.where(has_auxiliary, 0, inflection)]
        return [
            select(present & (clause.pronoun != ABSENT), self.pronouns[clause.pronoun]),
            *self._noun_phrase(clause.subject),
            select(present & has_auxiliary, self.auxiliaries[auxiliary]),
            select(present & clause.negated, self.not_),
            select(present, verb),
            *self._noun_phrase(clause.object),
            select(clause.place.present, self.relations[clause.relation]),
            *self._noun_phrase(clause.place),
            select(present & (clause.adverb != ABSENT), self.adverbs[clause.adverb]),
        ]

    def _noun_phrase(self, phrase: NounPhrase) -> list[np.ndarray]:
        present = phrase.present
        noun = self.nouns[phrase.noun, phrase.plural]
        modifier = np.where(phrase.modifier != ABSENT, self.nouns[phrase.modifier, 0], NONE)
        adjective = np.where(phrase.adjective != ABSENT, self.adjectives[phrase.adjective], NONE)
        following = np.where(modifier != NONE, modifier, noun)
        following = np.where(adjective != NONE, adjective, following)
        determiner = self.determiners[phrase.determiner, phrase.plural]
        is_an = (phrase.determiner == INDEFINITE) & (phrase.plural == 0)
        is_an &= self.forms.starts_with_vowel[following]
        owned = present & (phrase.owner != ABSENT)
        return [
            select(present, np.where(is_an, self.an, determiner)),
            select(present, adjective),
            select(present, modifier),
            select(present, noun),
            select(owned, self.of),
            select(owned, self.the),
            select(owned, self.nouns[phrase.owner, phrase.owner_plural]),
        ]


def _with_s(stem: str) -> str:
    if stem.endswith(SIBILANTS):
        return stem + "es"
    if stem.endswith("y") and stem[-2] not in "aeiou":
        return stem[:-1] + "ies"
    return stem + "s"
