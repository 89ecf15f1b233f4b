"""Interventions: which cells freeze, what is predicted and measured, and the verdicts."""

import json

import numpy as np
import pytest

from losschange.analysis.remaining import lca_after
from losschange.claims import FAILS, HOLDS, UNKNOWN
from losschange.cube.format import open_cube
from losschange.cube.frozen_cells import FrozenCells
from losschange.cube.layout import Cell, CubeLayout
from losschange.cube.writer import CubeWriter
from report.inputs import read_run
from report.page import render_report
from report.table_files import as_markdown
from running.studies import load_studies
from studies.interventions.cells import CellGroup
from studies.interventions.choosing import chosen_cells, listed_cells
from studies.interventions.claims import CLAIMS, judge
from studies.interventions.figures.figureI import draw
from studies.interventions.points import Measured, Point
from studies.interventions.ranking import rank
from studies.interventions.record import make_record
from studies.interventions.tables.tableI import interventions_table
from studies.interventions.tables.tableIE import rankings_table
from tiny_reports import CAPTIONS, configuration

CELLS = (
    Cell(0, "embedding"),
    Cell(1, "key", 0),
    Cell(1, "key", 1),
    Cell(1, "W1"),
    Cell(2, "W1"),
    Cell(2, "norm"),
)
COUNTS = (40, 10, 10, 20, 20, 4)
LAYOUT = CubeLayout(("embedding", "decoder", "decoder", "output"), 2, CELLS, COUNTS)
UPDATES = 10
# LCA of an update and cell: the cell's number, positive for the last.
LCA = -np.arange(1.0, 7.0) * np.where(np.arange(6) < 5, 1, -1)


def write_cube(path, lca=LCA):
    """Ten updates, each with the same LCA; batch, fresh at every third, a probe at every fourth."""
    steps = np.arange(1, UPDATES + 1)
    at = {"batch": steps, "fresh": np.array([3, 6, 9]), "probe": np.array([4, 8, 10])}
    lengths = {"batch": np.ones(10), "fresh": np.ones(3), "probe": np.array([4, 4, 2])}
    others = {name: at[name] for name in ("fresh", "probe")}
    details = {"probe": ("loss_before", "loss", "error")}
    attributes = {"model": "clm-en", "objective": "clm"}
    with CubeWriter(path, LAYOUT, steps, attributes, others, [], details) as writer:
        for name, length in lengths.items():
            writer.write(0, values={name: length[:, None] * lca})
        zeros = np.zeros(3)
        writer.write_details(0, "probe", dict.fromkeys(details["probe"], zeros))
        ones = np.ones(UPDATES)
        names = ("loss", "tokens", "sample_size", "lr", "grad_norm", "loss_scale")
        writer.write(0, series=dict.fromkeys(names, ones))
    return path


@pytest.mark.parametrize("update", [0, 1, 4, 5, 9])
def test_what_is_still_to_come_counts_open_intervals_in_part(tmp_path, update):
    """Each update adds the same, so every estimator that sees any must give that times the rest."""
    with open_cube(write_cube(tmp_path / "cube.nc")) as cube:
        for name in ("batch", "probe", "fresh"):
            found = lca_after(cube, name, update)
            if name == "fresh" and update == 9:
                assert np.isnan(found).all()
            else:
                np.testing.assert_allclose(found, LCA * (UPDATES - update), err_msg=name)


def test_rules_choose_by_contribution_per_parameter():
    lca = np.array([-4.0, -3.0, 0.5, -0.1, -2.0, 0.1])
    assert chosen_cells("hurting", LAYOUT, lca) == [CELLS[2], CELLS[5]]
    # Half of 104 parameters. Per parameter: 0.1, 0.3, -0.05, 0.005, 0.1, -0.025.
    least = chosen_cells("least", LAYOUT, lca, 0.5)
    assert least == [CELLS[1], CELLS[2], CELLS[3], CELLS[5]]
    most = chosen_cells("most", LAYOUT, lca, 0.5)
    assert most == [CELLS[0], CELLS[1]]
    draws = [
        chosen_cells("random", LAYOUT, lca, 0.5, np.random.default_rng(seed)) for seed in range(20)
    ]
    sizes = dict(zip(CELLS, COUNTS, strict=True))
    for cells in (least, most, *draws):
        # No cell that is left out would still fit.
        room = 52 - sum(sizes[cell] for cell in cells)
        assert 0 <= room < min(sizes[cell] for cell in CELLS if cell not in cells)
    assert len({tuple(cells) for cells in draws}) > 3
    same = chosen_cells("random", LAYOUT, lca, 0.5, np.random.default_rng(3))
    assert same == draws[3]
    assert chosen_cells("hurting", LAYOUT, -np.ones(6)) == []


