"""Compare the LCA of attention heads with their functions and their effect on the loss."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from attention_heads.errors import HeadsError
from common.files import UserError, replace_when_complete, run_script
from losschange.cube.format import open_cube
from studies.attention_heads.evidence import read_trainings
from studies.attention_heads.relating import FAMILY, relate


def main() -> None:
    """Compare the heads of the trainings that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=Path, nargs="+", required=True, help="heads/<model>.nc")
    parser.add_argument("--gates", type=Path, nargs="*", default=[], help="gates/<model>.<arm>.nc")
    parser.add_argument(
        "--cubes", type=Path, nargs="+", required=True, help="cubes/<model>.nc, in order of --heads"
    )
    parser.add_argument("--estimator", default="batch", help="compared component by component")
    parser.add_argument("--permutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="relations.json")
    options = parser.parse_args()
    record = {"estimator": options.estimator, "family": FAMILY, "models": {}}
    try:
        for training, path in zip(read_trainings(options.heads, options.gates), options.cubes):
            with open_cube(path) as cube:
                record["models"][training.name] = relate(
                    training, cube, options.estimator, options.permutations, options.seed
                )
    except HeadsError as error:
        raise UserError(f"cannot relate the heads: {error}") from error
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
