"""The commands in the documentation: each is run, or says that it needs what tests do not have."""

import re
import shlex
import subprocess

import pytest
import yaml

from losschange.command import show
from losschange.command_line import command_line
from workflow_runs import ROOT, snakemake

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
MARK = re.compile(r"needs? (a GPU|a network|the network|a cluster|root)")
# Pages about what no test has here: `make test-slurm` runs the one, `make performance` the other.
MARKED_PAGES = {"cluster.md": "cluster", "performance.md": "GPU"}
# A script of a bundle; tests/test_bundle.py runs one.
RUN = "python3 bundle/run "
# What stands beside commands of this project.
OTHERS = ("source .venv/bin/activate",)


def commands():
    """(command, what its comment says) of every line of a shell in the documentation."""
    found = {}
    for page in PAGES:
        if page.name in MARKED_PAGES:
            assert MARKED_PAGES[page.name] in page.read_text(encoding="utf-8")
            continue
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command, _, comment = line.partition(" #")
                if command.strip():
                    found[" ".join(command.split())] = comment
    return found


COMMANDS = commands()
OF_SNAKEMAKE = sorted(
    {
        line.removesuffix(" --dry-run")
        for line, comment in COMMANDS.items()
        if line.startswith("snakemake ") and not MARK.search(comment)
    }
)


def test_every_command_is_one_that_these_tests_know():
    kinds = ("make ", "snakemake ", "losschange ", "PYTHONPATH=scripts python -m losschange.", RUN)
    unknown = [line for line in COMMANDS if not line.startswith(kinds) and line not in OTHERS]
    assert unknown == []
    assert len(OF_SNAKEMAKE) > 3


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_knows_its_target(line):
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith(RUN)])
def test_a_script_of_a_bundle_is_there(line):
    assert (ROOT / shlex.split(line)[2]).is_file()


@pytest.mark.parametrize("line", [line for line in COMMANDS if "losschange" in line.split("=")[0]])
def test_the_library_s_command_takes_these_arguments(line):
    """What they do is tested in test_readme, test_explorer and test_command."""
    arguments = shlex.split(line.partition("losschange ")[2])
    assert command_line(arguments[:1], show).parse_args(arguments)


def targets_by_options():
    """What is asked for with the same options is planned at once: options to their targets."""
    found = {}
    for line in OF_SNAKEMAKE:
        words = shlex.split(line.replace("mirror=DIR_OR_URL", "mirror=mirror"))[1:]
        first = next(n for n, word in enumerate(words) if word.startswith("-"))
        found.setdefault(tuple(words[first:]), []).extend(words[:first])
    return found.items()


@pytest.mark.slow
@pytest.mark.parametrize(("options", "targets"), targets_by_options())
def test_snakemake_plans_what_a_page_asks_it_for(options, targets, tmp_path):
    for name in ("presets", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "mirror").mkdir()
    tutorial = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    (mine,) = re.findall(r"```yaml\n(.*?)```", tutorial, re.DOTALL)
    changed = re.search(r"Add the line `(figures: .*?)`", tutorial)[1]
    (tmp_path / "mine.yaml").write_text(f"{mine}{changed}\n")
    assert yaml.safe_load(mine)["run"] == "mine"
    done = snakemake(
        tmp_path, *targets, *options, "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--quiet"
    )
    assert done.returncode == 0, done.stdout
