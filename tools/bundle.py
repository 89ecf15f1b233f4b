"""Make a bundle: everything that a machine with a GPU and no network needs, in one folder.

It holds wheels of what the target lacks, this project's code and the token ids of a run. Run it in
the environment of `make set-up`: `make bundle`. docs/how-to/gpu-without-network.md says more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import yaml
from bundle_choice import Choice, choose_packages, read_have
from bundle_wheels import (
    build_wheels,
    fetch_wheels,
    find_python,
    machine_of,
    make_builder,
    reduce_wheels,
)
from machine_checks import SUPPORTED, SetUpError
from make_environments import imported_packages
from packaging.utils import canonicalize_name
from set_up import read_lock

ROOT = Path(__file__).resolve().parents[1]
# A bundle holds the packages that these scripts import, and further ones that are not imported by
# name or only by benchmarks: fairseq, xarray's backend for cubes, and the readers of presets.
SCRIPTS = ("train_model", "evaluate_model", "summarise_cube")
UNSEEN = ("fairseq-fixed", "netcdf4", "pydantic", "pyyaml")
CODE = ("scripts", "benchmarks", "presets", "config.yaml", "pyproject.toml", "LICENSE")
LIMIT = 45e6  # bytes


def roots() -> set[str]:
    """The packages that the scripts of a bundle import."""
    owners = packages_distributions()
    found = {canonicalize_name(owners[name][0]) for name in imported_packages(SCRIPTS)}
    return found | set(UNSEEN)


def requirements_of(name: str) -> Iterable[str]:
    """The requirements of an installed package.

    Raises
    ------
    SetUpError
        If it is not installed here.
    """
    try:
        return requires(name) or ()
    except PackageNotFoundError:
        raise SetUpError(
            f"{name} is needed on the target and is not installed here, so that what it needs in "
            "turn is not known; name it in HAVE if the target has it."
        ) from None


def target_environment(python: str, platform: str) -> dict[str, str]:
    """The environment markers (PEP 508) of the target."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine_of(platform),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def copy_code(folder: Path) -> None:
    """This project's code, laid out as in a clone."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def run_of(preset: Path) -> Path:
    """The folder of a preset's results."""
    name = yaml.safe_load(preset.read_text(encoding="utf-8")).get("run")
    if name is None:
        raise SetUpError(f"{preset} names no run; give RUN=results/<run>.")
    return ROOT / "results" / name


def copy_tokens(run: Path, folder: Path) -> None:
    """Token ids of a run, in the place that they have in a clone: results/<run>/tokens.

    Raises
    ------
    SetUpError
        If the run has none, or some are not complete.
    """
    found = sorted(path for path in run.glob("tokens/*") if path.is_dir())
    incomplete = [str(path) for path in found if not (path / "tokens.json").is_file()]
    if incomplete or not found:
        raise SetUpError(
            f"{', '.join(incomplete) or run / 'tokens'} holds no complete token ids; make them "
            "(snakemake tokens --configfile PRESET --cores all), or name another RUN."
        )
    for path in found:
        shutil.copytree(path, folder / "results" / run.name / "tokens" / path.name)


