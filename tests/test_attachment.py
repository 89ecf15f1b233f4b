"""Attached to a training loop of plain PyTorch: the loss change of a whole training."""

import numpy as np
import pytest

from estimator_names import ESTIMATORS, PROBES
from losschange.cube.estimators import parse_estimator
from losschange.cube.format import open_cube
from losschange.cube.layout import Cell
from losschange.cube.parts import PartStore
from small_models import (
    PROBES as PROBE_LOSSES,
)
from small_models import (
    VOCABULARY,
    WIDTH,
    attach_to,
    make_optimizer,
    make_transformer,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")

UPDATES = 150


@pytest.fixture(scope="module")
def conserved(tmp_path_factory):
    """(cube, loss of each probe before and after) of a whole training, every step looked at."""
    folder = tmp_path_factory.mktemp("conserved")
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, folder / "parts", estimators=list(ESTIMATORS))
    ends = [{split: loss(model).item() for split, loss in PROBE_LOSSES.items()}]
    train(model, optimizer, UPDATES, recorder)
    ends.append({split: loss(model).item() for split, loss in PROBE_LOSSES.items()})
    recorder.finish(folder / "cube.nc", {"seed": 4})
    with open_cube(folder / "cube.nc") as cube:
        return cube.load(), ends


def total(cube, estimator):
    """Sum over cells and steps, in float64."""
    return float(np.nansum(cube[parse_estimator(estimator).variable].values.astype("f8")))


@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [("probe", 0.01), ("probe_valid", 0.01), ("simpson", 0.001), ("simpson_valid", 0.001)],
)
def test_probes_sum_to_the_measured_change_of_the_loss(conserved, estimator, tolerance):
    cube, (before, after) = conserved
    split = PROBES[estimator]
    change = after[split] - before[split]
    assert change < -1
    assert total(cube, estimator) == pytest.approx(change, rel=tolerance)
    # The cube holds the same change, measured on the way.
    assert float(cube[f"{estimator}_loss_before"][0]) == pytest.approx(before[split], rel=1e-6)
    assert float(cube[f"{estimator}_loss"][-1]) == pytest.approx(after[split], rel=1e-6)


@pytest.mark.parametrize("estimator", PROBES)
def test_the_error_is_what_the_cells_sum_to_less_the_measured_change(conserved, estimator):
    cube, _ = conserved
    sums = np.nansum(cube[parse_estimator(estimator).variable].values.astype("f8"), axis=(1, 2, 3))
    before, after = cube[f"{estimator}_loss_before"].values, cube[f"{estimator}_loss"].values
    np.testing.assert_allclose(cube[f"{estimator}_error"], sums - (after - before), atol=1e-7)
    np.testing.assert_array_equal(before[1:], after[:-1])
    assert np.ptp(after) > 1
    assert cube.attrs[f"{estimator}_total_error"] == cube[f"{estimator}_error"].values.sum()


def test_the_training_batchs_own_gradient_counts_too_much_and_a_probe_does_not(conserved):
    cube, (before, after) = conserved
    change = after["train"] - before["train"]
    ratios = {name: total(cube, name) / change for name in ("batch", "fresh", "probe")}
    assert ratios["batch"] > 1.5 > ratios["fresh"] > 1.02
    assert ratios["probe"] == pytest.approx(1, abs=0.01)
    # It also hides the steps that raised the loss.
    sums = {
        name: cube[parse_estimator(name).variable].sum(("layer", "component", "head"))
        for name in ("batch", "probe")
    }
    positive = {name: float((found > 0).mean()) for name, found in sums.items()}
    assert positive["batch"] < 0.5 * positive["probe"]


def test_the_cube_holds_what_the_loop_said_and_what_it_was_given(conserved):
    cube, _ = conserved
    assert cube["loss"].values[0] > 3 > cube["loss"].values[-1]
    assert set(cube["tokens"].values) == {160.0}
    np.testing.assert_allclose(cube["lr"].values, 3e-3)
    assert np.isnan(cube["grad_norm"].values).all()
    assert cube.attrs["seed"] == 4


def test_a_tied_matrix_has_one_cell_with_the_gradient_of_both_uses(tmp_path):
    model = make_transformer(tied=True)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"])
    layout = recorder.recorder.partition.layout
    counts = dict(zip(layout.cells, layout.n_parameters))
    assert counts[Cell(0, "embedding")] == VOCABULARY * WIDTH
    assert Cell(3, "output") not in counts
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    before = model.embedding.weight.detach().double().clone()
    train(model, optimizer, 1, recorder)
    product = (model.embedding.weight.detach() - before) * model.output.weight.grad
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        found = float(cube["lca"].sel(layer=0, component="embedding", head="none")[0])
        assert found == pytest.approx(float(product.sum()), rel=1e-4)


def test_a_detached_recorder_sees_no_further_step(tmp_path):
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path)
    train(model, optimizer, 2, recorder)
    recorder.detach()
    train(model, optimizer, range(3, 5))
    recorder.save()
    assert PartStore(tmp_path).last_update() == 2
