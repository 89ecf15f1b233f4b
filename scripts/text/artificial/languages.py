"""The four artificial languages: their word forms, and the order of their words.

English has articles, a preposition and few endings. German articles and adjectives agree in
gender, number and case; its verb is second, or last in subordinate clauses. Finnish and Estonian
have cases instead of articles and the preposition; Finnish endings follow vowel harmony, and the
Estonian verb is second.
"""

from text.artificial.grammar import Language

# German endings by gender, the plural as the fourth, and by case.
DEFINITE = ("er en em", "ie ie er", "as as em", "ie ie en")
STRONG = ("er en em", "e e er", "es es em", "e e en")
WEAK = ("e en en", "e e en", "e e en", "en en en")
MIXED = ("er en en", "e e en", "es es en", "e e en")
PLURALS = ("e e en", "en en en", "er er ern")  # of nouns, by gender
INDEFINITE = [[["ein"] * 3, [""] * 3]] * 3
NO_ARTICLE = [[[""] * 3] * 2]


def _inflect(stem: str, *rows: str) -> list[list[str]]:
    """Forms of a stem for rows of endings; "-" is the empty ending."""
    return [[stem + ending.strip("-") for ending in row.split()] for row in rows]


def _decline(stem: str, endings: tuple[str, ...]) -> list[list[list[str]]]:
    """German forms by gender, number and case."""
    return [_inflect(stem, singular, endings[3]) for singular in endings[:3]]


def _harmonic(stem: str, *rows: str) -> list[list[str]]:
    """Finnish forms: a becomes ä behind a stem without a back vowel."""
    has_back_vowel = set(stem) & set("aou")
    return _inflect(stem, *(row if has_back_vowel else row.replace("a", "ä") for row in rows))


LANGUAGES = {
    "en": Language(
        noun=lambda stem, gender: _inflect(stem, "-", "s"),
        adjective=lambda stem: [[_inflect(stem, "y")]],
        verb=lambda stem: _inflect(stem, "es -", "ed ed"),
        endings=("ly", "day"),
        determiners=[[[["the"], ["the"]]], [[["a"], [""]]], [[["this"], ["these"]]]],
        preposition="in",
        pronouns=["he", "they"],
        conjunctions=["because", "although", "if"],
        orders=("SVOPA", "SVOPA", "SVOPA"),
    ),
    "de": Language(
        noun=lambda stem, gender: _inflect(stem, "- - -", PLURALS[gender]),
        adjective=lambda stem: [_decline(f"{stem}ig", kind) for kind in (WEAK, MIXED, WEAK)],
        verb=lambda stem: _inflect(stem, "t en", "te ten"),
        endings=("lich", "tags"),
        determiners=[_decline("d", DEFINITE), INDEFINITE, _decline("dies", STRONG)],
        preposition="in",
        pronouns=["er", "sie"],
        conjunctions=["weil", "obwohl", "wenn"],
        orders=("SVOAP", "VSOAP", "SOAPV"),
    ),
    "fi": Language(
        noun=lambda stem, gender: _harmonic(stem, "i in issa", "it it eissa"),
        adjective=lambda stem: [[_harmonic(stem, "i in issa", "it it eissa")]],
        verb=lambda stem: _harmonic(stem, "aa avat", "i ivat"),
        endings=("isti", "ina"),
        determiners=[
            NO_ARTICLE,
            NO_ARTICLE,
            [_inflect("", "tämä tämän tässä", "nämä nämä näissä")],
        ],
        preposition="",
        pronouns=["hän", "he"],
        conjunctions=["koska", "vaikka", "jos"],
        orders=("SVAOP", "SVAOP", "SVAOP"),
    ),
    "et": Language(
        noun=lambda stem, gender: _inflect(stem, "- u us", "ud ud udes"),
        adjective=lambda stem: [[_inflect(stem, "- u us", "ud ud udes")]],
        verb=lambda stem: _inflect(stem, "ab avad", "as asid"),
        endings=("alt", "al"),
        determiners=[
            NO_ARTICLE,
            NO_ARTICLE,
            [_inflect("", "see selle selles", "need need nendes")],
        ],
        preposition="",
        pronouns=["ta", "nad"],
        conjunctions=["sest", "kuigi", "kui"],
        orders=("SVOAP", "VSOAP", "SVOAP"),
    ),
}
