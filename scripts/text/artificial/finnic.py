"""The artificial Finnish and Estonian: many cases, no articles, and words of a common origin."""

from typing import NamedTuple

import numpy as np

from text.artificial.concepts import Concepts
from text.artificial.forms import Forms, select
from text.artificial.meaning import ABILITY, ABSENT, OUR, PAST, THIS, Clause, NounPhrase, Sentences

CASES = 10
NOMINATIVE, GENITIVE, PARTITIVE, INESSIVE, ELATIVE = range(5)
ILLATIVE, ADESSIVE, ALLATIVE, COMITATIVE, ABESSIVE = range(5, CASES)


class Grammar(NamedTuple):
    """What differs between the two languages."""

    noun: object  # stem to forms by number and case
    adjective: object
    verb: object  # stem to forms by tense (present, past) and person, then the negated stems
    infinitive: object
    relations: tuple  # before the noun, its case, behind the noun
    conjunctions: tuple
    pronouns: tuple
    this: tuple  # by number and case
    our: str
    no: tuple  # the negation, by person
    can: tuple  # by person
    can_stem: str
    verb_is_second: bool


def _finnish_endings(stem: str, endings: str) -> list[str]:
    """Attach endings by vowel harmony: a becomes ä unless the stem has a back vowel."""
    if not set(stem) & set("aou"):
        endings = endings.replace("a", "ä").replace("o", "ö").replace("u", "y")
    return endings.split()


def _weak_grade(stem: str) -> str:
    """Shorten a long stop before the last vowel, as closed syllables do."""
    return stem[:-2] + stem[-1] if stem[-3:-1] in ("kk", "pp", "tt") else stem


def _finnish_noun(stem: str) -> list[list[str]]:
    weak = _weak_grade(stem)
    n, a, ssa, sta, lla, lle, t, jen, ja = _finnish_endings(stem, "n a ssa sta lla lle t jen ja")
    singular = [stem, weak + n, stem + a, weak + ssa, weak + sta, stem + stem[-1] + n]
    singular += [weak + lla, weak + lle, weak + n, stem + a]
    plural = [weak + t, stem + jen, stem + ja, weak + "i" + ssa, weak + "i" + sta, stem + "ihin"]
    plural += [weak + "i" + lla, weak + "i" + lle, stem + jen, stem + ja]
    return [singular, plural]


def _finnish_verb(stem: str) -> list[list[str]]:
    weak = _weak_grade(stem)
    past, weak_past = (
        form[:-1] + "i" if form[-1] in "aäi" else form + "i" for form in (stem, weak)
    )
    vat, nut = _finnish_endings(stem, "vat nut")
    return [
        [weak + "n", stem + stem[-1], weak + "mme", stem + vat],
        [weak_past + "n", past, weak_past + "mme", past + vat],
        [weak, stem + nut, stem + nut, stem + nut],
    ]


def _finnish_infinitive(stem: str) -> str:
    return stem + _finnish_endings(stem, "a")[0]


FINNISH_THIS = (
    ["tämä", "tämän", "tätä", "tässä", "tästä", "tähän", "tällä", "tälle", "tämän", "tätä"],
    [
        "nämä",
        "näiden",
        "näitä",
        "näissä",
        "näistä",
        "näihin",
        "näillä",
        "näille",
        "näiden",
        "näitä",
    ],
)
FINNISH = Grammar(
    noun=_finnish_noun,
    adjective=_finnish_noun,
    verb=_finnish_verb,
    infinitive=_finnish_infinitive,
    relations=(
        ("", INESSIVE, ""),
        ("", ELATIVE, ""),
        ("", ILLATIVE, ""),
        ("", ADESSIVE, ""),
        ("", GENITIVE, "suhteen"),
        ("", COMITATIVE, "kanssa"),
        ("", PARTITIVE, "vastaan"),
        ("", ALLATIVE, ""),
        ("", GENITIVE, "jälkeen"),
        ("ilman", ABESSIVE, ""),
    ),
    conjunctions=("koska", "vaikka", "jos", "ja", "mutta"),
    pronouns=("minä", "hän", "me", "he"),
    this=FINNISH_THIS,
    our="meidän",
    no=("en", "ei", "emme", "eivät"),
    can=("voin", "voi", "voimme", "voivat"),
    can_stem="voi",
    verb_is_second=False,
)


def _estonian_noun(stem: str) -> list[list[str]]:
    """The nominative drops the last vowel of the stem, which the genitive shows."""
    singular = [stem[:-1], stem, stem + "t"]
    plural = [stem + "d", stem + "de", stem + "id"]
    for forms, base in ((singular, stem), (plural, stem + "de")):
        forms += [base + ending for ending in ("s", "st", "sse", "l", "le", "ga", "ta")]
    return [singular, plural]


def _estonian_adjective(stem: str) -> list[list[str]]:
    """Adjectives take no ending in the comitative and abessive, but the genitive."""
    return [
        [*forms[:COMITATIVE], forms[GENITIVE], forms[GENITIVE]] for forms in _estonian_noun(stem)
    ]


def _estonian_verb(stem: str) -> list[list[str]]:
    return [
        [stem + "n", stem + "b", stem + "me", stem + "vad"],
        [stem + "sin", stem + "s", stem + "sime", stem + "sid"],
        [stem, stem + "nud", stem + "nud", stem + "nud"],
    ]


