"""Every estimator in the training of a small Transformer, against a slow reference in float64."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch

from estimator_names import ESTIMATORS, PROBES
from losschange.cube.estimators import parse_estimator
from losschange.cube.format import open_cube, steps_of
from losschange.cube.layout import COMPONENTS
from losschange.recording.partition import Rule, Schema
from small_models import PROBES as PROBE_LOSSES
from small_models import (
    attach_to,
    fresh_loss,
    make_optimizer,
    make_transformer,
    make_words,
    train,
    trainable,
    transformer_schema,
    word_loss,
)

pytestmark = pytest.mark.usefixtures("one_thread")

HEADS, UPDATES = 3, 10
STRIDES = {
    "all at every update": dict.fromkeys(ESTIMATORS, 1),
    "each at its own": {
        "fresh": 2,
        "probe": 3,
        "simpson": 3,
        "probe_valid": 4,
        "simpson_valid": 1,
    },
}


class Reference:
    """Everything in float64, tensor by tensor: knows no rows, blocks, rings or intervals."""

    def __init__(self, model):
        self.model = deepcopy(model).double()
        self.names = [name for name, _ in trainable(model)]
        self.path = [self.snapshot(model)]
        self.allocate = cache(self._allocate)

    @staticmethod
    def snapshot(model):
        return [p.detach().double().clone() for _, p in trainable(model)]

    def look(self, at, loss):
        """Loss and gradients at a point."""
        with torch.no_grad():
            for (_, parameter), value in zip(trainable(self.model), at):
                parameter.copy_(value)
        value = loss(self.model)
        parameters = [p for _, p in trainable(self.model)]
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        zeros = [torch.zeros_like(p) for p in parameters]
        return float(value.detach()), [z if g is None else g for g, z in zip(gradients, zeros)]

    def _allocate(self, estimator, start, end):
        """Products per parameter, their noise in float32, and the losses at both ends."""
        before, after = self.path[start], self.path[end]
        loss = {
            "batch": lambda model: word_loss(model, make_words(16, seed=1000 + end)),
            "fresh": lambda model: fresh_loss(model, end),
        }.get(estimator) or PROBE_LOSSES[PROBES[estimator]]
        first, slope = self.look(before, loss)
        last, slope_after = self.look(after, loss)
        if estimator.startswith("probe"):
            slope = [(a + b) / 2 for a, b in zip(slope, slope_after)]
        if estimator.startswith("simpson"):
            _, middle = self.look([(a + b) / 2 for a, b in zip(before, after)], loss)
            slope = [(a + 4 * m + b) / 6 for a, m, b in zip(slope, middle, slope_after)]
        steps = [b - a for a, b in zip(before, after)]
        largest = max(float(g.abs().max()) for g in slope)
        noise = [
            1e-5 * largest * step.abs() + 1e-7 * value.abs() * g.abs()
            for step, value, g in zip(steps, before, slope)
        ]
        return [g * step for g, step in zip(slope, steps)], noise, (first, last)

    def by_cell(self, tensors):
        """(layer, component, head) to the scalars that it owns, by slicing."""
        cells = {}
        for name, tensor in zip(self.names, tensors):
            for cell, own in self.slices(name, tensor):
                cells.setdefault(cell, []).append(own.flatten())
        return {cell: torch.cat(parts) for cell, parts in cells.items()}

    @staticmethod
    def slices(name, tensor):
        *_, module, kind = name.split(".")
        layer = int(name.split(".")[1]) + 1 if name.startswith("layers") else None
        own = tensor.shape[0] // HEADS
        for head in range(HEADS):
            part = slice(head * own, (head + 1) * own)
            if module in ("query", "key", "value"):
                yield (layer, module if kind == "weight" else "bias", str(head)), tensor[part]
            elif (module, kind) == ("out", "weight"):
                yield (layer, "out", str(head)), tensor[:, part]
        place = {
            "embedding": (0, "embedding"),
            "position": (0, "position"),
            "unused_norm": (0, "norm"),
            "norm": (3, "norm"),
            "output": (3, "output"),
            "attention_norm": (layer, "norm"),
            "forward_norm": (layer, "norm"),
            "first": (layer, "W1" if kind == "weight" else "bias"),
            "second": (layer, "W2" if kind == "weight" else "bias"),
        }
        if module in place:
            yield (*place[module], "none"), tensor
        elif (module, kind) == ("out", "bias"):
            yield (layer, "bias", "none"), tensor


@pytest.fixture(scope="module", params=STRIDES, ids=lambda name: name.replace(" ", "-"))
def recorded(request, tmp_path_factory):
    """A training of a Transformer that AdamW moves: its cube in memory and its reference."""
    folder = tmp_path_factory.mktemp("recorded")
    model = make_transformer(heads=HEADS, unused=True)
    optimizer = make_optimizer(model)
    strides = STRIDES[request.param]
    details = dict.fromkeys(("batch", "fresh", "probe", "simpson"), ("positive", "helped"))
    recorder = attach_to(
        model, optimizer, folder / "parts", estimators=strides, details=details, quadrature="fixed"
    )
    reference = Reference(model)
    optimizer.register_step_post_hook(lambda *_: reference.path.append(reference.snapshot(model)))
    train(model, optimizer, UPDATES, recorder)
    recorder.finish(folder / "cube.nc")
    with open_cube(folder / "cube.nc") as cube:
        return cube.load(), reference, strides


def intervals(estimator, strides):
    """(first, last) of every interval, in numbers of updates made."""
    stride = strides.get(estimator, 1)
    ends = [*range(stride, UPDATES + 1, stride)]
    if estimator not in PROBES:
        return [(end - 1, end) for end in ends]
    ends = sorted({*ends, UPDATES})
    return list(zip([0, *ends], ends))


def place(cell):
    """Where a cell stands in the cube's axes."""
    layer, component, head = cell
    return layer, COMPONENTS.index(component), 0 if head == "none" else int(head) + 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equals_the_slow_reference_cell_by_cell(recorded, estimator):
    cube, reference, strides = recorded
    expected = intervals(estimator, strides)
    assert steps_of(cube, estimator).tolist() == [end for _, end in expected]
    variable = cube[parse_estimator(estimator).variable]
    for position, (start, end) in enumerate(expected):
        products, noise, losses = reference.allocate(estimator, start, end)
        products, noise = reference.by_cell(products), reference.by_cell(noise)
        found = variable[position].values
        assert np.isfinite(found).sum() == len(products)
        for cell, product in products.items():
            allowed = 1e-4 * product.abs().sum() + noise[cell].sum()
            assert abs(found[place(cell)] - float(product.sum())) <= allowed, (end, cell)
        if estimator in PROBES:
            total = sum(float(product.sum()) for product in products.values())
            details = [total - (losses[1] - losses[0]), *losses]
            names = ("error", "loss_before", "loss")
            measured = [float(cube[f"{estimator}_{name}"][position]) for name in names]
            np.testing.assert_allclose(measured, details, atol=2e-6)


