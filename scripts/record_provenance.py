"""Write the provenance of one corpus: its sources, code, counts, seeds and vocabularies."""

import argparse
import json
from pathlib import Path

from common.files import run_script
from text.provenance import record_provenance


def main(arguments: list[str] | None = None) -> None:
    """Write the record that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=Path, required=True, help="counts.json of the corpus")
    parser.add_argument("--sources", type=json.loads, required=True, help="the sources, as JSON")
    parser.add_argument(
        "--tokens", type=Path, nargs="*", default=[], help="tokens.json of its vocabularies"
    )
    parser.add_argument(
        "--sentences", type=int, required=True, help="sentences that vocabularies are learnt from"
    )
    parser.add_argument("--seed", type=int, required=True, help="seed that drew these sentences")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    record_provenance(
        options.counts,
        options.sources,
        {path.parent.name: path for path in options.tokens},
        {"sentences": options.sentences, "seed": options.seed},
        options.output,
    )


if __name__ == "__main__":
    run_script(main)
