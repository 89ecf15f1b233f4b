"""Records of made-up trainings whose measured part and noise are known, for the study's tests."""

import numpy as np
import xarray as xr

from losschange.analysis.profiles import LAYER_COMPONENTS
from studies.noise.records import Records

LAYERS, DRAWS = 6, 100
COMPONENTS = ["embedding", *LAYER_COMPONENTS]
FLAT = np.ones(LAYERS)
UPDATES, RATE = 200, 0.1


def make_record(
    model,
    noise=0.01,
    measured=5.0,
    targets=500,
    optimizer="adam",
    momentum=0.9,
    noise_profile=FLAT,
    measured_profile=FLAT,
    spread=0.02,
    seed=0,
):
    """A record of two equal windows.

    Parameters
    ----------
    noise : float
        Of an update, in nats.
    measured : float
        Fall of the loss over both windows, in nats.
    noise_profile, measured_profile : float array (LAYERS,)
        Relative contributions of the layers.
    spread : float
        Relative deviation of the resamplings.
    """
    parts = {
        "measured": (measured, measured_profile),
        "curvature": (0.0, FLAT),
        "noise": (noise * UPDATES, noise_profile),
    }
    random = np.random.default_rng([seed, *model.encode()])
    value, drawn = {}, {}
    for part, (size, profile) in parts.items():
        cells = np.full((LAYERS + 2, len(COMPONENTS)), np.nan)
        cells[0, 0] = 0.0
        cells[1:-1, 1:] = (profile / profile.sum() / len(LAYER_COMPONENTS))[:, None]
        windows = np.stack([cells, cells / 2, cells / 2])
        value[part] = -size * windows
        drawn[part] = value[part] * random.normal(1, spread, (DRAWS, 1, *cells.shape))
    value = {"batch": sum(value.values()), **value}
    drawn = {"batch": sum(drawn.values()), **drawn}
    axes = ("term", "window", "layer", "component")
    return xr.Dataset(
        {
            "value": (axes, np.stack(list(value.values()))),
            "drawn": (("draw", *axes), np.stack(list(drawn.values()), axis=1)),
            "targets": ("window", np.full(3, float(targets))),
            "rate": ("window", RATE * np.array([1, 0.5, 0.5])),
            "loss_change": ("window", -measured * np.array([1, 0.5, 0.5])),
        },
        {
            "term": list(value),
            "window": range(3),
            "window_first": ("window", [1, 1, UPDATES // 2 + 1]),
            "window_last": ("window", [UPDATES, UPDATES // 2, UPDATES]),
            "component": COMPONENTS,
            "stack": ("layer", ["embedding", *["decoder"] * LAYERS, "output"]),
        },
        {
            "model": model,
            "objective": model.split("-")[0],
            "optimizer": optimizer,
            "momentum": momentum,
            "updates": UPDATES,
            "predicted_share": 0.15 if model.startswith("mlm") else 1.0,
            "cannot_tell": "",
        },
    )


def as_records(*records, vocabulary=300):
    """Records by the names of their models."""
    return Records({record.attrs["model"]: record for record in records}, vocabulary)


def law_abiding(exponent=-0.5, sgd_exponent=-1.0, share=0.1, mlm=1.0, **options):
    """A causal and a masked model with all variants of the study, whose noise follows these laws.

    `mlm` is the noise of the masked model with equal targets, over that of the causal one.
    """
    found = []
    for name, size in (("clm-en", 1), ("clm-en.batch-1-4", 1 / 4), ("clm-en.batch-4", 4)):
        found.append(make_record(name, 0.01 * size**exponent, targets=500 * size, **options))
    for name, size in (("batch-1", 1), ("batch-1-4", 1 / 4), ("batch-4", 4)):
        noise = 0.01 * size**sgd_exponent
        changes = {"targets": 500 * size, "optimizer": "sgd", "momentum": 0.0}
        found.append(make_record(f"clm-en.sgd-{name}", noise, **changes, **options))
    heavy = {"optimizer": "sgd", "momentum": 0.9}
    found.append(make_record("clm-en.sgd-momentum", 0.01 * share, **heavy, **options))
    small = 0.01 * (75 / 500) ** exponent
    found.append(make_record("clm-en.equal-targets", small, targets=75, **options))
    found.append(make_record("mlm-en", small * mlm, targets=75, **options))
    for name, size in (("mlm-en.batch-1-4", 1 / 4), ("mlm-en.batch-4", 4)):
        noise = small * mlm * size**exponent
        found.append(make_record(name, noise, targets=75 * size, **options))
    return as_records(*found)
