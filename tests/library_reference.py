"""An independent reference: naive autograd in float64, tensor by tensor.

It shares no code with the recorder, only the rules of a schema. It follows the very steps that the
training made, since two trainings in different precision would part, and takes its gradients from a
float64 copy of the model.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from losschange.cube.format import open_cube
from losschange.recording.partition import Schema
from small_models import make_words, word_loss

Cells = dict[tuple[int, str, str], float]


def gradients_in_float64(model: torch.nn.Module, loss: Callable) -> dict[str, torch.Tensor]:
    """Gradient of loss(model) for every trained parameter, zeros where there is none."""
    twin = copy.deepcopy(model).double()
    twin.zero_grad()
    loss(twin).backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in twin.named_parameters()
        if p.requires_grad
    }


def values_in_float64(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the trained parameters."""
    return {
        name: p.detach().double().clone() for name, p in model.named_parameters() if p.requires_grad
    }


def cells_of_transformer(products: dict[str, torch.Tensor], heads: int, layers: int) -> Cells:
    """Sums of g * step per cell of a small_models.CausalTransformer, written out by hand."""
    cells: Cells = {}

    def add(layer, component, part, head="none"):
        key = (layer, component, str(head))
        cells[key] = cells.get(key, 0.0) + float(part.sum())

    for name, product in products.items():
        if name == "embedding.weight":
            add(0, "embedding", product)
        elif name == "position.weight":
            add(0, "position", product)
        elif name == "output.weight":
            add(layers + 1, "output", product)
        elif name.startswith("norm."):
            add(layers + 1, "norm", product)
        else:
            _, number, module, kind = name.split(".")
            layer, width = int(number) + 1, product.shape[-1] // heads
            if module in ("query", "key", "value"):
                for head in range(heads):
                    own = product[head * (len(product) // heads) :][: len(product) // heads]
                    add(layer, module if kind == "weight" else "bias", own, head)
            elif module == "out" and kind == "weight":
                for head in range(heads):
                    add(layer, "out", product[:, head * width : (head + 1) * width], head)
            elif module.endswith("norm"):
                add(layer, "norm", product)
            elif kind == "bias":
                add(layer, "bias", product)
            else:
                add(layer, {"first": "W1", "second": "W2"}[module], product)
    return cells


def cells_by_rules(products: dict[str, torch.Tensor], schema: Schema) -> Cells:
    """Sums of float64 products per (layer, component, head), straight from the rules."""
    cells: Cells = {}
    for name, product in products.items():
        ((rule, match),) = [
            (rule, match) for rule in schema.rules if (match := re.fullmatch(rule.pattern, name))
        ]
        layer = rule.depth + int(match.groupdict().get("layer") or 0)
        parts = (rule.component,) if isinstance(rule.component, str) else rule.component
        if rule.heads is None:
            keys, pieces = [(layer, parts[0], "none")], [product]
        else:
            numbers = rule.n_heads or schema.heads
            numbers = numbers if isinstance(numbers, tuple) else (numbers,) * len(parts)
            keys = [(layer, p, str(h)) for p, n in zip(parts, numbers) for h in range(n)]
            if rule.order == "heads":
                keys = sorted(keys, key=lambda key: (int(key[2]), parts.index(key[1])))
            axis = 0 if rule.heads == "rows" else product.ndim - 1
            pieces = product.tensor_split(len(keys), dim=axis)
        for key, piece in zip(keys, pieces, strict=True):
            cells[key] = cells.get(key, 0.0) + float(piece.sum())
    return cells


def cells_of_update(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: Callable, schema: Schema
) -> Cells:
    """Make an update, and allocate it by a schema's rules."""
    gradients, before = gradients_in_float64(model, loss), values_in_float64(model)
    optimizer.zero_grad()
    loss(model).backward()
    optimizer.step()
    after = values_in_float64(model)
    products = {name: gradients[name] * (after[name] - before[name]) for name in before}
    return cells_by_rules(products, schema)


def check_cells(
    cube: Path, updates: Sequence[Cells], variable: str = "lca", tolerance: float = 1e-5
) -> None:
    """Assert that all cells of a cube agree within a share of the update's largest."""
    with open_cube(cube) as data:
        assert data.sizes["step"] == len(updates)
        for step, expected in enumerate(updates):
            found = data[variable].isel(step=step).load()
            assert int(np.isfinite(found).sum()) == len(expected)
            largest = max(abs(value) for value in expected.values())
            assert largest > 0
            for (layer, component, head), value in expected.items():
                cell = float(found.sel(layer=layer, component=component, head=head))
                assert abs(cell - value) <= tolerance * largest, (step, layer, component, head)


class Reference:
    """The expected cells of every update of a small_models.CausalTransformer."""

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.updates: list[Cells] = []

    def before(self, gradients: dict[str, torch.Tensor]) -> None:
        """Keep the parameters and the gradients (float64) that the optimizer is given now."""
        self._gradients, self._values = gradients, values_in_float64(self.model)

    def after(self) -> None:
        """Allocate the step that was made."""
        values = values_in_float64(self.model)
        products = {n: self._gradients[n] * (values[n] - self._values[n]) for n in values}
        layers, heads = len(self.model.layers), self.model.layers[0].heads
        self.updates.append(cells_of_transformer(products, heads, layers))

    def check(self, cube: Path, variable: str = "lca", tolerance: float = 1e-5) -> None:
        """Assert that all cells of a cube are those of the reference."""
        check_cells(cube, self.updates, variable, tolerance)


def batch_loss(update: int, sentences: int = 16) -> Callable:
    """The loss of the batch of an update."""
    words = make_words(sentences, seed=1000 + update)
    return lambda model: word_loss(model, words)
