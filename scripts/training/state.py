"""The state folder of one training: its owner, its configuration and its history."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.files import UserError, replace_when_complete
from running.ownership import Ownership

HISTORY_COLUMNS = ("update", "loss", "tokens", "seconds")


@dataclass(frozen=True)
class Outputs:
    """Where the results of one training go."""

    cube: Path
    checkpoint: Path
    history: Path
    settings: Path


class TrainingState:
    """State on disk from which a killed training resumes; one process at a time may use it.

    Use it as a context manager: inside the `with` block this process owns the folder. If the
    process is killed, it loses the ownership.

    Parameters
    ----------
    folder : path
    fingerprint : mapping
        Everything that the numbers depend on: hyper-parameters, seed, digest of the token ids,
        version of the recording. State with another fingerprint is refused.

    Raises
    ------
    UserError
        If another process owns the folder, or its state belongs to another configuration.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, object]):
        self.folder = folder
        self.fingerprint = dict(fingerprint)
        self._ownership = Ownership(folder, "is training this model")
        self._rows: list[tuple] = []

    def __enter__(self) -> TrainingState:
        self._ownership.acquire()
        try:
            self._check_fingerprint()
        except BaseException:
            self._ownership.release()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._ownership.release()

    @property
    def lost(self) -> bool:
        """Whether another process took the state over; `save_history` then raises HeldError."""
        return self._ownership.lost

    def start_history(self, updates: int) -> None:
        """Delete entries of the history after `updates`, and start timing updates."""
        rows = [row for row in self._read_history() if int(row[0]) <= updates]
        with replace_when_complete(self._history) as temporary, open(temporary, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HISTORY_COLUMNS)
            writer.writerows(rows)
        self._clock = time.monotonic()

    def add_update(self, update: int, loss: float, tokens: int) -> None:
        """Add one update and the seconds since the last one; `save_history` writes them."""
        now = time.monotonic()
        self._rows.append((update, f"{loss:.4f}", tokens, f"{now - self._clock:.4f}"))
        self._clock = now

    def save_history(self) -> None:
        """Write the updates added since the last call; called before a checkpoint is written.

        Raises
        ------
        HeldError
            If another process took the state over: checkpoints of two processes must not be mixed.
        """
        self._ownership.check()
        with open(self._history, "a", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(self._rows)
        self._rows = []

    def copy_history(self, path: Path) -> None:
        """Copy the finished history to its final path."""
        with replace_when_complete(path) as temporary:
            shutil.copyfile(self._history, temporary)

    def write_progress(self, progress: Mapping[str, object]) -> None:
        """Write the progress of the training to the file that running.status reads."""
        with replace_when_complete(self.folder / "progress.json") as temporary:
            temporary.write_text(json.dumps(dict(progress)))

    def remove(self) -> None:
        """Remove the state of a training whose outputs are complete."""
        shutil.rmtree(self.folder)

    @property
    def _history(self) -> Path:
        return self.folder / "history.csv"

    def _read_history(self) -> list[list[str]]:
        if not self._history.is_file():
            return []
        with open(self._history, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        return [row for row in rows if len(row) == len(HISTORY_COLUMNS) and row[0].isdigit()]

    def _check_fingerprint(self) -> None:
        path = self.folder / "fingerprint.json"
        current = json.loads(json.dumps(self.fingerprint))
        if not path.is_file():
            with replace_when_complete(path) as temporary:
                temporary.write_text(json.dumps(current, indent=1, sort_keys=True) + "\n")
            return
        kept = json.loads(path.read_text())
        if kept == current:
            return
        missing = "(absent)"
        lines = [
            f"  {name}: {kept.get(name, missing)} in the state, {current.get(name, missing)} now"
            for name in sorted(set(kept) | set(current))
            if kept.get(name, missing) != current.get(name, missing)
        ]
        raise UserError(
            f"{self.folder} holds an unfinished training of another configuration:\n"
            + "\n".join(lines)
            + "\nRestore those settings to finish it, or remove the folder to start again"
        )
