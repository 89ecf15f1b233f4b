"""The style of all figures: colours, fonts and axes, and a page for missing data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from .looks import Look

PAPER_WIDTH = 7.0  # inches, both columns of an A4 page
SMALL = 6.0  # points, the smallest text in any figure

# Colours and markers of objectives by name; scripts that draw figures add their objectives.
LOOKS: dict[str, Look] = {}
TITLES = {
    "embedding": "emb.",
    "key": "key",
    "query": "query",
    "value": "value",
    "out": "out",
    "W1": "$W_1$",
    "W2": "$W_2$",
}
CONTRIBUTION = "−ΣLCA (nats per token)"

SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.linewidth": 0.5,
    "axes.edgecolor": "0.3",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.4,
    "hatch.linewidth": 0.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.pad": 1.5,
    "ytick.major.pad": 1.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 0.9,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "losschange",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Context in which figures are drawn and saved, independent of the user's settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)  # type: ignore[arg-type]  # keys are spelled out there
        yield


def new_figure(height: float, width: float = PAPER_WIDTH) -> Figure:
    """An empty figure, size in inches, with a layout that leaves room for labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    set_padding(figure, w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02)
    return figure


def set_padding(
    figure: Figure,
    w_pad: float | None = None,
    h_pad: float | None = None,
    wspace: float | None = None,
    hspace: float | None = None,
) -> None:
    """Change the space that the layout of a new figure leaves; None leaves it as it is."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(w_pad=w_pad, h_pad=h_pad, wspace=wspace, hspace=hspace)


def draw_message(sentence: str) -> Figure:
    """A page with a sentence that says why there is nothing to draw."""
    figure = Figure(figsize=(PAPER_WIDTH, 1.5))
    figure.text(0.5, 0.5, "\n".join(textwrap.wrap(sentence, 90)), ha="center", va="center", size=8)
    return figure


def look_of(objective: str) -> Look:
    """The entry of an objective in LOOKS; grey and with its own name if there is none."""
    return LOOKS.get(objective, Look(objective))


def shades(objective: str, number: int) -> list[tuple[float, float, float]]:
    """Shades of an objective's colour from dark to light, one per model."""
    red, green, blue = to_rgb(look_of(objective).colour)
    towards = [0.65 - 1.1 * i / max(1, number - 1) for i in range(number)] if number > 1 else [0]

    def mixed(colour: float, towards: float) -> float:
        return colour * (1 - 0.75 * towards) if towards > 0 else colour + (1 - colour) * -towards

    return [(mixed(red, t), mixed(green, t), mixed(blue, t)) for t in towards]


def count_format(axis: Axis, most: int = 4, prune: str | None = None) -> None:
    """Whole updates as 0, 25k, 125k; `prune` as in MaxNLocator."""
    axis.set_major_locator(MaxNLocator(most, integer=True, prune=prune))
    axis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))


def count_text(value: float) -> str:
    """A number of updates as 250, 25k, 125k."""
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def value_format(axes: Axes, most: int = 4) -> None:
    """Set few ticks, and a power of ten above the axis instead of long numbers."""
    formatter = ScalarFormatter(useMathText=True)
    formatter.set_powerlimits((-3, 4))
    axes.yaxis.set_major_locator(MaxNLocator(most))
    axes.yaxis.set_major_formatter(formatter)
    axes.yaxis.get_offset_text().set_fontsize(SMALL)


def layer_ticks(axis: Axis, layers: int) -> None:
    """Set ticks at layers 1, 3, 5 ... of deep models, at every layer of shallow models."""
    axis.set_ticks(range(1, layers + 1, 2 if layers > 6 else 1))


def mark_border(axes: Axes, border: int | None) -> None:
    """Draw a line between encoder and decoder."""
    if border is not None:
        axes.axvline(border + 0.5, color="0.35", linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=3)


def freeze_layout(figure: Figure) -> None:
    """Compute the layout once and fix it, instead of once per file format.

    The constrained layout's solver is not reproducible in the last bits, so positions are rounded
    to 1/100,000 of the page.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    engine.execute(figure)
    figure.set_layout_engine(None)
    for axes in figure.axes:
        for which in ("original", "active"):
            left, bottom, width, height = axes.get_position(original=which == "original").bounds
            rounded = round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)
            axes.set_position(rounded, which=which)
    for text in figure.texts:
        across, up = text.get_position()
        text.set_position((round(across, 5), round(up, 5)))
