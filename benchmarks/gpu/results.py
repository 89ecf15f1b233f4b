"""The results of a check, one JSON object a line, written as they come."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]
BEGUN, ENDED, CUT = "begun", "ended", "cut"


class ResultLog:
    """The file results.jsonl of a folder; each line is written to disk completely or not at all.

    Parameters
    ----------
    folder : path
        Created if it is missing.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "results.jsonl"

    def add(self, stage: str, what: str, **values: object) -> None:
        """Append one record: its stage, what it is, and numbers or texts."""
        line = json.dumps({"stage": stage, "what": what, **_plain(values)}) + "\n"
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            # Do not continue an incomplete line of a killed process.
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = "\n" + line
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> list[Record]:
        """All complete records, in the order in which they were written."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the rest of a line whose writer was killed
            if isinstance(record, dict) and {"stage", "what"} <= record.keys():
                found.append(record)
        return found


def running_stage(records: list[Record]) -> str | None:
    """The stage that has begun and not ended; None if there is none."""
    running = None
    for record in records:
        if record["what"] == BEGUN:
            running = record["stage"]
        elif record["what"] == ENDED and record["stage"] == running:
            running = None
    return running


def ended_stages(records: list[Record]) -> set[str]:
    """The stages that came to their end, even if a part of them failed."""
    return {record["stage"] for record in records if record["what"] == ENDED}


def _plain(value: object) -> Any:
    """The same value in JSON's types: rounded numbers, None for those that are not finite."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else None
    return value
