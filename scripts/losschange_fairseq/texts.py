"""The texts that probes and fresh batches are drawn from, and which of their tokens count.

A text is a split in the model's data folder (`train`, `valid`, `test`, or any other), encoded with
the model's own vocabulary. A text may count only some target tokens: its loss is then the mean over
these tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from losschange.cube.estimators import TRAIN, VALID, EstimatorError, check_text_name
from losschange.cube.word_bins import words_in_band
from losschange.errors import RecordingError

SELECTIONS = ("frequency", "side", "classes")


@dataclass(frozen=True)
class TextSettings:
    """One text of `RecordingSettings.texts`.

    Parameters
    ----------
    split : str
        A split in the model's data folder.
    sentences : int, optional
        The text is this number of samples of the split, drawn by seed, or the whole split if it
        has fewer. Probes then use all of these samples instead of a number of tokens.
    tokens : mapping
        Which target tokens count; all of them if empty, else one of
        {"frequency": [low, high]}: words between two shares of the training text, in which 0 is
        the rarest word and 1 the most frequent;
        {"side": "target"}: all target tokens of a translation;
        {"classes": file}: tokens in a file, one in a line, or with {"class_name": name} those
        that have this name after a tab.
    """

    split: str
    tokens: Mapping[str, Any] = field(default_factory=dict)
    sentences: int | None = None


OWN_TEXTS = {TRAIN: TextSettings(TRAIN), VALID: TextSettings(VALID)}


def parse_texts(texts: Mapping[str, Mapping[str, Any]]) -> dict[str, TextSettings]:
    """All texts by name: the given ones, and the built-in ones ("train" and "valid").

    Raises
    ------
    RecordingError
        If a name or a setting is unknown, or if a given text has the name of a built-in text.
    """
    found = dict(OWN_TEXTS)
    for name, settings in texts.items():
        try:
            check_text_name(name)
        except EstimatorError as error:
            raise RecordingError(str(error)) from None
        if name in OWN_TEXTS:
            raise RecordingError(f"the text {name!r} exists by itself; give yours another name")
        known = {"split", "tokens", "sentences"}
        if not isinstance(settings.get("split"), str) or settings.keys() - known:
            raise RecordingError(
                f"the text {name!r} is {dict(settings)!r}; it must have a split and may have "
                "tokens and sentences"
            )
        sentences = settings.get("sentences")
        if sentences is not None and (not isinstance(sentences, int) or sentences < 1):
            raise RecordingError(
                f"the text {name!r} has {sentences!r} sentences; allowed is 1 or more"
            )
        tokens = settings.get("tokens") or {}
        chosen = [kind for kind in SELECTIONS if kind in tokens]
        allowed = {*chosen, "class_name"} if chosen == ["classes"] else set(chosen)
        if tokens and (len(chosen) != 1 or set(tokens) - allowed):
            raise RecordingError(
                f"tokens of the text {name!r} are {tokens!r}; allowed is one of "
                f"{', '.join(SELECTIONS)}"
            )
        found[name] = TextSettings(str(settings["split"]), dict(tokens), sentences)
    return found


class TargetFilter:
    """Replaces the target tokens that do not count by padding.

    fairseq's criterions ignore padding in the target. The input of the model is not changed.

    Parameters
    ----------
    counted : bool array (words,)
        Whether each word of the vocabulary counts.
    padding : int
        Index of the padding symbol.
    """

    def __init__(self, counted: np.ndarray, padding: int):
        self._counted = torch.from_numpy(counted.copy())
        self._counted[padding] = False
        self._padding = padding

    def __call__(self, samples: Sequence[Mapping]) -> list[Mapping]:
        """Filter the targets of samples; samples in which no token counts are left out."""
        found: list[Mapping] = []
        for sample in samples:
            target = sample["target"]
            counted = self._counted.to(target.device)[target]
            number = int(counted.sum())
            if number:
                target = target.masked_fill(~counted, self._padding)
                # The criterions of unmasked objectives divide by ntokens.
                found.append({**sample, "target": target, "ntokens": number})
        return found


def make_filter(
    name: str, text: TextSettings, task, counts: Callable[[], np.ndarray]
) -> TargetFilter | None:
    """The filter of a text; None if every target token counts.

    Parameters
    ----------
    name : str
    text : TextSettings
    task : fairseq task
    counts : callable () -> int array (words,)
        How often each word occurs as a target of the training text.

    Raises
    ------
    RecordingError
        If no word of the vocabulary counts, or if the side has no loss.
    """
    dictionary = task.target_dictionary
    translates = getattr(task.options, "target_lang", None) is not None
    if not text.tokens:
        return None
    if "side" in text.tokens:
        if text.tokens["side"] == "target" and translates:
            return None
        raise RecordingError(
            f"the text {name!r} counts the side {text.tokens['side']!r}, but only the target side "
            "of a translation has a loss of its own; leave `side` out"
        )
    if "frequency" in text.tokens:
        counted = words_in_band(counts(), *text.tokens["frequency"])
    else:
        counted = np.zeros(len(dictionary), dtype=bool)
        words = _words_of_class(Path(str(text.tokens["classes"])), text.tokens.get("class_name"))
        counted[[dictionary.index(word) for word in words if word in dictionary]] = True
    if not counted.any():
        raise RecordingError(
            f"the text {name!r}: no word of the vocabulary is among its tokens {text.tokens!r}"
        )
    return TargetFilter(counted, dictionary.pad())


def _words_of_class(path: Path, wanted: object) -> list[str]:
    """Words in a file of token classes that have the wanted class; all if it is None."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"the file of token classes {path} cannot be read: {error}") from None
    pairs = [line.partition("\t") for line in lines if line]
    return [word for word, _, kind in pairs if wanted is None or kind == wanted]
