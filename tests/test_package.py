"""The library on its own: installed without the rest of this project, and light to import."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.metadata import version
from pathlib import Path

import pytest

import losschange

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "numpy", "xarray", "netCDF4", "matplotlib", "transformers", "lightning"]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# What PyTorch and xarray import by themselves where it is installed.
OPTIONAL = {"pandas", "python-dateutil", "pytz", "six", "tqdm"}
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
def wheel(tmp_path_factory):
    """The wheel that pip builds from the archive of the sources (sdist), each from a copy."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    # A copy: building leaves files behind.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in (ROOT / "scripts").iterdir():
        if folder.is_dir():
            shutil.copytree(folder, source / "scripts" / folder.name)
    build = "import sys, setuptools.build_meta as backend; backend.build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(built)], cwd=source, check=True, capture_output=True
    )
    (archive,) = built.glob("losschange-*.tar.gz")
    subprocess.run(
        [
            *(*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--wheel-dir", str(built), str(archive)),
        ],
        check=True,
        capture_output=True,
    )
    (found,) = built.glob("losschange-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which pip installed the library's wheel alone."""
    target = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [*PIP, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel],
        check=True,
        capture_output=True,
    )
    return target


def test_the_wheel_needs_just_what_the_library_imports(wheel, installed, tmp_path):
    (about,) = metadata.distributions(path=[str(installed)])
    needed = [line for line in about.requires if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line)[0] for line in needed}
    assert names == {"filelock", "netCDF4", "numpy", "torch", "xarray"}
    # Everything but adapters and figures can be imported where nothing else is installed.
    allowed, todo = set(), sorted(names)
    while todo:
        name = todo.pop()
        key = name.lower().replace("_", "-")
        if key in allowed:
            continue
        allowed.add(key)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        todo += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    program = """
import importlib, json, pkgutil, sys
from importlib import metadata
import losschange
for module in pkgutil.walk_packages(losschange.__path__, "losschange."):
    if not module.name.startswith(("losschange.adapters.", "losschange.plots.")):
        importlib.import_module(module.name)
loaded = {name.partition(".")[0] for name in sys.modules}
owners = metadata.packages_distributions()
found = {owner.lower().replace("_", "-") for name in loaded for owner in owners.get(name, ())}
print(json.dumps(sorted(found)))
"""
    beyond = set(run_python(program, installed, tmp_path)) - allowed
    assert beyond <= {"losschange", *OPTIONAL}, beyond


@pytest.mark.slow
def test_the_installed_library_passes_its_tests_outside_of_the_clone(installed, tmp_path):
    """Some of them; with LIBRARY_TESTS=library (make test-package) all fast ones of that folder."""
    tests = tmp_path / "tests"
    shutil.copytree(ROOT / "tests" / "library", tests / "library")
    for path in (ROOT / "tests").glob("*.py"):
        shutil.copy(path, tests)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    settings = "[pytest]\npythonpath = tests\nmarkers = slow: takes more than a few seconds\n"
    (tmp_path / "pytest.ini").write_text(settings)
    some = ["library/test_saving.py", "library/test_rates.py", "test_recorder.py"]
    chosen = os.environ.get("LIBRARY_TESTS", " ".join(some)).split()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"),
            *(f"tests/{name}" for name in chosen),
        ],
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONNOUSERSITE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


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
