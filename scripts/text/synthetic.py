"""Synthetic parallel text: sentences of artificial languages and their translations.

It replaces the real corpora where they are not available. Any amount can be generated, and the
syntactic relations between the words of every sentence are known.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from common.files import UserError, replace_when_complete
from text.artificial.grammar import Grammar
from text.artificial.languages import LANGUAGES
from text.artificial.lexicon import make_concepts, make_stems
from text.artificial.meaning import DOMAINS, draw_sentences
from text.artificial.words import Slot, write_conllu, write_lines

BLOCK = 8192  # sentences drawn at once; each block has its own random generator


def generate_slots(
    languages: Sequence[str], pairs: int, seed: int, offset: int = 0, domain: str = "parliament"
) -> Iterator[list[list[Slot]]]:
    """Generate sentences `offset` to `offset + pairs` of an endless aligned text.

    Yields for each of the `languages` (some of `LANGUAGES`) the words of up to `BLOCK` sentences.
    The meanings do not depend on the languages, and the languages do not depend on the `seed`.
    The first `offset` sentences are skipped, so that several corpora share no text. The `domain`
    is "parliament" or "news", which has other topics and some other words.

    Raises
    ------
    UserError
        If a language or the domain is unknown, or a number is negative.
    """
    _check(languages, pairs, seed, offset, domain)
    concepts, stems = make_concepts(), make_stems()
    grammars = [Grammar(LANGUAGES[language], stems, concepts) for language in languages]
    end = offset + pairs
    for block in range(offset // BLOCK, -(-end // BLOCK)):
        key = [seed, list(DOMAINS).index(domain), block]
        sentences = draw_sentences(np.random.default_rng(key), BLOCK, domain, concepts)
        wanted = slice(max(offset - block * BLOCK, 0), min(end - block * BLOCK, BLOCK))
        yield [
            [slot._replace(words=slot.words[wanted]) for slot in grammar.slots(sentences)]
            for grammar in grammars
        ]


def write_synthetic_text(
    outputs: Sequence[Path],
    languages: Sequence[str],
    pairs: int,
    seed: int,
    offset: int = 0,
    domain: str = "parliament",
    relations: Sequence[Path] = (),
) -> None:
    """Write the sentences of `generate_slots` to one file per language, aligned line by line.

    `relations` is empty, or has one path per language for the same sentences in CoNLL-U format.
    Memory does not grow with the number of pairs.

    Raises
    ------
    UserError
        As `generate_slots`, or when there is not one output for each language.
    """
    for paths in (outputs, relations or outputs):
        if len(paths) != len(languages):
            raise UserError(
                f"there are {len(languages)} languages but {len(paths)} output files; "
                "give one for each language, in the same order."
            )
    with ExitStack() as stack:
        paths = [
            stack.enter_context(replace_when_complete(path)) for path in [*outputs, *relations]
        ]
        files = [stack.enter_context(open(path, "w", encoding="utf-8")) for path in paths]
        for block in generate_slots(languages, pairs, seed, offset, domain):
            for file, slots in zip(files, block):
                file.writelines(write_lines(slots))
            for file, slots in zip(files[len(block) :], block):
                file.writelines(write_conllu(slots))


def _check(languages, pairs: int, seed: int, offset: int, domain: str) -> None:
    unknown = ", ".join(set(languages) - set(LANGUAGES))
    if unknown or not languages:
        known = ", ".join(LANGUAGES)
        raise UserError(
            f"languages: {unknown or 'nothing'} is none of the artificial ones, {known}."
        )
    if domain not in DOMAINS:
        raise UserError(f"domain: {domain!r} is none of {', '.join(DOMAINS)}.")
    for name, number in (("pairs", pairs), ("seed", seed), ("offset", offset)):
        if number < 0:
            raise UserError(f"{name} should be 0 or more, but is {number}.")
