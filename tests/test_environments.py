"""Environments for conda and containers: what the lock pins, whole, and named by every rule."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tiny_trainings import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from make_environments import (  # noqa: E402
    FAIRSEQ,
    TOOLSETS,
    environment_text,
    is_of_cuda,
    post_deploy_text,
    scripts_of,
)

LOCK = set(re.findall(r"^[\w.-]+==[^\s;]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
CHANGED = "run tools/make_environments.py and look at the difference"


def pins_of(toolset):
    """What pip installs: normalised name to name==version."""
    loaded = yaml.safe_load((ROOT / "envs" / f"{toolset}.yaml").read_text())
    (by_pip,) = [part["pip"] for part in loaded["dependencies"] if isinstance(part, dict)]
    afterwards = ROOT / "envs" / f"{toolset}.post-deploy.sh"
    if afterwards.exists():
        by_pip += re.findall(r"[\w.-]+==\S+", afterwards.read_text())
    return {canonicalize_name(pin.partition("==")[0]): pin for pin in by_pip}


@pytest.mark.parametrize("toolset", TOOLSETS)
def test_every_pin_is_the_lock_s(toolset):
    pins = set(pins_of(toolset).values())
    assert len(pins) > 8 and pins <= LOCK, CHANGED


@pytest.mark.parametrize("toolset", TOOLSETS)
def test_nothing_is_left_for_pip_to_choose(toolset):
    pins = pins_of(toolset)
    for name in pins:
        for line in requires(name) or []:
            needed = Requirement(line)
            if is_of_cuda(canonicalize_name(needed.name)):
                continue
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in pins, f"{name} needs {line}: {CHANGED}"


@pytest.mark.parametrize("toolset", TOOLSETS)
def test_the_files_are_those_of_the_scripts_as_they_are(toolset):
    assert (ROOT / "envs" / f"{toolset}.yaml").read_text() == environment_text(toolset), CHANGED


def test_fairseq_is_built_after_and_against_torch():
    text = (ROOT / "envs" / "training.post-deploy.sh").read_text()
    assert text == post_deploy_text() and "--no-build-isolation" in text
    assert FAIRSEQ in pins_of("training") and FAIRSEQ not in environment_text("training")
    assert "torch" in pins_of("training") and "torch" not in pins_of("figures")


def test_figures_and_tables_import_only_what_their_environment_holds():
    """Figures are imported by name, so that nothing that follows imports sees them."""
    folders = [*(ROOT / "scripts/studies").glob("*/figures")]
    folders += (ROOT / "scripts/studies").glob("*/tables")
    names = [
        ".".join(path.relative_to(ROOT / "scripts").with_suffix("").parts)
        for folder in folders
        for path in sorted(folder.glob("*.py"))
    ]
    assert len(names) > 30
    absent = ["torch", "fairseq", "transformers", "sklearn"]
    assert not set(absent) & pins_of("figures").keys()
    command = (
        "import importlib, json, sys\n"
        "absent, names = json.loads(sys.argv[1])\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in absent: raise ModuleNotFoundError(f'No module named {name}')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "for name in names: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, json.dumps([absent, names])],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def rules():
    """(file, text) of every rule that runs a command."""
    for path in sorted((ROOT / "rules").rglob("*.smk")):
        for text in re.split(r"^ *rule(?: \w+)?:\n", path.read_text(), flags=re.MULTILINE)[1:]:
            if re.search(r"^ *shell:", text, re.MULTILINE):
                yield path.name, text


def test_every_rule_names_the_environment_of_its_script():
    environment_of = {name: toolset for toolset in TOOLSETS for name in scripts_of(toolset)}
    found = []
    for place, text in rules():
        text = text.replace("LIST_SOURCES", "{SCRIPTS}/list_sources.py")
        scripts = re.findall(r'\{SCRIPTS(?::q)?\}/(\w+)\.py|uses\(\s*"(\w+)"', text)
        (environment,) = re.findall(r'conda:\s*"(?:\.\./)+envs/(\w+)\.yaml"', text)
        wanted = {environment_of[one or other] for one, other in scripts} or {environment}
        assert wanted == {environment}, f"{place}: {scripts}"
        found.append(environment)
    assert len(found) > 10 and set(found) == set(TOOLSETS)


def test_both_container_recipes_run_the_same_commands():
    def commands(name):
        words = (ROOT / "envs" / name).read_text().replace("\\\n", " ").replace("&&", "\n")
        lines = [" ".join(line.removeprefix("RUN ").split()) for line in words.splitlines()]
        kinds = ("apt-get", "DEBIAN_FRONTEND", "rm ", "python3 ")
        return [line for line in lines if line.startswith(kinds)]

    assert (
        commands("Containerfile") == commands("losschange.def")
        and len(commands("Containerfile")) == 4
    )


@pytest.mark.parametrize("recipe", ["Containerfile", "losschange.def"])
def test_a_container_gets_every_file_that_the_set_up_reads(recipe):
    """The set-up runs where nothing but the recipe's copies are."""
    tools = ROOT / "tools"
    needed, found = ["set_up"], []
    while needed:
        found.append(needed.pop())
        imports = re.findall(
            r"^(?:from|import) (\w+)", (tools / f"{found[-1]}.py").read_text(), re.M
        )
        needed += [name for name in imports if (tools / f"{name}.py").exists()]
    assert len(found) > 1
    text = (ROOT / "envs" / recipe).read_text()
    copied = re.findall(r"(?<!/)tools/(\w+)\.py", text)
    assert set(found) <= set(copied)
    assert "requirements.lock" in text
    assert "tools/fairseq_build/sitecustomize.py" in text
