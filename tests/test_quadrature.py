"""Each estimator's quadrature is exact for polynomials up to its degree, and wrong just above."""

import numpy as np
import pytest
import torch

from estimator_names import PROBES
from losschange.cube.format import open_cube
from losschange.cube.parts import PartStore, read_records
from losschange.recording.partition import Rule, Schema, partition_parameters
from losschange.recording.recorder import Recorder
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

# The highest degree of a loss, as a polynomial along the segment, that each rule is exact for, and
# what it gives too much for c x^(degree + 1): a multiple of c D^(degree + 1).
RULES = {"batch": (1, -1), "fresh": (1, -1), "probe": (2, 1 / 2), "simpson": (4, 1 / 24)}
SHAPES = {"a": (4, 3), "b": (5,)}
TWO_CELLS = Schema(("embedding",), 1, (Rule("a", "W1", 0), Rule("b", "bias", 0)))


class Polynomial:
    """A loss that is the sum over the parameters of a polynomial of each of them."""

    def __init__(self, degree, theta):
        generator = torch.Generator().manual_seed(degree)
        self.coefficients = torch.randn(degree + 1, generator=generator, dtype=torch.float64)
        self.theta = theta

    def of_each(self, theta):
        return [sum(c * x.double() ** k for k, c in enumerate(self.coefficients)) for x in theta]

    def gradient(self, x):
        return sum(c * k * x.double() ** (k - 1) for k, c in enumerate(self.coefficients) if k)

    def __call__(self, at=None):
        theta = self.theta if at is None else at
        loss = sum(part.sum() for part in self.of_each(theta))
        return loss, [self.gradient(x) for x in theta]


def record_polynomial(folder, degree, stride, updates=7):
    """Records of all estimators along a path of coarse numbers; (records, path, loss)."""
    generator = torch.Generator().manual_seed(9)
    path = [
        [torch.randint(-6, 7, shape, generator=generator) / 4 for shape in SHAPES.values()]
        for _ in range(updates + 1)
    ]
    loss = Polynomial(degree, path[0])
    partition = partition_parameters(SHAPES.items(), TWO_CELLS)
    recorder = Recorder(
        partition,
        PartStore(folder),
        strides=dict.fromkeys(("fresh", "probe", "simpson"), stride),
        probes={"train": loss},
        fresh={"train": lambda update: loss(path[update - 1])[1]},
    )
    for before, after in zip(path, path[1:]):
        loss.theta = before
        recorder.before_update(before)
        loss.theta = after
        recorder.after_update(after, loss(before)[1])
        recorder.describe_update()
    recorder.close(path[-1])
    recorder.flush()
    ((_, _, part),) = recorder.store.parts()
    with open_cube(part) as cube:
        found = {name: read_records(cube, partition.layout, name) for name in RULES}
    return found, path, loss


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("above", [0, 1], ids=["at the degree", "just above"])
@pytest.mark.parametrize("estimator", RULES)
def test_each_rule_is_exact_to_its_degree_and_not_above(tmp_path, estimator, above, stride):
    degree, excess = RULES[estimator]
    records, path, loss = record_polynomial(tmp_path, degree + above, stride)
    stride = 1 if estimator == "batch" else stride
    ends = [step for step in range(1, 8) if step % stride == 0]
    if estimator in PROBES and stride == 3:
        ends.append(7)  # the interval that the end of the training cuts short
    assert records[estimator].steps.tolist() == ends
    starts = [end - 1 for end in ends]
    if estimator in PROBES:
        starts = [0, *ends[:-1]]
    for start, end, cells in zip(starts, ends, records[estimator].values):
        pairs = list(zip(path[start], path[end]))
        change = [
            float((b - a).sum()) for a, b in zip(*map(loss.of_each, (path[start], path[end])))
        ]
        if above:
            factor = excess * float(loss.coefficients[-1])
            wrong = [factor * float(((b - a).double() ** (degree + 1)).sum()) for a, b in pairs]
            assert max(map(abs, wrong)) > 1e-2
            change = [right + error for right, error in zip(change, wrong)]
        np.testing.assert_allclose(cells, change, rtol=1e-5, atol=1e-4)


def test_splitting_brings_simpson_below_its_tolerance(tmp_path):
    """Large steps: the plain rule misses the change of the loss, the split one does not."""
    errors = {}
    for tolerance in (None, 1e-3):
        model = make_transformer(layers=1)
        optimizer = make_optimizer(model, rate=0.03)
        folder = tmp_path / str(tolerance)
        recorder = attach_to(
            model, optimizer, folder, estimators={"simpson": 1}, simpson_tolerance=tolerance,
            quadrature="adaptive" if tolerance else "fixed",
        )  # fmt: skip
        train(model, optimizer, 6, recorder)
        recorder.finish(tmp_path / "cube.nc")
        with open_cube(tmp_path / "cube.nc") as cube:
            errors[tolerance] = np.abs(cube["simpson_error"].values).max()
    assert errors[None] > 5e-3 and errors[1e-3] <= 1e-3, errors