def zip_code(folder: Path, archive: Path) -> None:
    """Code and token ids as one archive, which `bundle/run` unpacks as it does the wheels."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        for path in sorted(folder.rglob("*")):
            new.write(path, path.relative_to(folder))


def write_contents(folder: Path, python: str, platform: str, choice: Choice) -> None:
    """Write bundle.json, which bundle/run checks before it runs a script."""
    archives = [*sorted((folder / "wheels").glob("*.whl")), folder / "code.zip"]
    unpacked = 0
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            unpacked += sum(entry.file_size for entry in archive.infolist())
    contents = {
        "python": python,
        "machine": f"linux {machine_of(platform)}",
        "files": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in archives
        },
        "counted_on": choice.counted_on,
        "unpacked": unpacked,
    }
    (folder / "bundle.json").write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def say_choice(choice: Choice) -> None:
    """Print the packages expected on the target, and those that it has in an unfit version."""
    print(f"The target has: {', '.join(n + v for n, v in choice.counted_on.items()) or 'nothing'}")
    for name, reason in choice.unfit.items():
        print(f"The target has {name} {reason}: the bundle brings its own.")


def say_sizes(folder: Path) -> None:
    """Print every package with its size, and the sizes of the parts."""
    for wheel in sorted((folder / "wheels").iterdir(), key=lambda path: -path.stat().st_size):
        print(f"  {wheel.stat().st_size / 1e6:6.1f} MB  {wheel.name}")
    print(f"  {(folder / 'code.zip').stat().st_size / 1e6:6.1f} MB  code.zip: code, token ids")
    total = size_of(folder)
    print(f"{folder}: {total / 1e6:.1f} MB in all")
    if total > LIMIT:
        print(f"That is more than {LIMIT / 1e6:.0f} MB: name in HAVE what else the target has.")


def make_bundle(options: argparse.Namespace, work: Path) -> Path:
    """Put a bundle together in a working folder, and return the folder."""
    python, platform = options.python_version, options.platform
    choice = choose_packages(
        roots(), requirements_of, target_environment(python, platform), read_have(options.have)
    )
    say_choice(choice)
    if machine_of(platform) != os.uname().machine and "fairseq-fixed" in choice.packages:
        raise SetUpError(
            f"fairseq is compiled here, for {os.uname().machine}; for {platform} make the bundle "
            f"on a machine whose `uname -m` prints {machine_of(platform)}."
        )
    interpreter = find_python(python, [options.python, f"python{python}"])
    pins, log, variables = (
        read_lock(ROOT / "requirements.lock"),
        work / "bundle.log",
        dict(os.environ),
    )
    variables.pop("PYTHONPATH", None)
    folder = work / "bundle"
    (folder / "wheels").mkdir(parents=True)
    copy_tokens(options.run or run_of(options.preset), work / "code")
    copy_code(work / "code")
    zip_code(work / "code", folder / "code.zip")
    pip = make_builder(interpreter, work / "builder", pins, log, variables)
    wheels = folder / "wheels"
    fetch_wheels(pip, pins, choice.packages, python, platform, wheels, log, variables)
    build_wheels(pip, pins, choice.packages, wheels, log, variables)
    reduce_wheels(wheels)
    write_contents(folder, python, platform, choice)
    shutil.copy(ROOT / "tools" / "bundle_run.py", folder / "run")
    (folder / "run").chmod(0o755)
    return folder


def put_in_place(folder: Path, output: Path) -> None:
    """Move a complete bundle to its place; an older bundle there is replaced, nothing else.

    Raises
    ------
    SetUpError
        If there is something else.
    """
    if output.exists():
        if not (output / "bundle.json").is_file() and any(output.iterdir()):
            raise SetUpError(f"{output} is no bundle; move it away, or name another --output.")
        shutil.rmtree(output)
    shutil.move(folder, output)


def main(arguments: list[str] | None = None) -> None:
    """Make the bundle that the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Example: make bundle PYTHON_VERSION=3.12 HAVE=have.txt RUN=results/sample; "
        "docs/how-to/gpu-without-network.md says more.",
    )
    parser.add_argument(
        "--python-version",
        default="{}.{}".format(*sys.version_info),
        metavar="3.11|3.12",
        help="of the target (default: that of this program, %(default)s)",
    )
    parser.add_argument(
        "--python", default=sys.executable, help="an interpreter of that version on this machine"
    )
    parser.add_argument(
        "--platform",
        default=f"manylinux_2_28_{os.uname().machine}",
        help="of the target's wheels (default: %(default)s)",
    )
    parser.add_argument(
        "--have",
        default="",
        help="packages that the target has already: names, or a file with its `pip freeze`",
    )
    parser.add_argument(
        "--preset",
        type=Path,
        default=ROOT / "presets" / "demo.yaml",
        help="the run whose token ids are put in (default: presets/demo.yaml)",
    )
    parser.add_argument(
        "--run",
        type=Path,
        help="results/<run> that has token ids to put in, instead of the preset's",
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "bundle", help="the new folder (default: bundle)"
    )
    options = parser.parse_args(arguments)
    work = ROOT / "build" / "bundle"
    try:
        if options.python_version not in ["{}.{}".format(*version) for version in SUPPORTED]:
            raise SetUpError(f"PYTHON_VERSION {options.python_version}: give 3.11 or 3.12.")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        put_in_place(make_bundle(options, work), options.output)
        for name in ("builder", "code", "stand_in"):
            shutil.rmtree(work / name)
    except (SetUpError, OSError) as error:
        sys.exit(f"error: {error}")
    say_sizes(options.output)


if __name__ == "__main__":
    main()
