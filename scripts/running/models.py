"""The paper's models by name: the objective and the corpus of each (Appendix B.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from objectives import OBJECTIVES

# The collection that a model's text is from, by the suffix of its name after the languages.
COLLECTIONS = {"-wmt": "wmt", "-iwslt14": "iwslt14", "-wmt14": "wmt14"}
_LANGUAGE_MODELS = ", ".join(name for name, one in OBJECTIVES.items() if not one.translates)
_TRANSLATIONS = ", ".join(name for name, one in OBJECTIVES.items() if one.translates)
ALLOWED_NAMES = (
    f"OBJECTIVE-LANGUAGE ({_LANGUAGE_MODELS}) or OBJECTIVE-SOURCE-TARGET ({_TRANSLATIONS}), with "
    f"{', '.join(COLLECTIONS)} added for other text than Europarl's and .matched for the "
    "architecture that all objectives share (for example clm-en, mt-de-en, mt-en-de-wmt)"
)

_NAME = re.compile(
    rf"(?P<objective>{'|'.join(OBJECTIVES)})-(?P<first>[a-z]{{2,3}})(-(?P<second>[a-z]{{2,3}}))??"
    rf"(?P<collection>{'|'.join(COLLECTIONS)})?"
    r"(?P<matched>\.matched)?(\.(?!seed\d)(?P<variant>[a-z0-9-]+))?"
)


@dataclass(frozen=True)
class Model:
    """One model of the paper.

    Attributes
    ----------
    name : str
        Such as "clm-en" or "mt-en-de".
    objective : str
        A name of `objectives.OBJECTIVES`.
    source, target : str
        Languages; equal for a language model.
    corpus : str
        Name of the corpus that it is trained on.
    architecture : {"stock", "matched"}
        "stock" is fairseq's default for the objective; "matched" is shared by all objectives.
    variant : str
        Which variant of its parent it is; see running.variants. Empty for all other models.
    """

    name: str
    objective: str
    source: str
    target: str
    corpus: str
    architecture: str = "stock"
    variant: str = ""

    @property
    def parent(self) -> str:
        """Name of the model that this is a variant of; its own name if it is none."""
        return self.name.removesuffix(f".{self.variant}") if self.variant else self.name

    @property
    def translates(self) -> bool:
        """Whether the model has a source and a target language."""
        return OBJECTIVES[self.objective].translates

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the model's tokens in the order of the corpus: one, or a pair."""
        if not self.translates:
            return (self.target,)
        return tuple(self.corpus.split("-")[-2:])

    @property
    def tokens(self) -> str:
        """Name of the vocabulary and token ids, shared by the two directions of a pair."""
        return f"{self.corpus}.{'-'.join(self.languages)}"


def parse_model(name: str) -> Model:
    """The model with a given name.

    English language models are trained on the source side of en-de, those of another language on
    the target side of the pair of English and that language (Appendix B.1).

    Raises
    ------
    ValueError
        If the name does not have the form of the paper's models.
    """
    match = _NAME.fullmatch(name)
    pair = match and match["second"]
    if not match or bool(pair) != OBJECTIVES[match["objective"]].translates:
        raise ValueError(f"{name!r} is not the name of a model; allowed are {ALLOWED_NAMES}")
    source, target = match["first"], match["second"] or match["first"]
    if pair and (source == target or "en" not in (source, target)):
        raise ValueError(f"{name!r} does not translate from or into English (en)")
    other = next((language for language in (source, target) if language != "en"), "de")
    collection = COLLECTIONS.get(match["collection"], "europarl")
    corpus = f"{collection}-en-{other}"
    architecture = "matched" if match["matched"] else "stock"
    variant = match["variant"] or ""
    return Model(name, match["objective"], source, target, corpus, architecture, variant)
