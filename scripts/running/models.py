"""The paper's models by name: what they are trained for and on which text (Appendix B.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

OBJECTIVES = ("clm", "mlm", "mt")
OBJECTIVE_TITLES = {
    "clm": "causal language model",
    "mlm": "masked language model",
    "mt": "machine translation",
}
ALLOWED_NAMES = (
    "clm-LANGUAGE, mlm-LANGUAGE or mt-SOURCE-TARGET, with -wmt added for text of WMT and .matched "
    "for the architecture that all objectives share (for example clm-en, mt-de-en, mt-en-de-wmt)"
)

_NAME = re.compile(
    r"(?P<objective>clm|mlm|mt)-(?P<first>[a-z]{2,3})(-(?P<second>[a-z]{2,3}))??(?P<wmt>-wmt)?"
    r"(?P<matched>\.matched)?"
)


@dataclass(frozen=True)
class Model:
    """One model of the paper.

    Attributes
    ----------
    name : str
        Such as "clm-en" or "mt-en-de".
    objective : {"clm", "mlm", "mt"}
    source, target : str
        Languages; the same for a language model.
    corpus : str
        Name of the corpus that it is trained on.
    architecture : {"stock", "matched"}
        fairseq's own for its objective, or the one that all objectives can share.
    """

    name: str
    objective: str
    source: str
    target: str
    corpus: str
    architecture: str = "stock"

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the model's tokens in the order of the corpus: one, or a pair."""
        if self.objective != "mt":
            return (self.target,)
        return tuple(self.corpus.split("-")[-2:])

    @property
    def tokens(self) -> str:
        """Name of the vocabulary and token ids, shared by the two directions of a pair."""
        return f"{self.corpus}.{'-'.join(self.languages)}"


def parse_model(name: str) -> Model:
    """The model behind a name.

    English language models take the source side of en-de, the others the target side of their
    pair with English (Appendix B.1).

    Raises
    ------
    ValueError
        If the name does not have the form of the paper's models.
    """
    match = _NAME.fullmatch(name)
    pair = match and match["second"]
    if not match or bool(pair) != (match["objective"] == "mt"):
        raise ValueError(f"{name!r} is not the name of a model; allowed are {ALLOWED_NAMES}")
    source, target = match["first"], match["second"] or match["first"]
    if pair and (source == target or "en" not in (source, target)):
        raise ValueError(f"{name!r} does not translate from or into English (en)")
    other = next((language for language in (source, target) if language != "en"), "de")
    collection = "wmt" if match["wmt"] else "europarl"
    corpus = f"{collection}-en-{other}"
    architecture = "matched" if match["matched"] else "stock"
    return Model(name, match["objective"], source, target, corpus, architecture)
