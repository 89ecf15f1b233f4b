"""Choose the cells that every intervention on a model freezes, and write a file for each."""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import numpy as np

from common.files import replace_when_complete, run_script
from losschange.analysis.remaining import lca_after
from losschange.cube.format import layout_of, open_cube
from losschange.cube.frozen_cells import FrozenCells
from studies.interventions.choosing import chosen_cells, listed_cells
from studies.interventions.settings import Intervention


def main(arguments: list[str] | None = None) -> None:
    """Write a file for every intervention that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cube", type=Path, required=True, help="cube of the parent model")
    parser.add_argument(
        "--interventions",
        type=json.loads,
        required=True,
        help='as JSON: {"path of the output": {"from_update": 0, "intervention": {...}}}',
    )
    parser.add_argument("--seed", type=int, default=1, help="for random choices (default: 1)")
    options = parser.parse_args(arguments)
    with open_cube(options.cube) as cube:
        layout = layout_of(cube)
        for path, asked in options.interventions.items():
            one, start = Intervention.model_validate(asked["intervention"]), asked["from_update"]
            if one.rule is None:
                cells = listed_cells(layout, one.groups)
            else:
                lca = lca_after(cube, one.estimator, start)
                # The name of the file holds the number of the draw.
                random = np.random.default_rng([options.seed, zlib.crc32(Path(path).stem.encode())])
                cells = chosen_cells(one.rule, layout, lca, one.share, random)
            with replace_when_complete(Path(path)) as temporary:
                temporary.write_text(FrozenCells(start, tuple(cells)).text(), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