ESTONIAN_THIS = (
    [
        "see",
        "selle",
        "seda",
        "selles",
        "sellest",
        "sellesse",
        "sellel",
        "sellele",
        "selle",
        "selle",
    ],
    [
        "need",
        "nende",
        "neid",
        "nendes",
        "nendest",
        "nendesse",
        "nendel",
        "nendele",
        "nende",
        "nende",
    ],
)
ESTONIAN = Grammar(
    noun=_estonian_noun,
    adjective=_estonian_adjective,
    verb=_estonian_verb,
    infinitive=lambda stem: stem + "da",
    relations=(
        ("", INESSIVE, ""),
        ("", ELATIVE, ""),
        ("", ILLATIVE, ""),
        ("", ADESSIVE, ""),
        ("", GENITIVE, "kohta"),
        ("", COMITATIVE, ""),
        ("", GENITIVE, "vastu"),
        ("", ALLATIVE, ""),
        ("pärast", PARTITIVE, ""),
        ("ilma", ABESSIVE, ""),
    ),
    conjunctions=("sest", "kuigi", "kui", "ja", "aga"),
    pronouns=("mina", "tema", "meie", "nemad"),
    this=ESTONIAN_THIS,
    our="meie",
    no=("ei", "ei", "ei", "ei"),
    can=("saan", "saab", "saame", "saavad"),
    can_stem="saa",
    verb_is_second=True,
)


class Finnic:
    """Puts meanings into the artificial Finnish or Estonian."""

    def __init__(self, grammar: Grammar, stems: dict[str, list[str]], concepts: Concepts):
        self.grammar, self.is_partial = grammar, concepts.is_partial
        self.forms = forms = Forms()
        self.nouns = forms.table([grammar.noun(stem) for stem in stems["noun"]])
        self.adjectives = forms.table([grammar.adjective(stem) for stem in stems["adjective"]])
        self.verbs = forms.table([grammar.verb(stem) for stem in stems["verb"]])
        self.infinitives = forms.table([grammar.infinitive(stem) for stem in stems["verb"]])
        self.adverbs = forms.table([grammar.noun(stem)[1][ELATIVE] for stem in stems["adverb"]])
        self.times = forms.table([grammar.noun(stem)[0][ADESSIVE] for stem in stems["time"]])
        before, cases, behind = zip(*grammar.relations)
        self.before, self.behind = forms.table(before), forms.table(behind)
        self.relation_cases = np.array(cases)
        self.conjunctions = forms.table(grammar.conjunctions)
        self.pronouns = forms.table(grammar.pronouns)
        self.this, self.our = forms.table(grammar.this), forms.add(grammar.our)
        self.no, self.can = forms.table(grammar.no), forms.table(grammar.can)
        self.can_stem, self.comma = forms.add(grammar.can_stem), forms.add(",")
        forms.complete()

    def columns(self, sentences: Sentences) -> list[np.ndarray]:
        """Return the words of sentences in their order; see `Forms.text`."""
        has_time = sentences.time != ABSENT
        joins = sentences.conjunction != ABSENT
        return [
            select(has_time, self.times[sentences.time]),
            *self._clause(sentences.main, has_time & self.grammar.verb_is_second),
            select(joins, self.comma + self.forms.joined),
            select(joins, self.conjunctions[sentences.conjunction]),
            *self._clause(sentences.second, np.zeros_like(has_time)),
        ]

    def _clause(self, clause: Clause, verb_is_first: np.ndarray) -> list[np.ndarray]:
        present, person, negated = clause.present, clause.person, clause.negated
        able = clause.tense == ABILITY
        is_past = (clause.tense == PAST).astype(np.intp)
        simple = self.verbs[
            clause.verb, np.where(negated, 2, is_past), np.where(negated, is_past, person)
        ]
        finite = np.where(able, np.where(negated, self.can_stem, self.can[person]), simple)
        accusative = np.where(clause.object.plural, NOMINATIVE, GENITIVE)
        partial = self.is_partial[clause.verb] | negated
        # The negation is the finite verb: it takes its place, and the verb follows.
        first = np.where(negated, self.no[person], finite)
        return [
            select(present & verb_is_first, first),
            select(present & (clause.pronoun != ABSENT), self.pronouns[clause.pronoun]),
            *self._noun_phrase(clause.subject, np.zeros_like(person)),
            select(present & ~verb_is_first, first),
            select(present & negated, finite),
            select(present & able, self.infinitives[clause.verb]),
            *self._noun_phrase(clause.object, np.where(partial, PARTITIVE, accusative)),
            select(present & (clause.adverb != ABSENT), self.adverbs[clause.adverb]),
            select(clause.place.present, self.before[clause.relation]),
            *self._noun_phrase(clause.place, self.relation_cases[clause.relation]),
            select(clause.place.present, self.behind[clause.relation]),
        ]

    def _noun_phrase(self, phrase: NounPhrase, case: np.ndarray) -> list[np.ndarray]:
        present, plural = phrase.present, phrase.plural
        noun = self.nouns[phrase.noun, plural, case]
        has_modifier = phrase.modifier != ABSENT
        owned = present & (phrase.owner != ABSENT)
        return [
            select(present & (phrase.determiner == THIS), self.this[plural, case]),
            select(present & (phrase.determiner == OUR), self.our),
            select(owned, self.nouns[phrase.owner, phrase.owner_plural, GENITIVE]),
            select(
                present & (phrase.adjective != ABSENT),
                self.adjectives[phrase.adjective, plural, case],
            ),
            select(present & has_modifier, self.nouns[phrase.modifier, 0, NOMINATIVE]),
            select(present, noun + np.where(has_modifier, self.forms.joined, 0)),
        ]
