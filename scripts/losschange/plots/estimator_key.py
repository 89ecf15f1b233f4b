"""Colours and lines of estimators and measured losses in Figure C, and the text beside it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from losschange.cube.estimators import TRAIN, VALID, in_order, parse_estimator

from .style import SMALL

LineStyle = dict[str, Any]

# Okabe and Ito's palette. The sums of the training probe coincide with the black line of the
# measured loss, those of the validation probe with the grey line: the former get light colours,
# the latter dark ones.
LOOKS: dict[str, LineStyle] = {
    "batch": {"color": "#D55E00", "marker": "o", "linestyle": "-"},
    "fresh": {"color": "#CC79A7", "marker": "s", "linestyle": (0, (3, 1))},
    "exact": {"color": "#F0E442", "marker": "h", "linestyle": (0, (5, 1, 1, 1))},
    "probe": {"color": "#56B4E9", "marker": "^", "linestyle": "-"},
    "simpson": {"color": "#E69F00", "marker": "v", "linestyle": (0, (1, 1.3))},
    "probe_valid": {"color": "#0072B2", "marker": "D", "linestyle": "-"},
    "simpson_valid": {"color": "#009E73", "marker": "X", "linestyle": (0, (1, 1.3))},
}
# Paul Tol's muted palette for estimators on other texts: a colour per text.
OTHER_COLOURS = ("#882255", "#44AA99", "#999933", "#332288", "#AA4499", "#661100")
RULE_LOOKS: dict[str, LineStyle] = {
    "fresh": {"marker": "p", "linestyle": (0, (3, 1))},
    "exact": {"marker": "h", "linestyle": (0, (5, 1, 1, 1))},
    "probe": {"marker": "P", "linestyle": "-"},
    "simpson": {"marker": "*", "linestyle": (0, (1, 1.3))},
}
FIRST_ORDER = dict.fromkeys(("batch", "fresh", "exact"), "first order")
RULE_NAMES = {**FIRST_ORDER, "probe": "trapezoid"}
MEASURED: dict[str, LineStyle] = {
    TRAIN: {"color": "black", "linewidth": 2.2},
    VALID: {"color": "0.68", "linewidth": 2.2},
}
MEASURE_NAMES = {
    "training_probe": "training probe",
    "training": "training loss",
    "validation_probe": "validation probe",
    "validation": "validation loss",
    "none": "nothing measured",
}
LINE_HEIGHT = 0.13  # inches
SAMPLE, INDENT = 0.14, 0.19  # end of the sample of a line, start of its name


def looks_of(estimators: Iterable[str]) -> dict[str, LineStyle]:
    """The line style of each estimator of a figure, in the order of the key.

    Colours of texts other than train and valid depend on the texts in the figure.
    """
    names = in_order(set(estimators))
    texts = dict.fromkeys(parse_estimator(name).text for name in names)
    others = [text for text in texts if text not in (TRAIN, VALID)]
    colours = {VALID: "#0072B2"} | dict(zip(others, cycle(OTHER_COLOURS)))
    looks = {}
    for name in names:
        estimator = parse_estimator(name)
        looks[name] = LOOKS.get(name) or {
            "color": colours[estimator.text],
            **RULE_LOOKS[estimator.rule],
        }
    return looks


def measured_look(text: str, looks: dict[str, LineStyle]) -> LineStyle:
    """Line properties of a text's measured loss; for other texts, a lighter shade of its colour."""
    if text in MEASURED:
        return MEASURED[text]
    colour = next(
        look["color"] for name, look in looks.items() if parse_estimator(name).text == text
    )
    return {"color": colour, "linewidth": 2.2, "alpha": 0.35}


def is_first_order(estimator: str) -> bool:
    """Whether an estimator is first-order in single updates, so that its ratio need not be 1."""
    return not parse_estimator(estimator).is_probe


def gradient_name(estimator: str) -> str:
    """The gradient and the rule of an estimator in a few words."""
    found = parse_estimator(estimator)
    text = {TRAIN: "training text", VALID: "validation text"}.get(found.text, f"text {found.text}")
    if found.rule == "batch":
        text = "training batch"
    elif found.rule == "fresh":
        text = "fresh batch" if found.text == TRAIN else f"fresh {text}"
    return f"{text}, {RULE_NAMES.get(found.rule, 'Simpson')}"


def measure_name(measure: str) -> str:
    """A measure of losschange.analysis.conservation in a few words."""
    return MEASURE_NAMES.get(measure) or f"{measure.removesuffix('_probe')} probe"


def line_look(look: LineStyle) -> LineStyle:
    """Line properties of an estimator's curve."""
    return {name: look[name] for name in ("color", "linestyle")}


def marker_look(look: LineStyle) -> LineStyle:
    """Line properties of a single marker of an estimator."""
    return {
        "color": look["color"],
        "marker": look["marker"],
        "linestyle": "none",
        "markersize": 3.4,
        "markeredgecolor": "black",
        "markeredgewidth": 0.3,
    }


def times(ratio: float) -> str:
    """A ratio with three significant digits, or with three decimals if it is close to 1."""
    if not np.isfinite(ratio):
        return "–"
    text = f"{ratio:.3f}" if 0.9 < ratio < 1.1 else f"{ratio:#.3g}".rstrip(".")
    return f"{text} ×".replace("-", "−")


def start_key(axes: Axes, height: float) -> None:
    """Prepare empty axes of `height` inches, in units of a line of text; line n is at -n."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0.5 - height / LINE_HEIGHT, 0.5)


def key_row(
    axes: Axes, place: float, name: str, value: str = "", left: float = 0, **style: Any
) -> None:
    """A line of text: a name on the left, a number on the right."""
    style = {"size": SMALL + 0.5, "va": "center", **style}
    axes.text(left, -place, name, **style)
    axes.text(1, -place, value, ha="right", **style)


def sample_row(axes: Axes, place: float, look: LineStyle, name: str, value: str) -> None:
    """A line of text that begins with a sample of a curve."""
    # A key with many rows is longer than its axes.
    axes.plot([0, SAMPLE], [-place] * 2, solid_capstyle="butt", clip_on=False, **look)
    key_row(axes, place, name, value, left=INDENT)
