"""Read the files of a run, in the order of the configuration."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from common.files import UserError
from losschange.analysis.conservation import ERRORS
from losschange.analysis.summaries import SummaryError, open_summary
from report.table_files import read_record

CONFIGURATION_KEYS = ("run", "seed", "models", "main_models", "training", "vocabulary")


@dataclass(frozen=True)
class EstimatorSum:
    """The sum of one estimator over a whole training, and the measured change of the loss.

    Attributes
    ----------
    model, training, objective, estimator : str
        A model with several seeds has several trainings, such as "clm-en.seed2".
    stride : int
        Updates between two records.
    total : float
        ΣLCA over the whole training, nats per token; the sum of sampled updates is divided by the
        sampled share.
    changes, ratios : dict of measure (`losschange.analysis.conservation`) to float
        Measured loss change in nats, and total / change; NaN if not known.
    reference : str
        The measure that the estimator is compared with; "none" without any.
    errors : dict of name in `losschange.analysis.conservation.ERRORS` to float
        NaN for an estimator without a probe.
    """

    model: str
    training: str
    objective: str
    estimator: str
    stride: int
    total: float
    changes: dict[str, float]
    ratios: dict[str, float]
    reference: str
    errors: dict[str, float]

    @property
    def ratio(self) -> float:
        """ΣLCA divided by the reference change of the loss; NaN if not known."""
        return self.ratios.get(self.reference, math.nan)


@dataclass(frozen=True)
class Run:
    """Everything that the report reads except figures, tables and captions.

    Attributes
    ----------
    configuration : dict
    models : list of str
        Every model that is configured or has a file, in the order of the configuration.
    qualities : dict of model to list of records
        One per training of the model, that of the first seed first.
    settings, histories : dict of model to record
        Those of its first training. A history is the list of (update, seconds) of training.csv.
    steps : dict of model to int
        Number of updates made.
    sums : list of EstimatorSum
    counts, sources, provenance : list of dict
    tokens : dict of name to record
    """

    configuration: dict
    models: list[str]
    qualities: dict[str, list[dict]]
    settings: dict[str, dict]
    histories: dict[str, list[tuple[int, float]]]
    steps: dict[str, int]
    sums: list[EstimatorSum]
    counts: list[dict]
    sources: list[dict]
    tokens: dict[str, dict]
    provenance: list[dict]


def read_run(
    configuration: Path,
    qualities: Sequence[Path] = (),
    settings: Sequence[Path] = (),
    counts: Sequence[Path] = (),
    source_records: Sequence[Path] = (),
    tokens: Sequence[Path] = (),
    histories: Sequence[Path] = (),
    summaries: Sequence[Path] = (),
    provenance: Sequence[Path] = (),
) -> Run:
    """Read the files of a run; any of the lists may be empty.

    Raises
    ------
    UserError
        If a named file does not exist, is damaged, or lacks data that the report needs.
    """
    values = read_record(configuration, CONFIGURATION_KEYS)
    quality_of: dict[str, list[dict]] = {}
    for path in qualities:
        record = read_record(path, ("model", "objective", "splits"))
        quality_of.setdefault(record["model"], []).append(record)
    settings_of = _by_model(settings, ("model", "objective", "configured", "as_run"))
    history_of = {path.parent.name: _read_history(path) for path in histories}
    steps, sums = _read_summaries(summaries)
    names = list(
        dict.fromkeys(
            [*_configured_models(values), *sorted({*quality_of, *settings_of, *history_of, *steps})]
        )
    )
    ranked = _ranked(names)
    ranked_corpus = _ranked(list(values.get("corpora", {})))
    for model, history in history_of.items():
        steps.setdefault(model, history[-1][0] if history else 0)
    return Run(
        configuration=values,
        models=names,
        qualities=quality_of,
        settings=settings_of,
        histories=history_of,
        steps=steps,
        sums=sorted(sums, key=lambda entry: ranked(entry.model)),
        counts=sorted(
            (read_record(path, ("corpus", "read", "dropped", "splits")) for path in counts),
            key=lambda record: ranked_corpus(record["corpus"]),
        ),
        sources=sorted(
            (
                read_record(path, ("source", "url", "bytes", "sha256", "pinned"))
                for path in source_records
            ),
            key=lambda record: (record["source"], record["url"]),
        ),
        tokens={
            path.parent.name: read_record(path, ("vocabulary", "splits")) for path in sorted(tokens)
        },
        provenance=sorted(
            (
                read_record(path, ("corpus", "sources", "code", "vocabularies"))
                for path in provenance
            ),
            key=lambda record: ranked_corpus(record["corpus"]),
        ),
    )


def _configured_models(configuration: dict) -> list[str]:
    names = list(configuration["models"])
    if configuration.get("wmt_language_models"):
        names += ["clm-en-wmt", "mlm-en-wmt"]
    return names


def _ranked(names: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """A sorting key: the order of `names`, then all others alphabetically."""
    places = {name: place for place, name in enumerate(names)}
    return lambda name: (places.get(name, len(places)), name)


def _by_model(paths: Sequence[Path], keys: Sequence[str]) -> dict[str, dict]:
    records = [read_record(path, keys) for path in paths]
    return {record["model"]: record for record in records}


def _read_history(path: Path) -> list[tuple[int, float]]:
    """(update, seconds since the previous row) of every row of a training.csv."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [
                (int(row["update"]), float(row["seconds"] or 0)) for row in csv.DictReader(file)
            ]
    except KeyError as error:
        raise UserError(
            f"{path} has no column {error}; expected update and seconds among its columns: train "
            "the model again"
        ) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); train the model again") from None


def _read_summaries(paths: Sequence[Path]) -> tuple[dict[str, int], list[EstimatorSum]]:
    steps, sums = {}, []
    for path in paths:
        try:
            summary = open_summary(path)
        except (SummaryError, FileNotFoundError) as error:
            raise UserError(f"cannot make the report: {error}") from error
        with summary:
            steps[str(summary.attrs["model"])] = int(summary.attrs["steps"])
            sums += [
                _estimator_sum(path.stem, summary.sel(estimator=name))
                for name in summary["estimator"].values
            ]
    return steps, sums


def _estimator_sum(training: str, one: xr.Dataset) -> EstimatorSum:
    """The sum of one estimator in a summary."""
    measures = [str(name) for name in one["measure"].values]
    return EstimatorSum(
        model=str(one.attrs["model"]),
        training=training,
        objective=str(one.attrs["objective"]),
        estimator=str(one["estimator"].values),
        stride=int(one["stride"]),
        total=float(one["scaled_total"]),
        changes=dict(zip(measures, one["measured_change"].values.tolist(), strict=True)),
        ratios=dict(zip(measures, one["over_count"].values.tolist(), strict=True)),
        reference=str(one["reference"].values),
        errors={name: float(one[name]) for name in ERRORS},
    )
