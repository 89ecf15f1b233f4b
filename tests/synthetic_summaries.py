"""Summaries of made-up runs in which every claim of the paper is true, and how to change them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from losschange.cube.layout import COMPONENTS
from synthetic_cubes import model_attributes

BINS, BLOCKS, HEADS, LAYERS = 200, 50, 4, 12
SIX = ("key", "query", "value", "out", "W1", "W2")
ATTENTION, FEED_FORWARD = SIX[:4], SIX[4:]
LANGUAGES = ("en", "de", "fi", "et")
MODELS = (
    *(f"{objective}-{language}" for objective in ("clm", "mlm") for language in LANGUAGES),
    *("mt-en-de", "mt-de-en", "mt-en-fi", "mt-en-de-wmt"),
)
EXCEPTIONS = {"mlm": (1, 9, 12), "clm": (3, 7), "mt": (5, 7)}
LAYER = np.arange(1, LAYERS + 1)


@dataclass
class Training:
    """Settings of a synthetic training; every array is per layer, dictionaries per component.

    `profile` is the contribution over all of training, `rate` how fast it decays, `onset` the
    share of training that it takes to begin, `ripple` the size of a regular oscillation to the
    end, `spread` how much heads differ, `positives` (bins, layers) counts, `ratio` ΣLCA over the
    measured change, `noise` that of a bin over its even share.
    """

    model: str
    profile: dict[str, np.ndarray]
    rate: dict[str, np.ndarray]
    positives: dict[str, np.ndarray]
    ripple: np.ndarray = field(default_factory=lambda: np.zeros(LAYERS))
    spread: np.ndarray = field(default_factory=lambda: np.full(LAYERS, 0.01))
    embedding_ripple: float = 0.0
    onset: float = 0.0
    ratio: float = 1.0
    noise: float = 0.05

    @property
    def objective(self) -> str:
        return self.model.split("-")[0]


def paper_like(model: str) -> Training:
    """A training of which all that the paper says is true."""
    objective, language = model.split("-")[0], model.split("-")[1]
    attention, feed_forward = PROFILES[objective]
    profile = {name: np.array(attention[name], float) for name in ATTENTION}
    profile |= {
        name: np.array(feed_forward, float) * (1, 1.1)[name == "W2"] for name in FEED_FORWARD
    }
    if objective == "clm" and language in ("fi", "et"):
        for name in ATTENTION:
            profile[name] = profile[name] + 0.06 * (LAYER - 6.5)
    if model == "mlm-et":
        for name in SIX:
            profile[name] = profile[name] * np.where(LAYER <= 2, 1.8, 1)
            profile[name][11] *= 1.4
    if objective == "mlm":
        ends = np.isin(LAYER, (1, 10, 11, 12))
        slow = np.where(ends, 14 - 0.2 * LAYER, 24 - 0.4 * LAYER)
        rate = dict.fromkeys(ATTENTION, slow + 6.0) | dict.fromkeys(FEED_FORWARD, slow)
    else:
        rate = dict.fromkeys(ATTENTION, 26 - 0.5 * LAYER)
        rate |= dict.fromkeys(FEED_FORWARD, 22 - 0.5 * LAYER - 4.0 * (LAYER >= 10))
    positives = {name: np.zeros((BINS, LAYERS)) for name in SIX}
    for name in ATTENTION:
        positives[name][0, 2] = 1
    if objective == "mlm":
        for name, count in (("key", 3), ("query", 4)):
            positives[name][20:120, 1:5] = count
    made = Training(model, profile, rate, positives)
    made.spread[[layer - 1 for layer in EXCEPTIONS[objective]]] = 0.4
    if objective == "mlm":
        made.ripple = np.where(np.isin(LAYER, (1, 10, 11, 12)), 0.6, 0.02)
        made.onset, made.embedding_ripple = 0.06, 3.0
    if objective == "clm":
        made.ripple = np.where(np.isin(LAYER, (7, 8, 9, 10)), 0.5, 0.02)
    return made


MASKED = [3, 2.5, 1, 0.8, 0.7, 0.75, 0.85, 1.05, 1.6, 2.6, 3.1, 3.6]
CAUSAL = [2.5, 1, 1.1, 1.2, 1.3, 2.2, 2.8, 3, 2.7, 2.4, 1.5, 1.0]
KEYS = [3, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 1.6, 2.2, 2.8, 2.4, 0.8]
VALUES = [3, 1.2, 1, 1, 1.3, 2.6, 1.5, 1.4, 2.0, 2.6, 2.4, 2.2]
PROFILES = {
    "clm": (
        dict.fromkeys(ATTENTION, CAUSAL),
        [4, 4.3, 4.6, 5.8, 7, 8.2, 9.4, 9.7, 10, 10.3, 10.6, 10.9],
    ),
    "mlm": (dict.fromkeys(ATTENTION, MASKED), [6 * value for value in MASKED]),
    "mt": (
        {"key": KEYS, "query": KEYS, "value": VALUES, "out": VALUES},
        [6, 7, 8, 9, 10, 11, 5, 5.5, 7, 9, 10, 12],
    ),
}


def paper_like_run() -> dict[str, Training]:
    """Twelve models in which every claim holds."""
    return {model: paper_like(model) for model in MODELS}


def blend(one: Training, other: Training, part: float) -> Training:
    """A training between two: `part` of the way from one to the other."""

    def mixed(a, b):
        if isinstance(a, dict):
            return {name: mixed(a[name], b[name]) for name in a}
        return a + part * (b - a)

    names = [name for name in vars(one) if name != "model"]
    return replace(one, **{n: mixed(getattr(one, n), getattr(other, n)) for n in names})


def make_summary(training: Training, seed: int = 0, scale: float = 1.0) -> xr.Dataset:
    """The part of a summary that claims read; LCA in nats times `scale`, the loss unscaled."""
    attributes = model_attributes(training.model)
    half = LAYERS // 2
    inner = {"clm": ["decoder"] * LAYERS, "mlm": ["encoder"] * LAYERS}
    inner["plm"] = inner["clm"]
    inner["mt"] = inner["dae"] = ["encoder"] * half + ["decoder"] * half
    stacks = ["embedding", *inner[attributes["objective"]], "output"]
    random = np.random.default_rng([seed, *training.model.encode()])
    total = np.full((BINS, LAYERS + 2, len(COMPONENTS)), np.nan)
    counts = total.copy()
    blocks = np.full((BLOCKS, LAYERS + 2, len(COMPONENTS), HEADS + 1), np.nan)
    expected = np.zeros(BINS)
    for name in SIX:
        place = COMPONENTS.index(name)
        even = np.abs(training.profile[name]).mean() / BINS
        made = training.profile[name] * _course(training.rate[name], training.onset)
        made += training.ripple * _wave()[:, None] * even
        expected += made.sum(axis=1)
        made += training.noise * even * random.standard_normal(made.shape)
        total[:, 1:-1, place] = -made
        counts[:, 1:-1, place] = training.positives[name]
        shared = made.reshape(BLOCKS, -1, LAYERS).sum(axis=1)
        if name in ATTENTION:
            pattern = 1 + training.spread[:, None] * np.linspace(-1, 1, HEADS)
            blocks[:, 1:-1, place, 1:] = -shared[:, :, None] * pattern / HEADS
        else:
            blocks[:, 1:-1, place, 0] = -shared
    embedding = 20 * _course(np.array([30.0]), training.onset)[:, 0]
    embedding += training.embedding_ripple * _wave() * 10 / BINS
    total[:, 0, 0], counts[:, 0, 0] = -embedding, 0
    counts[0, 0, 0] = 1
    blocks[:, 0, 0, 0] = -embedding.reshape(BLOCKS, -1).sum(axis=1)
    course = -np.cumsum(expected + embedding) / training.ratio
    edges = np.arange(1, BINS + 1) * 10
    estimator = ["batch"]
    return xr.Dataset(
        {
            "n_parameters": (
                ("layer", "component", "head"),
                np.isfinite(blocks[0]).astype(np.int64),
            ),
            "binned_total": (("estimator", "bin", "layer", "component"), total[None] * scale),
            "binned_positive_count": (("estimator", "bin", "layer", "component"), counts[None]),
            "binned_records": (("estimator", "bin"), np.full((1, BINS), 10)),
            "block_total": (
                ("estimator", "block", "layer", "component", "head"),
                blocks[None] * scale,
            ),
            "totals": (
                ("estimator", "layer", "component", "head"),
                blocks.sum(axis=0)[None] * scale,
            ),
            "total": ("estimator", [np.nansum(total) * scale]),
            "scaled_total": ("estimator", [np.nansum(total) * scale]),
            "reference": ("estimator", ["validation"]),
            "binned_change": (("estimator", "bin"), np.diff(course, prepend=0.0)[None]),
        },
        coords={
            "estimator": estimator,
            "measure": ["validation"],
            "layer": np.arange(LAYERS + 2),
            "component": list(COMPONENTS),
            "stack": ("layer", stacks),
            "bin": edges,
            "bin_first": ("bin", edges - 9),
            "block": edges[3::4],
        },
        attrs={**attributes, "steps": edges[-1]},
    )


def _course(rate: np.ndarray, onset: float) -> np.ndarray:
    """Shares (bins, layers) of a contribution that begins and decays."""
    at = (np.arange(BINS)[:, None] + 0.5) / BINS
    shape = np.exp(-rate * at) * (1 - np.exp(-at / max(onset, 1e-9)))
    return shape / shape.sum(axis=0)


def _wave() -> np.ndarray:
    """An oscillation (bins,) with a period of a twenty-fifth of training and mean 0."""
    return np.where(np.arange(BINS) // 4 % 2 == 0, 1.0, -1.0)
