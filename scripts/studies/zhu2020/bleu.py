"""The BLEU that Zhu et al. 2020 print, beside that of the models trained here."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from report.inputs import Run

# Whether detokenised or tokenised BLEU, and by which script, is not said in the paper.
PRINTED = {"mt-de-en-iwslt14": 34.4, "mt-en-de-wmt14": 27.7}


@dataclass(frozen=True)
class BleuRow:
    """A model, the BLEU printed for it, that reached here (mean over seeds), and its signature."""

    model: str
    printed: float
    reached: float | None
    signature: str


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
        reached = fmean(score["bleu"] for score in scores) if scores else None
        rows.append(BleuRow(model, printed, reached, scores[0]["bleu_signature"] if scores else ""))
    return rows
