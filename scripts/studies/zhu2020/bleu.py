"""The BLEU that Zhu et al. 2020 print, beside that of the models trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from report.inputs import Run
from running.models import parse_model

# Whether detokenised or tokenised BLEU, and by which script, is not said in the paper.
PRINTED = {"mt-de-en-iwslt14": 34.4, "mt-en-de-wmt14": 27.7}


@dataclass(frozen=True)
class BleuRow:
    """BLEU of a model: printed, and reached here.

    Attributes
    ----------
    model : str
    printed : float
    reached : float or None
        Mean over seeds.
    shuffled : float or None
        The same if every sentence had the translation of another.
    signature : str
    text : str
        What kind of text the BLEU reached is of.
    """

    model: str
    printed: float
    reached: float | None
    shuffled: float | None
    signature: str
    text: str


def bleu_rows(run: Run) -> list[BleuRow]:
    """A row for each of the study's two models that the run has."""
    rows = []
    for model, printed in PRINTED.items():
        if model not in run.models:
            continue
        scores = [
            quality["translation"]["test"]
            for quality in run.qualities.get(model, [])
            if "test" in quality.get("translation", {})
        ]
        signature = scores[0]["bleu_signature"] if scores else ""
        reached, shuffled = (_mean(scores, name) for name in ("bleu", "bleu_shuffled_sources"))
        rows.append(BleuRow(model, printed, reached, shuffled, signature, _text(run, model)))
    return rows


def _mean(scores: Sequence[Mapping], name: str) -> float | None:
    known = [score[name] for score in scores if score[name] is not None]
    return fmean(known) if known else None


def _text(run: Run, model: str) -> str:
    corpus = run.configuration["corpora"].get(parse_model(model).corpus, {})
    lower = any("lowercase" in step for step in corpus.get("cleaning") or ())
    return "detokenised, lower-cased" if lower else "detokenised"
