"""A page of the models that a check trained at the paper's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .results import Record
from .table import PAPER_UPDATES, markdown

# The figure of the paper and the estimator that each file shows.
FIGURES = {"paper-size-1-batch.png": ("1", "batch"), "paper-size-1-simpson.png": ("1", "simpson")}


def write_page(
    page: Path, models: Sequence[Record], summaries: Mapping[str, Path], source: str
) -> list[Path]:
    """Write the page and its figures.

    Parameters
    ----------
    page : path
    models : sequence of records `model`
    summaries : mapping of name to path
    source : str
        When and on what they were trained.

    Returns
    -------
    list of path
        The files that were written.
    """
    from losschange.analysis.summaries import open_summary

    opened = {name: open_summary(path) for name, path in summaries.items()}
    figures = draw(page.parent / "figures", list(opened.values()))
    lines = [*introduction(models, opened, source), *sums(opened), *pictures(figures)]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [page, *figures]


def introduction(models: Sequence[Record], opened: Mapping, source: str) -> Iterator[str]:
    """What was trained, for how many updates."""
    counts = ", ".join(f"{one['model']} for {one['updates']:,}" for one in models)
    yield "# Models at the paper's size\n"
    yield f"Trained {source}, in the minutes that a check of the card left: {counts} updates. The"
    yield f"paper's models train for {PAPER_UPDATES:,}. **This is the beginning of a training, with"
    yield "a learning rate that rises and falls within these updates, and not the paper's result.**"
    yield "Layers, widths, tokens of an update, optimizer and precision are the paper's.\n"
    rows = []
    for one in models:
        summary = opened[one["model"]]
        rows.append(
            [
                one["model"],
                f"`{one.get('text', '–')}`",
                f"{int(summary['n_parameters'].sum()):,}",
                f"{one['updates']:,}",
                f"{one['updates'] / PAPER_UPDATES:.2%}",
                "yes" if one["complete"] else f"no: {one['reason']}",
                f"{float(summary['valid_loss'][0]):.3f}",
                f"{float(summary['valid_loss'][-1]):.3f}",
            ]
        )
    head = ["model", "text", "parameters", "updates", "of the paper's", "to the planned end"]
    yield from markdown([*head, "validation loss before", "after"], rows)
    yield "\nLosses are nats per target token.\n"


def sums(opened: Mapping) -> Iterator[str]:
    """The sum of all LCA over the measured loss change, by estimator."""
    names = sorted({str(n) for one in opened.values() for n in one["estimator"].values})
    yield "## Do the parts add up?\n"
    yield "The sum of all LCA over the measured change of the loss, for each estimator: 1 would be"
    yield "exact. [The estimators](explanation/estimators.md) says what each is.\n"
    rows = []
    for model, summary in opened.items():
        cells = []
        for name in names:
            one = summary.sel(estimator=name)
            measure = str(one["reference"].values)
            known = measure != "none"
            cells.append(f"{float(one['over_count'].sel(measure=measure)):.3f}" if known else "–")
        rows.append([model, *cells])
    yield from markdown(["model", *(f"`{name}`" for name in names)], rows)
    yield ""


def pictures(figures: Sequence[Path]) -> Iterator[str]:
    """The figures with their captions."""
    yield "## Contribution of every layer\n"
    for path in figures:
        number, estimator = FIGURES[path.name]
        yield f"![Figure {number} by {estimator}](figures/{path.name})\n"
        yield f"Figure {number} of the paper, by the estimator `{estimator}`: −ΣLCA of every layer,"
        yield "positive where it lowered the loss.\n"


def draw(folder: Path, summaries: Sequence) -> list[Path]:
    """Draw the figures; return their files."""
    from importlib import import_module

    from report.illustration_inputs import style_of_run

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with style_of_run():
        for name, (number, estimator) in FIGURES.items():
            figure = import_module(f"studies.vazquez2022.figures.figure{number}").draw(
                {"summaries": summaries}, {"estimator": estimator}
            )
            figure.savefig(folder / name, dpi=150, metadata={"Software": None})
            written.append(folder / name)
    return written
