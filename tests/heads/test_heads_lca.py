"""The allocation of heads is read from cubes by attention, component and block of updates."""

import numpy as np
import pytest
import xarray as xr

from attention_heads.errors import HeadsError
from attention_heads.lca import lca_blocks

STACKS = ["embedding", "encoder", "encoder", "decoder", "decoder", "output"]
COMPONENTS = ["embedding", "query", "key", "value", "out", "cross_query", "cross_key", "W1"]


@pytest.fixture
def cube():
    """Two encoder and two decoder layers, three heads, ten updates; probes at every second."""
    values = np.random.default_rng(0).standard_normal((10, 6, 8, 4)).astype(np.float32)
    values[..., 0] = np.nan
    axes = ("layer", "component", "head")
    return xr.Dataset(
        {
            "lca": (("step", *axes), values),
            "lca_probe": (("step_probe", *axes), values[::2]),
            "stack": ("layer", STACKS),
        },
        {
            "step": np.arange(1, 11),
            "step_probe": np.arange(1, 11, 2),
            "component": COMPONENTS,
            "head": ["none", "0", "1", "2"],
        },
    )


def test_blocks_add_up_to_minus_the_allocation_of_the_heads(cube):
    found = lca_blocks(cube, "encoder", blocks=3)
    assert found.values.shape == (3, 2, 3)
    np.testing.assert_allclose(
        found.value, -cube.lca.values[:, 1:3, 1:5, 1:].sum((0, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(
        found.values[0], -cube.lca.values[:4, 1:3, 1:5, 1:].sum((0, 2)), rtol=1e-5
    )


def test_cross_attention_single_components_and_stretches_of_the_training(cube):
    found = lca_blocks(cube, "cross", components=["key"], after=2, until=6)
    assert len(found.values) == 4
    np.testing.assert_allclose(found.value, -cube.lca.values[2:6, 3:5, 6, 1:].sum(0), rtol=1e-5)
    probe = lca_blocks(cube, "decoder", "lca_probe", after=2, until=6)
    np.testing.assert_allclose(
        probe.value, -cube.lca.values[2:6:2, 3:5, 1:5, 1:].sum((0, 2)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"variable": "lca_fresh"}, "holds no 'lca_fresh'; it holds lca, lca_probe"),
        ({"attention": "sideways"}, "no sideways attention"),
        ({"attention": "cross"}, "no cross attention with the components query, key, value, out"),
        ({"after": 10}, "no record after update 10"),
    ],
)
def test_what_the_cube_does_not_hold_is_refused(cube, options, message):
    with pytest.raises(HeadsError, match=message):
        lca_blocks(cube, **{"attention": "encoder", **options})


def test_a_cube_that_is_not_split_by_head_is_refused(cube):
    cube.lca[:, 1, 2, 1:] = np.nan
    with pytest.raises(HeadsError, match="is not split by head in every layer"):
        lca_blocks(cube, "encoder")


def test_a_language_models_cube_has_no_cross_attention(cube):
    cube.lca[:, :, 5:7] = np.nan
    with pytest.raises(HeadsError, match="no cross attention with the components key"):
        lca_blocks(cube, "cross", components=["key"])
