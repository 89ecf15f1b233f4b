"""The section `interventions`: what it trains, and its mistakes, all told before the run."""

import pytest

from running.configuration_check import ConfigurationError, load_configuration
from running.costs import training_cost
from running.models import parse_model
from running.typed_text import keys_given_twice
from tiny_trainings import values

LISTED = {"components": ["key", "query"], "layers": [3, 8]}


def configuration(interventions, **changes):
    loaded = values() | {"studies": ["vazquez2022", "interventions"], **changes}
    return load_configuration(loaded | {"interventions": interventions}, places=False)


def mistakes_of(interventions, **changes):
    with pytest.raises(ConfigurationError) as caught:
        configuration(interventions, **changes)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_each_intervention_is_a_model_that_starts_from_a_state_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = configuration(
        {
            "clm-en": {
                "listed": {"freeze": [LISTED], "from_update": 0},
                "random": {"freeze": "random", "share": 0.25, "from": 0.1, "draws": 2},
            },
            "mt-en-de": {"hurting": {"freeze": "hurting", "from_update": 600}},
        },
        seeds=[1, 2],
    )
    variants = found.variants()
    assert list(variants) == [
        "clm-en.listed", "clm-en.random-1", "clm-en.random-2", "mt-en-de.hurting",
    ]  # fmt: skip
    assert set(variants["clm-en.listed"].files) == {"frozen_cells"}
    files = variants["clm-en.random-2"].files_of("clm-en.random-2.seed2")
    assert files == {
        "frozen_cells": "results/paper/interventions/clm-en.random-2.seed2.json",
        "resume_point": "results/paper/models/clm-en.seed2/resume_points/12500.pt",
        "parent_cube": "results/paper/cubes/clm-en.seed2.nc",
        "parent_history": "results/paper/models/clm-en.seed2/training.csv",
    }
    assert found.resume_points_of(parse_model("clm-en")) == [12500]
    assert found.resume_points_of(parse_model("mt-en-de")) == [600]
    assert found.resume_points_of(parse_model("clm-de")) == []
    # The child pays for the updates that it makes itself.
    whole, late = (
        training_cost(found, parse_model(name)) for name in ("clm-en.listed", "clm-en.random-1")
    )
    assert late.updates == 112500 and late.seconds == pytest.approx(0.9 * whole.seconds)
    # Costs are measured at the end: on the way nothing is but what costs nothing.
    assert found.recording_of(parse_model("clm-en.random-1")).strides == {"batch": 1}
    # What a job gets as JSON is the same configuration.
    again = load_configuration(found.model_dump(exclude_unset=True), places=False)
    assert again == found


def test_a_parent_that_ended_without_keeping_its_state_is_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "results/paper/models/clm-en"
    (model / "resume_points").mkdir(parents=True)
    (model / "checkpoint.pt").touch()
    (model / "resume_points/25000.pt").touch()
    found = configuration(
        {
            "clm-en": {
                "early": {"freeze": "hurting", "from": 0.1},
                "late": {"freeze": "hurting", "from": 0.2},
            }
        }
    )
    early, late = found.variants().values()
    assert set(early.files) == {"frozen_cells"} and early.updates_made == 0
    assert "resume_point" in late.files and late.updates_made == 25000
    assert found.resume_points_of(parse_model("clm-en")) == [25000]


