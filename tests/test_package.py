"""The library on its own: installed without the rest of this project, and light to import."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import losschange

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "numpy", "xarray", "netCDF4", "matplotlib", "transformers", "lightning"]
FOREIGN = ["fairseq", "snakemake", "losschange_fairseq", "running", "training", "text", "lightning"]


def run_python(program, path, folder):
    """What a program prints as JSON when `path` is all that it is given."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(path), "PYTHONNOUSERSITE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which pip installed the library alone, from a copy of what is committed."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    # A copy: pip leaves files behind in the folder that it builds.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in (ROOT / "scripts").iterdir():
        if folder.is_dir():
            shutil.copytree(folder, source / "scripts" / folder.name)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    return target


def test_pip_installs_the_whole_library_and_nothing_else(installed):
    folders = {path.name for path in installed.iterdir() if "dist-info" not in path.name}
    assert folders - {"bin"} == {"losschange"}

    def modules(folder):
        return {str(path.relative_to(folder)) for path in folder.rglob("*.py")}

    assert modules(installed / "losschange") == modules(ROOT / "scripts" / "losschange")
    page = Path("losschange/explorer/page")
    files = {path.name for path in (ROOT / "scripts" / page).iterdir()}
    assert {path.name for path in (installed / page).iterdir()} == files


def test_the_installed_library_imports_neither_fairseq_nor_snakemake(installed, tmp_path):
    program = f"""
import importlib, json, pkgutil, sys
import losschange
names = [m.name for m in pkgutil.walk_packages(losschange.__path__, "losschange.")]
for name in names:
    if not name.startswith("losschange.adapters."):
        importlib.import_module(name)
for name in losschange.__all__:
    getattr(losschange, name)
found = [name for name in {FOREIGN} if name in sys.modules]
print(json.dumps([losschange.__file__, len(names), found]))
"""
    place, number, foreign = run_python(program, installed, tmp_path)
    assert Path(place).is_relative_to(installed)
    assert number > 20
    assert foreign == []


def test_the_installed_command_runs(installed, tmp_path):
    command = installed / "bin" / "losschange"
    done = subprocess.run(
        [sys.executable, str(command), "show", "absent"],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no file or folder absent")


def test_importing_the_library_loads_nothing_heavy():
    program = f"""
import json, sys
from losschange import RECORDING_VERSION
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""
    assert run_python(program, ROOT / "scripts", ROOT) == []


def test_public_names_are_there_and_others_are_not():
    assert set(losschange.__all__) <= set(dir(losschange))
    for name in losschange.__all__:
        assert getattr(losschange, name) is not None
    with pytest.raises(AttributeError, match="module 'losschange' has no attribute 'atach'"):
        losschange.atach  # noqa: B018


def test_the_extras_name_what_the_adapters_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {"huggingface", "lightning", "plots"} <= set(extras)
    for requirement in (*extras["huggingface"], *extras["lightning"]):
        name, _, least = requirement.partition(">=")
        assert int(version(name).partition(".")[0]) >= int(least.partition(".")[0]), name
