"""Choose the packages of a bundle: those that its scripts need and the target does not have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from machine_checks import SetUpError
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

# Requirements of fairseq that its bundled modules never import.
NOT_IMPORTED = {"fairseq-fixed": ("cffi", "cython", "scikit-learn", "torchaudio")}


@dataclass(frozen=True)
class Choice:
    """The packages of a bundle.

    Parameters
    ----------
    packages : tuple of str
        Normalised names of the packages in the bundle, sorted.
    counted_on : dict of str to str
        Packages that a bundled package or script needs and the target must have, with the allowed
        versions as a specifier such as ">=2"; "" = any.
    unfit : dict of str to str
        Packages that the target has in a version that a bundled package does not allow, so that
        the bundle holds them too. The value gives the version, and who needs which.
    """

    packages: tuple[str, ...]
    counted_on: dict[str, str]
    unfit: dict[str, str]


def read_have(text: str) -> dict[str, str | None]:
    """The packages of the target: normalised names, with their versions where they are known.

    Parameters
    ----------
    text : str
        Names separated by commas, or the path of a file with one a line, as `pip freeze` and
        `pip list` write it. A name may have a version: numpy==2.1.0.

    Raises
    ------
    SetUpError
        If the file does not exist, or an entry is no name of a package.
    """
    path = Path(text)
    if path.is_file():
        entries = path.read_text(encoding="utf-8").splitlines()
    elif "/" in text or path.suffix == ".txt":
        raise SetUpError(f"HAVE names the file {text}, which does not exist.")
    else:
        entries = text.split(",")
    have: dict[str, str | None] = {}
    for entry in entries:
        entry = entry.partition("#")[0].strip()
        if not entry or entry.startswith(("-", "Package ")):
            continue
        found = re.fullmatch(r"([A-Za-z0-9][\w.-]*)(?:\s*==\s*|\s+)?(\S*)(?:\s.*)?", entry)
        if found is None:
            raise SetUpError(f"HAVE: {entry!r} is no name of a package, such as numpy==2.1.0.")
        have[canonicalize_name(found[1])] = _version(found[2])
    return have


def choose_packages(
    roots: Iterable[str],
    requirements_of: Callable[[str], Iterable[str]],
    environment: Mapping[str, str],
    have: Mapping[str, str | None],
) -> Choice:
    """Choose the packages of a bundle: the roots and their requirements, less those of the target.

    Requirements of packages that the target has are not followed.

    Parameters
    ----------
    roots : iterable of str
        Packages that the scripts themselves need.
    requirements_of : callable
        The requirements in the metadata of a package.
    environment : mapping
        Environment markers of the target: python_version, sys_platform ...
    have : mapping
        See `read_have`.
    """
    carried: set[str] = set()
    counted: dict[str, SpecifierSet] = {}
    unfit: dict[str, str] = {}
    waiting = [(Requirement(root), "the scripts") for root in roots]
    followed = set()
    while waiting:
        requirement, by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in have and _fits(have[name], requirement.specifier):
            counted[name] = counted.get(name, SpecifierSet()) & requirement.specifier
            continue
        if name in have:
            unfit[name] = f"{have[name]}, and {by} needs {requirement.specifier}"
        carried.add(name)
        if (name, extras := frozenset(requirement.extras)) in followed:
            continue
        followed.add((name, extras))
        waiting += [(one, name) for one in _needs(name, extras, requirements_of, environment)]
    return Choice(
        tuple(sorted(carried)),
        {name: str(what) for name, what in sorted(counted.items()) if name not in carried},
        unfit,
    )


def _needs(name, extras, requirements_of, environment):
    """The requirements of a package that hold on the target."""
    for line in requirements_of(name):
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) in NOT_IMPORTED.get(name, ()):
            continue
        cases = [{**environment, "extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(case) for case in cases):
            yield requirement


def _version(text: str) -> str | None:
    try:
        return str(Version(text))
    except InvalidVersion:
        return None


def _fits(version: str | None, allowed: SpecifierSet) -> bool:
    # A pre-release that somebody has installed counts like any other version.
    return version is None or allowed.contains(version, prereleases=True)