@pytest.mark.parametrize("estimator", ["batch", "fresh", "probe", "simpson"])
def test_positive_parts_and_shares_of_helpers_equal_the_slow_reference(recorded, estimator):
    cube, reference, strides = recorded
    suffix = "" if estimator == "batch" else f"_{estimator}"
    positive, helped = cube[f"lca_positive{suffix}"].values, cube[f"helped{suffix}"].values
    doubtful, scalars = 0, 0
    for position, (start, end) in enumerate(intervals(estimator, strides)):
        products, noise, _ = reference.allocate(estimator, start, end)
        noise = reference.by_cell(noise)
        for cell, product in reference.by_cell(products).items():
            where = (position, *place(cell))
            allowed = 1e-4 * product.abs().sum() + noise[cell].sum()
            assert abs(positive[where] - float(product.clamp(min=0).sum())) <= allowed
            # A product as small as its rounding may have either sign.
            unsure = int((product.abs() <= noise[cell]).sum())
            sure = int(((product < 0) & (product.abs() > noise[cell])).sum())
            assert sure - 0.01 <= helped[where] * len(product) <= sure + unsure + 0.01
            doubtful, scalars = doubtful + unsure, scalars + len(product)
    assert doubtful < 0.1 * scalars


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_cells_sum_to_the_inner_product_of_all_scalars(recorded, estimator):
    cube, reference, strides = recorded
    sums = cube[parse_estimator(estimator).variable].sum(("layer", "component", "head")).values
    for found, (start, end) in zip(sums, intervals(estimator, strides)):
        products, noise, _ = reference.allocate(estimator, start, end)
        total = float(sum(product.sum() for product in products))
        size = float(sum(product.abs().sum() for product in products))
        assert found == pytest.approx(total, abs=1e-5 * size) and abs(total) > 1e-4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_parameter_outside_the_loss_has_exactly_nothing(recorded, estimator):
    cube, _, _ = recorded
    unused = cube[parse_estimator(estimator).variable].sel(layer=0, component="norm", head="none")
    assert unused.notnull().all() and np.all(unused.values == 0)


