"""Provenance of a run: text, vocabularies, seeds, configuration, packages and training time."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

import yaml

from report.inputs import Run
from report.values import Grid, count, listing, make_grid, nats, portable

# Displayed name to the distributions that provide the package; the first installed one is used.
PACKAGES = {
    "snakemake": ("snakemake",),
    "torch": ("torch",),
    "fairseq": ("fairseq", "fairseq-fixed"),
    "sentencepiece": ("sentencepiece",),
    "xarray": ("xarray",),
    "netcdf4": ("netCDF4",),
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
}
REASONS = {
    "invalid_utf8": "a side is not UTF-8",
    "empty": "a side is empty",
    "duplicate": "exact duplicate of an earlier pair",
    "held_out": "in the validation or test text of another corpus",
    "near_duplicate_of_held_out": "nearly the same as a validation or test pair",
    "too_long": "a side has too many words",
    "too_many_characters": "a side has too many characters",
    "unbalanced": "one side is many times longer than the other",
}


@dataclass(frozen=True)
class Source:
    """One downloaded archive as the page shows it."""

    names: str
    url: str
    bytes: str
    sha256: str
    pinned: bool
    licence: str


def corpus_table(run: Run) -> Grid | None:
    """Pairs read, dropped and kept per corpus, and their splits; None without counts."""
    rows = []
    for record in run.counts:
        read, dropped = sum(record["read"].values()), sum(record["dropped"].values())
        splits = [count(record["splits"].get(split)) for split in ("train", "valid", "test")]
        rows.append([record["corpus"], count(read), count(dropped), count(read - dropped), *splits])
    columns = ["corpus", "pairs read", "dropped", "kept", "train", "valid", "test"]
    return make_grid(columns, rows) if rows else None


def drop_table(run: Run) -> Grid | None:
    """Dropped pairs, a row per corpus and reason; None if no pairs were dropped."""
    rows = [
        [record["corpus"], REASONS.get(reason, reason.replace("_", " ")), count(number)]
        for record in run.counts
        for reason, number in sorted(record["dropped"].items(), key=lambda item: -item[1])
        if number
    ]
    return make_grid(["corpus", "reason", "pairs"], rows) if rows else None


def origin_table(run: Run) -> Grid | None:
    """Pairs read, dropped and drawn per corpus and source; None without counts."""
    rows = []
    for record in run.counts:
        for source, number in record["read"].items():
            part = (record.get("sources") or {}).get(source, {"dropped": {}, "splits": {}})
            dropped = sum(part["dropped"].values())
            splits = [count(part["splits"].get(split)) for split in ("train", "valid", "test")]
            rows.append([record["corpus"], source, count(number), count(dropped), *splits])
    columns = ["corpus", "source", "pairs read", "dropped", "train", "valid", "test"]
    return make_grid(columns, rows) if rows else None


def change_table(run: Run) -> Grid | None:
    """Training sentences that a cleaning step changed, per corpus; None without any."""
    rows = [
        [record["corpus"], step.replace("_", " "), count(number)]
        for record in run.counts
        for step, number in (record.get("changed") or {}).items()
    ]
    return make_grid(["corpus", "step", "sentences changed"], rows) if rows else None


def source_list(run: Run) -> list[Source]:
    """The archives, one entry for each, with all sources that share it."""
    names: dict[tuple, list[str]] = {}
    for record in run.sources:
        name = record["source"]
        treebanks = run.configuration.get("treebanks") or {}
        settings = (run.configuration.get("sources") or {}).get(name)
        settings = settings or treebanks.get(name.removeprefix("treebank-")) or {}
        # A digest that was added to the configuration after the download also pins the archive.
        pinned = record["pinned"] or settings.get("sha256") == record["sha256"]
        licence = settings.get("licence") or ""
        key = (record["url"], record["bytes"], record["sha256"], pinned, licence)
        names.setdefault(key, []).append(record["source"])
    return [
        Source(
            ", ".join(dict.fromkeys(shared)),
            str(portable(url)),
            count(size),
            digest,
            bool(pinned),
            licence,
        )
        for (url, size, digest, pinned, licence), shared in names.items()
    ]


def generated_sources(run: Run) -> list[str]:
    """Corpora of this run whose text is generated instead of downloaded."""
    used = {record["corpus"] for record in run.counts}
    corpora = run.configuration.get("corpora") or {}
    return [
        name
        for name, corpus in corpora.items()
        if name in used and any(source.startswith("synthetic:") for source in corpus["sources"])
    ]


def token_table(run: Run) -> Grid | None:
    """Vocabularies, and the sizes of their texts in tokens; None without any."""
    rows = []
    for name, record in run.tokens.items():
        for split, languages in record["splits"].items():
            for language, numbers in languages.items():
                row = [name, count(record["vocabulary"]), split, language]
                row += [count(numbers.get(key)) for key in ("sentences", "tokens", "unknown")]
                rows.append([*row, nats(numbers.get("unigram_entropy"))])
    columns = ["tokens", "vocabulary", "split", "language", "sentences", "tokens", "unknown"]
    return make_grid([*columns, "unigram entropy (nats)"], rows) if rows else None


def making_table(run: Run) -> Grid | None:
    """Digests of the code that made text and vocabularies; None without any record."""
    rows = []
    for record in run.provenance:
        rows.append([record["corpus"], "text", "", "", _short(record["code"])])
        for name, made in record["vocabularies"].items():
            drawn = count(made["sentences"]) if made["sentences"] else "all"
            row = [record["corpus"], f"vocabulary and ids of {name}", drawn]
            rows.append([*row, _short(made["sha256"]), _short(made["code"])])
    columns = ["corpus", "made", "learnt from sentences", "sha256 of the vocabulary"]
    return make_grid([*columns, "sha256 of the code"], rows) if rows else None


def _short(digest: str) -> str:
    return digest[:16]


def seed_table(run: Run) -> Grid:
    """All recorded seeds."""
    rows = [["the run (configuration)", str(run.configuration["seed"])]]
    for record in run.counts:
        if "seed" in record:
            rows.append([f"splits of {record['corpus']}", str(record["seed"])])
    for model, record in run.settings.items():
        if record["as_run"].get("seed") is not None:
            rows.append([f"training of {model}", str(record["as_run"]["seed"])])
    return make_grid(["what is drawn", "seed"], rows)


def configuration_listing(run: Run) -> str:
    """The whole configuration as YAML, without paths of this machine."""
    values = portable(run.configuration)
    for name in ("objective_training", "model_training"):
        # Leave out empty overrides, so that the others are easy to find.
        values[name] = {
            owner: {key: value for key, value in override.items() if value is not None}
            for owner, override in (values.get(name) or {}).items()
        }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def version_table(run: Run) -> Grid:
    """Package versions where the report is made, and those recorded by the trainings."""
    trained: dict[str, set[str]] = {}
    for record in run.settings.values():
        for name, version in (record.get("versions") or {}).items():
            trained.setdefault(name.lower(), set()).add(str(version))
    rows = [["Python", platform.python_version(), ", ".join(sorted(trained.pop("python", ())))]]
    for name in [*PACKAGES, *sorted(set(trained) - set(PACKAGES))]:
        here = _installed(PACKAGES.get(name, (name,)))
        rows.append([name, here or "not installed", ", ".join(sorted(trained.get(name, ())))])
    grid = make_grid(["package", "report", "trainings"], rows)
    return Grid(grid.columns, grid.rows, [False, False, False])


def _installed(distributions: tuple[str, ...]) -> str | None:
    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def time_table(run: Run) -> Grid | None:
    """Hours of training per model; None without any history."""
    rows = []
    for model in run.models:
        history = run.histories.get(model)
        if history:
            updates, seconds = history[-1][0], sum(seconds for _, seconds in history)
            per_update = f"{seconds / updates:.3f}" if updates else ""
            rows.append([model, count(updates), f"{seconds / 3600:.2f}", per_update])
    return make_grid(["model", "updates", "hours", "seconds per update"], rows) if rows else None


def mirror_sentence(run: Run) -> str:
    """Whether the files came from upstream or from a mirror."""
    if run.configuration.get("mirror") is None:
        return "Files were fetched from the addresses given here."
    return (
        "Files were fetched from a mirror; each is named by its path on the mirror, which is also "
        "its path on the publisher's server."
    )


def unpinned_sentence(sources: list[Source]) -> str:
    """A sentence on downloads without a pinned digest; empty if all are pinned."""
    unpinned = [source.names for source in sources if not source.pinned]
    if not unpinned:
        return ""
    return (
        f"The configuration has no digest for {listing(unpinned)}: the downloaded files were not "
        "compared with any. To make sure that the next run gets the same files, put the digests "
        "below into config.yaml."
    )
