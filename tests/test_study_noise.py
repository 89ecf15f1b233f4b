"""The study of noise: laws and verdicts on records with known answers, figures and tables."""

import numpy as np
import pytest

import make_report
from losschange.analysis.summaries import summarise_cube
from losschange.claims import FAILS, HOLDS, UNKNOWN
from losschange.cube.format import open_cube
from losschange.plots.style import house_style
from noise_records import FLAT, LAYERS, RATE, UPDATES, as_records, law_abiding, make_record
from report.table_files import write_table
from studies.noise.claims import CLAIMS
from studies.noise.figures import figureN1, figureN2, figureN3, figureN4
from studies.noise.judging import judge
from studies.noise.laws import PAPER, predicted_over_count, slope
from studies.noise.measuring import SCALES, measure, write_record
from studies.noise.paper_claims import judge_paper, with_noise
from studies.noise.records import interval, late_noise, over_count, read_records, share
from studies.noise.tables.tableN import parts_table
from studies.noise.tables.tableNC import claims_table
from studies.noise.tables.tableNS import sums_table
from studies.vazquez2022.claims import CLAIMS as PAPER_CLAIMS
from synthetic_cubes import write_cube
from tiny_reports import Page, arguments, make_run

SETTINGS = {"optimizer": "adam", "adam_betas": [0.9, 0.98]}


def verdict(number, records):
    return judge(CLAIMS[number], records).verdict


def test_numbers_of_one_training():
    record = make_record("clm-en", noise=0.02, measured=8.0)
    assert over_count(record)[0] == pytest.approx(1.5)
    assert share(record, "noise")[0] == pytest.approx(1 / 3)
    assert late_noise(record)[0] == pytest.approx(0.02)
    value, low, high = interval(over_count(record))
    assert low < value < high and high - low < 0.05


def test_a_shorter_training_of_the_model_s_own_size_takes_its_place_on_the_ladder():
    whole = [make_record(name, 0.02, 8.0) for name in ("clm-en", "clm-en.batch-1-4")]
    names = [one.attrs["model"] for one in as_records(*whole).ladder("clm-en", "adam")]
    assert sorted(names) == ["clm-en", "clm-en.batch-1-4"]
    short = as_records(*whole, make_record("clm-en.batch-1", 0.02, 8.0))
    names = [one.attrs["model"] for one in short.ladder("clm-en", "adam")]
    assert sorted(names) == ["clm-en.batch-1", "clm-en.batch-1-4"]


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.0])
def test_the_slope_is_the_exponent_of_the_noise(exponent):
    records = law_abiding(exponent)
    value, low, high = interval(slope(records.ladder("clm-en", "adam")))
    assert value == pytest.approx(exponent, abs=1e-6) and low <= exponent <= high
    assert [float(one["targets"][0]) for one in records.ladder("clm-en", "adam")] == [
        125,
        500,
        2000,
    ]


def test_laws_that_hold_and_laws_that_do_not():
    right = law_abiding()
    assert {number: verdict(number, right) for number in ("N-c", "N-d", "N-e")} == dict.fromkeys(
        ("N-c", "N-d", "N-e"), HOLDS
    )
    # Noise that does not depend on the batch, that momentum does not lower, and a noisier MLM.
    wrong = law_abiding(exponent=0.0, share=1.0, mlm=6.7)
    assert {verdict(number, wrong) for number in ("N-c", "N-d", "N-e")} == {FAILS}
    # The same laws with intervals as wide as what they speak of.
    vague = law_abiding(spread=3.0)
    assert {verdict(number, vague) for number in ("N-c", "N-d", "N-e")} == {UNKNOWN}


def test_what_no_training_tells_has_no_verdict():
    alone = as_records(make_record("clm-en"))
    for number in ("N-c", "N-d", "N-e", "N-f"):
        found = judge(CLAIMS[number], alone)
        assert found.verdict == UNKNOWN and "no training of this run" in found.reason


def test_the_parts_explain_the_over_count_unless_the_loss_changed_by_something_else():
    record = make_record("clm-en")
    record["thinned"] = record["value"].sel(term="noise").sum(("layer", "component"))
    record["thinned_drawn"] = record["drawn"].sel(term="noise").sum(("layer", "component"))
    assert verdict("N-a", as_records(record)) == HOLDS
    other = record.assign(thinned=1.5 * record["thinned"], thinned_drawn=record["thinned_drawn"])
    assert verdict("N-a", as_records(other)) == FAILS
    lost = record.assign(loss_change=0.8 * record["loss_change"])
    assert verdict("N-a", as_records(lost)) == FAILS


def test_the_papers_profile_is_compared_with_both_parts():
    rising = np.arange(1.0, LAYERS + 1)
    near = make_record("clm-en", 0.1, 1.0, noise_profile=rising, measured_profile=rising[::-1])
    assert verdict("N-b", as_records(near)) == HOLDS
    far = make_record("clm-en", 0.001, 5.0, noise_profile=rising[::-1], measured_profile=rising)
    assert verdict("N-b", as_records(far)) == FAILS
    # Nothing to be found: all layers alike, and the order of the bars is chance.
    chance = make_record("clm-en", 0.025, 5.0, noise_profile=FLAT, measured_profile=FLAT)
    assert verdict("N-b", as_records(chance)) == UNKNOWN


