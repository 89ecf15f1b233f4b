"""Check whether the models learned, and report their quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from objectives import OBJECTIVES
from report.inputs import Run
from report.overview import planned_updates
from report.values import Grid, count, make_grid, nats, over_seeds
from running.models import COLLECTIONS

LEARNED = "learned"
NOT_LEARNED = "did not learn"
UNKNOWN = "cannot tell"
# Smallest distance (nats) of the loss below the unigram entropy that counts as learning. Smaller
# distances can occur without context: token frequencies differ between texts.
MARGIN = 0.1


@dataclass(frozen=True)
class Learning:
    """One row of the table on whether the models learned.

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
    quality = quality or {}
    valid = (quality.get("splits") or {}).get("valid") or {}
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


def judge_trainings(qualities: Sequence[dict]) -> tuple[str, str]:
    """Verdict and reason for one model: of its first training that did not learn, if there is one.

    Parameters
    ----------
    qualities : sequence of dict
        The content of quality.json of every training of the model.
    """
    verdicts = [judge(quality) for quality in qualities] or [judge(None)]
    for wanted in (NOT_LEARNED, UNKNOWN, LEARNED):
        found = [reason for verdict, reason in verdicts if verdict == wanted]
        if found:
            several = f" ({len(found)} of {len(verdicts)} seeds)" if len(verdicts) > 1 else ""
            return wanted, found[0] + several if found[0] else ""
    raise AssertionError("every verdict is one of these")


def learning_table(run: Run) -> list[Learning]:
    """A row for every model of the run, including models without quality.json."""
    return [_learning(run, model) for model in run.models]


def _learning(run: Run, model: str) -> Learning:
    qualities = run.qualities.get(model, [])
    losses = _of_split(qualities, "valid", "loss")
    entropies = _of_split(qualities, "valid", "unigram_entropy")
    differences = [
        None if loss is None or entropy is None else loss - entropy
        for loss, entropy in zip(losses, entropies, strict=True)
    ]
    objective, *languages = model.split("-")
    verdict, reason = judge_trainings(qualities)
    cells = [
        OBJECTIVES[objective].look.title,
        " → ".join(name for name in languages if name not in COLLECTIONS.values()),
        count(run.steps.get(model)),
        count(planned_updates(run, model)),
        over_seeds(losses, nats),
        nats(entropies[0] if entropies else None),
        over_seeds(differences, partial(nats, signed=True)),
        over_seeds([quality.get("context_free") for quality in qualities], nats),
    ]
    return Learning(model, verdict, reason, cells)


def _of_split(qualities: Sequence[dict], split: str, name: str) -> list:
    """A number of one split per training, None where it is not known."""
    return [(quality["splits"].get(split) or {}).get(name) for quality in qualities]


def failed_models(run: Run) -> list[str]:
    """Models of which a training did not learn."""
    verdicts = {model: judge_trainings(run.qualities.get(model, [])) for model in run.models}
    return [model for model, (verdict, _) in verdicts.items() if verdict == NOT_LEARNED]


def held_out_table(run: Run) -> Grid | None:
    """Losses on held-out text, with their meaning per objective; None without any quality."""
    rows = []
    for model in run.models:
        qualities = run.qualities.get(model)
        if not qualities:
            continue
        quality = OBJECTIVES[qualities[0]["objective"]].quality
        shown = ("perplexity", _perplexity) if quality.is_perplexity else ("loss", nats)
        row = [model, quality.measure]
        for split in ("valid", "test"):
            row.append(over_seeds(_of_split(qualities, split, shown[0]), shown[1]))
        row.append(over_seeds(_of_split(qualities, "test", "loss"), nats))
        tokens = [_of_split(qualities, split, "tokens")[0] for split in ("valid", "test")]
        rows.append([*row, *map(count, tokens)])
    columns = ["model", "measure", "valid", "test", "test loss", "valid tokens", "test tokens"]
    return make_grid(columns, rows) if rows else None


def measure_meanings(run: Run) -> list[tuple[str, str]]:
    """(measure, what it is) of the objectives in this run."""
    present = {qualities[0]["objective"] for qualities in run.qualities.values()}
    found = [one.quality for name, one in OBJECTIVES.items() if name in present]
    return [(quality.measure, quality.meaning) for quality in found]


def _perplexity(value: float | None) -> str:
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
        translations = [found.get("translation") or {} for found in run.qualities.get(model, [])]
        for name in _test_sets(translations[0] if translations else {}):
            trainings = [translation.get(name) or {} for translation in translations]
            row = [model, name, count(trainings[0].get("sentences"))]
            for score in ("bleu", "bleu_shuffled_sources", "chrf"):
                row.append(over_seeds([scores.get(score) for scores in trainings], "{:.1f}".format))
                signature = trainings[0].get(f"{score}_signature")
                if signature:
                    signatures[signature] = {"bleu": "BLEU", "chrf": "chrF"}[score]
            rows.append(row)
    columns = ["model", "test set", "sentences", "BLEU", "BLEU, sources shuffled", "chrF"]
    named = sorted((name, signature) for signature, name in signatures.items())
    return (make_grid(columns, rows) if rows else None), named


def _test_sets(translation: dict) -> Sequence[str]:
    # The test split of the model's own corpus comes first (Appendix B.1).
    return sorted(translation, key=lambda name: (name != "test", name))
