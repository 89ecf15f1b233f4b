"""The report says whether a run can be believed, and needs nothing but its one file."""

import base64
import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import xarray as xr
from matplotlib.figure import Figure

import make_report
from losschange.summaries import summarise_cube, write_summary
from reproduction.files import UserError
from reproduction.report.conservation import outcome
from reproduction.report.illustrations import marked, read_caption, shown_models
from reproduction.report.inputs import EstimatorSum, read_run
from reproduction.report.overview import configured
from reproduction.report.quality import judge
from reproduction.report.values import make_grid, nats, portable, ratio
from synthetic_cubes import write_cube

MODELS = ("clm-en", "mlm-en", "mt-en-de")
CAPTIONS = Path(__file__).parent.parent / "captions"
CAPTION_NAMES = [f"figure{n}" for n in range(1, 7)] + [f"table{n}" for n in range(1, 4)]
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
        "sources": {"s": {"url": f"https://example.org/{SHARP}"}},
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
        "chrf": 44.4,
        "bleu_signature": "nrefs:1|case:mixed|tok:13a",
        "chrf_signature": "nrefs:1|nc:6",
        "sentences": 5,
    }


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The files of a tiny run, as the workflow leaves them."""
    folder = tmp_path_factory.mktemp("run")
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
        write_cube(folder / "cube.nc", model, STEPS, 4, 2, estimators={"probe": 10})
        (folder / "summaries").mkdir(exist_ok=True)
        write_summary(summarise_cube(folder / "cube.nc"), folder / f"summaries/{model}.nc")
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
    for number in range(1, 7):
        figure = Figure(figsize=(1, 0.5))
        figure.subplots().plot([0, number])
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
        *("--qualities", *files(folder, "models/*/quality.json")),
        *("--settings", *files(folder, "models/*/settings.json")),
        *("--counts", *files(folder, "corpora/*/counts.json")),
        *("--source-records", *files(folder, "corpora/archives/*.json")),
        *("--tokens", *files(folder, "tokens/*/tokens.json")),
        *("--histories", *files(folder, "models/*/training.csv")),
        *("--summaries", *files(folder, "summaries/*.nc")),
        *("--output", str(output)),
    ]


@pytest.fixture(scope="module")
def report(run_folder):
    make_report.main(arguments(run_folder, run_folder / "report.html"))
    return (run_folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(report):
    return Page(report)


def test_nothing_is_fetched_from_elsewhere(report, page):
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("#", "data:")), address
    assert not re.search(r"url\(|@import", report)
    assert "script" not in page.tags and "link" in page.tags
    # whatever were to slip in later, the browser is told not to fetch it
    assert "default-src 'none'" in report


def test_every_figure_is_embedded_as_drawn(run_folder, page):
    images = [address for address in page.addresses if address.startswith("data:image")]
    names = [f"figure{n}.{'png' if n == 6 else 'svg'}" for n in range(1, 7)]
    assert len(images) == 6
    for image, name in zip(images, names, strict=True):
        content = base64.b64decode(image.split(",", 1)[1])
        assert content == (run_folder / "figures" / name).read_bytes()


def test_every_entry_of_the_contents_leads_somewhere(page):
    targets = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(targets) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert {"quality", "figure6", "table3", "times"} <= set(targets)


def test_quality_comes_before_what_it_makes_meaningless(page):
    order = [name for name in page.ids if name in ("quality", "conservation", "figures", "tables")]
    assert order == ["quality", "conservation", "figures", "tables"]


def test_a_model_that_did_not_learn_is_flagged_everywhere(page):
    assert "One model did not learn: mlm-en . The LCA of a model that did not learn means" in (
        page.text.replace("mlm-en.", "mlm-en .")
    )
    captions = page.text[page.text.index("Figure 1.") :]
    assert "Models: clm-en , mlm-en did not learn , mt-en-de ." in captions
    assert "mlm-en did not learn: its loss is not 0.1 nats below the unigram entropy" in page.text
    assert "clm-en did not learn" not in page.text


def test_losses_stand_beside_the_unigram_entropy(page):
    row = page.after("clm-en learned", 90)
    assert "120 120 4.000 5.500 −1.500" in row
    assert "mt-en-de learned MT en → de 120 200" in page.text
    assert "mt-en-de: 120 of the 200 updates that were planned." in page.text
    assert "clm-en and mlm-en: all 120 updates that were planned." in page.text


def test_translations_have_their_signatures(page):
    table = page.after("Translations, compared with the references")
    assert "mt-en-de test 5 21.5 44.4 mt-en-de newstest2018 5 3.2 44.4" in table
    assert "BLEU: nrefs:1|case:mixed|tok:13a" in table and "chrF: nrefs:1|nc:6" in table


def test_the_over_count_is_the_summary_s(run_folder, page):
    with xr.open_dataset(run_folder / "summaries/clm-en.nc") as summary:
        expected = summary["over_count"].sel(estimator="batch", measure="validation").item()
    row = page.after("clm-en batch", 110)
    assert ratio(expected).replace("\u00a0", " ") in row


@pytest.mark.parametrize(
    ("ratios", "word"),
    [
        ((4.5, 12.0), "over-counts"),
        ((1.0, 0.96), "adds up"),
        ((1.0, 3.0), "depends on the loss"),
        ((0.5, float("nan")), "under-counts"),
        ((-2.0, -1.0), "wrong direction"),
        ((float("nan"), float("nan")), "cannot tell"),
    ],
)
def test_the_outcome_names_what_the_ratios_say(ratios, word):
    named = dict(zip(("training", "validation"), ratios, strict=True))
    assert outcome(EstimatorSum("clm-en", "clm", "batch", -1.0, {}, named)) == word


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (quality("clm-en", 5.4, 5.5), "learned"),
        (quality("clm-en", 5.41, 5.5), "did not learn"),
        (quality("clm-en", float("nan")), "did not learn"),
        (quality("clm-en", entropy=None), "cannot tell"),
        (quality("mlm-en", 4.5, context_free=4.6), "learned"),
        (quality("mlm-en", 4.7, context_free=4.6), "did not learn"),
        (quality("mlm-en", 4.7, context_free=None), "learned"),
        (None, "cannot tell"),
    ],
)
def test_the_verdict_needs_more_than_frequencies(record, verdict):
    assert judge(record)[0] == verdict


def test_an_unpinned_download_is_flagged(page):
    sources = page.after("Files were fetched from a mirror", 900)
    assert "The configuration has no digest for loose-one:" in sources
    assert "loose-one UNPINNED https://example.org/loose-one.zip 123,456 bytes" in sources
    assert "pinned-one pinned" in sources and DIGEST in sources


def test_artificial_text_is_named_as_such(page):
    assert "generated by seed instead of downloaded, are the text of europarl-en-de" in page.text


def test_everything_is_escaped(report, page):
    assert SHARP not in report and "<b>" not in report and "<i>" not in report
    assert page.text.count(SHARP) >= 3  # drop reason, version, configuration
    assert "Note 1 <i>." in page.text


def test_the_configuration_is_listed_without_empty_overrides(report):
    listing = report[report.index("<pre>") : report.index("</pre>")]
    assert "seed: 7" in listing and "  mlm:\n    total_updates: 120\n" in listing
    assert "dropout: 0.1" in listing and "dropout: null" not in listing


def test_no_place_of_this_machine_is_told(run_folder, report):
    assert "/data/private" not in report and str(run_folder) not in report
    assert portable("file:///home/me/a.zip").endswith("a.zip")
    assert "home" not in portable({"x": ["file:///home/me/a.zip"]})["x"][0]


def test_the_same_input_gives_the_same_bytes(run_folder, report, tmp_path):
    make_report.main(arguments(run_folder, tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == report


def test_times_are_the_sum_over_the_rows(page):
    assert page.after("seconds per update").startswith("seconds per update clm-en 120 0.03 0.900")


def test_a_run_with_almost_nothing_says_what_is_missing(run_folder, tmp_path):
    bare = ["--configuration", str(run_folder / "configuration.json")]
    make_report.main([*bare, "--output", str(tmp_path / "bare.html")])
    page = Page((tmp_path / "bare.html").read_text(encoding="utf-8"))
    for sentence in (
        "BLEU and chrF: this run has no translation model that was evaluated.",
        "This run has no such figure.",
        "This run has no such table.",
        "This run has no summaries",
        "Nothing was downloaded for this run.",
        "No vocabulary is recorded.",
        "No training is recorded for clm-en and mlm-en. No training is recorded for mt-en-de.",
        "clm-en cannot be judged: its validation loss is not known",
    ):
        assert sentence in page.text, sentence


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("models/clm-en/quality.json", "{", "not valid JSON"),
        ("models/clm-en/training.csv", "update,loss\n1,2\n", "has no column 'seconds'"),
        ("models/clm-en/training.csv", "update,seconds\n1,soon\n", "is damaged"),
        ("summaries/clm-en.nc", "nothing", "not a readable NetCDF-4 file"),
        ("tables/table1.csv", "a,b\n1\n", "rows of unequal length"),
        ("figures/figure1.svg", "", "is empty; draw the figure again"),
    ],
)
def test_damaged_input_is_named_and_leaves_no_report(run_folder, tmp_path, name, content, message):
    damaged = write(tmp_path / name, content)
    replaced = [
        str(tmp_path / value.split("/")[-1])
        if value in (str(run_folder / "figures"), str(run_folder / "tables"))
        and name.startswith(Path(value).name)
        else value.replace(str(run_folder / name), str(damaged))
        for value in arguments(run_folder, tmp_path / "report.html")
    ]
    with pytest.raises(UserError, match=message):
        make_report.main(replaced)
    assert not (tmp_path / "report.html").exists()


def test_figures_name_the_models_that_their_scripts_choose(run_folder):
    values = configuration() | {"models": ["clm-de", "clm-en", "mlm-de", "mt-de-en"]}
    path = run_folder / "other.json"
    write(path, values)
    run = read_run(path)
    assert shown_models(run, 1) == ["clm-en"]
    assert shown_models(run, 4) == []
    assert shown_models(run, 5) == ["clm-de", "clm-en", "mlm-de", "mt-de-en"]
    assert shown_models(run, 6) == ["clm-de", "mlm-de", "mt-de-en"]


def test_overrides_decide_how_many_updates_were_planned(run_folder):
    run = read_run(run_folder / "configuration.json")
    assert [configured(run, model, "total_updates") for model in MODELS] == [STEPS, STEPS, 200]


@pytest.mark.parametrize("name", [*CAPTION_NAMES, "workflow"])
def test_captions_read_the_same_in_both_reports(name):
    docutils = pytest.importorskip("docutils.core")
    text = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8")
    document = docutils.publish_doctree(text, settings_overrides={"halt_level": 2})
    paragraphs = [node.astext().replace("\n", " ") for node in document]
    title, rest = read_caption(CAPTIONS / f"{name}.rst")
    assert [title, *("".join(part for part, _ in parts) for parts in rest)] == paragraphs
    # `snakemake --report` fills in captions as templates
    assert "{{" not in text and "{%" not in text


def test_numbers_are_written_for_readers():
    assert marked("the ``W1`` matrix") == [("the ", False), ("W1", True), (" matrix", False)]
    assert (nats(-0.0004, signed=True), nats(-1.5), nats(None)) == ("+0.000", "−1.500", "–")
    ratios = [ratio(value).replace("\u00a0", " ") for value in (4.5, 123.4, -0.97)]
    assert ratios == ["4.50 ×", "123 ×", "−0.970 ×"]
    assert make_grid(["a", "b", "c"], [["1", "2", "x"], ["1", "", "3"]]).numeric == [
        False,
        True,
        False,
    ]


def test_tables_of_the_report_are_the_files(run_folder, page):
    with open(run_folder / "tables/table2.csv", encoding="utf-8", newline="") as file:
        heading, row = csv.reader(file)
    assert " ".join(heading) in page.text and " ".join([row[0], "24", "–"]) in page.text
