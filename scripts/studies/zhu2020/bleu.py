"""The BLEU that Zhu et al. 2020 print, beside that of the models trained here."""

from __future__ import annotations

from dataclasses import dataclass

from report.inputs import Run

# Whether detokenised or tokenised BLEU, and by which script, is not said in the paper.
PRINTED = {"mt-de-en-iwslt14": 34.4, "mt-en-de-wmt14": 27.7}


@dataclass(frozen=True)
class BleuRow:
    """A model, the BLEU printed for it, that reached here, and how the latter was measured."""

    model: str
    printed: float
    reached: float | None
    signature: str


def bleu_rows(run: Run) -> list[BleuRow]:
    """A row for each of the study's two models that the run has."""
    rows = []
    for model, printed in PRINTED.items():
        if model in run.models:
            scores = ((run.qualities.get(model) or {}).get("translation") or {}).get("test") or {}
            rows.append(
                BleuRow(model, printed, scores.get("bleu"), scores.get("bleu_signature", ""))
            )
    return rows
