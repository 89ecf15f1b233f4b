"""A tiny run as the workflow leaves it, its report, and what a browser would see of that."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from matplotlib.figure import Figure

import judge_claims
import make_report
from losschange.analysis.summaries import summarise_cube, write_summary
from synthetic_cubes import write_cube

MODELS = ("clm-en", "mlm-en", "mt-en-de")
ESTIMATORS = {"fresh": 4, "probe": 10, "simpson": 30, "probe_valid": 50}
FIGURES = ("C", *range(1, 7), "E", "D")
ROOT = Path(__file__).parent.parent
CAPTIONS = ROOT / "captions"
STUDY_CAPTIONS = ROOT / "scripts" / "studies" / "vazquez2022" / "captions"
SHOWN = {str(number): MODELS for number in FIGURES} | {"4": ["mlm-en"], "6": []}
SHARP = '<b>sharp & "quoted"</b>'
DIGEST = "0123456789abcdef" * 4
STEPS = 120


class Page(HTMLParser):
    """What a browser would see: text, addresses, ids."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.tags, self.links, self.parts = [], [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.parts.append(data)

    def after(self, words, length=400):
        """The text that follows the last appearance of some words."""
        return self.text[self.text.rindex(words) :][:length]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def configuration():
    training = {"layers": 4, "embedding_dimension": 16, "attention_heads": 2}
    training |= {"feed_forward_dimension": 32, "total_updates": 200, "max_tokens": 64}
    return {
        "run": "tiny",
        "seed": 7,
        "models": list(MODELS),
        "wmt_language_models": False,
        "main_models": {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"},
        "mirror": "/data/private/mirror",
        "sources": {
            "s": {"url": f"https://example.org/{SHARP}"},
            "pinned-one": {"licence": "CC0", "sha256": DIGEST},
        },
        "corpora": {"europarl-en-de": {"sources": ["s", "synthetic:10"]}},
        "vocabulary": {"size": 100, "sentences": 0},
        "training": training | {"update_frequency": 2, "dropout": 0.1},
        "objective_training": {"mlm": {"total_updates": STEPS, "dropout": None}},
        "model_training": {"clm-en": {"total_updates": STEPS}},
    }


def quality(model, loss=4.0, entropy=5.5, **more):
    split = {"loss": loss, "perplexity": 54.6, "tokens": 1000, "unigram_entropy": entropy}
    record = {"model": model, "objective": model.split("-")[0], "context_free": None}
    return record | {"splits": {"valid": split, "test": split}} | more


def scores(bleu):
    return {
        "bleu": bleu,
        "bleu_shuffled_sources": bleu / 10,
        "chrf": 44.4,
        "bleu_signature": "nrefs:1|case:mixed|tok:13a",
        "chrf_signature": "nrefs:1|nc:6",
        "sentences": 5,
    }


def make_run(folder):
    """Write the files of a tiny run as the workflow leaves them; returns the folder."""
    write(folder / "configuration.json", configuration())
    qualities = {
        "clm-en": quality("clm-en"),
        "mlm-en": quality("mlm-en", loss=5.45),
        "mt-en-de": quality(
            "mt-en-de", translation={"newstest2018": scores(3.25), "test": scores(21.5)}
        ),
    }
    for model in MODELS:
        write(folder / f"models/{model}/quality.json", qualities[model])
        write(
            folder / f"models/{model}/settings.json",
            {
                "model": model,
                "objective": model.split("-")[0],
                "configured": {"layers": 4},
                "as_run": {"layers": 4, "seed": 7},
                "versions": {"torch": "2.0.1", "fairseq": SHARP},
                "parameters": 12345,
            },
        )
        rows = "\n".join(f"{update},5.0,{36.0}" for update in (10, 20, STEPS))
        write(folder / f"models/{model}/training.csv", f"update,loss,seconds\n{rows}\n")
        write_cube(folder / "cube.nc", model, STEPS, 4, 2, estimators=ESTIMATORS)
        (folder / "summaries").mkdir(exist_ok=True)
        write_summary(summarise_cube(folder / "cube.nc"), folder / f"summaries/{model}.nc")
    judge_claims.main(
        [
            *("--summaries", *(str(folder / f"summaries/{model}.nc") for model in MODELS)),
            *("--qualities", *(str(folder / f"models/{model}/quality.json") for model in MODELS)),
            *("--output-stem", str(folder / "claims/claims")),
        ]
    )
    write(
        folder / "corpora/europarl-en-de/counts.json",
        {
            "corpus": "europarl-en-de",
            "languages": ["en", "de"],
            "seed": 7,
            "read": {"s": 2000, "synthetic:10": 10},
            "dropped": {"duplicate": 11, SHARP: 2},
            "kept": 1997,
            "splits": {"train": 1900, "valid": 50, "test": 47},
            "sources": {
                "s": {
                    "dropped": {"duplicate": 11, SHARP: 2},
                    "splits": {"train": 1890, "valid": 50, "test": 47},
                },
                "synthetic:10": {"dropped": {}, "splits": {"train": 10}},
            },
            "changed": {"shuffle_words": 1234},
        },
    )
    write(
        folder / "corpora/europarl-en-de/provenance.json",
        {
            "corpus": "europarl-en-de",
            "sources": [
                {"name": "s", "licence": f"free {SHARP}", "citation": "Somebody 2012"},
                {"name": "synthetic:10", "generated": True},
            ],
            "code": "c0de" * 16,
            "vocabularies": {
                "europarl-en-de.en": {"sha256": DIGEST, "sentences": 0, "code": "70ce" * 16}
            },
        },
    )
    for name, pinned in (("pinned-one", True), ("loose-one", False)):
        record = {"source": name, "url": f"https://example.org/{name}.zip", "bytes": 123456}
        write(
            folder / f"corpora/archives/{name}.json", record | {"sha256": DIGEST, "pinned": pinned}
        )
    numbers = {"sentences": 50, "tokens": 777, "unknown": 0, "unigram_entropy": 5.5}
    write(
        folder / "tokens/europarl-en-de.en/tokens.json",
        {"vocabulary": 100, "splits": {"valid": {"en": numbers}}},
    )
    draw_figures(folder / "figures")
    for number in (1, 2, 3):
        table = f'"a, b",paper,here\n{SHARP.replace(chr(34), "")},24,\n'
        write(folder / f"tables/table{number}.csv", table)
        write(folder / f"tables/table{number}.md", f"**T**\n\n| a |\n\n- Note {number} <i>.\n")
    return folder


def draw_figures(folder):
    """Real small pictures; figure6 has a drawing too large to embed."""
    folder.mkdir()
    for place, number in enumerate(FIGURES):
        figure = Figure(figsize=(1, 0.5))
        figure.subplots().plot([0, place])
        for kind in ("png", "svg"):
            figure.savefig(
                folder / f"figure{number}.{kind}",
                metadata={"Date": None} if kind == "svg" else None,
            )
    with open(folder / "figure6.svg", "a", encoding="utf-8") as file:
        file.write(" " * 1_000_001)


def files(folder, pattern):
    return [str(path) for path in sorted(folder.glob(pattern))]


def arguments(folder, output):
    return [
        *("--configuration", str(folder / "configuration.json")),
        *("--figures-folder", str(folder / "figures"), "--tables-folder", str(folder / "tables")),
        *("--claims", json.dumps({"vazquez2022": str(folder / "claims/claims.json")})),
        *("--shown", json.dumps(SHOWN)),
        *("--qualities", *files(folder, "models/*/quality.json")),
        *("--settings", *files(folder, "models/*/settings.json")),
        *("--counts", *files(folder, "corpora/*/counts.json")),
        *("--source-records", *files(folder, "corpora/archives/*.json")),
        *("--provenance", *files(folder, "corpora/*/provenance.json")),
        *("--tokens", *files(folder, "tokens/*/tokens.json")),
        *("--histories", *files(folder, "models/*/training.csv")),
        *("--summaries", *files(folder, "summaries/*.nc")),
        *("--output", str(output)),
    ]


def render(folder, output):
    """Make the report of a run and return it as text."""
    make_report.main(arguments(folder, output))
    return output.read_text(encoding="utf-8")
