"""A table of the estimated cost of a run, shown before it starts."""

from __future__ import annotations

from tabulate import tabulate

from .configuration import Configuration
from .corpus_costs import corpus_disk, tokens_disk
from .costs import TIME_MARGIN, TrainingCost, hardware_of, training_cost
from .models import Model
from .speeds import nearest_measurement, size_of, way_of
from .studies import cost_lines_of_study

COLUMNS = (
    "model",
    "updates",
    "tokens\nper update",
    "million\nparameters",
    "petaFLOP",
    "tokens/s",
    "time without\nrecording",
    "time",
    "jobs in\na queue",
    "GPU\nmemory",
    "disk\nkept",
)
_WAYS = {
    "stock": "stock fairseq",
    "fast": "the faster ways",
    "compiled": "the faster ways, compiled",
}
ALIGNMENT = ("left", *["right"] * (len(COLUMNS) - 1))


def cost_table(configuration: Configuration, time_limit: int | None = None) -> str:
    """Plain-text table of every training and their sum, and the sources of the estimates.

    Parameters
    ----------
    configuration : Configuration
    time_limit : int, optional
        Minutes that the queue allows a job.
    """
    models = configuration.models_and_variants()
    costs = {model: training_cost(configuration, model) for model in models}
    rows = [_row(model.name, cost, time_limit) for model, cost in costs.items()]
    table = tabulate(rows, headers=COLUMNS, disable_numparse=True, colalign=ALIGNMENT)
    parts = [
        table,
        "\n".join(_totals(configuration, costs, time_limit)),
        "\n".join(_sources(configuration)),
        *(
            "\n".join(lines)
            for name in configuration.studies
            if (lines := cost_lines_of_study(name, configuration))
        ),
    ]
    return "\n\n".join(parts)


def _row(name: str, cost: TrainingCost, limit: int | None) -> list[str]:
    return [
        name,
        f"{cost.updates:,}",
        f"{cost.tokens_per_update:,.0f}",
        f"{cost.parameters / 1e6:,.1f}",
        _short(cost.operations / 1e15)
        if cost.operations > 1e14
        else f"{cost.operations / 1e15:.2g}",
        f"{cost.tokens_per_second:,.0f}",
        _duration(cost.seconds_plain),
        _duration(cost.seconds),
        str(cost.tries(limit)),
        _size(cost.device_memory) if cost.device_memory else "–",
        _size(cost.disk_kept),
    ]


def _totals(
    configuration: Configuration, costs: dict[Model, TrainingCost], time_limit: int | None
) -> list[str]:
    execution, seeds = configuration.execution, len(set(configuration.seeds))
    trainings = seeds * len(costs)
    seconds = seeds * sum(cost.seconds for cost in costs.values())
    kept = seeds * sum(cost.disk_kept for cost in costs.values())
    running = max(cost.disk_running for cost in costs.values())
    corpora = {model.corpus for model in costs}
    text = sum(corpus_disk(configuration, corpus) for corpus in corpora)
    sides = {model.tokens: (model.corpus, len(model.languages)) for model in costs}
    ids = sum(tokens_disk(configuration, *found) for found in sides.values())
    longest = max(cost.seconds for cost in costs.values())
    gpus = execution.gpus
    gpu_hours = f" ({_short(gpus * seconds / 3600)} GPU-hours)" if gpus else ""
    lines = [
        f"{trainings} trainings ({len(costs)} models, {seeds} seed{'s' if seeds > 1 else ''}; "
        f"{execution.processes} worker{'s' if execution.processes > 1 else ''} each): "
        f"{_duration(seconds)} one after the other{gpu_hours}, {_duration(longest)} if all run at "
        "the same time.",
        f"Disk: {_size(kept)} of cubes and models, {_size(text)} of corpora (more where archives "
        f"hold more than is drawn from them), {_size(ids)} of token ids, and {_size(running)} for "
        "every training while it runs.",
    ]
    if time_limit:
        lines.append(
            f"Jobs: tries of at most {time_limit} minutes, should a training take "
            f"{TIME_MARGIN} times as long as estimated."
        )
    return lines


def _sources(configuration: Configuration) -> list[str]:
    """The measurement behind the times of every objective."""
    lines = [
        "Times are estimated from these measurements (scripts/running/throughputs.csv), scaled to "
        "the operations of each model. Tokens: of a micro-batch × micro-batches per update."
    ]
    for model in {m.objective: m for m in configuration.trained_models()}.values():
        training = configuration.training_of(model)
        hardware = hardware_of(configuration.execution)
        vocabulary, settings = configuration.vocabulary_size_of(model), training.model_dump()
        operations = size_of(model.objective, settings, vocabulary).operations
        nearest = nearest_measurement(
            hardware, model.objective, way_of(settings), operations, training.max_tokens
        )
        lines.append(
            f"  {model.objective} on {hardware}: {nearest.objective}, {_WAYS[nearest.way]}, "
            f"embedding dimension {nearest.training['embedding_dimension']}, "
            f"{nearest.training['max_tokens']:,} tokens × {nearest.update_frequency}: "
            f"{nearest.tokens_per_second:,.0f} tokens/s ({nearest.source})"
        )
    return lines


def _duration(seconds: float) -> str:
    """A number of seconds as text, in a suitable unit."""
    if seconds < 120:
        return f"{_short(seconds)} s"
    return f"{_short(seconds / 60)} min" if seconds < 7200 else f"{_short(seconds / 3600)} h"


def _size(megabytes: float) -> str:
    """A number of megabytes as text, in a suitable unit."""
    return f"{_short(megabytes)} MB" if megabytes < 1000 else f"{_short(megabytes / 1000)} GB"


def _short(number: float) -> str:
    """A number rounded to three digits, without a power of ten."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"
