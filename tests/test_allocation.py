"""The mathematics, against a slow reference in float64 written scalar group by scalar group."""

import numpy as np
import pytest
import torch

from losschange.allocation import BRANCHES, CellSum, first_order
from losschange.partition import Rule, Schema, partition_parameters

RULES = (
    Rule(r"embed", "embedding", 0),
    Rule(r"(?P<layer>\d+)\.key\.(weight)", "key", 1, "rows"),
    Rule(r"(?P<layer>\d+)\.out\.weight", "out", 1, "columns"),
    Rule(r"(?P<layer>\d+)\.key\.bias", "bias", 1, "rows"),
    Rule(r"(?P<layer>\d+)\.out\.bias", "bias", 1),
    Rule(r"(?P<layer>\d+)\.norm\.(weight|bias)", "norm", 1),
)


def make(width, heads, layers=2, vocabulary=37):
    """A partition with rows, columns, biases, and cells made of several tensors."""
    parameters = [("embed", (vocabulary, width))]
    for layer in range(layers):
        parameters += [
            (f"{layer}.norm.weight", (width,)),
            (f"{layer}.key.weight", (width, width)),
            (f"{layer}.key.bias", (width,)),
            (f"{layer}.out.weight", (width, width)),
            (f"{layer}.out.bias", (width,)),
            (f"{layer}.norm.bias", (width,)),
        ]
    stacks = ("embedding", *["decoder"] * layers, "output")
    return partition_parameters(parameters, Schema(stacks, heads, RULES))


def draw(partition, seed=0, step=1e-3):
    generator = torch.Generator().manual_seed(seed)
    before = [torch.randn(shape, generator=generator) for shape in partition.shapes]
    after = [b + step * torch.randn(b.shape, generator=generator) for b in before]
    gradients = [torch.randn(b.shape, generator=generator) for b in before]
    return before, after, gradients


def allocate(partition, before, after, gradients):
    row = torch.zeros(partition.length)
    views = []
    for offset, tensor in zip(partition.offsets, before):
        view = row[offset : offset + tensor.numel()].view(tensor.shape)
        views.append(view.copy_(tensor))
    return first_order(partition, views, after, gradients, CellSum(partition, "cpu"), row)


def reference(partition, before, after, gradients):
    """Cell sums by slicing each tensor into its heads; knows nothing of blocks and rows."""
    heads = partition.layout.heads
    sums = dict.fromkeys(partition.layout.cells, 0.0)
    sizes = dict.fromkeys(partition.layout.cells, 0.0)
    for name, b, a, g in zip(partition.names, before, after, gradients):
        product = (a.double() - b.double()) * g.double()
        layer, _, rest = name.rpartition(".")[0].partition(".")
        for head in range(heads):
            width = product.shape[-1] // heads
            part = slice(head * width, (head + 1) * width)
            if rest == "key":
                component, own = ("key" if b.dim() == 2 else "bias"), product[part]
            elif rest == "out" and b.dim() == 2:
                component, own = "out", product[:, part]
            else:
                continue
            cell = type(partition.layout.cells[0])(int(layer) + 1, component, head)
            sums[cell] += own.sum().item()
            sizes[cell] += own.abs().sum().item()
        if name == "embed" or rest == "norm" or (rest == "out" and b.dim() == 1):
            depth = 0 if name == "embed" else int(layer) + 1
            component = {"": "embedding", "norm": "norm", "out": "bias"}[rest]
            cell = type(partition.layout.cells[0])(depth, component)
            sums[cell] += product.sum().item()
            sizes[cell] += product.abs().sum().item()
    return np.array(list(sums.values())), np.array(list(sizes.values()))


# 12 / 4: heads of 3 scalars; 24 / 8; 128 / 2: blocks of 64; 520 rows of 64: a tree of two levels.
@pytest.mark.parametrize(
    ("width", "heads", "vocabulary"), [(12, 4, 37), (24, 8, 5), (128, 2, 37), (64, 2, 64 * 80)]
)
def test_equals_the_slow_reference_cell_by_cell(width, heads, vocabulary):
    partition = make(width, heads, vocabulary=vocabulary)
    tensors = draw(partition)
    expected, size = reference(partition, *tensors)
    found = allocate(partition, *tensors)
    assert found.dtype == torch.float64 and found.shape == (len(partition.layout.cells),)
    # The step is rounded to float32: 6e-8 of the parameter, so about 6e-5 of a step of 1e-3.
    assert np.all(np.abs(found.numpy() - expected) <= 1e-4 * size)


def test_the_tree_has_several_levels_for_large_cells():
    partition = make(64, 2, vocabulary=64 * BRANCHES + 1)
    assert len(CellSum(partition, "cpu")._levels) >= 3


def test_cells_sum_to_the_inner_product_of_all_scalars():
    partition = make(24, 8)
    before, after, gradients = draw(partition)
    total = sum(((a - b).double() * g.double()).sum() for b, a, g in zip(before, after, gradients))
    assert float(allocate(partition, before, after, gradients).sum()) == pytest.approx(
        float(total), rel=1e-6
    )


def test_the_same_numbers_give_the_same_bits():
    partition = make(24, 8, vocabulary=999)
    tensors = draw(partition)
    assert torch.equal(allocate(partition, *tensors), allocate(partition, *tensors))


def test_a_parameter_without_gradient_allocates_exactly_nothing():
    partition = make(12, 4)
    before, after, gradients = draw(partition)
    # It may even move (weight decay), or hold no number: it took no part in the loss.
    gradients[0] = None
    after[0] = after[0] * float("nan")
    found = allocate(partition, before, after, gradients)
    assert partition.layout.cells[0].component == "embedding" and found[0] == 0.0
    assert torch.isfinite(found).all() and (found[1:] != 0).all()


def test_no_gradient_at_all_allocates_exactly_nothing():
    partition = make(12, 4)
    before, after, gradients = draw(partition)
    found = allocate(partition, before, after, [None] * len(gradients))
    assert torch.equal(found, torch.zeros_like(found))


def test_a_parameter_that_does_not_move_allocates_exactly_nothing():
    partition = make(12, 4)
    before, _, gradients = draw(partition)
    found = allocate(partition, before, [b.clone() for b in before], gradients)
    assert torch.equal(found, torch.zeros_like(found))


def polynomial(tensors, degree):
    return sum(((tensor.double() * (1 + i)) ** degree).sum() for i, tensor in enumerate(tensors))


@pytest.mark.parametrize(("degree", "exact"), [(1, True), (2, False)])
def test_first_order_is_exact_for_degree_one_and_only_that(degree, exact):
    partition = make(12, 4)
    before, after, _ = draw(partition, step=0.1)
    leaves = [b.clone().requires_grad_() for b in before]
    gradients = torch.autograd.grad(polynomial(leaves, degree), leaves)
    total = float(allocate(partition, before, after, gradients).sum())
    change = float(polynomial(after, degree) - polynomial(before, degree))
    if exact:
        assert total == pytest.approx(change, rel=1e-5)
    else:
        # What is missing is the second-order term, which is positive here.
        second = sum(
            float((((a - b).double() * (1 + i)) ** 2).sum())
            for i, (b, a) in enumerate(zip(before, after))
        )
        assert change - total == pytest.approx(second, rel=1e-3) and second > 0.1
