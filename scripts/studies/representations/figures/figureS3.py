"""Figure S3: the layers of two models, by RSA, CKA and PWCCA."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from losschange.plots.style import SMALL, draw_message, look_of, new_figure

from ..drawing import (
    SEED,
    draw_line,
    draw_scale,
    floor_entry,
    objective_of,
    open_spaces,
    scale_entries,
)

MEASURES = {"rsa": "RSA", "cka": "CKA", "pwcca": "PWCCA"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def draw(inputs, options):
    """A row per measure: a map per pair of objectives, and layers of equal depth beside them."""
    pairs = open_spaces(path for path in inputs["objectives"] if SEED not in path.stem)
    maps = {name: table for name, table in pairs.items() if "all_rsa" in table}
    if not maps:
        return draw_message("Figure S3 has nothing to show: it compares at least two main models.")
    figure = new_figure(4.6)
    grid = figure.subplots(
        len(MEASURES), len(maps) + 1, squeeze=False, width_ratios=[1] * len(maps) + [1.5]
    )
    for row, (measure, title) in zip(grid, MEASURES.items(), strict=True):
        tables = [table[f"all_{measure}"] for table in maps.values()]
        limits = (min(float(t.min()) for t in tables), max(float(t.max()) for t in tables))
        for axes, (name, table) in zip(row, maps.items(), strict=False):
            image = _draw_map(axes, table[f"all_{measure}"], name, limits)
        bar = figure.colorbar(image, ax=list(row[:-1]), fraction=0.03, pad=0.01)
        bar.outline.set_linewidth(0.5)
        _draw_depths(row[-1], measure, maps, inputs)
        row[-1].set_title(f"{title}, layers of equal depth")
        row[0].text(-0.45, 0.5, title, transform=row[0].transAxes, rotation=90, weight="bold",
                    va="center")  # fmt: skip
    figure.legend(
        handles=_handles(maps, inputs), loc="outside lower center", ncols=3, fontsize=SMALL
    )
    return figure


def _draw_map(axes: Axes, table: xr.DataArray, name: str, limits: tuple[float, float]):
    first, second = name.split("+")
    image = axes.imshow(
        table.values, origin="lower", cmap="viridis", vmin=limits[0], vmax=limits[1], aspect="auto"
    )
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.set_ylabel(f"{look_of(objective_of(first)).title}, layer")
    axes.set_xlabel(f"{look_of(objective_of(second)).title}, layer")
    for axis, names in ((axes.xaxis, "second_layer"), (axes.yaxis, "first_layer")):
        layers = [str(layer) for layer in table[names].values if not int(layer) % 2]
        axis.set_ticks([int(layer) for layer in layers], layers)
    return image


def _draw_depths(axes: Axes, measure: str, maps: dict[str, xr.Dataset], inputs) -> None:
    for colour, table in zip(COLOURS, maps.values(), strict=False):
        draw_line(axes, table["depth"].values, table, measure, colour)
        if measure == "rsa":
            axes.plot(table["depth"], table["rsa_uncentred"], color=colour, linewidth=0.4)
    draw_scale(axes, inputs, measure)
    axes.set_xlabel("share of the depth")
    axes.axhline(0, color="0.3", linewidth=0.4)


def _handles(maps: dict[str, xr.Dataset], inputs) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=2, label=name.replace("+", " and "))
        for colour, name in zip(COLOURS, maps, strict=False)
    ]
    handles.append(Line2D([], [], color="0.4", linewidth=0.4, label="RSA, not centred"))
    return [*handles, *scale_entries(inputs), floor_entry()]
