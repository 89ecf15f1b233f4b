"""Results that tests in several processes share: made by the first that needs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder of this run of the tests, filled by `make` in one of its processes.

    The tests only read it. If `make` fails, the next that asks tries again, and says why as well.

    Parameters
    ----------
    name : str
        Name of the folder; the same result has the same name everywhere.
    make : callable
        Called with the empty folder.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # each process has a folder of its own in that of the run
    folder, made = root / f"shared-{name}", root / f"shared-{name}.made"
    with FileLock(root / f"shared-{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
