"""The report says whether a run can be believed, and needs nothing but its one file."""

import base64
import csv
import json
import re
from pathlib import Path

import pytest
import xarray as xr

import make_report
from common.files import UserError
from report.claims.pages import plot_uri
from report.claims.tables import column_names
from report.inputs import read_run
from report.overview import configured
from report.values import nats, portable, ratio
from tiny_reports import (
    DIGEST,
    FIGURES,
    MODELS,
    SHARP,
    STEPS,
    Page,
    arguments,
    make_run,
    render,
    write,
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def report(run_folder):
    return render(run_folder, run_folder / "report.html")


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
    names = [f"figure{n}.{'png' if n == 6 else 'svg'}" for n in FIGURES]
    drawn = {(run_folder / "figures" / name).read_bytes(): name for name in names}
    contents = [base64.b64decode(image.split(",", 1)[1]) for image in images]
    assert [drawn[content] for content in contents if content in drawn] == names
    # Beside the figures there is nothing but a plot for each claim.
    plots = [image for image, content in zip(images, contents, strict=True) if content not in drawn]
    record = json.loads((run_folder / "claims" / "claims.json").read_text())
    expected = (plot_uri(claim, column_names(record)) for claim in record["claims"])
    assert plots == [plot for plot in expected if plot]


def test_every_entry_of_the_contents_leads_somewhere(page):
    targets = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(targets) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert {"quality", "figureC", "figure6", "table3", "times"} <= set(targets)


def test_quality_comes_before_what_it_makes_meaningless(page):
    wanted = ("quality", "conservation", "figureC", "figures", "figure1", "tables")
    assert [name for name in page.ids if name in wanted] == list(wanted)


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
    assert "mt-en-de test 5 21.5 2.1 44.4 mt-en-de newstest2018 5 3.2 0.3 44.4" in table
    assert "BLEU: nrefs:1|case:mixed|tok:13a" in table and "chrF: nrefs:1|nc:6" in table


def test_the_page_says_plainly_whether_it_adds_up(run_folder, page):
    with xr.open_dataset(run_folder / "summaries/clm-en.nc") as summary:
        ratios = summary["over_count"].sel(measure="training_probe")
        batch, probe = (ratio(ratios.sel(estimator=n).item()) for n in ("batch", "probe"))
        change = summary["measured_change"].sel(measure="validation_probe").item()
    # the model that did not learn is marked in the tables and left out of the sentence
    text = page.text[page.text.index("Does it add up? The parts are") :].replace("\u00a0", " ")
    sentence = text[: text.index("Figure C.")]
    assert "batch claims 1." in sentence and "times the loss change that the training" in sentence
    assert "over 2 models" in sentence and "Left out is what did not learn: mlm-en." in sentence
    by_model = text[text.index("model training probe validation probe") :]
    row = by_model[by_model.index("clm-en") : by_model.index("mlm-en did not learn")]
    for number in (batch, probe, nats(change, signed=True)):
        assert number.replace("\u00a0", " ") in row
    assert "Every number of probe_valid" in text


def test_every_source_says_what_it_gave_and_what_cleaning_changed(page):
    assert "s 2,000 13 1,890 50 47 europarl-en-de synthetic:10 10 0 10" in page.text.replace(
        "\u00a0", ","
    )
    assert "each pair of all sources with the same probability" in page.text
    assert "shuffle words 1,234" in page.text.replace("\u00a0", ",")


def test_what_made_the_text_is_told_by_digest(page):
    table = page.after("Vocabularies and code that made them", 600)
    assert table.index("europarl-en-de text ") < table.index(" c0dec0dec0dec0de ")
    assert "vocabulary and ids of europarl-en-de.en all 0123456789abcdef 70ce70ce70ce70ce" in table


def test_an_unpinned_download_is_flagged(page):
    sources = page.after("Files were fetched from a mirror", 900)
    assert "The configuration has no digest for loose-one:" in sources
    assert "loose-one UNPINNED https://example.org/loose-one.zip 123,456 bytes" in sources
    assert "pinned-one pinned" in sources and DIGEST in sources and "Licence: CC0" in sources


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


def test_overrides_decide_how_many_updates_were_planned(run_folder):
    run = read_run(run_folder / "configuration.json")
    assert [configured(run, model, "total_updates") for model in MODELS] == [STEPS, STEPS, 200]


def test_tables_of_the_report_are_the_files(run_folder, page):
    with open(run_folder / "tables/table2.csv", encoding="utf-8", newline="") as file:
        heading, row = csv.reader(file)
    assert " ".join(heading) in page.text and " ".join([row[0], "24", "–"]) in page.text
