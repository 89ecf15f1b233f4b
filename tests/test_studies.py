"""Studies choose their inputs from the models of a run, and are found by their folders."""

import pytest

from common.study_modules import study_names
from running.configuration_check import ConfigurationError, load_configuration
from running.run_files import RunFiles
from running.studies import load_studies
from tiny_trainings import values


def files(**changes):
    return RunFiles(load_configuration(values() | changes), "results/x")


def test_figures_read_the_models_that_they_show():
    [study] = load_studies(["vazquez2022"])
    run = files(
        models=["clm-de", "clm-en", "mlm-de", "mt-de-en", "clm-et"],
        main_models={"clm": "clm-en"},
        seeds=[1, 2],
    )
    read = {
        figure.number: [path.removeprefix("results/x/summaries/") for path in found]
        for figure in study.figures
        for found in [figure.inputs(run)["summaries"]]
    }
    assert read["1"] == read["3"] == read["E"] == ["clm-en.nc", "clm-en.seed2.nc"]
    assert read["4"] == [], "no masked model is a main model of this run"
    assert [name for name in read["6"] if "seed" not in name] == [
        f"{name}.nc" for name in ("clm-de", "mlm-de", "mt-de-en", "clm-et")
    ]
    assert len(read["5"]) == len(read["C"]) == len(read["D"]) == 10


def test_models_of_the_matched_architecture_stay_out_of_the_papers_comparisons():
    [study] = load_studies(["vazquez2022"])
    run = files(matched_architecture=True)
    compared = {figure.number: figure.inputs(run)["summaries"] for figure in study.figures}
    assert "results/x/summaries/clm-en.matched.nc" in compared["6"]
    assert not [path for number in "5D" for path in compared[number] if "matched" in path]


def test_every_study_has_a_caption_and_a_module_for_every_figure_and_table():
    from common.study_modules import FOLDER

    numbers = []
    for study in load_studies(study_names()):
        for kind, illustrations in (("figure", study.figures), ("table", study.tables)):
            for one in illustrations:
                name = f"{kind}{one.number}"
                numbers.append(name)
                assert (FOLDER / study.name / f"{kind}s" / f"{name}.py").is_file(), name
                assert (FOLDER / study.name / "captions" / f"{name}.rst").is_file(), name
    assert len(numbers) == len(set(numbers)), "names of targets are unique over all studies"


def test_a_study_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ConfigurationError, match=r"studies\.0: found 'vazques'.*vazquez2022"):
        files(studies=["vazques"])


def test_an_estimator_that_sees_every_sixth_update_is_scaled_by_its_share(tmp_path):
    """A fresh batch of which every sixth update was recorded claims as much as one of all."""
    import numpy as np

    from losschange.analysis.profiles import head_profile, layer_profile
    from losschange.analysis.summaries import summarise_cube
    from synthetic_cubes import write_cube

    summaries = {}
    for stride in (1, 6):
        path = tmp_path / f"{stride}.nc"
        write_cube(path, "clm-en", 120, 4, 2, estimators={"fresh": stride, "probe": 10})
        summaries[stride] = summarise_cube(path)
    assert float(summaries[6]["coverage"].sel(estimator="fresh")) == pytest.approx(1 / 6, rel=0.1)
    for summary in summaries.values():
        totals = summary["totals"].sel(estimator=["fresh", "probe"], component="key").isel(head=1)
        share = summary["coverage"].sel(estimator="fresh").values
        inside = slice(1, 5)
        for profile, pick in ((layer_profile, None), (head_profile, 0)):
            found = {name: profile(summary, name).values["key"] for name in ("fresh", "probe")}
            if pick is None:
                summed = summary["totals"].sel(component="key").sum("head", min_count=1)
                expected = summed.sel(estimator="fresh").values[inside]
            else:
                found = {name: values_of[:, pick] for name, values_of in found.items()}
                expected = totals.sel(estimator="fresh").values[inside]
            np.testing.assert_allclose(found["fresh"], -expected / share, rtol=1e-12)
        # A probe's intervals cover the run by themselves.
        np.testing.assert_array_equal(
            head_profile(summary, "probe").values["key"][:, 0],
            -totals.sel(estimator="probe").values[inside],
        )
