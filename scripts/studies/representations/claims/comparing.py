"""Claims that compare spaces, and the loss change of layers with the change of their states."""

from __future__ import annotations

import math

import xarray as xr

from losschange.claims.verdicts import Condition
from representations.errors import RepresentationError
from representations.over_training import Relation, relate

from .numbers import UNDEFINED, Number, Spaces, layers_of, mean
from .registry import CLAIMS

DISTANCE = "PWCCA distance"


@CLAIMS.claim(
    13,
    "podcast 26:37",
    "MT and MLM are closer to each other than either is to CLM.",
    [
        Condition("MT and CLM less MT and MLM", DISTANCE, least=0.0),
        Condition("MLM and CLM less MT and MLM", DISTANCE, least=0.0),
    ],
)
def causal_model_is_apart(spaces: Spaces):
    """Layers of equal depth above the embedding, mean over layers and both weighings. All spaces
    have as many words and dimensions, so their floors are the same."""
    near = spaces.distance("mt", "mlm")
    return [spaces.distance("mt", "clm") - near, spaces.distance("mlm", "clm") - near]


@CLAIMS.claim(
    20,
    "talk: Conclusions",
    "The objective matters more than language and seed; MT's layers change when they get the loss "
    "change of their feed-forward part.",
    [
        Condition("objectives less target languages", DISTANCE, least=0.0),
        Condition("objectives less seeds", DISTANCE, least=0.0),
        Condition("rank correlation less that of shifted intervals", least=0.0),
    ],
)
def objective_matters_most(spaces: Spaces):
    """The relation of −ΣLCA of W1 and W2 and change of MT's encoder layers, over the intervals
    between snapshots, both without the means of layers and intervals. Its interval reaches from
    the correlation less the largest to that less the smallest of the circular shifts: it holds if
    it beats every shift, which by chance one table in as many as there are intervals does."""
    between = mean(
        [spaces.distance(*pair) for pair in (("mt", "mlm"), ("mt", "clm"), ("mlm", "clm"))]
    )
    found = []
    for kind in ("languages", "seeds"):
        others = list(spaces.others.get(kind, ()))
        found.append(between - mean(others) if others else UNDEFINED)
    table = spaces.models["mt"].over_training
    relation = None if table is None else relation_of(table, "feed-forward")
    return [*found, UNDEFINED if relation is None else _against_shifts(relation)]


def relation_of(table: xr.Dataset, part: str = "layer") -> Relation | None:
    """How loss change and change of the states of the layers 1 to N go together over training.

    Parameters
    ----------
    table : xr.Dataset
        over_training/<model>.nc.
    part : {"layer", "attention", "feed-forward"}
        Whose loss change.

    Returns
    -------
    Relation or None
        None where there are too few intervals or layers.
    """
    layers = layers_of(table)[1:]
    change = table["change"].sel(layer=layers).transpose("layer", "interval").values
    lowered = table["loss_change"].sel(part=part).transpose("inner_layer", "interval").values
    try:
        return relate(lowered, change)
    except RepresentationError:
        return None


def _against_shifts(relation: Relation) -> Number | ShiftedNumber:
    return ShiftedNumber(
        relation.correlation - float(relation.null.mean()),
        relation.correlation - float(relation.null.max()),
        relation.correlation - float(relation.null.min()),
    )


class ShiftedNumber(Number):
    """A number whose interval is given by its null."""

    low: float
    high: float

    def __new__(cls, value: float, low: float, high: float) -> ShiftedNumber:
        found = super().__new__(cls, value, math.nan)
        found.low, found.high = low, high
        return found

    @property
    def interval(self) -> tuple[float, float]:
        """From less the largest to less the smallest of the shifts."""
        return self.low, self.high
