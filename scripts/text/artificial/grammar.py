"""What the four languages have in common: phrases, clauses, and how their parts are ordered."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from text.artificial.lexicon import Concepts
from text.artificial.meaning import Clause, NounPhrase, Sentences
from text.artificial.words import Slot

SUBJECT, OBJECT, PLACE = range(3)  # cases


@dataclass(frozen=True)
class Language:
    """One language: how it builds words from stems, and how it orders them.

    Forms are nested lists, with one level for each category such as gender or case. If a list has
    fewer entries than the category has values, its last entry is used for the remaining values: a
    list of one form means that the language does not distinguish the values.
    """

    noun: Callable[[str, int], list]  # stem and gender to forms by number and case
    adjective: Callable[[str], list]  # stem to forms by determiner, gender, number and case
    verb: Callable[[str], list]  # stem to forms by tense (present, past) and number
    endings: tuple[str, str]  # of adverbs and of times
    determiners: list  # definite, indefinite, this: forms by gender, number and case
    preposition: str
    pronouns: list[str]  # he, they
    conjunctions: list[str]  # because, although, if
    # Orders of main clauses, of main clauses after a time, and of subordinate clauses: S subject,
    # V verb, O object, P place, A adverb.
    orders: tuple[str, str, str]


class Grammar:
    """Makes the words of one language for given meanings."""

    def __init__(self, language: Language, stems: dict[str, list[str]], concepts: Concepts):
        self.gender, self.orders = concepts.gender, language.orders
        self.nouns = _table(map(language.noun, stems["noun"], concepts.gender))
        self.adjectives = _table(map(language.adjective, stems["adjective"]))
        self.verbs = _table(map(language.verb, stems["verb"]))
        of_adverb, of_time = language.endings
        self.adverbs = _table(stem + of_adverb for stem in stems["adverb"])
        self.times = _table(stem + of_time for stem in stems["time"])
        self.determiners = _table(language.determiners)
        self.prepositions = _table([language.preposition])
        self.pronouns = _table(language.pronouns)
        self.conjunctions = _table(language.conjunctions)

    def slots(self, sentences: Sentences) -> list[Slot]:
        """The words of sentences in their order."""
        time, conjunction = self.times[sentences.time], self.conjunctions[sentences.conjunction]
        order, order_after_time, subordinate_order = self.orders
        subordinate = [
            Slot("comma", np.full_like(time, ","), "PUNCT", "punct", "verb"),
            Slot("mark", conjunction, "SCONJ", "mark", "verb"),
            *self._clause(sentences.subordinate, subordinate_order),
        ]
        return [
            Slot("time", time, "ADV", "advmod", "verb"),
            *_where(time != "", self._clause(sentences.main, order_after_time)),
            *_where(time == "", self._clause(sentences.main, order)),
            *_where(conjunction != "", map(_subordinate, subordinate)),
            Slot("stop", np.full_like(time, "."), "PUNCT", "punct", "verb"),
        ]

    def _clause(self, clause: Clause, order: str) -> list[Slot]:
        verb = self.verbs[clause.verb, clause.past, clause.plural]
        preposition = self.prepositions[np.minimum(clause.place.noun, 0)]
        pronoun, adverb = self.pronouns[clause.pronoun], self.adverbs[clause.adverb]
        parts = {
            "S": [
                Slot("pronoun", pronoun, "PRON", "nsubj", "verb"),
                *self._phrase("subject", clause.subject, SUBJECT, "nsubj"),
            ],
            "V": [Slot("verb", verb, "VERB", "root", "")],
            "O": self._phrase("object", clause.object, OBJECT, "obj"),
            "P": [
                Slot("preposition", preposition, "ADP", "case", "place"),
                *self._phrase("place", clause.place, PLACE, "obl"),
            ],
            "A": [Slot("adverb", adverb, "ADV", "advmod", "verb")],
        }
        return [slot for part in order for slot in parts[part]]

    def _phrase(self, name: str, phrase: NounPhrase, case: int, relation: str) -> list[Slot]:
        noun, determiner, form = phrase.noun, phrase.determiner, (phrase.plural, case)
        adjective = (self.adjectives, phrase.adjective, determiner, self.gender[noun], *form)
        determiner = _look_up(self.determiners, determiner, self.gender[noun], *form)
        return [
            Slot(f"{name} determiner", determiner, "DET", "det", name),
            Slot(f"{name} adjective", _look_up(*adjective), "ADJ", "amod", name),
            Slot(name, _look_up(self.nouns, noun, *form), "NOUN", relation, "verb"),
        ]


def _table(forms: Iterable) -> np.ndarray:
    """Forms as an array of strings; its last row, at the index `ABSENT`, has empty strings."""
    table = np.array(list(forms), dtype=object)
    return np.concatenate([table, np.full_like(table[:1], "")])


def _look_up(table: np.ndarray, *indices) -> np.ndarray:
    return table[tuple(np.minimum(index, size - 1) for index, size in zip(indices, table.shape))]


def _where(condition: np.ndarray, slots: Iterable[Slot]) -> list[Slot]:
    return [slot._replace(words=np.where(condition, slot.words, "")) for slot in slots]


def _subordinate(slot: Slot) -> Slot:
    """Rename a slot of the subordinate clause; its verb depends on that of the main clause."""
    if slot.head:
        return slot._replace(name=f"second {slot.name}", head=f"second {slot.head}")
    return slot._replace(name="second verb", relation="advcl", head="verb")