def test_the_prediction_for_the_papers_settings():
    """By hand: noise per unit of learning rate, times the paper's rates, at the paper's batch."""
    records = law_abiding()
    noise = 0.01 * UPDATES / RATE * 5e-4 * 125_000 / 2 * (32_768 / 500) ** -0.5
    fall = 5.0 * np.log(32_000) / np.log(300)
    value, low, high = interval(predicted_over_count(records, "clm-en"))
    assert value == pytest.approx(1 + noise / fall, rel=1e-6) and low < value < high
    assert verdict("N-f", records) == UNKNOWN, "a prediction is no measurement"
    record = make_record("clm-en", noise=0.1, measured=5.0, targets=PAPER.tokens)
    record.attrs["updates"] = PAPER.updates
    both = as_records(record, make_record("clm-en.batch-1-4", 0.2, targets=PAPER.tokens / 4))
    measured = judge(CLAIMS["N-f"], both).parts[1]
    assert measured.verdict == HOLDS and measured.value == pytest.approx(20 / 25)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Cubes with all estimators: with strides, at every update, and one without a fresh one."""
    folder = tmp_path_factory.mktemp("cubes")
    for name, estimators in (
        ("strided", {"fresh": 5, "simpson": 5}),
        ("full", {"fresh": 1, "simpson": 1}),
        ("no_fresh", {"simpson": 5}),
    ):
        write_cube(folder / f"{name}.nc", layers=2, steps=200, estimators=estimators)
    return folder


def test_a_record_holds_the_parts_and_their_sum(cubes, tmp_path):
    with open_cube(cubes / "strided.nc") as cube:
        record = measure(cube, SETTINGS, 5, 60, 1)
        batch = float(np.nansum(cube["lca"].values, dtype="f8"))
        loss = cube["simpson_loss"].values[-1] - cube["simpson_loss_before"].values[0]
        sizes, rates = cube["sample_size"].values, cube["lr"].values
    whole = record["value"].isel(window=0).sum(("layer", "component"))
    assert float(whole.sel(term="batch")) == pytest.approx(batch, rel=1e-6)
    assert float(whole.drop_sel(term="batch").sum()) == pytest.approx(batch, rel=1e-6)
    assert float(record["loss_change"][0]) == pytest.approx(loss)
    assert float(record["targets"][0]) == pytest.approx(1 / np.mean(1 / sizes.astype("f8")))
    assert float(record["rate"][0]) == pytest.approx(rates.astype("f8").sum())
    assert record.sizes["window"] == 5 and "thinned" not in record
    assert np.isfinite(record["head_scale"]).any()
    for name in ("one", "two"):
        write_record(record, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = read_records([tmp_path / "one"], 300).trainings["clm-en"]
    np.testing.assert_array_equal(over_count(again), over_count(record))


def test_records_at_every_update_are_thinned_like_those_with_strides(cubes):
    with open_cube(cubes / "full.nc") as cube:
        record = measure(cube, SETTINGS, 5, 60, 1)
        fresh = np.nansum(cube["lca_fresh"].values[4::5], dtype="f8") * 5
        batch = np.nansum(cube["lca"].values, dtype="f8")
    assert float(record["thinned"][0]) == pytest.approx(batch - fresh, rel=1e-6)
    found = judge(CLAIMS["N-a"], as_records(record))
    assert found.parts[1].value < 1.5 and len(found.parts[1].models) == 1


def test_a_cube_without_a_fresh_gradient_says_what_it_cannot_tell(cubes):
    with open_cube(cubes / "no_fresh.nc") as cube:
        record = measure(cube, SETTINGS, 5, 60, 1)
    assert "noise part cannot be told" in record.attrs["cannot_tell"] and "scale" not in record
    assert np.isfinite(over_count(record)[0])
    table = sums_table(as_records(record))
    assert table.rows[0][-1] == "–" and "cannot be told" in table.notes[0]


def test_trainings_with_other_seeds_are_averaged(tmp_path):
    for number, noise in enumerate((0.01, 0.03)):
        write_record(make_record("clm-en", noise, seed=number), tmp_path / f"{number}.nc")
    found = read_records([tmp_path / "0.nc", tmp_path / "1.nc"], 300).trainings
    assert late_noise(found["clm-en"])[0] == pytest.approx(0.02)


def test_the_papers_claims_are_judged_on_the_noise_as_well(cubes):
    summary = summarise_cube(cubes / "strided.nc")
    joined = with_noise(summary)
    noise = joined["binned_total"].sel(estimator="noise").sum(("bin", "layer", "component"))
    record = summary["scaled_total"]
    expected = record.sel(estimator="batch") - record.sel(estimator="fresh")
    assert float(noise) == pytest.approx(float(expected), rel=1e-6)
    claims = {number: PAPER_CLAIMS[number] for number in (2, 25, 28)}
    found = {one["number"]: one["results"] for one in judge_paper(claims, [summary], [], {}, 1)}
    # Only a causal model: claims on every objective cannot be judged.
    assert all(results["batch"]["verdict"] == UNKNOWN for results in found.values())
    missing = with_noise(summary.sel(estimator=["batch", "simpson"]))
    assert "noise" not in missing["estimator"].values


def test_table_n_names_the_claims_that_change():
    def entry(number, batch, measured, noise, reason=""):
        verdicts = {"batch": batch, "measured": measured, "noise": noise}
        results = {
            part: {"verdict": one, "reason": reason, "value": "-1", "low": "nan", "high": "nan"}
            for part, one in verdicts.items()
        }
        return {"number": number, "statement": "Layers differ.", "results": results}

    table = parts_table(
        [
            entry(1, HOLDS, FAILS, HOLDS),
            entry(2, HOLDS, FAILS, FAILS),
            entry(4, FAILS, UNKNOWN, FAILS),
            entry(3, HOLDS, HOLDS, UNKNOWN, "the sign of one update's noise is not known"),
        ]
    )
    notes = " ".join(table.notes)
    assert "the reverse: 1, 2." in notes and "verdict of batch: 1." in notes
    assert "told of the measured part: 4." in notes
    assert "does not have: 3." in notes and table.rows[0][2] == "holds: −1"


def test_claims_that_count_signs_are_not_judged_on_noise():
    from losschange.claims import Evidence, judge_claim
    from studies.noise.paper_claims import PartsEvidence
    from synthetic_summaries import make_summary, paper_like

    summaries = {f"{o}-en": [make_summary(paper_like(m))] for o, m in
                 (("clm", "clm-en"), ("mlm", "mlm-en"), ("mt", "mt-en-de"))}  # fmt: skip
    named = {
        model: [one.assign_coords(estimator=["noise"]) for one in found]
        for model, found in summaries.items()
    }
    main = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en"}
    for kind, expected in ((Evidence, HOLDS), (PartsEvidence, UNKNOWN)):
        result = judge_claim(PAPER_CLAIMS[25], kind(named, main, draws=60), "noise")
        assert result.verdict == expected
    assert "sign of one update" in result.reason


def scaled(record):
    """The record with noise scales, as measured of a model."""
    for name, by in SCALES.items():
        for ending, factor in (("", 1.0), ("_low", 0.8), ("_high", 1.2)):
            shape = (3, *(record.sizes[axis] for axis in by))
            record[f"{name}{ending}"] = (("window", *by), np.full(shape, 1000 * factor))
    return record


@pytest.mark.parametrize("spread", [0.02, 3.0], ids=["clear", "vague"])
def test_figures_show_every_training(spread):
    records = law_abiding(spread=spread)
    for model in records.models():
        scaled(records.trainings[model])
    with house_style():
        bars = figureN1.draw_cut_bars(records)
        laws = figureN2.draw_laws(records)
        scales = figureN3.draw_scales(records)
        pairs = figureN4.draw_pairs(records)
    assert len(bars.axes) == 2 * 8 and len(scales.axes) == 2 * 2
    # Blue, orange and grey bars of every layer add up to the paper's bar.
    heights = sum(abs(patch.get_height()) for patch in bars.axes[1].patches)
    assert heights == pytest.approx((5.0 + 0.01 * UPDATES) / 6, rel=1e-6)
    titles = [axes.get_title() for axes in laws.axes]
    assert titles[0].startswith("Adam") and titles[2].startswith("SGD")
    legend = [text.get_text() for text in laws.axes[1].get_legend().get_texts()]
    assert "slope −0.50" in legend[0] and "nan" not in " ".join(legend)
    assert len(pairs.axes[2].get_yticklabels()) == 4


def test_figures_without_data_say_so():
    empty = {"records": []}
    with house_style():
        for module in (figureN1, figureN2, figureN3, figureN4):
            figure = module.draw(empty, {"vocabulary": 300})
            assert "has nothing to show" in figure.texts[0].get_text()


def test_the_claims_as_a_table():
    table = claims_table(law_abiding())
    claims = [row[0] for row in table.rows]
    assert claims == sorted(claims) and set(claims) == set(CLAIMS)
    verdicts = {row[0]: row[2] for row in reversed(table.rows) if row[2]}
    assert verdicts["N-c"] == HOLDS and verdicts["N-f"] == UNKNOWN
    assert any("32,768 tokens" in note and "taking for granted" in note for note in table.notes)


def test_the_section_of_the_report_follows_conservation(tmp_path):
    make_run(tmp_path / "run")
    tables = tmp_path / "run/tables"
    tables.mkdir(exist_ok=True)
    write_table(sums_table(law_abiding()), tables / "tableNS")
    options = arguments(tmp_path / "run", tmp_path / "report.html")
    make_report.main([*options, "--studies", "vazquez2022", "noise"])
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    places = [page.ids.index(name) for name in ("conservation", "noise", "tableNS", "figures")]
    assert places == sorted(places)
    assert "Signal, curvature and noise" in page.text and "clm-en.equal-targets" in page.text
    assert "This run has no such figure." in page.after("cut into measured loss change", 200)
