"""A digest of the code that made a file; it does not depend on the machine or the time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

SCRIPTS = Path(__file__).parents[1]


def code_digest(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of source files; equal in every clone.

    Parameters
    ----------
    paths : iterable of path
        Below the folder scripts/; their order does not matter.
    """
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(SCRIPTS).as_posix(), path) for path in paths):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
