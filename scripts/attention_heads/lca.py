"""The loss change allocation (LCA) of attention heads, from a cube of the library losschange."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from .errors import HeadsError
from .quantities import Blocks

COMPONENTS = ("query", "key", "value", "out")
BLOCKS = 20


def lca_blocks(
    cube: xr.Dataset,
    attention: str,
    variable: str = "lca",
    components: Sequence[str] = COMPONENTS,
    blocks: int = BLOCKS,
    after: int = 0,
    until: int | None = None,
) -> Blocks:
    """What every head contributed to the fall of the loss: minus its LCA, in blocks of updates.

    Parameters
    ----------
    cube : xr.Dataset
        An open cube, with dimensions step x layer x component x head.
    attention : str
        "encoder", "decoder" or "cross" (the decoder's components cross_query and so on).
    variable : str
        The estimator's variable, such as "lca" or "lca_probe".
    components : sequence of str
        Among COMPONENTS; several are added.
    blocks : int
        Number of blocks of (nearly) as many records each; fewer where there are fewer records.
    after, until : int
        Only updates after one snapshot and up to another are counted.

    Returns
    -------
    Blocks
        Values (blocks, layers, heads) in nats per target token.

    Raises
    ------
    HeadsError
        If the cube does not hold what is asked for.
    """
    if variable not in cube:
        held = ", ".join(str(name) for name in cube.data_vars if str(name).startswith("lca"))
        raise HeadsError(f"the cube holds no {variable!r}; it holds {held}")
    stack = "decoder" if attention == "cross" else attention
    layers = np.flatnonzero(cube["stack"].values == stack)
    names = [f"cross_{name}" if attention == "cross" else name for name in components]
    missing = f"the cube holds no {attention} attention with the components {', '.join(components)}"
    unknown = set(names) - set(cube["component"].values.tolist())
    if not layers.size or unknown or not names:
        raise HeadsError(missing)
    axis = str(cube[variable].dims[0])
    steps = cube[axis].values
    where = np.flatnonzero((steps > after) & (steps <= (steps.max() if until is None else until)))
    if not where.size:
        raise HeadsError(f"{variable} has no record after update {after} and up to {until}")
    heads = np.flatnonzero(cube["head"].values != "none")
    chosen = cube[variable].isel(layer=layers, head=heads).sel(component=names)
    sums = []
    for part in np.array_split(where, min(blocks, where.size)):
        block = chosen.isel({axis: slice(int(part[0]), int(part[-1]) + 1)}).astype(np.float64)
        sums.append(-block.sum((axis, "component"), skipna=False).transpose("layer", "head").values)
    values = np.stack(sums)
    if np.isnan(values).all():
        raise HeadsError(missing)
    if np.isnan(values).any():
        raise HeadsError(
            f"{variable} of the {attention} attention is not split by head in every layer: "
            "record the model with a schema that names its heads"
        )
    return Blocks(values)
