"""Show the status of the trainings of a run: queued, running, stopped, failed or done."""

import argparse
import time
from pathlib import Path

from common.files import UserError, run_script
from running.status import training_statuses
from running.status_table import status_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="*", help="such as results/demo; without it, all of results/"
    )
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="repeat at this interval")
    options = parser.parse_args()
    while True:
        table = tables(options.results)
        if options.watch is None:
            print(table)
            return
        # Clear the terminal and move to its top left corner.
        print(f"\x1b[H\x1b[2J{time.strftime('%H:%M:%S')}\n\n{table}", flush=True)
        time.sleep(options.watch)


def tables(folders: list[Path]) -> str:
    """The tables of some runs, or of all under results/."""
    found = folders or sorted(path.parent for path in Path("results").glob("*/models"))
    missing = [str(path) for path in found if not (path / "models").is_dir()]
    if missing or not found:
        raise UserError(f"{', '.join(missing) or 'results'}: no run has begun to train there")
    return "\n\n".join(f"{path}\n{status_table(training_statuses(path))}" for path in found)


if __name__ == "__main__":
    try:
        run_script(main)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
