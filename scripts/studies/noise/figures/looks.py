"""Colours of the three parts, of the palette of Okabe and Ito, and logarithmic axes."""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

PART_COLOURS = {"measured": "#0072B2", "curvature": "#E69F00", "noise": "#9A9A9A"}
# Of trainings by optimizer.
OPTIMIZER_TITLES = {"adam": "Adam", "sgd": "SGD"}


def logarithmic(axes: Axes, which: str) -> None:
    """Make an axis ("x" or "y") logarithmic, with plain numbers at 1, 2 and 5."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
