"""Measure losses of a model, of its children with frozen cells, and of the rewound model.

Rewound means with the cells of one component of one layer at their values before training.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

from common.files import replace_when_complete, run_script
from losschange.cube.estimators import TRAIN, VALID


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line names and write --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="that of the parent model")
    parser.add_argument("--initial", type=Path, required=True, help="its snapshot of update 0")
    parser.add_argument(
        "--children", type=json.loads, default={}, help='as JSON: {"name": "checkpoint"}'
    )
    parser.add_argument("--tokens", type=Path, required=True, help="folder of token ids")
    parser.add_argument("--seed", type=int, required=True, help="seed of the training")
    parser.add_argument("--probe-tokens", type=int, required=True)
    parser.add_argument("--max-tokens", type=int, required=True, help="tokens of a batch")
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    # Imported late: this takes seconds, and a wrong command line should not.
    from training.probe_losses import ProbedModel

    model = ProbedModel(
        options.checkpoint, options.tokens, options.seed, options.probe_tokens, options.max_tokens
    )
    probes = {text: model.probe(text) for text in (TRAIN, VALID)}

    def rows() -> dict[str, list[float]]:
        return {text: model.row_losses(samples)[0].tolist() for text, samples in probes.items()}

    found: dict = {
        "tokens": {text: model.row_losses(s)[1].tolist() for text, s in probes.items()},
        "parent": rows(),
        "rewound": [
            {"layer": layer, "component": component, "losses": rows()}
            for layer, component, _ in model.rewound(options.initial)
        ],
        "children": {},
    }
    for name, checkpoint in options.children.items():
        model.take_weights(Path(checkpoint))
        found["children"][name] = rows()
    with replace_when_complete(options.output) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
