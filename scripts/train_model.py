"""Train one model with fairseq while recording its Loss Change Allocation."""

import argparse
import json
import logging
import warnings
from pathlib import Path

from common.files import run_script
from running.devices import claimed_devices
from running.models import parse_model
from training.state import Outputs
from training.workers import run_workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="such as clm-en or mt-en-de")
    parser.add_argument("--training", required=True, help="hyper-parameters as JSON")
    parser.add_argument("--execution", required=True, help="section execution, as JSON")
    parser.add_argument("--recording", required=True, help="section recording, as JSON")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to claim")
    parser.add_argument(
        "--state", type=Path, required=True, help="folder from which a stopped training resumes"
    )
    parser.add_argument("--cube", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument(
        "--kept", type=json.loads, default={}, help="snapshots and resume points to keep, as JSON"
    )
    parser.add_argument(
        "--files", type=json.loads, default={}, help="further files of a variant, as JSON"
    )
    parser.add_argument("--provenance", type=Path, help="provenance of the text (JSON)")
    options = parser.parse_args()
    # fairseq and hydra warn about their own use of torch, which a user cannot change.
    warnings.simplefilter("ignore")
    execution = json.loads(options.execution)
    workers = execution["workers"] or max(execution["gpus"], 1)
    arguments = (
        parse_model(options.model),
        json.loads(options.training),
        execution,
        json.loads(options.recording),
        options.tokens,
        options.seed,
        options.state,
        Outputs(options.cube, options.checkpoint, options.history, options.settings),
        options.provenance,
    )
    further = {
        "kept": options.kept,
        "files": {name: Path(path) for name, path in options.files.items()},
    }
    with claimed_devices(options.gpus):
        if workers > 1:
            run_workers(workers, arguments, further)
            return
        # Imported late: this takes seconds, and a wrong command line should not.
        from training.run import train_model

        logging.getLogger().setLevel(logging.WARNING)
        train_model(*arguments, **further)


if __name__ == "__main__":
    run_script(main)
