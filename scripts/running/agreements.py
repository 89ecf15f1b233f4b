"""On which devices the faster ways of training are known to agree with stock fairseq.

agreements.csv holds published measurements: one line per kind of device and way to train.
Measurements of this machine are kept in the user's cache folder, so that each is made once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from common.code_version import SCRIPTS, code_digest
from common.files import replace_when_complete

TABLE = Path(__file__).with_name("agreements.csv")
FASTER_WAYS = SCRIPTS / "losschange_fairseq" / "fast"
# The largest distance of loss and cells that counts as rounding: about ten times the relative
# distance of two neighbouring numbers of the precision; in float32 more, because sums are taken in
# another order.
ROUNDING = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 4e-2}


@dataclass(frozen=True)
class Circumstances:
    """Everything that the result of a comparison depends on.

    Parameters
    ----------
    device : str
        Kind of the device: the name of the GPU as PyTorch gives it, or "cpu".
    objective : str
        A name of `objectives.OBJECTIVES`.
    precision : {"fp32", "fp16", "bf16"}
    compile : {"true", "false"}
        Whether the faster ways are compiled.
    torch : str
        Version of PyTorch.
    code : str
        Digest of the modules of the faster ways: `code_of_faster_ways`.
    """

    device: str
    objective: str
    precision: str
    compile: str
    torch: str
    code: str


@dataclass(frozen=True)
class Distance:
    """The distance of a faster way from stock fairseq in the first update.

    Parameters
    ----------
    loss : float
        Difference of the losses, as a share of the loss.
    cells : float
        Largest difference of a cell, as a share of the sum of the update's absolute LCA.
    """

    loss: float
    cells: float

    def __str__(self) -> str:
        return f"loss {self.loss:.1e}, cells {self.cells:.1e}"

    def is_rounding(self, precision: str) -> bool:
        """Whether the distance can come from rounding in this precision alone."""
        return max(self.loss, self.cells) <= ROUNDING[precision]


@cache
def code_of_faster_ways() -> str:
    """Digest of the modules of the faster ways; equal in every clone."""
    return code_digest(FASTER_WAYS.rglob("*.py"))


def published_source(circumstances: Circumstances) -> str | None:
    """The source of a line of agreements.csv that shows agreement under these circumstances.

    None if there is no such line. An empty field of a line stands for every value. Lines whose
    distance is more than rounding are ignored.
    """
    wanted = asdict(circumstances)
    with open(TABLE, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            distance = Distance(float(line["loss"] or 0), float(line["cells"] or 0))
            covers = all(line[name] in ("", value) for name, value in wanted.items())
            if covers and distance.is_rounding(circumstances.precision):
                return line["source"]
    return None


def with_line(table: str, circumstances: Circumstances, distance: Distance, source: str) -> str:
    """The content of agreements.csv with a new line; replaces one of the same circumstances.

    Parameters
    ----------
    table : str
        The present content.
    circumstances : Circumstances
    distance : Distance
    source : str
        When and on what it was measured.
    """
    reader = csv.DictReader(io.StringIO(table))
    new, text = asdict(circumstances), io.StringIO()
    kept = [line for line in reader if {name: line[name] for name in new} != new]
    shares = {name: f"{value:.1e}" for name, value in asdict(distance).items()}
    writer = csv.DictWriter(text, list(reader.fieldnames or ()), lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, {**new, **shares, "source": source}])
    return text.getvalue()


def remembered_distance(circumstances: Circumstances) -> Distance | None:
    """The distance that this machine measured under the same circumstances; None if it did not."""
    path = _place(circumstances)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Distance(float(kept["loss"]), float(kept["cells"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_distance(circumstances: Circumstances, distance: Distance) -> None:
    """Keep a measured distance for later trainings.

    Raises
    ------
    OSError or UserError
        If the cache folder cannot be written.
    """
    with replace_when_complete(_place(circumstances)) as temporary:
        kept: Mapping[str, object] = {**asdict(circumstances), **asdict(distance)}
        temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _place(circumstances: Circumstances) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    words = json.dumps(asdict(circumstances), sort_keys=True).encode()
    return Path(base) / "losschange" / f"agreement-{hashlib.sha256(words).hexdigest()[:16]}.json"
