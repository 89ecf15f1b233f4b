"""An objective is one file and a study one folder: both are added to a copy, and run."""

import json

import pytest

from workflow_runs import TINY, copy_repository, digests, snakemake

pytestmark = pytest.mark.slow

OBJECTIVE = '''
"""A causal language model under another name."""

from dataclasses import replace

from losschange.plots.looks import Look

from . import clm

OBJECTIVE = replace(clm.OBJECTIVE, name="xlm", look=Look("XLM", "#CC79A7", "v", ":"))
'''
STUDY = '''
"""One figure: the contribution of the layers, all components together."""

from running.study import Illustration, Study


def all_models(files):
    """Every model."""
    return {"summaries": files.summaries(files.models)}


STUDY = Study("own", "A study of our own", figures=(Illustration("X1", all_models),))
'''
SETTINGS = '''
"""The study's section of config.yaml."""

from running.configuration_fields import Positive, Section

KEY = "own"


class Settings(Section):
    """How long the short variant trains."""

    updates: Positive = 20


def mistakes(configuration):
    """A variant that is longer than its parent."""
    if configuration.own.updates > 60:
        yield f"own.updates: found {configuration.own.updates}; allowed is at most 60"
'''
VARIANTS = '''
"""A shorter training of a model."""

from running.variants import Variant


def variants(configuration):
    """One variant, which reads a further file and records other estimators."""
    short = {"total_updates": configuration.own.updates}
    recording = {"estimators": {"simpson": 5}, "details": {}}
    files = {"origin": f"results/{configuration.run}/models/clm-en/resume_points/10{{seed}}.pt"}
    return [Variant("clm-en", "short", short, recording, files)]


def resume_points(configuration):
    """The state that the variant reads."""
    return {"clm-en": [10]}
'''
FIGURE = '''
"""Figure X1: the contribution of every layer."""

from losschange.analysis.profiles import layer_profile
from losschange.plots.style import look_of, new_figure


def draw(inputs, options):
    """A line per model."""
    figure = new_figure(2.0)
    axes = figure.subplots()
    for summary in inputs["summaries"]:
        profile = layer_profile(summary, "batch")
        look = look_of(profile.objective)
        heights = sum(values for name, values in profile.values.items() if name != "embedding")
        axes.plot(heights, color=look.colour, label=f"{look.title} {profile.model}")
    axes.legend()
    return figure
'''


# Of a variant, `all` makes the cube, and its study asks for what else it needs.
WANTED = ("results/tiny/models/clm-en.short/quality.json", "results/tiny/summaries/clm-en.short.nc")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A finished run of a copy to which an objective and a study were added, and nothing else."""
    folder = copy_repository(tmp_path_factory.mktemp("house") / "repository")
    before = digests(folder, "**/*.py", "**/*.smk", "**/*.yaml", "**/*.j2")
    study = folder / "scripts/studies/own"
    for path, text in (
        (folder / "scripts/objectives/xlm.py", OBJECTIVE),
        (study / "__init__.py", ""),
        (study / "study.py", STUDY),
        (study / "settings.py", SETTINGS),
        (study / "variants.py", VARIANTS),
        (study / "figures/__init__.py", ""),
        (study / "figures/figureX1.py", FIGURE),
        (study / "captions/figureX1.rst", "Contribution of the layers\n\nAll of them.\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    settings = (
        "models=[clm-en,xlm-en]",
        "studies=[own]",
        "objective_training={xlm: {total_updates: 20}}",
    )
    done = snakemake(
        folder, "--configfile", str(TINY), "--cores", "2", "all", *WANTED, "--config", *settings
    )
    assert done.returncode == 0, done.stdout
    assert before.items() <= digests(folder, "**/*.py", "**/*.smk", "**/*.yaml", "**/*.j2").items()
    return folder / "results/tiny"


def test_an_objective_in_one_file_is_trained_evaluated_and_drawn(extended):
    settings = json.loads((extended / "models/xlm-en/settings.json").read_text())
    assert settings["objective"] == "xlm" and settings["as_run"]["total_updates"] == 20
    quality = json.loads((extended / "models/xlm-en/quality.json").read_text())
    assert quality["measure"] == "perplexity" and quality["splits"]["valid"]["loss"] > 0
    assert "XLM" in (extended / "report/report.html").read_text()
    assert (extended / "models/xlm-en/snapshots/20.pt").is_file()


def test_its_model_is_that_of_the_objective_that_it_copies(extended):
    """The same seed and text: the first updates are the causal model's, bit for bit."""
    import numpy as np
    import xarray as xr

    with (
        xr.open_dataset(extended / "cubes/xlm-en.nc") as own,
        xr.open_dataset(extended / "cubes/clm-en.nc") as causal,
    ):
        assert own.sizes["step"] == 20 < causal.sizes["step"]
        # The learning rate rises alike and falls to zero at another update.
        rising = own["lr"].values == causal["lr"].values[:20]
        assert rising[:4].all()
        first = int(np.argmin(rising)) if not rising.all() else 20
        one, other = own["lca"].values[:first], causal["lca"].values[:first]
        assert np.array_equal(one, other, equal_nan=True)


def test_a_variant_of_a_study_has_the_files_of_a_model(extended):
    import xarray as xr

    model = extended / "models/clm-en.short"
    settings = json.loads((model / "settings.json").read_text())
    parent = json.loads((extended / "models/clm-en/settings.json").read_text())
    assert settings["configured"] == {**parent["configured"], "total_updates": 20}
    assert (model / "quality.json").is_file() and (model / "snapshots/20.pt").is_file()
    assert (extended / "models/clm-en/resume_points/10.pt").is_file()
    with xr.open_dataset(extended / "summaries/clm-en.short.nc") as summary:
        assert {str(name) for name in summary["estimator"].values} == {"batch", "simpson"}
    assert "clm-en.short" not in (extended / "figures/figureX1.svg").read_text()


def test_a_study_in_one_folder_has_its_figure_its_target_and_its_section(extended):
    for kind in ("pdf", "png", "svg"):
        assert (extended / f"figures/figureX1.{kind}").stat().st_size > 1000
    page = (extended / "report/report.html").read_text()
    assert "A study of our own" in page and "Contribution of the layers" in page
