"""The files of the claims say what was judged, the same every time, and need nothing else."""

import csv
import json
import re

import pytest

import describe_claims
import judge_claims
from common.files import UserError
from losschange.analysis.summaries import summarise_cube, write_summary
from losschange.claims import FAILS, HOLDS, UNKNOWN, Evidence, judge_claim, main_models
from report.claims.pages import matrix_page
from report.claims.record import as_json, judge_run
from report.claims.tables import architecture_claims, changed_claims, claims_csv, matrix_rows
from studies.vazquez2022.claims import CLAIMS
from synthetic_cubes import write_cube
from synthetic_summaries import make_summary, paper_like_run
from tiny_reports import Page

MODELS = ("clm-en", "mlm-en", "mt-en-de")


def quality(model, loss):
    split = {"loss": loss, "perplexity": 1.0, "tokens": 9, "unigram_entropy": 6.0}
    record = {"model": model, "objective": model.split("-")[0], "context_free": None}
    return record | {"splits": {"valid": split}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Summaries of three models of twelve layers, two estimators; the MLM did not learn."""
    folder = tmp_path_factory.mktemp("claims")
    for seed, model in enumerate(MODELS):
        write_cube(folder / "cube.nc", model, 100, heads=2, estimators={"probe": 4}, seed=seed)
        write_summary(summarise_cube(folder / "cube.nc"), folder / f"{model}.nc")
        record = quality(model, 5.95 if model == "mlm-en" else 4.0)
        (folder / f"{model}.json").write_text(json.dumps(record))
    judge(folder, folder / "claims")
    return folder


def judge(folder, stem):
    judge_claims.main(
        [
            *("--summaries", *(str(folder / f"{model}.nc") for model in MODELS)),
            *("--qualities", *(str(folder / f"{model}.json") for model in MODELS)),
            *("--main", *MODELS, "--output-stem", str(stem)),
        ]
    )


def record_of(folder):
    return json.loads((folder / "claims.json").read_text())


def test_every_claim_has_a_verdict_under_every_estimator(folder):
    record = record_of(folder)
    assert [column["name"] for column in record["columns"]] == ["batch", "probe"]
    assert [claim["number"] for claim in record["claims"]] == sorted(CLAIMS)
    for claim in record["claims"]:
        for result in claim["results"].values():
            assert result["verdict"] in (HOLDS, FAILS, UNKNOWN) and result["reason"]


def test_a_model_that_did_not_learn_makes_its_claims_unknown(folder):
    for claim in record_of(folder)["claims"]:
        for result in claim["results"].values():
            if "mlm-en" in result["models"]:
                assert result["verdict"] == UNKNOWN
                assert "mlm-en did not learn" in result["reason"]


def test_the_same_summaries_give_the_same_bytes(folder, tmp_path):
    judge(folder, tmp_path / "claims")
    for kind in ("json", "csv", "md", "html"):
        again = (tmp_path / f"claims.{kind}").read_bytes()
        assert again == (folder / f"claims.{kind}").read_bytes()


def test_csv_and_markdown_hold_what_the_record_holds(folder):
    record = record_of(folder)
    with open(folder / "claims.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        claim = record["claims"][int(row["claim"]) - 1]
        assert row["verdict"] == claim["results"][row["estimator"]]["verdict"]
    ratio = next(
        r for r in rows if (r["claim"], r["estimator"], r["model"]) == ("1", "probe", "all")
    )
    part = record["claims"][0]["results"]["probe"]["parts"][0]
    assert [float(ratio[key]) for key in ("value", "low", "high")] == [
        part[key] for key in ("value", "low", "high")
    ]
    text = (folder / "claims.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| \d+ +\|", text, flags=re.MULTILINE)) == len(CLAIMS)


def test_pages_are_self_contained(folder):
    describe_claims.main(["--claims", str(folder / "claims.json"), "--output-folder", str(folder)])
    assert len(list(folder.glob("claim[0-9]*.html"))) == len(CLAIMS)
    for name in ("claims.html", "claim2.html"):
        page = Page((folder / name).read_text(encoding="utf-8"))
        own = re.compile(r"data:|#|claims?\d*\.html$")
        assert all(own.match(address) for address in page.addresses), page.addresses
    assert "mean of W1, W2 over mean of K, Q, V, out: at least 3.16" in page.text
    assert any(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)


def test_a_missing_record_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file at"):
        describe_claims.main(
            ["--claims", str(tmp_path / "none.json"), "--output-folder", str(tmp_path / "pages")]
        )
    assert not list(tmp_path.glob("**/*.html"))


def test_replicates_are_pooled_and_disagreement_widens_the_interval():
    run = paper_like_run()
    one = make_summary(run["mlm-en"], seed=1)
    for name in ("key", "query", "value", "out"):
        run["mlm-en"].profile[name] = 4 - run["mlm-en"].profile[name]
    other = make_summary(run["mlm-en"], seed=2)
    results = []
    for replicates in ([one], [other], [one, other]):
        summaries = {"mlm-en": replicates}
        evidence = Evidence(summaries, main_models(summaries), draws=100)
        results.append(judge_claim(CLAIMS[3], evidence, "batch"))
    assert [result.verdict for result in results] == [HOLDS, FAILS, UNKNOWN]
    first, second, both = (result.parts[0] for result in results)
    assert both.value == pytest.approx((first.value + second.value) / 2)
    assert both.low <= second.high and both.high >= first.low
    assert results[2].replicates == 2


def test_what_is_missing_is_named():
    run = {"clm-en": paper_like_run()["clm-en"]}
    summaries = {model: [make_summary(training)] for model, training in run.items()}
    evidence = Evidence(summaries, main_models(summaries), draws=20)
    found = {n: judge_claim(CLAIMS[n], evidence, "batch") for n in CLAIMS}
    assert found[4].verdict == HOLDS
    assert "no main model of the objective mlm" in found[3].reason
    assert "no CLM that learned of de, fi, et" in found[31].reason
    assert (
        "not recorded with the estimator probe" in judge_claim(CLAIMS[4], evidence, "probe").reason
    )


def test_a_model_of_other_depth_is_not_judged_by_layers_that_it_lacks(tmp_path):
    write_cube(tmp_path / "cube.nc", "clm-en", 60, layers=4, heads=2)
    summaries = {"clm-en": [summarise_cube(tmp_path / "cube.nc")]}
    evidence = Evidence(summaries, main_models(summaries), draws=20)
    result = judge_claim(CLAIMS[4], evidence, "batch")
    assert result.verdict == UNKNOWN and "clm-en has 4" in result.reason


def test_claims_whose_verdict_changes_with_the_estimator_are_listed():
    record = record_of_columns(
        ["batch", "probe"], {1: (HOLDS, FAILS), 2: (HOLDS, UNKNOWN), 3: (FAILS, FAILS)}
    )
    assert changed_claims(record) == [1] and architecture_claims(record) == []


def test_claims_whose_verdict_changes_with_the_architecture_are_listed():
    record = record_of_columns(
        ["batch", "batch, matched"], {1: (HOLDS, FAILS), 2: (UNKNOWN, HOLDS), 3: (FAILS, HOLDS)}
    )
    assert architecture_claims(record) == [1, 3] and changed_claims(record) == []


def record_of_columns(names, verdicts):
    """A record of nothing but verdicts, aligned with the columns."""
    columns = [
        {
            "name": name,
            "estimator": name.split(",")[0],
            "architecture": "matched" if "matched" in name else "stock",
        }
        for name in names
    ]
    claims = [
        {"number": number, "results": dict(zip(names, ({"verdict": v} for v in found)))}
        for number, found in verdicts.items()
    ]
    return {"columns": columns, "claims": claims}


def test_matched_models_are_judged_beside_the_stock_ones_and_never_with_them():
    run = paper_like_run()
    stock = [make_summary(run[model]) for model in MODELS]
    alone = judge_run(stock, MODELS, {}, 1, CLAIMS)
    # Upside down: what the stock models do, these do not.
    for model in MODELS:
        for name, values in run[model].profile.items():
            run[model].profile[name] = values[::-1].copy()
    matched = [
        make_summary(run[model]).assign_attrs(model=f"{model}.matched", architecture="matched")
        for model in MODELS
    ]
    both = judge_run([*stock, *matched], MODELS, {"mlm-en.matched": ["did not learn"]}, 1, CLAIMS)
    assert [column["name"] for column in both["columns"]] == ["batch", "batch, matched"]
    assert both["main_models"] == [*MODELS, *(f"{model}.matched" for model in MODELS)]
    for before, after in zip(alone["claims"], both["claims"], strict=True):
        assert after["results"]["batch"] == before["results"]["batch"]
        found = after["results"]["batch, matched"]
        assert all(model.endswith(".matched") for model in found["models"])
        if "mlm-en.matched" in found["models"]:
            assert "mlm-en.matched did not learn" in found["reason"]
    assert architecture_claims(both)
    rows = list(csv.DictReader(claims_csv(both).splitlines()))
    assert {row["architecture"] for row in rows} == {"stock", "matched"}
    assert "matched" in matrix_page(both)


def test_infinite_and_undefined_numbers_are_written_as_words():
    run = paper_like_run()
    for name in ("key", "query", "value", "out"):
        run["clm-en"].profile[name] = -run["clm-en"].profile[name]
    record = judge_run([make_summary(run[model]) for model in MODELS], MODELS, {}, 1, CLAIMS)
    part = record["claims"][1]["results"]["batch"]["parts"][0]
    assert part["models"]["clm-en"] == ["infinite"] * 3
    assert json.loads(as_json(record)) == record
    assert matrix_rows(record)[0].number == 1 and "infinite" in claims_csv(record)
