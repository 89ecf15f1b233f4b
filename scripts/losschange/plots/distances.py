"""Figure D: similarity of the models' profiles, as a map and as a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from .style import look_of, new_figure


def draw_distances(
    models: Sequence[str],
    objectives: Sequence[str],
    distances: np.ndarray,
    points: np.ndarray,
    kept: float,
) -> Figure:
    """A map of the models by classical scaling, and their tree by average linkage.

    Parameters
    ----------
    models, objectives : sequences of str (n,)
    distances : float array (n, n)
    points : float array (n, 2)
        From `losschange.claims.distances.classical_scaling`.
    kept : float
        Share of the variance that the map shows.
    """
    figure = new_figure(max(2.6, 0.2 * len(models) + 0.8))
    plane, tree = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _draw_map(plane, objectives, points)
    plane.set_title(f"map of the distances ({100 * kept:.0f} % of the variance)")
    _draw_tree(tree, models, objectives, distances)
    return figure


def _draw_map(axes: Axes, objectives: Sequence[str], points: np.ndarray) -> None:
    # No names in the map, where points of one objective may overlap: the tree shows the names.
    for objective in dict.fromkeys(objectives):
        own = points[[name == objective for name in objectives]]
        look = look_of(objective)
        axes.plot(
            *own.T,
            linestyle="none",
            marker=look.marker,
            markersize=4,
            color=look.colour,
            alpha=0.8,
            label=f"{look.title} ({len(own)})",
        )
    axes.legend()
    axes.margins(0.15)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(axis="both")


def _draw_tree(
    axes: Axes, models: Sequence[str], objectives: Sequence[str], distances: np.ndarray
) -> None:
    links = linkage(squareform(distances, checks=False), method="average")
    drawn = dendrogram(links, no_plot=True)
    for across, height in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        axes.plot(height, np.asarray(across) / 10, color="0.3", linewidth=0.8)
    leaves = drawn["leaves"] or []
    axes.set_yticks(np.arange(len(leaves)) + 0.5, [models[leaf] for leaf in leaves])
    for label, leaf in zip(axes.get_yticklabels(), leaves, strict=True):
        label.set_color(look_of(objectives[leaf]).colour)
    axes.set_title("tree of the distances (average linkage)")
    axes.set_xlabel("distance of normalised profiles")
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
