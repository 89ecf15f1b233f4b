"""The artificial German: gender and case on articles, compounds, the verb second or last."""

import numpy as np

from text.artificial.concepts import Concepts
from text.artificial.forms import Forms, select
from text.artificial.meaning import ABSENT, AND, FUTURE, PRESENT, Clause, NounPhrase, Sentences

NOMINATIVE, ACCUSATIVE, DATIVE, GENITIVE = range(4)
RELATIONS = ["in", "aus", "zu", "auf", "über", "mit", "gegen", "für", "nach", "ohne"]
RELATION_CASES = np.array([2, 2, 2, 2, 1, 2, 1, 1, 2, 1])
CONJUNCTIONS = ["weil", "obwohl", "wenn", "und", "aber"]
PRONOUNS = ["ich", "er", "wir", "sie"]
# By gender (the fourth is the plural) and case.
DEFINITE_ARTICLES = (
    ["der", "den", "dem", "des"],
    ["die", "die", "der", "der"],
    ["das", "das", "dem", "des"],
    ["die", "die", "den", "der"],
)
THIS_FORMS = (
    ["dieser", "diesen", "diesem", "dieses"],
    ["diese", "diese", "dieser", "dieser"],
    ["dieses", "dieses", "diesem", "dieses"],
    ["diese", "diese", "diesen", "dieser"],
)
EIN_ENDINGS = (
    ("", "en", "em", "es"),
    ("e", "e", "er", "er"),
    ("", "", "em", "es"),
    ("e", "e", "en", "er"),
)
ADJECTIVE_ENDINGS = ("e", "en", "er", "es")
WEAK = ((0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 1, 1), (1, 1, 1, 1))
MIXED = ((2, 1, 1, 1), (0, 0, 1, 1), (3, 3, 1, 1), (1, 1, 1, 1))
BARE = (*MIXED[:3], (0, 0, 1, 2))  # an indefinite plural has no article
# By determiner: definite, indefinite, this, our.
ENDING_OF_ADJECTIVE = np.array([WEAK, BARE, WEAK, MIXED])
AUXILIARIES = (("werde", "wird", "werden", "werden"), ("kann", "kann", "können", "können"))


class German:
    """Puts meanings into the artificial German."""

    def __init__(self, stems: dict[str, list[str]], concepts: Concepts):
        self.forms = forms = Forms()
        self.gender = concepts.gender
        self.nouns = forms.table(
            [_noun(stem, gender) for stem, gender in zip(stems["noun"], concepts.gender)]
        )
        self.verbs = forms.table([_verb(stem) for stem in stems["verb"]])
        self.infinitives = forms.table([stem + "en" for stem in stems["verb"]])
        self.adjectives = forms.table(
            [[stem + ending for ending in ADJECTIVE_ENDINGS] for stem in stems["adjective"]]
        )
        self.adverbs = forms.table(stems["adverb"])
        self.times = forms.table(stems["time"])
        self.relations = forms.table(RELATIONS)
        self.conjunctions = forms.table(CONJUNCTIONS)
        self.pronouns = forms.table(PRONOUNS)
        indefinite = [["ein" + ending for ending in row] for row in EIN_ENDINGS[:3]] + [[""] * 4]
        our = [["unser" + ending for ending in row] for row in EIN_ENDINGS]
        self.determiners = forms.table((DEFINITE_ARTICLES, indefinite, THIS_FORMS, our))
        self.auxiliaries = forms.table(AUXILIARIES)
        self.nicht, self.comma = forms.add("nicht"), forms.add(",")
        forms.complete()

    def columns(self, sentences: Sentences) -> list[np.ndarray]:
        """Return the words of sentences in their order; see `Forms.text`."""
        has_time = sentences.time != ABSENT
        joins = sentences.conjunction != ABSENT
        verb_is_last = joins & (sentences.conjunction < AND)
        never = np.zeros_like(has_time)
        return [
            select(has_time, self.times[sentences.time]),
            *self._clause(sentences.main, verb_is_first=has_time, verb_is_last=never),
            select(joins, self.comma + self.forms.joined),
            select(joins, self.conjunctions[sentences.conjunction]),
            *self._clause(sentences.second, verb_is_first=never, verb_is_last=verb_is_last),
        ]

    def _clause(self, clause: Clause, verb_is_first, verb_is_last) -> list[np.ndarray]:
        present, tense = clause.present, clause.tense
        modal = tense >= FUTURE
        auxiliary = self.auxiliaries[np.maximum(tense - FUTURE, 0), clause.person]
        simple = self.verbs[clause.verb, np.where(modal, PRESENT, tense), clause.person]
        finite = np.where(modal, auxiliary, simple)
        return [
            select(present & verb_is_first, finite),
            select(present & (clause.pronoun != ABSENT), self.pronouns[clause.pronoun]),
            *self._noun_phrase(clause.subject, np.full_like(tense, NOMINATIVE)),
            select(present & ~verb_is_first & ~verb_is_last, finite),
            *self._noun_phrase(clause.object, np.full_like(tense, ACCUSATIVE)),
            select(present & (clause.adverb != ABSENT), self.adverbs[clause.adverb]),
            select(present & clause.negated, self.nicht),
            select(clause.place.present, self.relations[clause.relation]),
            *self._noun_phrase(clause.place, RELATION_CASES[clause.relation]),
            select(present & modal, self.infinitives[clause.verb]),
            select(present & verb_is_last, finite),
        ]

    def _noun_phrase(self, phrase: NounPhrase, case: np.ndarray) -> list[np.ndarray]:
        present = phrase.present
        gender = np.where(phrase.plural, 3, self.gender[phrase.noun])
        noun = self.nouns[phrase.noun, phrase.plural, case]
        has_modifier = phrase.modifier != ABSENT
        ending = ENDING_OF_ADJECTIVE[phrase.determiner, gender, case]
        owned = present & (phrase.owner != ABSENT)
        owner_gender = np.where(phrase.owner_plural, 3, self.gender[phrase.owner])
        return [
            select(present, self.determiners[phrase.determiner, gender, case]),
            select(
                present & (phrase.adjective != ABSENT), self.adjectives[phrase.adjective, ending]
            ),
            select(present & has_modifier, self.nouns[phrase.modifier, 0, NOMINATIVE]),
            select(present, noun + np.where(has_modifier, self.forms.joined, 0)),
            select(owned, self.determiners[0, owner_gender, GENITIVE]),
            select(owned, self.nouns[phrase.owner, phrase.owner_plural, GENITIVE]),
        ]


def _noun(stem: str, gender: int) -> list[list[str]]:
    """Return the forms by number and case."""
    stem = stem[0].upper() + stem[1:]
    plural = stem + ("e", "en", "er")[gender]
    dative = plural if plural.endswith("n") else plural + "n"
    genitive = stem if gender == 1 else stem + ("es" if stem[-1] in "sxz" else "s")
    return [[stem, stem, stem, genitive], [plural, plural, dative, plural]]


def _verb(stem: str) -> list[list[str]]:
    """Return the finite forms by tense (present, past) and person."""
    link = "e" if stem[-1] in "dt" else ""
    present = [stem + "e", stem + link + "t", stem + "en", stem + "en"]
    past = stem + link + "te"
    return [present, [past, past, past + "n", past + "n"]]
