"""Measure the batches of an update by objective: the time of reading, padding, and shapes.

At the paper's geometry, for stock fairseq's own batches, for one batch of all tokens, and for the
stock batches joined into fewer passes: milliseconds of the processor to read and pad the batches of
an update, the share of places that hold padding, and how many shapes occur. Needs no GPU.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path

from arguments import add_objectives, command_line
from gpu.measuring import Training
from gpu.scales import MODELS, STOCK
from recording_cost import preset_configuration
from token_ids import write_text_tokens, write_zipf_tokens

# The model is small, because only its batches are measured.
MODEL = {"layers": 2, "embedding_dimension": 16, "feed_forward_dimension": 16}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--text", type=Path, help="a text's path without its .en and .de")
    parser.add_argument("--vocabulary", type=int, default=8000, help="symbols of the vocabulary")
    parser.add_argument("--sentences", type=int, default=50000, help="sentences of drawn tokens")
    parser.add_argument("--updates", type=int, default=10, help="updates to measure")
    add_objectives(parser, MODELS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    from losschange_fairseq.fast.micro_batches import join_samples
    from running.models import parse_model

    configuration = preset_configuration("paper")
    with tempfile.TemporaryDirectory() as name:
        for objective in options.objectives:
            pair, folder = objective == "mt", Path(name) / objective
            folder.mkdir()
            if options.text:
                data = write_text_tokens(folder, pair, options.vocabulary, options.text.resolve())
            else:
                data = write_zipf_tokens(folder, pair, options.vocabulary, options.sentences)
            for way, number in (
                ("stock", 16),
                ("stock", 1),
                *(("joined", n) for n in (8, 4, 2, 1)),
            ):
                model = parse_model(MODELS[objective])
                settings = configuration.training_of(model).model_dump() | STOCK | MODEL
                if way == "stock":
                    settings |= {"update_frequency": number, "max_tokens": 32768 // number}
                training = Training(model, settings, data, folder / "none", "cpu")
                updates, task = training.batches, training.task
                next(updates)
                start, spent, made = time.process_time(), 0.0, []
                for samples in islice(updates, options.updates):
                    begin = time.process_time()
                    made.append(join_samples(samples, number, task.target_dictionary.pad(), pair))
                    spent += time.process_time() - begin
                reading = (time.process_time() - start - spent) / options.updates
                print(
                    f"{objective}, {way}, {number} passes: reading {reading * 1e3:.0f} ms, joining "
                    f"{spent / options.updates * 1e3:.1f} ms per update, {described(made)}",
                    flush=True,
                )


def described(updates) -> str:
    """Padding, words and shapes of some updates."""
    places = tokens = targets = 0
    shapes = set()
    for sample in (sample for samples in updates for sample in samples):
        sides = [sample["net_input"]["src_tokens"]]
        sides += [sample["target"]] if "prev_output_tokens" in sample["net_input"] else []
        places += sum(side.numel() for side in sides)
        tokens += sum(int(side.ne(1).sum()) for side in sides)
        targets += int(sample["ntokens"])
        shapes.add(tuple(tuple(side.shape) for side in sides))
    passes = sum(map(len, updates))
    return (
        f"{1 - tokens / places:.1%} padding, {targets / len(updates):,.0f} target tokens, "
        f"{len(shapes)} shapes in {passes} passes"
    )


if __name__ == "__main__":
    main()
