"""What freezing was predicted to cost and what it cost: a point per training with frozen cells."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from losschange.analysis.remaining import lca_after
from losschange.claims.judging import DRAWS
from losschange.cube.estimators import TRAIN, VALID, parse_estimator
from losschange.cube.format import estimators_of, layout_of, open_cube
from losschange.cube.frozen_cells import FrozenCells

TEXTS = (TRAIN, VALID)


@dataclass(frozen=True)
class Measured:
    """A mean loss, or a difference of two, in nats per target token.

    Attributes
    ----------
    value : float
        On the whole probe.
    drawn : float array (draws,)
        On resamplings of the probe's rows. All measures of one training and text share them, so
        that differences are paired.
    """

    value: float
    drawn: np.ndarray

    def minus(self, other: Measured) -> Measured:
        """The difference of two measures on the same rows."""
        return Measured(self.value - other.value, self.drawn - other.drawn)


@dataclass(frozen=True)
class Point:
    """One training with frozen cells.

    Attributes
    ----------
    model, training : str
        The parent, and the parent's training: another one per seed.
    name : str
        Of the child.
    kind : str
        The rule that chose the cells; "listed" where the configuration lists them.
    estimator : str
        Whose LCA the rule looked at.
    from_update, cells, parameters : int
        Updates made before, and what froze.
    share : float
        Of the model's parameters.
    predicted : mapping of estimator to float
        −ΣLCA of the frozen cells after from_update.
    costs : mapping of text to Measured
        loss(frozen) − loss(parent) at the end.
    """

    model: str
    training: str
    name: str
    kind: str
    estimator: str
    from_update: int
    cells: int
    parameters: int
    share: float
    predicted: Mapping[str, float]
    costs: Mapping[str, Measured]


@dataclass(frozen=True)
class Rewound:
    """One component of one layer, put back to its initial values at the end of the training.

    Attributes
    ----------
    training : str
    layer : int
    label, component : str
    contribution : mapping of estimator to float
        −ΣLCA of the whole training.
    worth : mapping of text to Measured
        loss(rewound) − loss(parent).
    """

    training: str
    layer: int
    label: str
    component: str
    contribution: Mapping[str, float]
    worth: Mapping[str, Measured]


def cost_text(estimator: str) -> str | None:
    """The text on which an estimator's predictions are held against costs; None if not measured."""
    text = parse_estimator(estimator).text
    return text if text in TEXTS else None


def read_family(
    asked: Mapping[str, Any], seed: int, draws: int = DRAWS
) -> tuple[list[Point], list[Rewound]]:
    """The points of one training and its children.

    Parameters
    ----------
    asked : mapping
        "model", "training", the paths "cube" and "losses", and "children": name to "kind",
        "estimator" and the path "frozen".
    seed, draws : int
        Of the resampling.
    """
    losses = json.loads(Path(asked["losses"]).read_text(encoding="utf-8"))
    means = _means(losses["tokens"], asked["training"], seed, draws)
    parent = means(losses["parent"])
    points, rewound = [], []
    with open_cube(Path(asked["cube"])) as cube:
        layout = layout_of(cube)
        estimators = [name for name in estimators_of(cube) if cost_text(name)]
        places = {cell: place for place, cell in enumerate(layout.cells)}
        sizes = np.array(layout.n_parameters)
        remaining: dict[tuple[str, int], np.ndarray] = {}

        def contribution(name: str, update: int, chosen: Sequence[int]) -> float:
            if (name, update) not in remaining:
                remaining[name, update] = lca_after(cube, name, update)
            return 0.0 - float(remaining[name, update][list(chosen)].sum())

        for name, child in asked["children"].items():
            frozen = FrozenCells.read(child["frozen"])
            chosen, start = [places[cell] for cell in frozen.cells], frozen.from_update
            measured = means(losses["children"][name])
            points.append(
                Point(
                    asked["model"],
                    asked["training"],
                    name,
                    child["kind"],
                    child["estimator"],
                    start,
                    len(chosen),
                    int(sizes[chosen].sum()),
                    float(sizes[chosen].sum() / sizes.sum()),
                    {one: contribution(one, start, chosen) for one in estimators},
                    {text: measured[text].minus(parent[text]) for text in measured},
                )
            )
        for found in losses["rewound"]:
            layer, component = found["layer"], found["component"]
            chosen = [p for c, p in places.items() if (c.layer, c.component) == (layer, component)]
            measured = means(found["losses"])
            rewound.append(
                Rewound(
                    asked["training"],
                    layer,
                    layout.labels[layer],
                    component,
                    {one: contribution(one, 0, chosen) for one in estimators},
                    {text: measured[text].minus(parent[text]) for text in measured},
                )
            )
    return points, rewound


def _means(tokens: Mapping[str, Sequence[float]], training: str, seed: int, draws: int):
    """Function from losses of rows by text to their means per token, resampled alike each time."""
    chosen = {}
    for text, counts in tokens.items():
        random = np.random.default_rng([seed, zlib.crc32(f"{training} {text}".encode())])
        chosen[text] = random.integers(0, len(counts), (draws, len(counts)))

    def means(losses: Mapping[str, Sequence[float]]) -> dict[str, Measured]:
        found = {}
        for text, sums in losses.items():
            rows, counts = np.array(sums), np.array(tokens[text], dtype=float)
            drawn = rows[chosen[text]].sum(axis=1) / counts[chosen[text]].sum(axis=1)
            found[text] = Measured(float(rows.sum() / counts.sum()), drawn)
        return found

    return means
