"""Check whether the models learned, and report their quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from objectives import OBJECTIVES
from report.inputs import Run
from report.overview import planned_updates
from report.table_files import MISSING
from report.values import Grid, count, make_grid, nats

LEARNED = "learned"
NOT_LEARNED = "did not learn"
UNKNOWN = "cannot tell"
# Smallest distance (nats) of the loss below the unigram entropy that counts as learning. Smaller
# distances can occur without context: token frequencies differ between texts.
MARGIN = 0.1


@dataclass(frozen=True)
class Learning:
    """One row of the first table.

    Attributes
    ----------
    verdict : {"learned", "did not learn", "cannot tell"}
    reason : str
        Why the model did not learn; empty if it did.
    cells : list of str
        One entry per column in `LEARNING_COLUMNS`.
    """

    model: str
    verdict: str
    reason: str
    cells: list[str]


LEARNING_COLUMNS = (
    "objective",
    "language",
    "updates done",
    "updates planned",
    "valid loss",
    "unigram entropy",
    "difference",
    "context-free loss",
)


def judge(quality: dict | None) -> tuple[str, str]:
    """Verdict and reason for one model.

    Parameters
    ----------
    quality : dict or None
        The content of quality.json; None if there is no such file.
    """
    valid = ((quality or {}).get("splits") or {}).get("valid") or {}
    loss, entropy = valid.get("loss"), valid.get("unigram_entropy")
    if loss is None or entropy is None:
        missing = "its validation loss" if loss is None else "the unigram entropy of its text"
        return UNKNOWN, f"{missing} is not known"
    if not math.isfinite(loss):
        return NOT_LEARNED, "its validation loss is not finite"
    if loss > entropy - MARGIN:
        return NOT_LEARNED, f"its loss is not {MARGIN} nats below the unigram entropy"
    context_free = quality.get("context_free")
    objective = OBJECTIVES.get(quality["objective"])
    copies = objective is not None and objective.quality.beats_copying
    if copies and context_free is not None and loss >= context_free:
        return NOT_LEARNED, "a model without context that copies unmasked tokens is as good"
    return LEARNED, ""


def learning_table(run: Run) -> list[Learning]:
    """A row for every model of the run, including models without quality.json."""
    return [_learning(run, model) for model in run.models]


def _learning(run: Run, model: str) -> Learning:
    quality = run.qualities.get(model)
    valid = ((quality or {}).get("splits") or {}).get("valid") or {}
    loss, entropy = valid.get("loss"), valid.get("unigram_entropy")
    difference = None if loss is None or entropy is None else loss - entropy
    objective, *languages = model.split("-")
    verdict, reason = judge(quality)
    cells = [
        OBJECTIVES[objective].look.title,
        " → ".join(name for name in languages if name != "wmt"),
        count(run.steps.get(model)),
        count(planned_updates(run, model)),
        nats(loss),
        nats(entropy),
        nats(difference, signed=True),
        nats((quality or {}).get("context_free")),
    ]
    return Learning(model, verdict, reason, cells)


def failed_models(run: Run) -> list[str]:
    """Models that did not learn."""
    return [model for model in run.models if judge(run.qualities.get(model))[0] == NOT_LEARNED]


def held_out_table(run: Run) -> Grid | None:
    """Losses on held-out text, with their meaning per objective; None without any quality."""
    rows = []
    for model in run.models:
        quality = run.qualities.get(model)
        if quality is None:
            continue
        objective = quality["objective"]
        row = [model, OBJECTIVES[objective].quality.measure]
        splits = [quality["splits"].get(split) or {} for split in ("valid", "test")]
        row += [_measured(numbers, objective) for numbers in splits]
        row.append(nats(splits[1].get("loss")))
        rows.append([*row, *(count(numbers.get("tokens")) for numbers in splits)])
    columns = ["model", "measure", "valid", "test", "test loss", "valid tokens", "test tokens"]
    return make_grid(columns, rows) if rows else None


def measure_meanings(run: Run) -> list[tuple[str, str]]:
    """(measure, what it is) of the objectives in this run."""
    present = {quality["objective"] for quality in run.qualities.values()}
    found = [one.quality for name, one in OBJECTIVES.items() if name in present]
    return [(quality.measure, quality.meaning) for quality in found]


def _measured(numbers: dict, objective: str) -> str:
    if not OBJECTIVES[objective].quality.is_perplexity:
        return nats(numbers.get("loss"))
    value = numbers.get("perplexity")
    if value is None or not math.isfinite(value):
        return nats(value)
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def translation_table(run: Run) -> tuple[Grid | None, list[tuple[str, str]]]:
    """BLEU and chrF per test set, and the signatures of each score.

    A second BLEU is a baseline without the source: the same translations, but assigned to other
    sentences.
    """
    rows: list[list[str]] = []
    signatures: dict[str, str] = {}
    for model in run.models:
        translation = (run.qualities.get(model) or {}).get("translation") or {}
        for name in _test_sets(translation):
            scores = translation[name]
            row = [model, name, count(scores.get("sentences"))]
            for score in ("bleu", "bleu_shuffled_sources", "chrf"):
                value = scores.get(score)
                row.append(MISSING if value is None else f"{value:.1f}")
                signature = scores.get(f"{score}_signature")
                if signature:
                    signatures[signature] = {"bleu": "BLEU", "chrf": "chrF"}[score]
            rows.append(row)
    columns = ["model", "test set", "sentences", "BLEU", "BLEU, sources shuffled", "chrF"]
    named = sorted((name, signature) for signature, name in signatures.items())
    return (make_grid(columns, rows) if rows else None), named


def _test_sets(translation: dict) -> Sequence[str]:
    # the test split of the model's own corpus comes first (Appendix B.1)
    return sorted(translation, key=lambda name: (name != "test", name))
