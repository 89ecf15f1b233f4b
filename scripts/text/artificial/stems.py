"""The stems of the artificial languages: invented, but built as the real languages build words."""

import random

from text.artificial.concepts import (
    ADJECTIVES,
    ADVERBS,
    CELL,
    CLASSES,
    LEXICON_SEED,
    NOUNS,
    TIMES,
    VERBS,
    VERBS_PER_ROW,
)

KINDS = {"noun": NOUNS, "verb": VERBS, "adjective": ADJECTIVES, "adverb": ADVERBS, "time": TIMES}
WORD_PARTS = {
    "en": (
        "b bl br c cl cr d dr f fl fr g gl gr h j l m n p pl pr qu r s sc sh sl sp st str "
        "t th tr v w",
        "a e i o u a e i o ea ee oo ou ai",
        "b ck d ft g l ld ll m mp n nd ng nt p r rd rk rm rn rt s sh sk st t th x",
    ),
    "de": (
        "b bl br d dr f fl fr g gl gr h j k kl kn kr l m n p pf pl r s sch schl schw sp st str "
        "t w z",
        "a e i o u a e i ä ö ü au ei eu ie",
        "b ch cht d f ft g k l ld lt m mm n nd ng nk nn r rd rg rk rm rt s st t tt tz",
    ),
}
ENDINGS = {
    ("en", "adjective"): ("al", "ous", "ive", "ic", "ful", "ent", ""),
    ("en", "adverb"): ("ly",),
    ("en", "time"): ("day", "time", "wards"),
    ("en", 0): ("er", "or", "ist", ""),
    ("en", 1): ("ation", "ency", "ate", ""),
    ("en", 3): ("ment", "ness", "ity", ""),
    ("de", "adjective"): ("lich", "ig", "isch", "sam", ""),
    ("de", "adverb"): ("lich", "weise", "los"),
    ("de", "time"): ("tags", "mals", "lang"),
    ("de", 0): ("er", "ler", "ist", ""),
    ("de", 1): ("ung", "schaft", "at", ""),
    ("de", 3): ("heit", "keit", "nis", ""),
}
COGNATES = (("th", "d"), ("qu", "kw"), ("sh", "sch"), ("ck", "k"), ("c", "k"), ("oo", "u"))
COGNATES += (("ou", "au"), ("ee", "ie"), ("ea", "e"), ("ai", "ei"), ("v", "w"), ("x", "ks"))
CONSONANTS = [
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "k",
    "t",
    "s",
    "l",
    "n",
    "m",
    "kk",
    "pp",
    "tt",
    "ll",
    "ss",
    "nn",
]
BACK, FRONT = (
    ["a", "o", "u", "a", "i", "e", "a", "o", "u", "aa", "uo", "ai"],
    ["ä", "ö", "y", "ä", "i", "e", "ä", "e", "y", "ää", "yö", "äi"],
)


def make_stems() -> dict[str, dict[str, list[str]]]:
    """Return language to kind of word to the stems of its concepts, always the same.

    German shares stems with English, and Estonian derives most of its own from Finnish, by sound
    laws. Finnish stems end in a vowel and follow vowel harmony; Estonian stems keep the vowel
    that the nominative drops.
    """
    generator = random.Random(LEXICON_SEED + 1)
    used = {language: set() for language in ("en", "de", "fi", "et")}
    stems = {language: {} for language in used}
    for kind, number in KINDS.items():
        for language in used:
            stems[language][kind] = []
        for concept in range(number):
            for language, stem in _make_concept(generator, kind, concept, used).items():
                used[language].add(stem)
                stems[language][kind].append(stem)
    return stems


def _make_concept(generator: random.Random, kind: str, concept: int, used) -> dict[str, str]:
    syllables = _syllables(kind, concept)
    ending = concept // CELL % CLASSES if kind == "noun" else kind
    root = _fresh(used["en"], lambda: _germanic(generator, "en", syllables, ""))
    english = _fresh(used["en"], lambda: root + _pick(generator, ENDINGS.get(("en", ending), [""])))

    def german() -> str:
        related = generator.random() < 0.4
        base = _cognate(root) if related else _germanic(generator, "de", syllables, "")
        return base + _pick(generator, ENDINGS.get(("de", ending), ("",)))

    finnish = _fresh(used["fi"], lambda: _finnish(generator, max(2, syllables + 1)))

    def estonian() -> str:
        related = generator.random() < 0.75
        return _estonian(finnish if related else _finnish(generator, max(2, syllables)))

    return {
        "en": english,
        "de": _fresh(used["de"], german),
        "fi": finnish,
        "et": _fresh(used["et"], estonian),
    }


def _syllables(kind: str, concept: int) -> int:
    """Frequent words are short."""
    rank = {"noun": concept % CELL / CELL, "verb": concept % VERBS_PER_ROW / VERBS_PER_ROW}
    if kind in rank:
        return 1 if rank[kind] < 0.3 else 2 if rank[kind] < 0.8 else 3
    return 1 + concept % 2


def _pick(generator: random.Random, options):
    return options[int(generator.random() * len(options))]


def _fresh(used: set[str], make) -> str:
    """Call `make` until it returns a stem that is not in use."""
    while (stem := make()) in used:
        continue
    return stem


def _germanic(generator: random.Random, language: str, syllables: int, stem: str) -> str:
    onsets, vowels, codas = (part.split() for part in WORD_PARTS[language])
    for position in range(syllables):
        onset = _pick(generator, onsets if position == 0 else [o for o in onsets if len(o) == 1])
        stem += onset + _pick(generator, vowels if position == 0 else vowels[:5])
    return stem + _pick(generator, codas)


def _cognate(english: str) -> str:
    for old, new in COGNATES:
        english = english.replace(old, new)
    return english


def _finnish(generator: random.Random, syllables: int) -> str:
    vowels = BACK if generator.random() < 0.6 else FRONT
    stem = ""
    for position in range(syllables):
        consonant = _pick(generator, CONSONANTS)
        # No word starts with a long consonant, and stems end in a short vowel.
        stem += consonant[0] if position == 0 else consonant
        vowel = _pick(generator, vowels)
        stem += vowel[-1] if position == syllables - 1 else vowel
    return stem


def _estonian(finnish: str) -> str:
    head, tail = finnish[:3], finnish[3:]
    for old, new in (("ä", "a"), ("ö", "o"), ("y", "u")):
        tail = tail.replace(old, new)
    for old, new in (("kk", "K"), ("pp", "P"), ("tt", "T"), ("k", "g"), ("p", "b"), ("t", "d")):
        tail = tail.replace(old, new)
    stem = head + tail.replace("K", "k").replace("P", "p").replace("T", "t")
    for old, new in (("uo", "oo"), ("yö", "öö"), ("y", "ü")):
        stem = stem.replace(old, new)
    return stem[:-1] + "u" if stem.endswith("o") else stem
