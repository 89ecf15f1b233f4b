"""The wheels of a bundle: downloaded as the lock pins them, or built where there is only source."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from machine_checks import SetUpError, check_python_parts, find_compiler, probe
from set_up import fairseq_variables, run_stage, write_requirements

# Packages that are built here: the lock has only their source, or wheels compiled against another
# PyTorch.
SOURCES = ("antlr4-python3-runtime", "fairseq-fixed")
BUILD_TOOLS = ("cython", "numpy", "setuptools", "wheel")
# Older names of some platforms, with the version of the C library that they stand for.
ALIASES = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
# Parts of fairseq's wheel that are removed, because the project does not use them. Modules that
# need SciPy and scikit-learn, which are larger than the rest of a bundle, are left out when fairseq
# is built (fairseq_build).
LEFT_OUT = ("fairseq/examples/",)
# Folders of tests that wheels hold, at any depth.
TESTS = re.compile(r"^\w+/([^,]+/)?tests?/")
# fairseq's setup.py takes two names from PyTorch, for modules that are not built here (see
# fairseq_build/sitecustomize.py). So the build needs no PyTorch for the target's Python.
STAND_IN = """from setuptools import Extension
from setuptools.command.build_ext import build_ext as BuildExtension


def CppExtension(name, sources):
    return Extension(name, sources)
"""


def platform_tags(platform: str) -> list[str]:
    """All platforms whose wheels run on a platform, the nearest first.

    Parameters
    ----------
    platform : str
        Such as manylinux_2_28_x86_64, which runs what was made for older C libraries too.

    Raises
    ------
    SetUpError
        If it is no manylinux platform.
    """
    known = re.fullmatch(r"manylinux_2_(\d+)_(\w+)|(manylinux\d+)_(\w+)", platform)
    if known is None or (known[3] and known[3] not in ALIASES):
        raise SetUpError(
            f"PLATFORM {platform!r} is none that wheels are made for; give manylinux_2_N_MACHINE, "
            "where 2.N is the C library's version (ldd --version on the target) and MACHINE what "
            "uname -m prints there, such as manylinux_2_28_x86_64."
        )
    newest, machine = int(known[1] or ALIASES[known[3]]), known[2] or known[4]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
    return tags + [f"{name}_{machine}" for name, minor in ALIASES.items() if minor <= newest]


def machine_of(platform: str) -> str:
    """The processor of a platform, as `uname -m` prints it."""
    return re.sub(r"^manylinux(_\d+_\d+|\d+)_", "", platform)


def find_python(version: str, candidates: Sequence[str]) -> str:
    """Path of an interpreter of a version, with its headers and `venv`.

    Raises
    ------
    SetUpError
        If none of the candidates is one; says what they are.
    """
    found = []
    for command in candidates:
        answer = probe(command)
        if answer is None:
            found.append(f"{Path(command).name} does not run")
        elif "{}.{}".format(*answer["version"]) == version:
            check_python_parts(answer)
            return answer["executable"]
        else:
            found.append("{} is {}.{}.{}".format(Path(command).name, *answer["version"]))
    raise SetUpError(
        f"fairseq's two compiled modules have to be built with Python {version}, which was not "
        f"found ({', '.join(found)}). Install it, with its headers and venv, or name it: "
        f"make bundle PYTHON=/path/to/python{version} PYTHON_VERSION={version}."
    )


def make_builder(
    python: str, folder: Path, pins: Mapping, log: Path, variables: Mapping[str, str]
) -> list[str]:
    """Make an environment to build fairseq in; return the start of a command with its pip."""
    find_compiler(variables)
    run_stage(
        "Bundle 1 of 4: what fairseq is built with", [python, "-m", "venv", folder], log, variables
    )
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    file = write_requirements(folder / "tools.txt", pins, BUILD_TOOLS)
    command = [*pip, "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    run_stage("Bundle 2 of 4: installing it", [*command, "--requirement", file], log, variables)
    return pip


def fetch_wheels(
    pip: Sequence[str],
    pins: Mapping,
    names: Sequence[str],
    python: str,
    platform: str,
    folder: Path,
    log: Path,
    variables: Mapping[str, str],
) -> None:
    """Download the wheels of some packages for the target, with the digests of the lock.

    Raises
    ------
    SetUpError
        If one has no wheel for the target, or the index is not reached.
    """
    wanted = [name for name in names if name not in SOURCES]
    file = write_requirements(folder / "wheels.txt", pins, wanted)
    command = [*pip, "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    command += [word for tag in platform_tags(platform) for word in ("--platform", tag)]
    command += ["--dest", str(folder), "--requirement", file]
    title = f"Bundle 3 of 4: {len(wanted)} wheels for Python {python} and {platform}"
    run_stage(title, command, log, variables)
    Path(file).unlink()


def build_wheels(
    pip: Sequence[str],
    pins: Mapping,
    names: Sequence[str],
    folder: Path,
    log: Path,
    variables: Mapping[str, str],
) -> None:
    """Build the wheels of the packages that come as source, and make fairseq's smaller.

    Raises
    ------
    SetUpError
        If a build fails.
    """
    wanted = [name for name in names if name in SOURCES]
    stand_in = log.parent / "stand_in" / "torch" / "utils"
    stand_in.mkdir(parents=True, exist_ok=True)
    (stand_in / "cpp_extension.py").write_text(STAND_IN)
    file = write_requirements(folder / "sources.txt", pins, wanted)
    command = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    command += ["--no-binary", ",".join(wanted), "--require-hashes", "--requirement", file]
    ours = fairseq_variables(variables)
    ours["PYTHONPATH"] += f":{stand_in.parents[1]}"
    title = f"Bundle 4 of 4: building {' and '.join(wanted)}"
    run_stage(title, [*command, "--wheel-dir", str(folder)], log, ours)
    Path(file).unlink()


def reduce_wheels(folder: Path) -> None:
    """Take out of the wheels in a folder what training does not need: their tests, and more."""
    for wheel in sorted(folder.glob("*.whl")):
        reduce_wheel(wheel, LEFT_OUT if wheel.name.startswith("fairseq_fixed-") else ())


def reduce_wheel(wheel: Path, left_out: Sequence[str]) -> None:
    """Take files out of a wheel, and out of its list of files.

    Parameters
    ----------
    wheel : path
    left_out : sequence of str
        Names of files, and of folders with a slash at the end. Folders of tests go too.

    Raises
    ------
    SetUpError
        If the wheel has none of a name: then it is another version of the package.
    """
    missing = set(left_out)
    part = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            gone = {name for name in left_out if entry.filename.startswith(name)}
            missing -= gone
            if gone or TESTS.search(entry.filename):
                continue
            content = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                lines = content.decode().splitlines(keepends=True)
                kept = [one for one in lines if not one.startswith(tuple(left_out))]
                content = "".join(one for one in kept if not TESTS.search(one)).encode()
            new.writestr(entry, content, zipfile.ZIP_DEFLATED)
    if missing:
        part.unlink()
        raise SetUpError(f"{wheel.name} has no {', '.join(sorted(missing))}; look at {__file__}.")
    shutil.move(part, wheel)
