"""Every preset and profile plans the jobs that it should, and bad settings are told at once."""

import re

import pytest
import yaml
from snakemake.utils import update_config

from running.configuration_check import load_configuration
from tiny_trainings import values
from workflow_runs import ROOT, planned_jobs, snakemake

# Those of a study have models of their own.
PRESETS = sorted(ROOT.glob("presets/*.yaml"))
PRESETS = ["", *(str(p.relative_to(ROOT)) for p in PRESETS if not p.name.startswith("zhu2020"))]
PROFILES = sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("profiles/*/config.*"))


def dry_run(folder, *arguments):
    return snakemake(
        folder, "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--cores", "2", *arguments
    )


def configuration_of(preset):
    """The configuration of a preset; that of the paper without one."""
    loaded = values()
    if preset:
        update_config(loaded, yaml.safe_load((ROOT / preset).read_text(encoding="utf-8")))
    return load_configuration(loaded)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_plans_all_fifteen_models(preset, tmp_path):
    done = dry_run(tmp_path, *(["--configfile", str(ROOT / preset)] if preset else []))
    assert done.returncode == 0, done.stdout
    jobs = planned_jobs(done.stdout)
    small = preset in ("presets/demo.yaml", "presets/sample.yaml")
    configuration = configuration_of(preset)
    names = {model.name for model in configuration.trained_models()}
    # Beside the paper's models, the small runs train the main ones in one shared architecture.
    assert {"mt-en-de-wmt", *(f"mlm-{language}" for language in ("en", "de", "fi", "et"))} < names
    assert len(names) >= (18 if small else 15) and small == ("mt-en-de.matched" in names)
    assert jobs["train_model"] == len(names) + len(configuration.variants())
    assert jobs["evaluate_model"] >= len(names) and jobs["summarise_cube"] >= len(names)
    assert ("measure_interventions_mt_en_de" in jobs) == small
    assert [jobs[f"plot_figure{number}"] for number in range(1, 7)] == [1] * 6
    assert [jobs[f"plot_figure{letter}"] for letter in "CDE"] == [1, 1, 1]
    assert [jobs[f"make_table{number}"] for number in (1, 2, 3)] == [1] * 3
    assert jobs["judge_claims"] == 1 and jobs["describe_claims"] == 1
    assert jobs["make_report"] == 1
    assert jobs["explore_cube"] == len(names) and jobs["make_explorer"] == 1


# Each profile with a switch of its own.
SWITCHED = (
    ("models=[clm-en,mt-en-de]", 2),
    ("wmt_language_models=true", 17),
    ("seeds=[1,2,3]", 45),
)


@pytest.mark.parametrize(
    ("profile", "switch", "trainings"),
    [(profile, *switched) for profile, switched in zip(PROFILES, SWITCHED, strict=True)],
)
def test_each_profile_is_accepted_and_switches_change_what_is_trained(
    profile, switch, trainings, tmp_path
):
    arguments = ("--workflow-profile", str(ROOT / profile), "--config", switch)
    done = dry_run(tmp_path, "cubes", *arguments)
    assert done.returncode == 0, done.stdout
    jobs = planned_jobs(done.stdout)
    assert jobs["train_model"] == trainings
    if switch.startswith("seeds"):  # one text serves all of them
        # Three of Europarl, five of WMT, and one archive that holds all news test sets.
        assert jobs["fetch_source"] == 9
        # Of four languages, and of three pairs of Europarl and one of WMT.
        assert jobs["learn_vocabulary"] == 8


TARGETS = ["figures", "figureC", "figureD", "figureE", "figure3", "tables", "table2"]
TARGETS += ["cubes", "report", "claims", "claim17"]


def test_targets_have_names(tmp_path):
    done = dry_run(tmp_path, *TARGETS)
    assert done.returncode == 0, done.stdout
    jobs = planned_jobs(done.stdout)
    assert {target: jobs[target] for target in TARGETS} == dict.fromkeys(TARGETS, 1)


def test_a_figure_by_file_asks_only_for_the_main_models(tmp_path):
    jobs = planned_jobs(dry_run(tmp_path, "results/paper/figures/figure3.pdf").stdout)
    assert jobs["train_model"] == 3
    assert "plot_figure1" not in jobs


def test_the_matched_architecture_is_a_switch_that_multiplies_with_seeds(tmp_path):
    switch = ["--config", "matched_architecture=true", "seeds=[1,2]", "models=[clm-en,mlm-en]"]
    done = dry_run(tmp_path, "claims", "--printshellcmds", *switch)
    assert planned_jobs(done.stdout)["train_model"] == 8
    names = {
        line.split("--state ")[1].split("/")[3] if "--state" in line else line
        for line in done.stdout.splitlines()
        if "train_model.py" in line
    }
    assert {"clm-en", "clm-en.matched", "mlm-en.matched.seed2"} <= names
    (command,) = (line for line in done.stdout.splitlines() if "models/clm-en.seed2/state" in line)
    assert "train_model.py --model clm-en " in command and "--seed 2 " in command


def test_a_wrong_configuration_is_told_completely_before_anything_runs(tmp_path):
    done = dry_run(tmp_path, "--config", "models=[clm-en,clm-xx]", "sed=2", "seed=no")
    assert done.returncode != 0
    assert "models: clm-xx needs the corpus europarl-en-xx" in done.stdout
    assert "sed: unknown key; did you mean seed?" in done.stdout
    assert "seed: found" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_only_one_file_says_what_happens_at_the_start():
    """Of several `onstart`, Snakemake keeps the last and says nothing."""
    files = [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert len(re.findall(r"^onstart:", text, flags=re.MULTILINE)) == 1
