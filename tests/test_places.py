"""A clone and a working folder may lie anywhere; checkpoints are fairseq's; modules are refused."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import losschange_fairseq
from workflow_runs import ROOT, TINY, copy_repository, snakemake

CLONE, FOLDER = 'it\'s a "clone" of ä $HOME', "another wörking 'folder'"
MODEL = "results/tiny/models/mt-en-de"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A clone and a working folder with difficult names, after a run up to a model's quality."""
    place = tmp_path_factory.mktemp("places")
    clone, folder = copy_repository(place / CLONE), place / FOLDER
    folder.mkdir()
    done = snakemake(
        folder,
        *("--snakefile", str(clone / "Snakefile"), "--cores", "2", "--configfile", str(TINY)),
        *("--config", "models=[mt-en-de]", "--"),
        *(f"{MODEL}/quality.json", "table3", "results/tiny/summaries/mt-en-de.nc"),
        "results/tiny/corpora/europarl-en-de/provenance.json",
    )
    assert done.returncode == 0, done.stdout
    return clone, folder


@pytest.mark.slow
def test_a_clone_and_a_working_folder_may_have_difficult_names(run):
    _, folder = run
    assert (folder / f"{MODEL}/quality.json").exists()
    assert (folder / "results/tiny/tables/table3.csv").exists()
    assert not (run[0] / "results").exists()


@pytest.mark.slow
def test_the_line_of_the_plug_in_makes_fairseq_generate_translate_every_sentence(run):
    clone, folder = run
    text = losschange_fairseq.__doc__
    line = re.search(r"PYTHONPATH=scripts (fairseq-generate .*?)\n\n", text, re.DOTALL)[1]
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


def test_a_module_import_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "Snakefile").write_text(
        f'module other:\n    snakefile: "{ROOT}/Snakefile"\n\nuse rule * from other as other_*\n'
    )
    done = snakemake(tmp_path, "--cores", "1", "--dry-run")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "This workflow cannot be imported as a module. Run it by itself" in done.stdout


def test_every_rule_quotes_the_interpreter_and_the_scripts():
    for path in (ROOT / "rules").rglob("*.smk"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"\{(?:PYTHON|SCRIPTS|input\.code\[0\])\}", text), path.name
