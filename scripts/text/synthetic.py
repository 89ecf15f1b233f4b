"""Synthetic parallel text: sentences of artificial languages that translate each other.

It stands in for the real corpora where none can be had. A model has something to learn from it
(grammar, preferences of verbs and nouns, topics of documents), and any amount can be made.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from running.files import UserError, replace_when_complete
from text.artificial.concepts import make_concepts
from text.artificial.english import English
from text.artificial.finnic import ESTONIAN, FINNISH, Finnic
from text.artificial.german import German
from text.artificial.meaning import DOMAINS, draw_sentences
from text.artificial.stems import make_stems

LANGUAGES = ("en", "de", "fi", "et")
BLOCK = 8192  # sentences drawn at once; each block has randomness of its own


def make_language(language: str, stems: dict, concepts) -> English | German | Finnic:
    """Make the one of the artificial languages that `language` names."""
    if language in ("fi", "et"):
        return Finnic({"fi": FINNISH, "et": ESTONIAN}[language], stems[language], concepts)
    return {"en": English, "de": German}[language](stems[language], concepts)


def generate_blocks(
    languages: Sequence[str], pairs: int, seed: int, offset: int = 0, domain: str = "parliament"
) -> Iterator[list[list[bytes]]]:
    """Generate lines `offset` to `offset + pairs` of an endless aligned text.

    Parameters
    ----------
    languages
        Some of `LANGUAGES`. The meanings do not depend on them.
    pairs
        Number of lines.
    seed
        Of the text. The languages themselves are always the same.
    offset
        Number of lines left out before the first, so that several corpora share no text.
    domain
        "parliament" or "news": other topics, and some other words.

    Yields
    ------
    list of list of bytes
        For each language lines with their line feed; the same number for each language.

    Raises
    ------
    UserError
        When a language or the domain is unknown, or a number is negative.
    """
    _check(languages, pairs, seed, offset, domain)
    concepts, stems = make_concepts(), make_stems()
    speakers = [make_language(language, stems, concepts) for language in languages]
    end = offset + pairs
    for block in range(offset // BLOCK, -(-end // BLOCK)):
        key = [seed, list(DOMAINS).index(domain), block]
        sentences = draw_sentences(np.random.default_rng(key), BLOCK, domain, concepts)
        wanted = slice(max(offset - block * BLOCK, 0), min(end - block * BLOCK, BLOCK))
        texts = [speaker.forms.text(speaker.columns(sentences)) for speaker in speakers]
        yield [text.splitlines(keepends=True)[wanted] for text in texts]


def _check(languages, pairs: int, seed: int, offset: int, domain: str) -> None:
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown or not languages:
        named = ", ".join(unknown) or "nothing"
        raise UserError(f"languages: {named} is none of the artificial ones, {LANGUAGES}.")
    if domain not in DOMAINS:
        raise UserError(f"domain: {domain!r} is none of {', '.join(DOMAINS)}.")
    for name, number in (("pairs", pairs), ("seed", seed), ("offset", offset)):
        if number < 0:
            raise UserError(f"{name} should be 0 or more, but is {number}.")


def write_synthetic_text(
    outputs: Sequence[Path],
    languages: Sequence[str],
    pairs: int,
    seed: int,
    offset: int = 0,
    domain: str = "parliament",
) -> None:
    """Write generated text, a file for each language, aligned line by line.

    Parameters are those of `generate_blocks`; memory does not grow with the number of pairs.

    Raises
    ------
    UserError
        As `generate_blocks`, or when there is not one output for each language.
    """
    if len(outputs) != len(languages):
        raise UserError(
            f"there are {len(languages)} languages but {len(outputs)} output files; "
            "give one for each language, in the same order."
        )
    with ExitStack() as stack:
        paths = [stack.enter_context(replace_when_complete(output)) for output in outputs]
        files = [stack.enter_context(open(path, "wb")) for path in paths]
        progress = stack.enter_context(tqdm(total=pairs, unit=" pairs", disable=None))
        for texts in generate_blocks(languages, pairs, seed, offset, domain):
            for file, lines in zip(files, texts):
                file.writelines(lines)
            progress.update(len(texts[0]))
