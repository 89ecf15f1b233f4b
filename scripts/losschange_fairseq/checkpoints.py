"""The checkpoints of one training in its state folder."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"checkpoint_(\d+)\.pt")
KEPT = 2


class CheckpointFolder:
    """Files named after the number of updates made.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, update: int) -> Path:
        """Where the state after `update` updates is saved."""
        return self.folder / f"checkpoint_{update}.pt"

    def newest(self) -> Path | None:
        """The checkpoint with the most updates; None if there is no checkpoint."""
        return next(reversed(self._found()), None)

    def drop_older(self) -> None:
        """Remove all but the newest KEPT."""
        for path in self._found()[:-KEPT]:
            path.unlink()

    def drop_unfinished(self) -> None:
        """Remove incomplete files of a process that was killed while it saved."""
        for path in self.folder.glob("*.tmp"):
            path.unlink()

    def drop_crash(self) -> None:
        """Remove the file that fairseq saves after an error: training cannot resume from it."""
        for path in self.folder.glob("crash.pt*"):
            path.unlink(missing_ok=True)

    def _found(self) -> list[Path]:
        numbers = {
            int(match[1]): path
            for path in self.folder.iterdir()
            if (match := _NAME.fullmatch(path.name))
        }
        return [numbers[number] for number in sorted(numbers)]
