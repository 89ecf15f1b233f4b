"""Write docs/results from a finished run: its numbers, claims, figures and tables, as pages.

python tools/results_pages.py results/sample [--output docs/results]

The pages hold copies, so that they can be read without the run.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from common.study_modules import study_names  # noqa: E402
from losschange.claims.verdicts import FAILS, HOLDS, UNKNOWN  # noqa: E402
from report.claims.tables import claims_markdown  # noqa: E402
from running.studies import load_study  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """Read a run's folder, write the pages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run, such as results/sample")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "docs" / "results",
        help="where the pages go (default: docs/results)",
    )
    options = parser.parse_args(arguments)
    try:
        write_pages(options.run, options.output)
    except FileNotFoundError as error:
        sys.exit(f"error: {options.run} is no finished run: {error.filename or error} is missing")


def write_pages(run: Path, output: Path) -> None:
    """Write the pages of a run.

    Parameters
    ----------
    run : path
        Its results folder.
    output : path
        Replaced by the new pages once these are complete.

    Raises
    ------
    FileNotFoundError
        If the run lacks one of the files.
    """
    configuration = read_json(run / "report" / "configuration.json")
    studies = [load_study(name) for name in configuration["studies"]]
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "figures").mkdir(parents=True)
    try:
        start = [*introduction(run, configuration), *model_table(run), *sums_table(run)]
        write_page(temporary / "index.md", [*start, *claim_counts(run)])
        write_page(temporary / "claims.md", claim_pages(run))
        write_page(temporary / "figures.md", figures(run, studies, temporary / "figures"))
        write_page(temporary / "tables.md", tables(run, studies))
        shutil.rmtree(output, ignore_errors=True)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def introduction(run: Path, configuration: dict[str, Any]) -> Iterator[str]:
    """What was run, and on how much text."""
    name = configuration["run"]
    yield f"# Results of the run {name}\n"
    yield "Made from the finished run by `make results-pages`. How large the models and their text"
    yield "are stands below. The paper's models have 54 to 61 million parameters, and train for"
    yield "125,000 updates on up to 5 million pairs of sentences. Read first whether the models"
    yield "learnt, then whether the parts add up, then the [claims](claims.md), the"
    yield "[figures](figures.md) and the [tables](tables.md).\n"
    yield "## The text\n"
    yield "| corpus | read from | training | validation | test |"
    yield "|---|---|---:|---:|---:|"
    for corpus in sorted(path.parent for path in run.glob("corpora/*/counts.json")):
        counts = read_json(corpus / "counts.json")
        sizes = [f"{counts['splits'].get(split, 0):,}" for split in ("train", "valid", "test")]
        sources = ", ".join(f"`{source}`" for source in counts["sources"])
        yield f"| {corpus.name} | {sources} | {' | '.join(sizes)} |"
    yield "\nNumbers are pairs of sentences. `synthetic` text is of artificial languages.\n"


def model_table(run: Path) -> Iterator[str]:
    """Size, training and quality of every model."""
    yield "## The models\n"
    yield "| model | parameters | updates | test measure | test loss | by frequency alone |"
    yield "|---|---:|---:|---|---:|---:|"
    for path in summaries(run):
        quality = read_json(run / "models" / path.stem / "quality.json")
        split = next(name for name in ("test", "valid") if name in quality["splits"])
        found = quality["splits"][split]
        value = found.get(quality["measure"])
        measure = quality["measure"] + (f" {value:.2f}" if isinstance(value, float) else "")
        with xr.open_dataset(path) as summary:
            size, updates = int(summary["n_parameters"].sum()), int(summary.attrs["steps"])
        alone = found.get("unigram_entropy")
        alone_text = "–" if alone is None else f"{alone:.3f}"
        yield (
            f"| {path.stem} | {size:,} | {updates:,} | {measure} ({split}) | {found['loss']:.3f} |"
            f" {alone_text} |"
        )
    yield "\nLosses are nats per target token. A model whose loss is not below the last column has"
    yield "not learnt to use context; what is said of it means little.\n"


