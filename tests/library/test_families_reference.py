"""Trainings of every family: cells of a float64 reference, and not a bit changed by recording."""

import pytest
import torch
from test_schema_families import FAMILIES, example_of, make_model

from library_reference import cells_of_update, check_cells
from losschange import attach
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
        expected.append(cells_of_update(model, optimizer, loss, schema_for(model)))
    recorder.finish(tmp_path / "cube.nc")
    check_cells(tmp_path / "cube.nc", expected)


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
