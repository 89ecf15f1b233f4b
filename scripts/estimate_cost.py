"""Print the estimated cost of the trainings of a run: hours, jobs, memory and disk."""

import argparse
import json

from common.files import run_script
from running.configuration_check import load_configuration
from running.cost_table import cost_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configuration", required=True, help="the whole configuration as JSON")
    parser.add_argument("--time-limit", type=int, help="minutes that the queue allows a job")
    options = parser.parse_args()
    print(cost_table(load_configuration(json.loads(options.configuration)), options.time_limit))


if __name__ == "__main__":
    run_script(main)
