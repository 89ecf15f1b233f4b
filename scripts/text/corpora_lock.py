"""corpora.lock: the SHA-256 of every fetched archive, so that a run can be repeated.

A line is `<sha256>  <path>`, as `sha256sum --check` reads it; the path is the one on a mirror. The
first fetch of an archive writes its line. Every later fetch with this file accepts only the same
archive, also on another machine.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import filelock

from common.files import UserError, replace_when_complete

HEADER = (
    "# SHA-256 of the archives fetched, and their paths below a mirror. Share it with the run.\n"
)
LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def read_lock(path: Path) -> dict[str, str]:
    """The digests by archive; empty if there is no such file.

    Raises
    ------
    UserError
        If a line has another form, or an archive has two digests; the message gives the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error}). Restore or delete it.") from None
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None or digests.get(match[2], match[1]) != match[1]:
            problem = "is no '<sha256>  <path>'" if match is None else "has another digest before"
            raise UserError(f"{path}, line {number}: {line[:80]!r} {problem}. Restore the file.")
        digests[match[2]] = match[1]
    return digests


def add_to_lock(path: Path, digests: Mapping[str, str]) -> None:
    """Add archives that the file does not list; several processes may do so at the same time.

    Raises
    ------
    UserError
        If an archive is listed with another digest, or the file cannot be read or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.writing")):
        known = read_lock(path)
        for archive, sha256 in digests.items():
            if known.get(archive, sha256) != sha256:
                raise UserError(
                    f"{path} says that {archive} has sha256 {known[archive]}, but what was fetched "
                    f"has {sha256}. Use a mirror with the archive of that file, or delete its line."
                )
        both = known | dict(digests)
        if both != known:
            text = "".join(f"{both[archive]}  {archive}\n" for archive in sorted(both))
            with replace_when_complete(path) as temporary:
                temporary.write_text(HEADER + text, encoding="utf-8")
