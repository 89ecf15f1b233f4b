"""Write envs/*.yaml: an environment for conda per toolset, pinned as requirements.lock pins it.

An environment has the packages that the scripts of its toolset import, and their dependencies. Run
this after a change of the lock or of the scripts' imports, in an environment made from the lock.
"""

import argparse
import ast
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
ENVIRONMENTS = ROOT / "envs"
PYTHON = "3.11"
# Scripts of each toolset; "figures" has all others.
TOOLSETS = {
    "corpora": (
        "list_sources",
        "fetch_source",
        "generate_source",
        "prepare_corpus",
        "learn_vocabulary",
        "binarise_text",
        "record_provenance",
    ),
    "training": (
        "train_model",
        "evaluate_model",
        "describe_heads",
        "prune_heads",
        "relate_heads",
        "judge_head_claims",
        "measure_interventions",
        "extract_states",
        "describe_space",
        "compare_spaces",
        "compare_snapshots",
    ),
    "figures": (),
}
TITLES = {
    "corpora": "Corpora, vocabularies, token ids",
    "training": "Training with LCA recording, evaluation",
    "figures": "Summaries, figures, tables, claims, report",
}
# Installed afterwards, by training.post-deploy.sh: its build needs what is installed before.
FAIRSEQ = "fairseq-fixed"
# Packages that no script imports by name: tools to build fairseq, and xarray's backend for cubes.
UNSEEN = {
    "corpora": set(),
    "training": {FAIRSEQ, "cython", "setuptools", "wheel"},
    # Figures of studies are imported by name: rank correlations, BLEU of resampled translations.
    "figures": {"netCDF4", "scipy", "sacrebleu"},
}


def scripts_of(toolset):
    """Names of the scripts of a toolset."""
    named = {name for names in TOOLSETS.values() for name in names}
    rest = sorted({path.stem for path in SCRIPTS.glob("*.py")} - named)
    return TOOLSETS[toolset] or tuple(rest)


def imported_packages(scripts):
    """Top-level names of other people's packages that some scripts import, at any depth."""
    ours = {path.name for path in SCRIPTS.iterdir() if path.is_dir()}
    seen, waiting, found = set(), [SCRIPTS / f"{name}.py" for name in scripts], set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for base, module in _modules(node, path):
                top = module.partition(".")[0]
                if base != SCRIPTS or top in ours:
                    stem = base.joinpath(*module.split("."))
                    waiting += [stem.with_suffix(".py"), stem / "__init__.py"]
                elif top not in sys.stdlib_module_names:
                    found.add(top)
    return found


def _modules(node, path):
    """(folder, dotted name) of every module that an import statement may mean."""
    if isinstance(node, ast.Import):
        return [(SCRIPTS, alias.name) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = path.parents[node.level - 1] if node.level else SCRIPTS
    start = f"{node.module}." if node.module else ""
    names = [start + alias.name for alias in node.names]
    return [(base, name) for name in [*([node.module] if node.module else []), *names]]


def with_dependencies(distributions):
    """Distributions and all that they need, by normalised name."""
    found, waiting = set(), [canonicalize_name(name) for name in distributions]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def is_of_cuda(name):
    """Whether a distribution belongs to torch's builds for CUDA, which the lock leaves to torch."""
    return name == "triton" or name.startswith(("nvidia-", "cuda-"))


def read_pins():
    """The lock: normalised name to name==version, without the hashes, which conda cannot check."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[\w.-]+==[^\s;]+", lock, flags=re.MULTILINE)
    return {canonicalize_name(pin.partition("==")[0]): pin for pin in pins}


def environment_text(toolset):
    """Content of a toolset's file.

    Raises
    ------
    KeyError
        If something is needed that the lock does not pin.
    """
    owners = packages_distributions()
    wanted = {owners[name][0] for name in imported_packages(scripts_of(toolset))}
    wanted |= UNSEEN[toolset]
    pins = read_pins()
    # Libraries of CUDA come with torch, which names their versions itself.
    needed = [name for name in with_dependencies(wanted) if not is_of_cuda(name)]
    lines = sorted((pins[name] for name in needed if name != FAIRSEQ), key=str.lower)
    compiler = ["  - cxx-compiler"] if toolset == "training" else []
    return "\n".join(
        [
            f"# {TITLES[toolset]}. Made by tools/make_environments.py from requirements.lock.",
            "channels:",
            "  - conda-forge",
            "  - nodefaults",
            "dependencies:",
            f"  - python={PYTHON}",
            "  - pip",
            *compiler,
            "  - pip:",
            *(f"      - {line}" for line in lines),
            "",
        ]
    )


def post_deploy_text():
    """Content of the script that Snakemake runs in the new environment for training."""
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            "# fairseq is compiled whole, against the torch that is there and without the CUDA",
            "# sources that its archive lacks. Made by tools/make_environments.py from",
            "# requirements.lock.",
            "set -euo pipefail",
            "unset CUDA_HOME",
            f"python -m pip install --no-build-isolation --no-deps {read_pins()[FAIRSEQ]}",
            "",
        ]
    )


def main():
    """Write all files of envs/ that this program makes."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    ENVIRONMENTS.mkdir(exist_ok=True)
    for toolset in TOOLSETS:
        path = ENVIRONMENTS / f"{toolset}.yaml"
        path.write_text(environment_text(toolset), encoding="utf-8")
    path = ENVIRONMENTS / "training.post-deploy.sh"
    path.write_text(post_deploy_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
