"""Measure the cost of the further objectives: updates of PLM against CLM, and of DAE against MT.

The two trainings of a pair make their updates in turns of a few in one process, with all of the
faster ways, so that other load of the machine affects both. CLM and PLM read the same number of
tokens in an update; MT and DAE are compared per target token, because their batches have different
amounts of padding. Prints the ratio of the times with its goal.

    python benchmarks/objectives.py --preset demo      # minutes
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path

from arguments import command_line
from gpu.scales import FAST, MODELS
from recording_cost import preset_configuration
from throughput import build_row, measure
from token_ids import write_zipf_tokens

# For each further objective: the one it is compared with, the goal (largest ratio), and whether the
# ratio is per target token.
PAIRS = {"plm": ("clm", 1.05, False), "dae": ("mt", 1.10, True)}


def ratio(objective: str, configuration, options: argparse.Namespace, folder: Path) -> float:
    """Time of an objective's update over that of its counterpart."""
    other, _, per_token = PAIRS[objective]
    size = configuration.vocabulary.size
    # The same size of samples and batches for both.
    training = configuration.training
    shape = {
        "tokens_per_sample": options.tokens_per_sample or training.tokens_per_sample,
        "max_tokens": options.max_tokens or training.max_tokens,
        "norm": "pre",
    }
    rows = []
    for name in (other, objective):
        place = folder / name
        place.mkdir()
        data = write_zipf_tokens(place, name == "mt", size, options.sentences)
        rows.append(
            build_row(name, "fast", FAST | shape, options.recording, configuration, data, place)
        )
    measure(rows, options.turns, options.length)
    found = []
    for row in rows:
        tokens = statistics.median(turn.tokens for turn in row.turns)
        found.append(row.seconds / tokens if per_token else row.seconds)
    return found[1] / found[0]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--preset", default="demo", help="demo, sample or paper: whose models")
    parser.add_argument(
        "--objectives",
        nargs="+",
        default=list(PAIRS),
        choices=PAIRS,
        help="which trainings to measure",
    )
    parser.add_argument("--recording", default="batch", help="off or batch")
    parser.add_argument("--sentences", type=int, default=20000, help="sentences of drawn tokens")
    parser.add_argument("--tokens-per-sample", type=int, help="default: the preset's")
    parser.add_argument("--max-tokens", type=int, help="default: the preset's")
    parser.add_argument("--turns", type=int, default=10, help="how often the trainings take turns")
    parser.add_argument("--length", type=int, default=8, help="updates per turn")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    MODELS.update(plm="plm-en", dae="dae-en")
    configuration = preset_configuration(options.preset)
    with tempfile.TemporaryDirectory() as name:
        for objective in options.objectives:
            other, most, per_token = PAIRS[objective]
            folder = Path(name) / objective
            folder.mkdir()
            found = ratio(objective, configuration, options, folder)
            unit = "per target token" if per_token else "per update"
            print(f"{objective} / {other}, {unit}: {found:.3f} (at most {most})", flush=True)


if __name__ == "__main__":
    main()
