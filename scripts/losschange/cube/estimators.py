"""Estimators: a rule of integration, and the text that it is evaluated on.

An estimator is named `<rule>` on the training text and `<rule>_<text>` on any other: `probe`,
`simpson_valid`, `fresh_test`. Texts are named by whoever records, so estimators are found among
the variables of a cube and listed nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

TRAIN, VALID = "train", "valid"
# Rule: how it allocates, after "gradient of". The last three are evaluated on fixed text: "exact"
# at the start of single updates, the last two from one record to the next.
RULES = {
    "batch": "the training batch, first order (Vázquez et al. 2022, §2.3)",
    "fresh": "a newly drawn batch{text}, first order (Zhu et al. 2020, §2.2)",
    "exact": "all of {text}, first order (Zhu et al. 2020, §2.2)",
    "probe": "fixed {text}, trapezoid rule",
    "simpson": "fixed {text}, Simpson's rule (Lan et al. 2019)",
}
INTERVAL_RULES = ("probe", "simpson")
TEXT_PHRASES = {TRAIN: "training text", VALID: "validation text"}
_TEXT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
# `<text>_probe` names the loss of a text (losschange.analysis.conservation), and those of the
# training and the validation text are called so.
_RESERVED_TEXTS = ("training", "validation")


class EstimatorError(ValueError):
    """A name that no estimator or no text can have."""


@dataclass(frozen=True)
class Estimator:
    """How the loss change of an update is allocated.

    Parameters
    ----------
    rule : str
        One of RULES.
    text : str
        What its gradients are of: "train", "valid" or any name.
    """

    rule: str
    text: str = TRAIN

    @property
    def name(self) -> str:
        """Its name in cubes, summaries and configurations."""
        return self.rule if self.text == TRAIN else f"{self.rule}_{self.text}"

    @property
    def variable(self) -> str:
        """The variable of a cube that holds its LCA."""
        return "lca" if self.rule == "batch" else f"lca_{self.name}"

    @property
    def is_probe(self) -> bool:
        """Whether its records reach from one to the next; the others see single updates only."""
        return self.rule in INTERVAL_RULES

    @property
    def needs_probe(self) -> bool:
        """Whether its gradients are of fixed text."""
        return self.is_probe or self.rule == "exact"

    @property
    def description(self) -> str:
        """What it is, in words."""
        phrase = TEXT_PHRASES.get(self.text, f"the text {self.text!r}")
        if self.rule == "fresh":
            phrase = "" if self.text == TRAIN else f" of {phrase}"
        return "gradient of " + RULES[self.rule].format(text=phrase)


@cache
def parse_estimator(name: str) -> Estimator:
    """The estimator of a name.

    Raises
    ------
    EstimatorError
        If no estimator has this name.
    """
    rule, underscore, text = name.partition("_")
    if rule not in RULES:
        raise EstimatorError(
            f"unknown estimator {name!r}; allowed: {', '.join(RULES)}, and all but batch followed "
            "by _<text>"
        )
    if not underscore:
        return Estimator(rule)
    if rule == "batch":
        raise EstimatorError(f"{name!r}: batch sees the training batch itself and no other text")
    if text == TRAIN:
        raise EstimatorError(f"the estimator {name!r} is called {rule!r}")
    check_text_name(text)
    return Estimator(rule, text)


def check_text_name(text: str) -> None:
    """Raise EstimatorError unless a text can have this name."""
    if not _TEXT_NAME.fullmatch(text) or text in _RESERVED_TEXTS:
        raise EstimatorError(
            f"a text cannot be named {text!r}; allowed are letters and digits, joined by single "
            f"underscores, that begin with a letter, except {' and '.join(_RESERVED_TEXTS)}"
        )


def in_order(names: Iterable[str]) -> list[str]:
    """Names of estimators, sorted: by text (train, valid, others by name), then by rule."""
    return sorted(names, key=_place)


def texts_of(names: Iterable[str]) -> list[str]:
    """The texts of the probes among the estimators, in the order of `in_order`."""
    found = [parse_estimator(name) for name in in_order(names)]
    return list(dict.fromkeys(estimator.text for estimator in found if estimator.is_probe))


def _place(name: str) -> tuple[int, str, int]:
    estimator = parse_estimator(name)
    known = (TRAIN, VALID)
    rank = known.index(estimator.text) if estimator.text in known else len(known)
    return rank, estimator.text, list(RULES).index(estimator.rule)
