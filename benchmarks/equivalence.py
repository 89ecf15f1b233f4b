"""Do the faster ways find the same contributions as stock fairseq?

Both train the same model on the same batches without dropout, in the precision that the preset asks
for and the device has. Prints, for each objective, how far the losses are apart and how the
layers' profiles correlate, over all components and for each.

    python benchmarks/equivalence.py --preset paper --updates 500     # a GPU: half precision
    python benchmarks/equivalence.py --preset demo --updates 50       # a CPU: float32
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from recording_cost import MODELS, preset_configuration
from throughput import Variant, build_row, parse, ways
from token_ids import write_zipf_tokens

LEAST = 0.99  # of a correlation


def train(row: Variant, updates: int) -> list[float]:
    """Make the updates; the loss of each, nats per target token."""
    losses = []
    for _ in range(updates):
        samples = row.task.join_samples(next(row.updates), row.trainer.get_model())
        found = row.trainer.train_step(samples)
        if found is not None:
            losses.append(float(found["loss"]))
    row.task.recorder.flush()
    return losses


def profiles(folder: Path):
    """LCA of a training, summed over its updates and heads: layer x component."""
    from losschange.cube.format import open_cube
    from losschange.cube.parts import PartStore

    total = 0
    for part in PartStore(folder).parts():
        with open_cube(part[2]) as cube:
            total = total + cube["lca"].sum(("step", "head"), min_count=1).load()
    return total


def correlations(one, other) -> dict[str, float]:
    """Pearson's correlation of two profiles over the layers, of every component and of all."""
    import numpy as np

    columns = {"all components": (one.values.ravel(), other.values.ravel())}
    for name in one["component"].values.tolist():
        pair = one.sel(component=name).values, other.sel(component=name).values
        if np.isfinite(pair[0]).sum() > 2:
            columns[name] = pair
    found = {}
    for name, (a, b) in columns.items():
        there = np.isfinite(a)
        found[name] = float(np.corrcoef(a[there], b[there])[0, 1])
    return found


def main() -> None:
    """Train, print, and fail where a profile is another one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--objectives", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--sentences", type=int, default=20000, help="of drawn tokens")
    parser.add_argument("--compile", action="store_true", help="the faster ways compiled")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    cuda = torch.cuda.is_available()
    configuration, kept = preset_configuration(options.preset), True
    for objective in options.objectives:
        with tempfile.TemporaryDirectory() as name:
            folder, losses, found = Path(name), {}, {}
            data = write_zipf_tokens(
                folder, objective == "mt", configuration.vocabulary.size, options.sentences
            )
            known = ways(configuration.training_of(parse(objective)).model_dump(), options.compile)
            fast = "fast, compiled" if options.compile else "fast"
            for way in ("stock", fast):
                changes = {**known[way], "dropout": 0.0}
                row = build_row(
                    *(objective, way, changes, "batch", configuration, data, folder),
                    "cuda" if cuda else "cpu",
                )
                losses[way] = train(row, options.updates)
                found[way] = profiles(Path(row.task.options.lca_parts))
                del row
            pairs = zip(losses["stock"], losses[fast], strict=False)
            apart = max(abs(one - other) for one, other in pairs)
            print(
                f"{objective}: {len(losses['stock'])} and {len(losses[fast])} updates, loss "
                f"{losses['stock'][-1]:.4f} and {losses[fast][-1]:.4f}, at most {apart:.2g} apart"
            )
            alike = correlations(found["stock"], found[fast])
            kept &= min(alike.values()) >= LEAST
            words = ", ".join(f"{name} {value:.5f}" for name, value in alike.items())
            print(f"{objective}: correlation of the layers' profiles (goal {LEAST}): {words}")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