def test_another_partition_of_the_same_training_has_the_same_sums(tmp_path):
    """Heads sum to their matrix, and one cell of everything holds the sum of all."""
    whole = Schema(("embedding",), 1, (Rule(".*", "W1", 0),))
    schemas = {"heads": transformer_schema(heads=HEADS), "matrices": transformer_schema(heads=1)}
    model = make_transformer(heads=HEADS)
    optimizer = make_optimizer(model)
    # Several recorders may follow one optimizer.
    recorders = {
        name: attach_to(
            model, optimizer, tmp_path / name, schema=schema, estimators=["probe", "simpson"]
        )
        for name, schema in {**schemas, "whole": whole}.items()
    }
    train(model, optimizer, 5)
    cubes = {}
    for name, recorder in recorders.items():
        recorder.finish(tmp_path / f"{name}.nc")
        with open_cube(tmp_path / f"{name}.nc") as cube:
            cubes[name] = cube.load()
    for variable in ("lca", "lca_probe", "lca_simpson"):
        heads, matrices, all_in_one = (cube[variable].values for cube in cubes.values())
        size = np.nansum(np.abs(heads))
        sums = [np.nansum(grid, axis=3) for grid in (heads, matrices)]
        np.testing.assert_allclose(*sums, atol=1e-6 * size)
        key = COMPONENTS.index("key")
        assert np.isfinite(heads[:, 1, key, 1:]).all() and np.isnan(heads[:, 1, key, 0]).all()
        totals = [np.nansum(grid, axis=(1, 2, 3)) for grid in (heads, all_in_one)]
        np.testing.assert_allclose(*totals, atol=1e-6 * size)
        assert np.abs(totals).min() > 1e-3


def test_a_fresh_batch_has_the_dropout_of_its_update(tmp_path):
    model = make_transformer(dropout=0.3)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["fresh"])
    gradients, path = [], []

    def keep(*_):
        path.append([p.detach().clone() for p in model.parameters()])
        torch.manual_seed(len(path))
        twin = deepcopy(model)
        gradients.append(torch.autograd.grad(fresh_loss(twin, len(path)), [*twin.parameters()]))

    optimizer.register_step_pre_hook(keep)
    train(model, optimizer, 3)
    path.append([p.detach() for p in model.parameters()])
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        found = cube["lca_fresh"].sum(("layer", "component", "head")).values
    for step, slope in enumerate(gradients):
        steps = [b.double() - a for a, b in zip(path[step], path[step + 1])]
        expected = sum(float((g * d).sum()) for g, d in zip(slope, steps))
        assert found[step] == pytest.approx(expected, rel=1e-4)
