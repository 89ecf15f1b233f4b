"""Overview of a run: its models, its size compared with the paper's, and its progress."""

from __future__ import annotations

from typing import Any

from report.inputs import Run
from report.values import Grid, count, listing, make_grid, quantity

PAPER_UPDATES = 125_000
PAPER_VOCABULARY = 32_000
# The paper's values of keys of `training`; a run with these values is as large as the paper's.
PAPER_SCALE = {
    "layers": 12,
    "embedding_dimension": 512,
    "attention_heads": 8,
    "feed_forward_dimension": 2048,
    "total_updates": PAPER_UPDATES,
}
PAPER_TOKENS_PER_UPDATE = 16 * 2048
SCALE_TITLES = {
    "layers": "layers (encoder and decoder together)",
    "embedding_dimension": "embedding dimension",
    "attention_heads": "attention heads",
    "feed_forward_dimension": "feed-forward dimension",
    "total_updates": "updates planned",
}


def configured(run: Run, model: str, key: str) -> Any:
    """The configured hyper-parameter of one model, with overrides; None if unknown."""
    recorded = run.settings.get(model, {}).get("configured", {})
    if key in recorded:
        return recorded[key]
    configuration = run.configuration
    value = configuration["training"].get(key)
    for overrides, name in (("objective_training", model.split("-")[0]), ("model_training", model)):
        override = ((configuration.get(overrides) or {}).get(name) or {}).get(key)
        value = value if override is None else override
    return value


def planned_updates(run: Run, model: str) -> int | None:
    """Number of updates of a model in the configuration."""
    return configured(run, model, "total_updates")


def scale_table(run: Run) -> Grid:
    """The paper's size and this run's; several values if models differ."""
    rows = [["models", "15 (14 on Europarl, 1 on WMT-2018)", count(len(run.models))]]
    for key, paper in PAPER_SCALE.items():
        rows.append([SCALE_TITLES[key], count(paper), _values(run, key)])
    rows.append(["updates done", "not stated", _numbers(run.steps.values())])
    rows.append(
        ["tokens per update, at most", count(PAPER_TOKENS_PER_UPDATE), _numbers(_tokens(run))]
    )
    rows.append(
        ["vocabulary", count(PAPER_VOCABULARY), _numbers([run.configuration["vocabulary"]["size"]])]
    )
    parameters = [record.get("parameters") for record in run.settings.values()]
    rows.append(["parameters of a model", "not stated", _numbers(parameters)])
    grid = make_grid(["", "paper", "this run"], rows)
    return Grid(grid.columns, grid.rows, [False, True, True])


def scale_sentence(run: Run) -> str:
    """One sentence that says whether this run is as large as the paper's."""
    different = [
        SCALE_TITLES[key].split(" (")[0]
        for key, paper in PAPER_SCALE.items()
        if any(configured(run, model, key) != paper for model in run.models)
    ]
    if set(_tokens(run)) != {PAPER_TOKENS_PER_UPDATE}:
        different.append("tokens per update")
    if run.configuration["vocabulary"]["size"] != PAPER_VOCABULARY:
        different.append("vocabulary")
    if not different:
        return (
            "The models are configured at the size of the paper's. Table 3 shows whether the text "
            "is the paper's, too."
        )
    return (
        f"This run is not at the paper's scale; it differs in {listing(different)}. It shows that "
        "the method works and what the figures look like. Its numbers are no evidence for or "
        "against the paper's. Table 2 has every setting."
    )


def progress_sentence(run: Run) -> str:
    """Sentences on the trainings' progress; models with the same numbers share a sentence."""
    groups: dict[tuple[int | None, int | None], list[str]] = {}
    for model in run.models:
        groups.setdefault((run.steps.get(model), planned_updates(run, model)), []).append(model)
    return " ".join(
        _progress(listing(models) if len(groups) > 1 else _all(len(models)), *numbers)
        for numbers, models in groups.items()
    )


def _progress(models: str, done: int | None, planned: int | None) -> str:
    if done is None:
        return f"No training is recorded for {models}."
    if planned is None:
        return f"{models}: {count(done)} updates."
    if done < planned:
        return f"{models}: {count(done)} of the {count(planned)} updates that were planned."
    return f"{models}: all {count(planned)} updates that were planned."


def _all(number: int) -> str:
    return "The one model" if number == 1 else f"All {quantity(number, 'model')}"


def _tokens(run: Run) -> list[int]:
    factors = [
        (configured(run, model, "max_tokens"), configured(run, model, "update_frequency"))
        for model in run.models
    ]
    return [tokens * frequency for tokens, frequency in factors if tokens and frequency]


def _values(run: Run, key: str) -> str:
    return _numbers(configured(run, model, key) for model in run.models)


def _numbers(values) -> str:
    return " or ".join(count(value) for value in sorted({v for v in values if v is not None}))
