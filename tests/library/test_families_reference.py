"""Trainings of every family: cells of a float64 reference, and not a bit changed by recording."""

import re

import numpy as np
import pytest
import torch
from test_schema_families import FAMILIES, example_of, make_model

from library_reference import gradients_in_float64, values_in_float64
from losschange import attach
from losschange.cube.format import open_cube
from losschange.schemas import schema_for

pytestmark = pytest.mark.usefixtures("one_thread")

DROPOUT = dict.fromkeys(
    (
        "dropout", "dropout_rate", "attention_dropout", "activation_dropout", "hidden_dropout",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "mlp_dropout", "embedding_dropout",
        "resid_pdrop", "embd_pdrop", "attn_pdrop",
    ),
    0.2,
)  # fmt: skip


def loss_of(family, shift=0):
    """The loss of a batch, as the models themselves compute it."""
    batch = example_of(family)
    if family == "vit":
        batch = {"pixel_values": batch["pixel_values"] + shift, "labels": torch.tensor([0, 1])}
    else:
        ids = (batch["input_ids"] + shift) % 40 + 4
        batch = {"input_ids": ids, "labels": ids}

    def loss(model, update=0):
        cast = {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in batch.items()}
        return model(**cast).loss

    return loss


def cells_by_rules(products, schema):
    """Sums of float64 products per (layer, component, head), straight from the rules."""
    cells = {}
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


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_are_those_of_the_reference(tmp_path, family):
    model = make_model(family)
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")  # the others do not know float64
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    recorder = attach(model, optimizer, folder=tmp_path / "parts")
    expected = []
    for update in range(2):
        loss = loss_of(family, update)
        optimizer.zero_grad()
        loss(model).backward()
        gradients, before = gradients_in_float64(model, loss), values_in_float64(model)
        optimizer.step()
        after = values_in_float64(model)
        products = {name: gradients[name] * (after[name] - before[name]) for name in before}
        expected.append(cells_by_rules(products, schema_for(model)))
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        for step, cells in enumerate(expected):
            found = cube["lca"].isel(step=step).load()
            assert int(np.isfinite(found).sum()) == len(cells)
            largest = max(abs(value) for value in cells.values())
            assert largest > 1e-6
            for (layer, component, head), value in cells.items():
                cell = float(found.sel(layer=layer, component=component, head=head))
                assert abs(cell - value) <= 1e-5 * largest, (step, layer, component, head)


@pytest.mark.parametrize("family", FAMILIES)
def test_recording_does_not_change_a_bit_of_a_training_with_dropout(tmp_path, family):
    trained, losses = [], []
    for recording in (False, True):
        model = make_model(family, **DROPOUT)
        quiet = loss_of(family)(model).item()
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        if recording:
            attach(
                model,
                optimizer,
                folder=tmp_path / "parts",
                estimators=["probe", "simpson", "fresh"],
                probes={"train": loss_of(family, 3)},
                fresh=loss_of(family, 5),
                quadrature="fixed",
            )
        torch.manual_seed(3)
        for update in range(2):
            loss = loss_of(family, update)(model)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained.append(model)
    assert losses[0] != quiet, "there is no dropout"
    assert losses[:2] == losses[2:]
    for one, other in zip(*(model.parameters() for model in trained), strict=True):
        assert torch.equal(one, other)
