"""Check that a machine has what the set-up needs: Python, its headers, a C++ compiler, disk space.

Uses the standard library only and works with any Python from 3.7 on.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

SUPPORTED = ((3, 12), (3, 11))
COMPILERS = ("c++", "g++", "clang++")

PROBE = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "version": sys.version_info[:3],
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "headers": sysconfig.get_path("include"),
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
"""


class SetUpError(Exception):
    """A problem that the user can solve; the message says how."""


def probe(command):
    """Version, path and headers of an interpreter; None if it does not run.

    Returns
    -------
    dict with version ([3, minor, micro]), executable, headers (folder) and venv (bool), or None
    """
    try:
        answer = subprocess.run(
            [command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        return json.loads(answer.stdout.decode())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def choose_python(candidates):
    """The first of several interpreters that is a Python 3.11 or 3.12.

    Parameters
    ----------
    candidates : sequence of str
        Commands, in order of preference.

    Returns
    -------
    dict, see `probe`

    Raises
    ------
    SetUpError
        If there is none; says what was found instead.
    """
    found = []
    for command in candidates:
        answer = probe(command)
        if answer is None:
            found.append(f"{Path(command).name} does not run")
        elif tuple(answer["version"][:2]) in SUPPORTED:
            return answer
        else:
            version = ".".join(map(str, answer["version"]))
            found.append(f"{Path(command).name} is {version}")
    raise SetUpError(
        f"Python 3.11 or 3.12 is needed ({', '.join(found)}); install one of them, or name it: "
        "make PYTHON=/path/to/python3.12."
    )


def check_python_parts(python):
    """Check that an interpreter has `venv` and its C headers.

    Raises
    ------
    SetUpError
        If one is missing; names the package that usually contains it.
    """
    version = "{}.{}".format(*python["version"])
    if not python["venv"]:
        raise SetUpError(
            f"{python['executable']} has no venv module; install it "
            f"(Debian and Ubuntu: the package python{version}-venv)."
        )
    if not (Path(python["headers"]) / "Python.h").is_file():
        raise SetUpError(
            f"{python['executable']} has no C headers (Python.h is not in {python['headers']}), "
            "which building fairseq needs; install them "
            f"(Debian and Ubuntu: python{version}-dev, Fedora: python{version}-devel)."
        )


def find_compiler(environment):
    """Path of a C++ compiler that works: $CXX, or the first of c++, g++, clang++ on the PATH.

    Raises
    ------
    SetUpError
        If there is none, or it cannot compile a file that includes <vector>.
    """
    path = environment.get("PATH", "")
    # CXX may carry options, as in "ccache g++"
    wanted = [environment["CXX"].split()[0]] if environment.get("CXX", "").split() else COMPILERS
    found = [shutil.which(name, path=path) for name in wanted]
    compiler = next((name for name in found if name), None)
    if compiler is None:
        raise SetUpError(
            f"No C++ compiler was found (looked for {', '.join(wanted)}), which building fairseq "
            "needs; install g++ or clang (Debian and Ubuntu: build-essential), or set CXX."
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "trial.cpp"
        source.write_text("#include <vector>\nint main() { return std::vector<int>().size(); }\n")
        trial = subprocess.run(
            [compiler, "-fsyntax-only", str(source)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if trial.returncode != 0:
        raise SetUpError(
            f"The C++ compiler {compiler} cannot compile a file that includes <vector>; install "
            "the C++ standard library with it (Debian and Ubuntu: build-essential)."
        )
    return compiler


def check_disk(folder, gigabytes):
    """Check that a disk has at least this number of free gigabytes (10^9 bytes).

    Raises
    ------
    SetUpError
        If it has less; says how much is free and how much is needed.
    """
    free = shutil.disk_usage(str(folder)).free / 1e9
    if free < gigabytes:
        raise SetUpError(
            f"{free:.1f} GB are free on the disk of {folder}, but {gigabytes:.1f} GB are needed, "
            "most of them for PyTorch; free some space, or move the clone to a larger disk."
        )


def check_machine(candidates, environment, folder, gigabytes):
    """Check that everything is there for an installation into `folder`.

    Returns
    -------
    dict, see `probe`: the interpreter to use

    Raises
    ------
    SetUpError
        If something is missing; one line for each.
    """
    problems, python = [], None
    try:
        python = choose_python(candidates)
        check_python_parts(python)
    except SetUpError as error:
        problems.append(str(error))
    for check in (lambda: find_compiler(environment), lambda: check_disk(folder, gigabytes)):
        try:
            check()
        except SetUpError as error:
            problems.append(str(error))
    if problems:
        raise SetUpError("\nerror: ".join(problems))
    return python
