"""The whole workflow, run for real on a tiny configuration: outputs, reruns, the same bytes."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr
import yaml

import losschange_fairseq
from workflow_runs import ROOT, TINY, copy_repository, digests, planned_jobs, snakemake

pytestmark = pytest.mark.slow

# What is made twice. The other figures are drawn twice by test_plots and test_conservation_figure.
AGAIN = ("cubes", "claims", "figureD", "figureE", "figureR", "table2")
REPRODUCIBLE = ("summaries/*.nc", "cubes/*.nc", "claims/*")
REPRODUCIBLE += tuple(f"*/{name}.*" for name in AGAIN if name not in ("cubes", "claims"))
CLONE, FOLDER = 'it\'s a "clone" of ä $HOME', "another wörking 'folder'"
SETTINGS = ("--configfile", str(TINY), "--cores", "2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the repository with the results of the tiny run."""
    folder = copy_repository(tmp_path_factory.mktemp("finished") / "repository")
    done = snakemake(folder, *SETTINGS)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def repository(finished, tmp_path):
    """The finished repository, to be changed."""
    folder = tmp_path / "repository"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


def results(folder):
    return folder / "results" / "tiny"


def test_all_outputs_are_there(finished):
    names = {str(path.relative_to(results(finished))) for path in results(finished).rglob("*")}
    numbers = ("C", *range(1, 7), "E", "D", "R")
    expected = {f"figures/figure{n}.{kind}" for n in numbers for kind in ("pdf", "png", "svg")}
    expected |= {f"tables/table{n}.{kind}" for n in (1, 2, 3) for kind in ("csv", "md", "tex")}
    expected |= {f"{k}/{m}.nc" for k in ("cubes", "summaries") for m in ("clm-en", "mt-en-de")}
    expected |= {f"claims/claims.{kind}" for kind in ("json", "csv", "md", "html")}
    expected |= {f"claims/claim{number}.html" for number in range(1, 33)}
    expected |= {"report/report.html", "models/mt-en-de/quality.json"}
    assert expected <= names
    assert not [name for name in names if name.endswith((".tmp", ".part"))]


def test_cubes_hold_every_update_and_every_parameter(finished):
    for path in results(finished).glob("cubes/*.nc"):
        with xr.open_dataset(path) as cube:
            assert cube["step"].values.tolist() == list(range(1, 25))
            exists = cube["n_parameters"] > 0
            assert bool(cube["lca"].notnull().all("step").equals(exists))
            assert cube["valid_step"].values.tolist() == [0, 12, 24]


def test_no_state_is_left_behind_by_finished_trainings(finished):
    assert not list(results(finished).glob("models/*/state"))


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, *SETTINGS).stdout


def test_touching_every_file_schedules_no_training(repository):
    later = time.time() + 10
    for path in repository.rglob("*"):
        if path.is_file() and "results" not in path.parts and ".snakemake" not in path.parts:
            os.utime(path, (later, later))
    assert planned_jobs(snakemake(repository, "--dry-run", *SETTINGS).stdout) == {}


def test_one_setting_of_one_model_retrains_that_model_alone(repository, tmp_path):
    override = tmp_path / "override.yaml"
    override.write_text("model_training: {mlm-en: {learning_rate: 1e-3}}\n")
    done = snakemake(
        repository, "--dry-run", "--cores", "2", "--configfile", str(TINY), str(override)
    )
    assert planned_jobs(done.stdout)["train_model"] == 1
    assert set(re.findall(r"wildcards: model=(\S+)", done.stdout)) == {"mlm-en"}


def test_editing_a_figure_script_redraws_that_figure_alone(repository):
    script = repository / "scripts/studies/vazquez2022/figures/figure3.py"
    script.write_text(script.read_text() + "\n# edited\n")
    jobs = planned_jobs(snakemake(repository, "--dry-run", *SETTINGS, "figures").stdout)
    assert {name for name in jobs if name != "figures"} == {"plot_figure3"}


def test_a_figure_of_another_estimator_is_made_beside_it(repository):
    before = digests(results(repository), "figures/*")
    done = snakemake(repository, *SETTINGS, "results/tiny/figures/figure3.probe.svg")
    assert done.returncode == 0, done.stdout
    after = digests(results(repository), "figures/*")
    assert before.items() <= after.items()
    assert after["figures/figure3.probe.svg"] != before["figures/figure3.svg"]


def test_how_trainings_run_is_no_reason_to_train_again(repository):
    """Every key of `execution` at once, on a finished run."""
    changed = {
        "data_workers": 0, "validation_interval": 7, "checkpoint_interval": 3, "threads": 2,
        "gpus": 1, "workers": 1, "memory": 900, "tries": 3, "hardware": "h100", "time_limit": 90,
        "device": "auto", "gpu_model": "a100",
    }  # fmt: skip
    loaded = yaml.safe_load((repository / "config.yaml").read_text())
    assert set(changed) == set(loaded["execution"])
    keys = [f"execution={json.dumps(changed)}"]
    done = snakemake(repository, "--dry-run", *SETTINGS, "--config", *keys)
    # The report lists the configuration; nothing of a model is made again.
    assert set(planned_jobs(done.stdout)) <= {"write_configuration", "make_report", "all"}


