"""Cubes of made-up but plausible runs, for tests and benchmarks; seeded, written streaming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from losschange.cube.estimators import parse_estimator
from losschange.cube.format import STEPS_PER_CHUNK
from losschange.cube.layout import Cell, CubeLayout
from losschange.cube.writer import CubeWriter

LANGUAGES = ("en", "de", "fi", "et")
# nats of contribution per layer at the largest layer, before the profile over depth
SIZES = {
    "embedding": 3.0,
    "position": 0.3,
    "key": 0.05,
    "query": 0.05,
    "value": 0.2,
    "out": 0.2,
    "cross_key": 0.04,
    "cross_query": 0.04,
    "cross_value": 0.25,
    "cross_out": 0.25,
    "W1": 1.0,
    "W2": 1.0,
    "bias": 0.02,
    "norm": 0.05,
    "output": 0.5,
}
# loss before training and at its end, nats, on the text of a probe
PROBE_LOSSES = {"train": (10.0, 3.8), "valid": (10.0, 4.1)}
# relative errors of an interval: of the trapezoid rule mostly of one sign, of Simpson's small
RULE_ERRORS = {"probe": (-0.015, 0.02), "simpson": (0.0002, 0.001)}
LOSS_DETAILS = ("loss_before", "loss", "error")
FRESH_SHARE = 0.4  # of what the training batch's own gradient allocates


def is_probe(estimator: str) -> bool:
    """Whether its records have losses beside them."""
    return parse_estimator(estimator).is_probe


def model_attributes(model: str) -> dict[str, str]:
    """Global attributes of a model named like clm-en or mt-en-de-wmt."""
    objective, *rest = model.split("-")
    source, target = rest[0], (rest[1] if objective == "mt" else rest[0])
    corpus = "wmt-en-de" if rest[-1] == "wmt" else "europarl"
    return {
        "model": model,
        "objective": objective,
        "source_language": source,
        "target_language": target,
        "corpus": corpus,
    }


def make_layout(objective: str, layers: int = 12, heads: int = 8, width: int = 512) -> CubeLayout:
    """The cells of a model of any even number of layers."""
    half = layers // 2
    inner = {
        "clm": ["decoder"] * layers,
        "mlm": ["encoder"] * layers,
        "mt": ["encoder"] * half + ["decoder"] * (layers - half),
    }[objective]
    counts = {Cell(0, "embedding"): 1000 * width}
    if objective == "mlm":
        counts |= {Cell(0, "position"): 512 * width, Cell(0, "norm"): 2 * width}
    for depth, stack in enumerate(inner, start=1):
        attention = ["key", "query", "value", "out"]
        if objective == "mt" and stack == "decoder":
            attention += [f"cross_{name}" for name in attention]
        for name in attention:
            counts |= {Cell(depth, name, head): width * width // heads for head in range(heads)}
        counts |= {Cell(depth, "bias", head): 3 * width // heads for head in range(heads)}
        counts |= {Cell(depth, name): 4 * width * width for name in ("W1", "W2")}
        counts |= {Cell(depth, "bias"): 6 * width, Cell(depth, "norm"): 4 * width}
    counts[Cell(layers + 1, "norm")] = 2 * width
    if objective == "mlm":
        counts |= {Cell(layers + 1, "output"): width * width, Cell(layers + 1, "bias"): 1000}
    cells = sorted(counts, key=lambda cell: (cell.layer, cell.component, cell.head or -1))
    stacks = ("embedding", *inner, "output")
    return CubeLayout(stacks, heads, tuple(cells), tuple(counts[cell] for cell in cells))


def write_cube(
    path: Path,
    model: str = "clm-en",
    steps: int = 200,
    layers: int = 12,
    heads: int = 8,
    estimators: dict[str, int] | None = None,
    seed: int = 0,
) -> CubeLayout:
    """Write one cube in a streaming pass.

    Parameters
    ----------
    model : str
        Names objective and languages.
    estimators : mapping of name to stride, optional
        Recorded beside "batch". Probes have losses, and their last interval ends with the run.
    """
    attributes = model_attributes(model)
    layout = make_layout(attributes["objective"], layers, heads)
    numbers = np.arange(1, steps + 1)
    recorded = {name: numbers[stride - 1 :: stride] for name, stride in (estimators or {}).items()}
    for name in filter(is_probe, list(recorded)):
        recorded[name] = np.union1d(recorded[name], steps)
    details = {name: LOSS_DETAILS for name in recorded if is_probe(name)}
    valid = [(step, 4 + 6 * np.exp(-6 * step / steps)) for step in range(0, steps + 1, steps // 4)]
    with CubeWriter(path, layout, numbers, attributes, recorded, valid, details) as writer:
        for position, name in enumerate(["batch", *recorded]):
            at = numbers if name == "batch" else recorded[name]
            for start, block in make_blocks(layout, at, steps, seed + 1000 * position):
                if is_probe(name):
                    losses = probe_losses(name, at, steps, start, len(block), seed)
                    writer.write_details(start, name, close_to(block, losses, name, seed + start))
                elif name == "fresh":
                    block *= FRESH_SHARE
                writer.write(start, values={name: block})
        writer.write(0, series=make_series(numbers, steps, seed))
    return layout


def make_series(numbers: np.ndarray, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Per-step series: a falling loss, varying token counts, a loss scale that doubles."""
    random = np.random.default_rng(seed)
    progress = numbers / steps
    return {
        "loss": 4 + 6 * np.exp(-6 * progress) + random.normal(0, 0.05, len(numbers)),
        "tokens": random.integers(30000, 32768, len(numbers)),
        "sample_size": random.integers(30000, 32768, len(numbers)),
        "lr": 5e-4 * np.minimum(progress / 0.06, 1 - progress),
        "grad_norm": 1 + random.random(len(numbers)),
        "loss_scale": 128.0 * 2 ** (4 * progress).astype(int),
    }


