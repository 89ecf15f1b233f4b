"""The mathematics, against a slow reference in float64 written scalar group by scalar group."""

import numpy as np
import pytest
import torch

from losschange.cube.layout import Cell
from losschange.recording.allocation import (
    BRANCHES,
    CellSum,
    ExtraReductions,
    FlatVector,
    FlatViews,
)
from losschange.recording.partition import Rule, Schema, partition_parameters
from small_models import transformer_schema

pytestmark = pytest.mark.usefixtures("one_thread")


def make(width, heads, layers=2, vocabulary=37):
    """A partition with rows, columns, biases, and cells made of several tensors."""
    shapes = {"embedding.weight": (vocabulary, width)}
    for layer in range(layers):
        names = ("attention_norm.weight", "key.weight", "key.bias", "out.weight", "out.bias")
        for name in (*names, "attention_norm.bias"):
            matrix = name in ("key.weight", "out.weight")
            shapes[f"layers.{layer}.{name}"] = (width, width) if matrix else (width,)
    return partition_parameters(shapes.items(), transformer_schema(layers, heads))


def draw(partition, seed=0, step=1e-3):
    generator = torch.Generator().manual_seed(seed)
    before = [torch.randn(shape, generator=generator) for shape in partition.shapes]
    after = [b + step * torch.randn(b.shape, generator=generator) for b in before]
    gradients = [torch.randn(b.shape, generator=generator) for b in before]
    return before, after, gradients


def products(partition, before, after, gradients):
    """−LCA of every parameter in an update."""
    return FlatVector(partition, "cpu").copy(before).subtract(after).multiply(gradients)


def allocate(partition, before, after, gradients):
    return -CellSum(partition, "cpu")(products(partition, before, after, gradients).flat)


def pieces(partition, before, after, gradients):
    """(cell, products in float64) by slicing tensors into heads; knows no blocks and no rows."""
    heads = partition.layout.heads
    for name, b, a, g in zip(partition.names, before, after, gradients):
        product = (a.double() - b.double()) * g.double()
        if name == "embedding.weight":
            yield Cell(0, "embedding"), product
            continue
        _, layer, module, kind = name.split(".")
        width = product.shape[-1] // heads
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            if module == "key":
                component = "key" if kind == "weight" else "bias"
                yield Cell(int(layer) + 1, component, head), product[part]
            elif (module, kind) == ("out", "weight"):
                yield Cell(int(layer) + 1, "out", head), product[:, part]
        if module == "attention_norm":
            yield Cell(int(layer) + 1, "norm"), product
        elif (module, kind) == ("out", "bias"):
            yield Cell(int(layer) + 1, "bias"), product


def reference(partition, *tensors):
    """Per cell: its sum, the sum of its sizes, its positive part, the share that helped."""
    cells = {cell: [] for cell in partition.layout.cells}
    for cell, product in pieces(partition, *tensors):
        cells[cell].append(product.flatten())
    rows = [torch.cat(found) for found in cells.values()]
    return (
        np.array([float(row.sum()) for row in rows]),
        np.array([float(row.abs().sum()) for row in rows]),
        np.array([float(row.clamp(min=0).sum()) for row in rows]),
        np.array([float((row < 0).double().mean()) for row in rows]),
    )


# 12 / 4: heads of 3 scalars; 24 / 8; 128 / 2: blocks of 64; 520 rows of 64: a tree of two levels.
@pytest.mark.parametrize(
    ("width", "heads", "vocabulary"), [(12, 4, 37), (24, 8, 5), (128, 2, 37), (64, 2, 64 * 80)]
)
def test_equals_the_slow_reference_cell_by_cell(width, heads, vocabulary):
    partition = make(width, heads, vocabulary=vocabulary)
    tensors = draw(partition)
    expected, size, _, _ = reference(partition, *tensors)
    found = allocate(partition, *tensors)
    assert found.dtype == torch.float64 and found.shape == (len(partition.layout.cells),)
    # The step is rounded to float32: 6e-8 of the parameter, so about 6e-5 of a step of 1e-3.
    assert np.all(np.abs(found.numpy() - expected) <= 1e-4 * size)


@pytest.mark.parametrize(("width", "heads"), [(12, 4), (128, 2)])
def test_positive_part_and_share_of_helpers_equal_the_slow_reference(width, heads):
    partition = make(width, heads)
    tensors = draw(partition)
    _, size, positive, helped = reference(partition, *tensors)
    details = ExtraReductions(partition, CellSum(partition, "cpu"), ("positive", "helped"))
    found = [column.numpy() for column in details(products(partition, *tensors))]
    assert np.all(np.abs(found[0] - positive) <= 1e-4 * size)
    # The padding of a block must not count.
    np.testing.assert_allclose(found[1], helped, rtol=1e-12)
    assert len(set(helped)) > 5 and len(set(positive)) > 5


def test_details_come_in_the_order_asked_for():
    partition = make(12, 4)
    tensors = draw(partition)
    results = []
    for names in (("positive", "helped"), ("helped", "positive")):
        details = ExtraReductions(partition, CellSum(partition, "cpu"), names)
        results.append(dict(zip(names, details(products(partition, *tensors)))))
    for name, column in results[0].items():
        assert torch.equal(column, results[1][name])


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


def test_a_row_that_is_used_again_keeps_nothing_of_a_parameter_left_out():
    partition = make(12, 4)
    before, after, _ = draw(partition)
    row = FlatVector(partition, "cpu").copy(before).copy([None, *after[1:]])
    assert not row.views[0].any() and torch.equal(row.views[1], after[1])
    sizes = [tensor.numel() for tensor in before]
    assert int((row.flat != 0).sum()) == sum(sizes[1:]), "the padding stays 0"


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


def test_pieces_of_one_tensor_give_the_bits_of_separate_ones():
    partition = make(12, 4)
    separate = draw(partition)
    whole = [
        FlatViews(torch.cat([one.reshape(-1) for one in tensors]), partition.shapes)
        for tensors in separate
    ]
    expected, found = products(partition, *separate), products(partition, *whole)
    assert torch.equal(expected.flat, found.flat)


def test_pieces_are_laid_into_a_row_that_has_gaps():
    rules = (Rule("matrix", "key", 1, "rows"), Rule("bias", "bias", 1))
    shapes = [("bias", (5,)), ("matrix", (8, 4))]
    partition = partition_parameters(shapes, Schema(("embedding", "decoder"), 2, rules))
    pieces = FlatViews(torch.arange(1.0, 38.0), partition.shapes)
    row = FlatVector(partition, "cpu").copy(pieces)
    assert len(row.flat) > 37
    assert row.views[0].tolist() == [1, 2, 3, 4, 5] and row.views[1][-1, -1] == 37