def test_editing_the_plots_never_retrains(repository):
    for module in repository.glob("scripts/losschange/plots/*.py"):
        module.write_text(module.read_text() + "\n# edited\n")
    jobs = planned_jobs(snakemake(repository, "--dry-run", *SETTINGS).stdout)
    assert "plot_figure1" in jobs
    assert not {"train_model", "summarise_cube", "evaluate_model"} & set(jobs)


def test_editing_how_text_is_made_never_retrains(repository):
    """Cubes tell what made their text; what the record says later is no reason to train."""
    for room in ("common", "text", "training", "running", "report"):
        for module in repository.glob(f"scripts/{room}/**/*.py"):
            module.write_text(module.read_text() + "\n# edited\n")
    jobs = planned_jobs(snakemake(repository, "--dry-run", *SETTINGS).stdout)
    assert jobs["plot_figure3"] == 1
    assert not {
        "train_model",
        "record_provenance",
        "prepare_corpus_europarl_en_de",
        "learn_vocabulary",
    } & set(jobs)


def test_a_record_of_the_text_made_anew_hides_no_outdated_figure(repository):
    """The figure's models take the record as ancient, and Snakemake skips all that is behind it."""
    script = repository / "scripts/studies/vazquez2022/figures/figure3.py"
    script.write_text(script.read_text() + "\n# edited\n")
    record = "results/tiny/corpora/europarl-en-de/provenance.json"
    done = snakemake(repository, *SETTINGS, "figure3", record, "--forcerun", "record_provenance")
    assert done.returncode == 0, done.stdout
    assert "checkpoint record_provenance" in done.stdout and "rule plot_figure3" in done.stdout
    assert "train_model" not in done.stdout
    assert "Nothing to be done" in snakemake(repository, *SETTINGS, "figure3", record).stdout


def test_cubes_carry_their_provenance(finished):
    with xr.open_dataset(results(finished) / "cubes/clm-en.nc") as cube:
        carried = json.loads(cube.attrs["provenance"])
    assert carried["corpus"] == "europarl-en-de" and carried["splits"]["valid"] == 160
    model = results(finished) / "tokens/europarl-en-de.en/sentencepiece.model"
    assert carried["vocabulary"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """Clone and working folder, with difficult names, of the same run, once killed and repeated."""
    place = tmp_path_factory.mktemp("again")
    clone, folder = copy_repository(place / CLONE), place / FOLDER
    folder.mkdir()
    arguments = ("--snakefile", str(clone / "Snakefile"), *SETTINGS)
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments, *AGAIN],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not list(results(folder).glob("models/*/state/checkpoints/checkpoint_*.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    snakemake(folder, "--unlock", *arguments)
    done = snakemake(folder, *arguments, *AGAIN)
    assert done.returncode == 0, done.stdout
    return clone, folder


def test_a_run_killed_with_its_children_ends_in_the_same_bytes_elsewhere(finished, again):
    expected = digests(results(finished), *REPRODUCIBLE)
    assert len(expected) == 3 + 3 + 36 + 3 * 4
    assert digests(results(again[1]), *REPRODUCIBLE) == expected
    assert not (again[0] / "results").exists(), "the clone is left as it is"


def test_the_line_of_the_plug_in_makes_fairseq_generate_translate_every_sentence(again):
    clone, folder = again
    line = re.search(
        r"PYTHONPATH=scripts (fairseq-generate .*?)\n\n", losschange_fairseq.__doc__, re.DOTALL
    )[1]
    line = line.replace("\\\n", " ").replace("RUN", "tiny")
    program, *arguments = [
        word.replace("scripts/", f"{clone}/scripts/") for word in shlex.split(line)
    ]
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments, "--cpu"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(clone / "scripts"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Translated 20 sentences" in done.stdout + done.stderr


def test_a_finished_run_has_its_explorer(finished):
    page = (results(finished) / "explorer/index.html").read_text(encoding="utf-8")
    for model in ("clm-en", "mlm-en", "mt-en-de"):
        assert f'"models/{model}.js"' in page
        assert (results(finished) / f"explorer/models/{model}.js").stat().st_size > 1000


def test_a_finished_run_becomes_pages(repository, tmp_path):
    (repository / "tools").mkdir()
    tool = shutil.copy(ROOT / "tools" / "results_pages.py", repository / "tools")

    def write(run):
        command = [sys.executable, tool, run, "--output", tmp_path / "pages"]
        return subprocess.run(command, capture_output=True, text=True)

    done = write(results(repository))
    assert done.returncode == 0, done.stderr
    text = {page.stem: page.read_text(encoding="utf-8") for page in tmp_path.glob("pages/*.md")}
    assert text.keys() == {"index", "claims", "figures", "tables"}
    quality = json.loads((results(repository) / "models/clm-en/quality.json").read_text())
    assert f"{quality['splits']['test']['loss']:.3f}" in text["index"]
    shown = re.findall(r"\]\((figures/\w+\.png)\)", text["figures"])
    assert "figures/figure3.png" in shown
    assert [name for name in shown if not (tmp_path / "pages" / name).is_file()] == []
    # A run that is not finished is named, and leaves the pages as they are.
    refused = write(tmp_path)
    assert refused.returncode == 1 and "is no finished run" in refused.stderr
    assert (tmp_path / "pages/index.md").is_file()
