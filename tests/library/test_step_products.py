"""The one pass of "batch" on a CPU has the bits of the passes that it replaces."""

import pytest
import torch

from losschange.recording import step_products
from losschange.recording.allocation import CellSum, FlatVector
from losschange.recording.partition import Rule, Schema, partition_parameters
from losschange.recording.step_products import StepProducts

SHAPES = {"words": (331, 12), "key": (12, 12), "out": (12, 12), "scale": (5,), "bias": (1,)}
RULES = (
    Rule("words", "embedding", 0),
    Rule("key", "key", 1, "rows"),
    Rule("out", "out", 1, "columns"),
    Rule("scale|bias", "norm", 1),
)


def tensors(seed, absent=()):
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return [None if name in absent else tensor for name, tensor in made.items()]


@pytest.mark.parametrize("heads", [1, 3, 12])  # blocks of 64, 4 and 1 scalars
@pytest.mark.parametrize("absent", [(), ("key", "bias")])
def test_bits_are_those_of_subtracting_multiplying_and_summing(monkeypatch, heads, absent):
    monkeypatch.setattr(step_products, "PIECE", 512)  # several pieces of the words
    schema = Schema(("embedding", "decoder", "output"), heads, RULES)
    partition = partition_parameters(SHAPES.items(), schema)
    cell_sum = CellSum(partition, "cpu")
    before, after, gradients = tensors(1), tensors(2), tensors(3, absent)
    apart = FlatVector(partition, "cpu").copy(before).subtract(after)
    step = apart.flat.clone()
    expected = cell_sum.allocations(apart.multiply(gradients))
    vector = FlatVector(partition, "cpu")
    products = StepProducts(partition, vector, cell_sum)
    for _ in range(2):  # what the last call left behind does not count
        vector.copy(before)
        found = products(after, gradients)
        assert torch.equal(vector.flat, step)
        assert torch.equal(found, expected)


def test_what_is_not_contiguous_and_details_are_left_to_the_other_passes():
    partition = partition_parameters(SHAPES.items(), Schema(("embedding", "decoder"), 3, RULES))
    cell_sum, vector = CellSum(partition, "cpu"), FlatVector(partition, "cpu")
    before, after, gradients = tensors(1), tensors(2), tensors(3)
    expected = vector.copy(before).subtract(after).flat.clone()
    crooked = [gradients[0].t().contiguous().t(), *gradients[1:]]
    for given, separately in ((crooked, False), (gradients, True)):
        vector.copy(before)
        assert StepProducts(partition, vector, cell_sum, separately)(after, given) is None
        assert torch.equal(vector.flat, expected)
