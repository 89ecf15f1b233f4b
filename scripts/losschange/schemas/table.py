"""The cells of a model as a table."""

from __future__ import annotations

from collections.abc import Iterator

from losschange.cube.layout import CubeLayout


def layout_table(layout: CubeLayout) -> Iterator[str]:
    """Lines that say which components every layer has; alike layers share their lines.

    Parameters
    ----------
    layout : CubeLayout
    """
    sizes: dict[int, dict[str, list[int]]] = {}
    for cell, count in zip(layout.cells, layout.n_parameters):
        kind = f"{cell.component}{'' if cell.head is None else ' by head'}"
        sizes.setdefault(cell.layer, {}).setdefault(kind, []).append(count)
    rows = [("layer", "component", "cells", "parameters")]
    depths = sorted(sizes)
    while depths:
        first = depths[0]
        alike = 1
        while alike < len(depths) and (
            sizes[depths[alike]] == sizes[first]
            and layout.stacks[depths[alike]] == layout.stacks[first]
        ):
            alike += 1
        last = depths[alike - 1]
        name = layout.labels[first] + (f" to {layout.labels[last]}" if alike > 1 else "")
        kinds = sorted(sizes[first], key=lambda k: layout.components.index(k.split()[0]))
        for kind in kinds:
            counts = sizes[first][kind]
            rows.append((name, kind, str(len(counts)), f"{sum(counts):,}"))
            name = ""
        depths = depths[alike:]
    total = sum(layout.n_parameters)
    rows.append(("all", "", str(len(layout.cells)), f"{total:,}"))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    for row in rows:
        words = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        yield "  ".join([*words, row[2].rjust(widths[2]), row[3].rjust(widths[3])])
