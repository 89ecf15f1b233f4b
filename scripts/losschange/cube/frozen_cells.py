"""The file that says which cells of a training freeze, and from which update on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from losschange.errors import RecordingError

from .layout import Cell


@dataclass(frozen=True)
class FrozenCells:
    """Cells that do not learn after a number of updates.

    Attributes
    ----------
    from_update : int
        Updates made before the cells freeze; 0 = they never learn.
    cells : tuple of Cell
    """

    from_update: int
    cells: tuple[Cell, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FrozenCells:
        """Read what `text` gave.

        Raises
        ------
        RecordingError
            If the file is missing or holds something else.
        """
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            cells = tuple(Cell(int(layer), str(name), head) for layer, name, head in found["cells"])
            return cls(int(found["from_update"]), cells)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordingError(
                f"{path} is no list of frozen cells ({error!r}); make it again"
            ) from error

    def text(self) -> str:
        """As JSON: from_update, and [layer, component, head] of every cell."""
        rows = (json.dumps([cell.layer, cell.component, cell.head]) for cell in self.cells)
        lines = ",\n".join(f"  {row}" for row in rows)
        return f'{{"from_update": {self.from_update}, "cells": [\n{lines}\n]}}\n'