def test_small_cells_of_the_other_end_do_not_fill_the_last_rest():
    sizes = (*[100] * 10, 1)
    cells = tuple(Cell(layer, "W1") for layer in range(1, 12))
    layout = CubeLayout(("embedding", *["decoder"] * 11, "output"), 1, cells, sizes)
    lca = -np.arange(1.0, 12.0)
    assert chosen_cells("least", layout, lca, 0.4) == list(cells[:4])
    # Where nothing else fits, they do.
    assert chosen_cells("least", layout, lca, 0.002) == [cells[-1]]


def test_listed_cells_are_those_of_components_layers_and_heads():
    def listed(**group):
        return listed_cells(LAYOUT, [CellGroup(**group)])

    assert listed(components=["W1"]) == [CELLS[3], CELLS[4]]
    assert listed(components=["W1", "key"], layers=[1, 1]) == list(CELLS[1:4])
    assert listed(components=["W1", "key"], heads=[1]) == [CELLS[2]]
    assert listed(components=["embedding"], layers=[1, 2]) == []
    twice = [CellGroup(components=["key"]), CellGroup(components=["key"], heads=[0])]
    assert listed_cells(LAYOUT, twice) == [CELLS[1], CELLS[2]]


def measured(value, noise=0.0, seed=0):
    return Measured(value, value + noise * np.random.default_rng(seed).normal(size=300))


def test_an_order_that_agrees_is_found_and_one_that_does_not_is_chance():
    predicted = np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    same = rank(predicted, [measured(value / 2) for value in predicted], seed=1)
    assert same.spearman[0] == same.kendall[0] == pytest.approx(1) and same.below == 1
    assert same.chance == pytest.approx(1 / 720) and same.spearman[1] > 0.9
    reverse = rank(predicted, [measured(-value) for value in predicted], seed=1)
    assert reverse.spearman[0] == pytest.approx(-1) and reverse.chance == 1
    random = np.random.default_rng(5)
    chances = []
    for number in (6, 12):
        for _ in range(12):
            noise = [measured(value) for value in random.normal(size=number)]
            found = rank(random.normal(size=number), noise, seed=1)
            chances.append(found.chance)
            assert found.spearman[1] < found.spearman[2]
    # Where nothing is there, p is uniform.
    assert 0.3 < np.mean(chances) < 0.7 and np.mean(np.array(chances) < 0.1) < 0.3


def test_two_points_have_no_order():
    found = rank(np.array([0.1, 0.2]), [measured(0.1), measured(0.2)], seed=1)
    assert found.number == 2 and np.isnan(found.spearman[0]) and np.isnan(found.chance)


def point(kind, cost, predicted=None, noise=0.001, seed=0, model="clm-en", training=None):
    costs = {text: measured(cost, noise, seed) for text in ("train", "valid")}
    given = predicted or {"batch": 0.5, "probe": 0.5}
    name = f"freeze-{kind}-{seed}"
    return Point(model, training or model, name, kind, "probe", 5, 3, 30, 0.3, given, costs)


def three_kinds(least, random, most):
    return [
        point("least", least, seed=1),
        *(point("random", cost, seed=2 + place) for place, cost in enumerate(random)),
        point("most", most, seed=9),
    ]


def test_least_below_random_below_most_holds_fails_or_cannot_be_told():
    claim = CLAIMS["I1"]
    held = judge(claim, three_kinds(0.1, [0.3, 0.32], 0.9), seed=1)
    assert held.verdict == HOLDS
    assert [part.value for part in held.parts] == pytest.approx([0.21, 0.59])
    assert held.parts[0].low < 0.21 < held.parts[0].high
    assert judge(claim, three_kinds(0.5, [0.3, 0.32], 0.9), seed=1).verdict == FAILS
    # Random choices differ more than the kinds do.
    assert judge(claim, three_kinds(0.3, [0.1, 0.5], 0.31), seed=1).verdict == UNKNOWN
    missing = judge(claim, [point("least", 0.1), point("most", 0.4)], seed=1)
    assert missing.verdict == UNKNOWN and "least, random and most" in missing.reason


@pytest.mark.parametrize(
    ("cost", "noise", "verdict"), [(-0.1, 0.01, HOLDS), (0.1, 0.01, FAILS), (-0.1, 1.0, UNKNOWN)]
)
def test_freezing_what_hurts(cost, noise, verdict):
    found = judge(CLAIMS["I2"], [point("hurting", cost, noise=noise)], seed=1)
    assert found.verdict == verdict and found.parts[0].value == pytest.approx(-cost)
    assert judge(CLAIMS["I2"], [point("least", cost)], seed=1).verdict == UNKNOWN


