"""Frozen cells do not move by one bit, and nothing else notices."""

import pytest
import torch

from losschange.cube.frozen_cells import FrozenCells
from losschange.cube.layout import Cell
from losschange.errors import RecordingError
from losschange.recording.freezing import CellValues
from losschange.recording.partition import Rule, Schema, partition_parameters

HEADS, WIDTH = 2, 6
SCHEMA = Schema(
    stacks=("embedding", "decoder", "output"),
    heads=HEADS,
    rules=(
        Rule("query", "query", 1, "rows"),
        Rule("out", "out", 1, "columns"),
        Rule("fc", "W1", 1),
        Rule("bias", "bias", 1, "rows"),
    ),
)
SHAPES = {"query": (WIDTH, WIDTH), "out": (WIDTH, WIDTH), "fc": (5, WIDTH), "bias": (WIDTH,)}
PARTITION = partition_parameters(SHAPES.items(), SCHEMA)
CELLS = (Cell(1, "query", 1), Cell(1, "out", 0), Cell(1, "W1"))


def parameters(seed=0):
    random = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(SHAPES[name], generator=random)) for name in PARTITION.names
    ]


def train(held, frozen, updates=4):
    """Adam with momentum and weight decay on random gradients; moments are kept too."""
    optimizer = torch.optim.AdamW(held, lr=0.1, weight_decay=0.1)
    values = CellValues(PARTITION, frozen, "cpu")

    def moved():
        state = optimizer.state
        names = ("exp_avg", "exp_avg_sq") if state else ()
        return [held, *([state[p][name] for p in held] for name in names)]

    random = torch.Generator().manual_seed(1)
    for _ in range(updates):
        for parameter in held:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        values.keep(moved())
        optimizer.step()
        values.put_back(moved())
    return optimizer


def test_rows_columns_and_whole_matrices_stay_and_the_rest_moves_as_without():
    start, held, free = parameters(), parameters(), parameters()
    optimizer = train(held, CELLS)
    train(free, ())
    names = dict(zip(PARTITION.names, range(len(held)), strict=True))
    frozen = {name: torch.zeros(SHAPES[name], dtype=torch.bool) for name in names}
    frozen["query"][WIDTH // HEADS :] = True
    frozen["out"][:, : WIDTH // HEADS] = True
    frozen["fc"][:] = True
    for name, place in names.items():
        chosen = frozen[name]
        assert torch.equal(held[place][chosen], start[place][chosen]), name
        assert torch.equal(held[place][~chosen], free[place][~chosen]), name
        assert (held[place][~chosen] != start[place][~chosen]).all(), name
        moments = optimizer.state[held[place]]
        assert (moments["exp_avg"][chosen] == 0).all() and (
            moments["exp_avg_sq"][chosen] == 0
        ).all()
        assert (moments["exp_avg"][~chosen] != 0).all()


def test_moments_of_earlier_steps_are_kept():
    held = parameters()
    values = CellValues(PARTITION, CELLS, "cpu")
    moments = [torch.full(SHAPES[name], 3.0) for name in PARTITION.names]
    values.keep([held, moments])
    for moment in moments:
        moment.zero_()
    values.put_back([held, moments])
    kept = dict(zip(PARTITION.names, moments, strict=True))
    assert (kept["fc"] == 3).all() and (kept["bias"] == 0).all()
    assert (kept["query"].sum(1) == torch.tensor([0.0] * 3 + [18.0] * 3)).all()
    assert (kept["out"].sum(0) == torch.tensor([18.0] * 3 + [0.0] * 3)).all()


def test_a_cell_that_the_model_lacks_is_named():
    with pytest.raises(RecordingError, match="has no Cell.*'W2'.*cannot be frozen"):
        CellValues(PARTITION, [Cell(1, "W2")], "cpu")


def test_the_file_gives_back_the_cells_and_another_file_is_refused(tmp_path):
    path = tmp_path / "frozen.json"
    for frozen in (FrozenCells(120, CELLS), FrozenCells(0, ())):
        path.write_text(frozen.text())
        assert FrozenCells.read(path) == frozen
    for text in ("", "[]", '{"from_update": 3}', '{"from_update": 3, "cells": [[1]]}'):
        path.write_text(text)
        with pytest.raises(RecordingError, match=r"frozen.json is no list of frozen cells"):
            FrozenCells.read(path)
