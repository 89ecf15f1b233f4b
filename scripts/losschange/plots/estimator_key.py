"""How Figure C shows estimators and measured losses, and the lines of text beside its panels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from .style import SMALL

# Okabe and Ito's palette. The sums of the training probe lie on the black line, those of the
# validation probe on the grey one: light colours on the first, dark ones on the second.
LOOKS = {
    "batch": {"color": "#D55E00", "marker": "o", "linestyle": "-"},
    "fresh": {"color": "#CC79A7", "marker": "s", "linestyle": (0, (3, 1))},
    "probe": {"color": "#56B4E9", "marker": "^", "linestyle": "-"},
    "simpson": {"color": "#E69F00", "marker": "v", "linestyle": (0, (1, 1.3))},
    "probe_valid": {"color": "#0072B2", "marker": "D", "linestyle": "-"},
    "simpson_valid": {"color": "#009E73", "marker": "X", "linestyle": (0, (1, 1.3))},
}
GRADIENTS = {
    "batch": "training batch, first order",
    "fresh": "fresh batch, first order",
    "probe": "training text, trapezoid",
    "simpson": "training text, Simpson",
    "probe_valid": "validation text, trapezoid",
    "simpson_valid": "validation text, Simpson",
}
FIRST_ORDER = ("batch", "fresh")
MEASURED = {
    "train": {"color": "black", "linewidth": 2.2},
    "valid": {"color": "0.68", "linewidth": 2.2},
}
MEASURE_NAMES = {
    "training_probe": "training probe",
    "training": "training loss",
    "validation_probe": "validation probe",
    "validation": "validation loss",
    "none": "nothing measured",
}
LINE_HEIGHT = 0.13  # inches
SAMPLE, INDENT = 0.14, 0.19  # where a sample of a line ends and its name begins


def line_look(estimator: str) -> dict:
    """Line properties of an estimator's curve."""
    return {name: LOOKS[estimator][name] for name in ("color", "linestyle")}


def marker_look(estimator: str) -> dict:
    """Line properties of a single marker of an estimator."""
    return {
        "color": LOOKS[estimator]["color"],
        "marker": LOOKS[estimator]["marker"],
        "linestyle": "none",
        "markersize": 3.4,
        "markeredgecolor": "black",
        "markeredgewidth": 0.3,
    }


def times(ratio: float) -> str:
    """A ratio with three significant digits, around 1 with three decimals."""
    if not np.isfinite(ratio):
        return "–"
    text = f"{ratio:.3f}" if 0.9 < ratio < 1.1 else f"{ratio:#.3g}".rstrip(".")
    return f"{text} ×".replace("-", "−")


def start_key(axes: Axes, height: float) -> None:
    """Empty axes, `height` inches, in units of one line of text; line n stands at -n."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0.5 - height / LINE_HEIGHT, 0.5)


def key_row(axes: Axes, place: float, name: str, value: str = "", left: float = 0, **style) -> None:
    """A line of text: a name on the left, a number on the right."""
    style = {"size": SMALL + 0.5, "va": "center", **style}
    axes.text(left, -place, name, **style)
    axes.text(1, -place, value, ha="right", **style)


def sample_row(axes: Axes, place: float, look: dict, name: str, value: str) -> None:
    """A line of text that begins with a sample of a curve."""
    axes.plot([0, SAMPLE], [-place] * 2, solid_capstyle="butt", **look)
    key_row(axes, place, name, value, left=INDENT)