def test_the_estimator_that_knows_the_costs_ranks_better_than_one_that_does_not():
    costs = np.linspace(0.1, 2.0, 12)
    wrong = np.random.default_rng(1).permutation(-costs)
    points = [
        point("listed", cost, {"batch": bad, "probe": cost, "fresh": bad}, seed=place)
        for place, (cost, bad) in enumerate(zip(costs, -costs, strict=True))
    ]
    held = judge(CLAIMS["I3"], points, seed=1)
    assert held.verdict == HOLDS and held.value == pytest.approx(2)
    alike = [
        point("listed", cost, {"batch": bad, "probe": other}, seed=place)
        for place, (cost, bad, other) in enumerate(
            zip(costs, wrong, np.random.default_rng(2).permutation(costs), strict=True)
        )
    ]
    assert judge(CLAIMS["I3"], alike, seed=1).verdict == UNKNOWN
    assert judge(CLAIMS["I3"], points[:2], seed=1).verdict == UNKNOWN


@pytest.fixture
def family(tmp_path):
    """A parent of known losses and three children; frozen cells cost half of what is predicted."""
    cube = write_cube(tmp_path / "cube.nc")
    tokens = np.array([10, 20, 30])
    frozen = {"low": CELLS[:1], "mid": CELLS[1:3], "high": CELLS[3:5], "none": ()}
    children, losses = {}, {}

    def rows(cost):
        return {"train": ((2 + cost) * tokens).tolist(), "valid": ((3 + cost) * tokens).tolist()}

    for name, cells in frozen.items():
        path = tmp_path / f"{name}.json"
        path.write_text(FrozenCells(5, cells).text())
        children[name] = {"kind": "listed", "estimator": "batch", "frozen": str(path)}
        predicted = 5 * sum(-LCA[CELLS.index(cell)] for cell in cells)
        losses[name] = rows(predicted / 2)
    rewound = [
        {"layer": layer, "component": component, "losses": rows(cost)}
        for layer, component, cost in ((0, "embedding", 0.5), (1, "key", 2.0), (1, "W1", 1.0))
    ]
    found = {"tokens": {"train": tokens.tolist(), "valid": tokens.tolist()}, "parent": rows(0.0)}
    found |= {"rewound": rewound, "children": losses}
    (tmp_path / "losses.json").write_text(json.dumps(found))
    paths = {"cube": str(cube), "losses": str(tmp_path / "losses.json")}
    return {"model": "clm-en", "training": "clm-en", **paths, "children": children}


def test_predictions_and_costs_are_held_against_each_other(family, tmp_path):
    record = make_record([family], seed=1)
    assert record == make_record([family], seed=1)
    by_name = {one["name"]: one for one in record["points"]}
    assert by_name["mid"]["predicted"] == {"batch": 25, "fresh": 25, "probe": 25}
    assert by_name["mid"]["costs"]["train"] == [12.5, 12.5, 12.5]
    assert (by_name["mid"]["cells"], by_name["mid"]["parameters"]) == (2, 20)
    assert by_name["none"]["predicted"]["batch"] == 0 == by_name["none"]["costs"]["valid"][0]
    ranking = next(one for one in record["rankings"] if one["estimator"] == "probe")
    assert ranking["spearman"][0] == 1 and ranking["points"] == 4
    assert ranking["chance"] == pytest.approx(1 / 24, abs=1e-5) and ranking["below"] == 0.75
    rewound = {(one["layer"], one["component"]): one for one in record["rewound"]}
    # Both heads of a component are put back together.
    assert rewound[1, "key"]["contribution"]["batch"] == 50
    assert rewound[1, "key"]["worth"]["train"][0] == 2
    (ranking,) = (r for r in record["rewound_rankings"] if r["estimator"] == "batch")
    assert ranking["spearman"][0] == 1 and ranking["below"] == 1
    assert {claim["number"] for claim in record["claims"]} == {"I1", "I2", "I3"}
    table = as_markdown(interventions_table(record))
    assert "| clm-en" in table and "12.5 [12.5, 12.5]" in table
    assert "freezing, clm-en" in as_markdown(rankings_table(record))
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(record))
    figure = draw({"record": [path]}, {})
    assert len([axes for axes in figure.axes if axes.get_visible()]) == 4


def page_of(record, folder):
    """The report of a run that has nothing but this study."""
    (folder / "configuration.json").write_text(json.dumps(configuration()))
    run = read_run(folder / "configuration.json")
    claims = {"interventions": record}
    return render_report(
        run, CAPTIONS, load_studies(["vazquez2022", "interventions"]), claims=claims
    )


def test_the_report_shows_the_claims_with_their_verdicts(family, tmp_path):
    page = page_of(make_record([family], seed=1), tmp_path)
    assert 'id="interventions"' in page and 'id="claimI3"' in page
    assert "no intervention freezes what hurts" in page and "cannot tell" in page
    assert "freezes nothing" in page_of(make_record([], seed=1), tmp_path)


def test_a_run_without_interventions_says_so(tmp_path):
    record = make_record([], seed=1)
    assert {claim["results"]["cost"]["verdict"] for claim in record["claims"]} == {UNKNOWN}
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(record))
    assert "freezes no cells" in draw({"record": [path]}, {}).texts[0].get_text()
    assert interventions_table(record).rows == rankings_table(record).rows == []
