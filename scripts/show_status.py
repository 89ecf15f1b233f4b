"""Show the status of the trainings of a run, while it goes on or afterwards.

A training is waiting (it has no files yet), queued (its Slurm job has not started), starting,
running, stopped (it goes on from its checkpoint when the run is started again), failed (the end of
its log is shown) or done. The loss is that of the training batch at the last update reported, in
nats per target token. Time left is hours:minutes:seconds, at the speed of that update.

    python scripts/show_status.py results/demo --watch 30
"""

import argparse
import os
import sys
import time
from pathlib import Path

from common.files import UserError, run_script
from running.status import training_statuses
from running.status_table import status_table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="results of a run, such as results/demo; without any, all of results/",
    )
    parser.add_argument(
        "--watch", type=float, metavar="SECONDS", help="repeat at this interval, until Ctrl+C"
    )
    options = parser.parse_args()
    while True:
        table = tables(options.results)
        if options.watch is None:
            _print(table)
            return
        # Clear the terminal and move to its top left corner.
        _print(f"\x1b[H\x1b[2J{time.strftime('%H:%M:%S')}\n\n{table}")
        time.sleep(options.watch)


def _print(text: str) -> None:
    """Print a text; whoever reads it, such as `head`, may stop before its end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def tables(folders: list[Path]) -> str:
    """The tables of some runs, or of all under results/."""
    found = folders or sorted(path.parent for path in Path("results").glob("*/models"))
    missing = [str(path) for path in found if not (path / "models").is_dir()]
    if missing or not found:
        runs = sorted(str(path.parent) for path in Path("results").glob("*/models"))
        raise UserError(
            f"{', '.join(missing) or 'results'}: no training has begun there; give the folder of a "
            f"run, such as {' or '.join(runs) or 'results/demo'}"
        )
    return "\n\n".join(f"{path}\n{status_table(training_statuses(path))}" for path in found)


if __name__ == "__main__":
    try:
        run_script(main)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