def test_all_mistakes_are_told_at_once():
    found = mistakes_of(
        {
            "clm-en": {
                "component": {"freeze": [{"components": ["cross_key"]}], "from_update": 0},
                "layers": {"freeze": [{"components": ["W1"], "layers": [3, 40]}], "from": 0.5},
                "heads": {"freeze": [{"components": ["key"], "heads": [8]}], "from": 0.5},
                "no-cell": {"freeze": [{"components": ["W1"], "heads": [1]}], "from": 0.5},
                "share": {"freeze": "least", "share": 1.2, "from": 0.5},
                "no-share": {"freeze": "most", "from": 0.5},
                "from": {"freeze": "hurting", "from": 1.5},
                "late": {"freeze": "hurting", "from_update": 125000},
                "never": {"freeze": "hurting"},
                "unrecorded": {"freeze": "hurting", "from": 0.5, "estimator": "probe_test"},
                "twice": {"freeze": "random", "share": 0.1, "from": 0.5, "draws": 2},
                "twice-2": {"freeze": "hurting", "from": 0.5},
                "Name": {"freeze": "hurting", "from": 0.5, "draws": 2},
            },
            "clm-sv": {"one": {"freeze": "hurting", "from": 0.5}},
            "clm-de": {"one": {"freeze": "hurting", "from": 0.5}},
        }
    )
    starts = [
        "interventions.clm-en: twice and twice-2 both train a model called twice-2",
        "interventions.clm-en.component.freeze.0.components: found 'cross_key'; clm-en has embedd",
        "interventions.clm-en.layers.freeze.0.layers: found [3, 40]; clm-en has the layers 0",
        "interventions.clm-en.heads.freeze.0.heads: found 8; clm-en has the heads 0 to 7",
        "interventions.clm-en.no-cell.freeze.0: no cell of clm-en has these",
        "interventions.clm-en.share.share: found 1.2; allowed are shares above 0 and below 1",
        "interventions.clm-en.no-share.share: missing; most needs",
        "interventions.clm-en.from.from: found 1.5; allowed are shares above 0 and below 1",
        "interventions.clm-en.late.from_update: found 125000; clm-en makes 125000 updates",
        "interventions.clm-en.never: found neither of from",
        "interventions.clm-en.unrecorded.estimator: found 'probe_test'; clm-en records batch,",
        "interventions.clm-en: found the name 'Name'; allowed are lower-case letters",
        "interventions.clm-en.Name.draws: found 2; hurting is not drawn",
        "interventions.clm-sv: this run does not train that model; allowed are clm-en, clm-de",
        "interventions.clm-de: cells are also put back to their initial values, which",
    ]
    assert len(found) == len(starts)
    for line, start in zip(found, starts, strict=True):
        assert line.startswith(start)


def test_an_estimator_that_sees_nothing_after_the_update_chooses_no_cells():
    recording = values()["recording"]
    recording["estimators"]["fresh"] = recording["estimators"]["probe"] = 7
    # 17,857 times 7: its last record, a single update before the end.
    rule = {"freeze": "hurting", "from_update": 124999}
    names = ("fresh", "probe", "batch")
    found = mistakes_of(
        {"clm-en": {name: {**rule, "estimator": name} for name in names}}, recording=recording
    )
    assert found == [
        "interventions.clm-en.fresh.estimator: found 'fresh', which clm-en records every 7 updates "
        "and not once after update 124999 of 125000; freeze earlier, or choose another estimator"
    ]


def test_other_forms_are_refused_with_what_is_allowed():
    found = mistakes_of(
        {
            "clm-en": {
                "rule": {"freeze": "best", "form": 0.5},
                "group": {"freeze": [{"components": ["W1"], "layer": [1, 2]}], "from": 0.5},
            }
        }
    )
    assert found[0].startswith("interventions.clm-en.rule.freeze.rule: found 'best'; allowed is 'h")
    assert found[1] == "interventions.clm-en.rule.form: unknown key; did you mean from?"
    assert found[2].endswith("freeze.cells.0.layer: unknown key; did you mean layers?")


def test_a_name_that_is_twice_in_a_file_is_told_with_both_lines(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "run: own\ninterventions:\n  clm-en:\n    one: {freeze: hurting, from: 0.5}\n"
        "    one: {freeze: most, from: 0.5}\n  mt-en-de: {one: {freeze: hurting}}\n"
    )
    (line,) = keys_given_twice([path])
    assert line == (
        "interventions.clm-en.one: it is twice in own.yaml, in lines 4 and 5; give one of them "
        "another name, or take one out"
    )
    with pytest.raises(ConfigurationError, match="in lines 4 and 5"):
        load_configuration(values(), places=False, found_before=keys_given_twice([path]))
    path.write_text("run: own\nseeds: [1, 1]\na: {b: 1, c: {b: 2}}\n")
    assert list(keys_given_twice([path, tmp_path / "none.yaml"])) == []


def test_a_name_that_another_study_trains_too_is_refused():
    found = mistakes_of(
        {"clm-en": {"batch-2": {"freeze": "hurting", "from": 0.5}}},
        studies=["noise", "interventions"],
        noise={"models": ["clm-en"], "batch_sizes": [1, 2]},
    )
    assert len(found) == 1, found
    assert found[0].startswith("interventions: it trains clm-en.batch-2, and so does the study no")


def test_what_a_section_of_a_study_asks_for_is_told_under_its_own_name():
    found = mistakes_of({"clm-en": {"late": {"freeze": "hurting", "from_update": 10**6}}})
    assert len(found) == 1, found
    assert found[0].startswith("interventions.clm-en.late.from_update: found 1000000; ")
    section = {"models": ["clm-en"], "trained_again": ["clm-en"], "stride": 10**6}
    found = mistakes_of({}, studies=["noise"], noise=section)
    assert found and all(line.startswith("noise: clm-en.") for line in found), found
