"""Tables show the paper's numbers beside ours, as CSV, Markdown and LaTeX."""

import csv
import json

import pytest

from common.files import UserError
from illustrations import write_table
from losschange.analysis.summaries import open_summary, summarise_cube, write_summary
from report.table_files import MISSING, Table, as_latex, as_markdown, number_text
from studies.vazquez2022.tables.table1 import positive_table
from studies.vazquez2022.tables.table2 import settings_table
from studies.vazquez2022.tables.table3 import sentence_table
from synthetic_cubes import write_cube

SUFFIXES = ("csv", "md", "tex")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summaries")
    for model in ("clm-en", "mt-en-de"):
        cube = folder / f"{model}.cube.nc"
        write_cube(cube, model, 300, layers=4, heads=2, estimators={"probe": 10})
        write_summary(summarise_cube(cube), folder / f"{model}.nc")
    return [folder / f"{model}.nc" for model in ("clm-en", "mt-en-de")]


def by_name(table):
    return {row[0]: row[1:] for row in table.rows}


def test_table1_puts_the_papers_counts_beside_the_measured_ones(paths):
    summaries = [open_summary(path) for path in paths]
    table = positive_table(summaries, "batch")
    assert table.columns[1:] == [
        "CLM paper",
        "CLM here (clm-en)",
        "MT paper",
        "MT here (mt-en-de)",
    ]
    rows = by_name(table)
    assert list(rows)[:7] == ["emb.", "key", "query", "value", "out", "W1", "W2"]
    counts = [s["positive_count"].sel(estimator="batch", component="W1").sum() for s in summaries]
    assert rows["W1"] == ["24", str(int(counts[0])), "59", str(int(counts[1]))]
    assert rows["last step with positive"][::2] == ["1072", "2673"]
    assert rows["cross key"][1] == MISSING and rows["cross key"][3].isdigit()


def test_table1_gives_the_largest_value_under_each_unit_convention(paths):
    summary = open_summary(paths[0])
    rows = by_name(positive_table([summary], "batch"))
    largest = summary["component_largest_positive"].sel(estimator="batch")
    seven = ["embedding", "key", "query", "value", "out", "W1", "W2"]
    for convention, name in (
        ("per_token", "per token"),
        ("summed_scaled", "summed over tokens × loss scale"),
    ):
        printed, here = rows[f"overall max., {name}"]
        expected = largest.sel(unit_convention=convention, component=seven).max().item()
        assert printed == "5.58 (key)"
        assert here.split()[0] == number_text(expected)


def test_table1_warns_that_a_strided_estimator_counts_less(paths):
    notes = positive_table([open_summary(paths[0])], "probe").notes
    assert any("one record in 10 updates" in note for note in notes)


def settings(model, **as_run):
    configured = {"layers": 12, "learning_rate": 5e-4, "adam_betas": [0.9, 0.98]}
    return {
        "model": model,
        "objective": model.split("-")[0],
        "configured": configured,
        "as_run": configured | as_run,
    }


def test_table2_lists_values_where_models_of_an_objective_differ():
    table = settings_table(
        [settings("clm-en"), settings("clm-de", layers=6), settings("mt-en-de", seed=3)]
    )
    assert table.columns == [
        "parameter",
        "paper",
        "CLM configured",
        "CLM as run",
        "MT configured",
        "MT as run",
    ]
    rows = by_name(table)
    assert rows["num. layers"][1:3] == ["12", "12 (clm-en); 6 (clm-de)"]
    assert rows["lr"] == ["0.0005"] * 5
    assert rows["adam-betas"][1] == "(0.9, 0.98)"
    assert rows["dropout"] == ["0.1", *[MISSING] * 4]
    assert table.rows[-1] == ["seed", MISSING, MISSING, MISSING, MISSING, "3"]


def test_table3_puts_printed_sizes_beside_counted_ones():
    counts = {"train": 70, "valid": 5, "test": 6}
    table = sentence_table(
        [
            {"corpus": "europarl-en-et", "languages": ["en", "et"], "splits": counts},
            {"corpus": "own", "languages": ["en", "sv"], "splits": {"train": 9}},
        ]
    )
    rows = {(row[0], row[1]): row[2:] for row in table.rows}
    assert rows["Europarl", "en-et"] == ["0.7M", "70", "2.5K", "5", "2.5K", "6"]
    assert rows["WMT-2018", "en-de"] == ["5M", MISSING, "3K", MISSING, MISSING, MISSING]
    assert rows["own", "en-sv"][:2] == [MISSING, "9"]
    assert any("wmt-en-de" in note for note in table.notes)


def test_scripts_write_identical_bytes(paths, tmp_path):
    one = tmp_path / "settings.json"
    one.write_text(json.dumps(settings("mlm-en")))
    counts = tmp_path / "counts.json"
    counts.write_text(json.dumps({"corpus": "c", "languages": ["en", "de"], "splits": {}}))
    for folder in ("a", "b"):
        stem = tmp_path / folder
        write_table(1, stem / "table1", summaries=paths)
        write_table(2, stem / "table2", settings=[one])
        write_table(3, stem / "table3", counts=[counts])
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"table{n}.{suffix}" for n in (1, 2, 3) for suffix in SUFFIXES]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with open(tmp_path / "a/table1.csv", encoding="utf-8", newline="") as file:
        assert next(row for row in csv.reader(file) if row[0] == "key")[1] == "29"


def test_a_record_without_its_keys_is_refused(tmp_path):
    path = tmp_path / "counts.json"
    for content, message in (
        (None, "no file at"),
        ("{", "not valid JSON"),
        ('{"corpus": "x"}', "lacks languages, splits"),
        ("[]", "lacks corpus"),
    ):
        if content is not None:
            path.write_text(content)
        with pytest.raises(UserError, match=message):
            write_table(3, tmp_path / "out" / "table3", counts=[path])
    assert not (tmp_path / "out").exists()


def test_text_is_escaped_for_latex_and_markdown():
    table = Table("50 %", ["a", "b_c"], [["x|y & z", MISSING]], ["−Σ #1"])
    latex = as_latex(table)
    assert r"b\_c" in latex and r"x|y \& z & -- \\" in latex and r"\caption{50 \%}" in latex
    assert r"$-$$\Sigma$ \#1" in latex
    assert r"x\|y & z" in as_markdown(table)


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="a row of 1 entries in a table of 2 columns"):
        Table("", ["a", "b"], [["x"]])