def probe_losses(
    estimator: str, at: np.ndarray, steps: int, start: int, length: int, seed: int
) -> np.ndarray:
    """Losses (length + 1,) around a run of records at the updates `at`: falling, a little uneven.

    The estimators of one text see the same losses, whatever their strides.
    """
    first, last = PROBE_LOSSES.get(parse_estimator(estimator).text, (10.0, 6.0))
    updates = np.concatenate([[0], at])[start : start + length + 1]
    fallen = (1 - np.exp(-6 * updates / steps)) / (1 - np.exp(-6))
    uneven = np.random.default_rng(seed).normal(0, 0.02, steps + 1)[updates]
    return first + (last - first) * fallen + uneven


def close_to(
    block: np.ndarray, losses: np.ndarray, estimator: str, seed: int
) -> dict[str, np.ndarray]:
    """Scale records (n, cells) in place until they nearly sum to a loss's changes; details."""
    change = np.diff(losses)
    bias, spread = RULE_ERRORS[parse_estimator(estimator).rule]
    noise = np.random.default_rng(seed).normal(bias, spread, len(change))
    block *= (change * (1 + noise) / block.sum(axis=1))[:, None]
    error = block.astype(np.float32).sum(axis=1, dtype=np.float64) - change
    return dict(zip(LOSS_DETAILS, (losses[:-1], losses[1:], error), strict=True))


def make_blocks(
    layout: CubeLayout, numbers: np.ndarray, steps: int, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Runs of LCA (n, cells): a profile over depth, a decay over training, heavy noise."""
    random = np.random.default_rng(seed)
    size = cell_sizes(layout, random)
    depth = layout.index[0] / (len(layout.stacks) - 1)
    for start in range(0, len(numbers), STEPS_PER_CHUNK):
        progress = numbers[start : start + STEPS_PER_CHUNK, None] / steps
        # deeper layers learn later; a thin tail lasts to the end
        rate = 12 - 6 * depth
        trend = rate * np.exp(-rate * progress) * np.minimum(progress / 0.02, 1) + 0.15
        noise = random.standard_normal((len(progress), len(size)), dtype=np.float32)
        yield start, -size / steps * trend * (1 + 0.45 * noise)


def cell_sizes(layout: CubeLayout, random: np.random.Generator) -> np.ndarray:
    """Contribution of each cell in nats: large ends for an encoder, late peaks for a decoder."""
    inside = [stack for stack in layout.stacks if stack not in ("embedding", "output")]
    sizes = []
    for cell in layout.cells:
        stack = layout.stacks[cell.layer]
        place = 0.5
        if stack in ("encoder", "decoder"):
            length = inside.count(stack)
            place = (cell.layer - 1 - inside.index(stack)) / max(1, length - 1)
        late = 0.15 + place**2
        if cell.component in ("W1", "W2"):
            profile = late + (0.4 * (place < 0.1) if stack == "encoder" else 0)
        elif stack == "encoder":
            profile = 0.25 + 3 * (place - 0.5) ** 2
        else:
            profile = 0.3 + np.exp(-20 * (place - 0.75) ** 2)
        split = 1 if cell.head is None else layout.heads
        spread = 1 if cell.head is None else random.uniform(0.7, 1.3)
        sizes.append(SIZES[cell.component] * profile / split * spread)
    return np.array(sizes)