def sums_table(run: Path) -> Iterator[str]:
    """The sum of all LCA over the measured loss change, by estimator."""
    rows: dict[str, dict[str, float]] = {}
    names: list[str] = []
    for path in summaries(run):
        with xr.open_dataset(path) as summary:
            rows[path.stem] = {}
            for name in map(str, summary["estimator"].values):
                names += [name] * (name not in names)
                one = summary.sel(estimator=name)
                measure = str(one["reference"].values)
                if measure != "none":
                    rows[path.stem][name] = float(one["over_count"].sel(measure=measure))
    yield "## Do the parts add up?\n"
    yield "The sum of all LCA over the measured change of the loss, for each estimator: 1 would be"
    yield "exact. [The estimators](../explanation/estimators.md) says what each is and why `batch`,"
    yield "the paper's, claims too much.\n"
    yield f"| model | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"|---|{'---:|' * len(names)}"
    for model, found in rows.items():
        cells = [f"{found[name]:.3f}" if name in found else "–" for name in names]
        yield f"| {model} | {' | '.join(cells)} |"
    yield ""


def claim_counts(run: Path) -> Iterator[str]:
    """How many of the paper's claims have which verdict, by estimator."""
    record = read_json(run / "claims" / "claims.json")
    yield "## The paper's claims\n"
    yield "| estimator | holds | does not hold | cannot tell |"
    yield "|---|---:|---:|---:|"
    for column in record["columns"]:
        name = column["name"]
        found = Counter(claim["results"][name]["verdict"] for claim in record["claims"])
        numbers = " | ".join(str(found[verdict]) for verdict in (HOLDS, FAILS, UNKNOWN))
        yield f"| {name} | {numbers} |"
    yield '\n"Matched" stands for models that are alike but for their objective.'
    yield "[Every claim](claims.md) has its numbers and intervals."


def claim_pages(run: Path) -> Iterator[str]:
    """The tables of claims, of the paper and of other studies."""
    yield "# The claims\n"
    yield "A claim holds (✓) if the whole interval meets its criterion, does not hold (✗) if the"
    yield "whole interval misses it; otherwise nothing can be told (?). Claims of figures are in"
    yield "shares, ranks and ratios. [What is behind it](../reference/claims.md).\n"
    for title, record in claim_records(run):
        yield f"## {title}\n"
        yield compact(claims_markdown(record))


def claim_records(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of judged claims that a run holds, each with a title; the paper's first."""
    titles = {name: load_study(name).title for name in study_names()}
    paths = [run / "claims" / "claims.json"]
    paths += [path for path in sorted(run.glob("claims/*.json")) if path not in paths]
    paths += [path for path in sorted(run.glob("*/claims.json")) if path not in paths]
    for path in paths:
        record = read_json(path)
        if not {"columns", "claims", "draws"} <= record.keys():
            continue
        name = path.parent.name if path.stem == "claims" else path.stem
        title = "The paper's claims" if name == "claims" else titles.get(name, name.capitalize())
        yield title, record


def figures(run: Path, studies: list[Any], folder: Path) -> Iterator[str]:
    """All figures with their captions; their files are copied into a folder."""
    yield "# The figures\n"
    for study in studies:
        yield f"## {study.title}\n"
        for figure in study.figures:
            name = f"figure{figure.number}"
            shutil.copyfile(run / "figures" / f"{name}.png", folder / f"{name}.png")
            title, text = caption(study.name, name)
            yield f"### Figure {figure.number}\n"
            yield f"![Figure {figure.number}: {title}](figures/{name}.png)\n"
            yield f"**{title}** {text}\n"


def tables(run: Path, studies: list[Any]) -> Iterator[str]:
    """All tables with their captions."""
    yield "# The tables\n"
    for study in studies:
        yield f"## {study.title}\n"
        for table in study.tables:
            name = f"table{table.number}"
            title, text = caption(study.name, name)
            yield f"### Table {table.number}\n"
            yield f"**{title}** {text}\n"
            yield compact((run / "tables" / f"{name}.md").read_text(encoding="utf-8"))


def caption(study: str, name: str) -> tuple[str, str]:
    """Title of a figure or table, and what its caption says below it, as Markdown."""
    path = ROOT / "scripts" / "studies" / study / "captions" / f"{name}.rst"
    title, _, text = path.read_text(encoding="utf-8").replace("``", "`").partition("\n\n")
    return title.strip(), text.strip()


def compact(text: str) -> str:
    """Markdown without the spaces that align its tables."""
    return re.sub(r"-{4,}", "---", re.sub(r" {2,}", " ", text)).strip() + "\n"


def summaries(run: Path) -> list[Path]:
    """Summaries of a run's models, without the variants that studies train.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    variant = re.compile(r"\.(?!matched|seed\d)")
    found = [
        path for path in sorted((run / "summaries").glob("*.nc")) if not variant.search(path.stem)
    ]
    if not found:
        raise FileNotFoundError(f"{run}/summaries/*.nc")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file."""
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def write_page(path: Path, lines: Iterator[str] | list[str]) -> None:
    """Write a page from its lines."""
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
