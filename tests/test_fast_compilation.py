"""Compiled layers: few graphs, whatever the shapes and however many layers, and the same losses.

A compiler for a GPU is not here. What it is given is: the graphs that PyTorch traces, run as they
are, on the way that a GPU takes.
"""

from functools import partial

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from losschange_fairseq.fast import attention, cross_entropy, layers
from training_runs import SWITCHES, in_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

UPDATES = 12
CHANGES = {
    **dict.fromkeys(SWITCHES, True),
    "layers": 6,  # a graph for each of them would be more than MOST
    "total_updates": UPDATES,
    "update_frequency": 4,
    "max_tokens": 192,
    "micro_batches": 2,
    "validation_interval": 3,
    "dropout": 0.0,
}


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The ways of a GPU, and graphs that run without a compiler."""
    torch.compiler.reset()
    counters.clear()
    monkeypatch.setattr(cross_entropy, "_COMPILED", {})
    monkeypatch.setattr(attention, "suits", lambda *_: False)
    monkeypatch.setattr(layers, "add_dropped", lambda module, residual, x: residual + module(x))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    # Otherwise what is compiled too often runs uncompiled, and nobody is told.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield
    torch.compiler.reset()


def train(folder, objective, tokens, **changes):
    """(losses, graphs compiled until each update, shapes of each update's passes)."""
    run = in_process(folder, objective, tokens, **CHANGES, **changes)
    losses, graphs, shapes, join = [], [], [], run.task.join_samples

    def remember(samples, model):
        joined = join(samples, model)
        shapes.append({tuple(sample["target"].shape) for sample in joined})
        return joined

    run.task.join_samples = remember

    def report(update, numbers):
        losses.append(numbers["loss"])
        graphs.append(counters["stats"]["unique_graphs"])

    assert run.run(report, lambda: False)
    return np.array(losses), graphs, shapes


# A prefix model has graphs for a mask that all samples share and for one mask each: the last sample
# of a text is shorter, and so is its prefix. With the prefixes the rows of the output layer change.
MOST = {"clm": 8, "mlm": 10, "mt": 14, "plm": 10}


@pytest.mark.parametrize(("objective", "most"), MOST.items())
def test_few_graphs_serve_all_layers_and_all_shapes(objective, most, tokens, tmp_path, as_on_a_gpu):
    expected, none, _ = train(tmp_path / "plain", objective, tokens)
    assert none[-1] == 0
    losses, graphs, shapes = train(tmp_path / "compiled", objective, tokens, compile=True)
    np.testing.assert_allclose(losses, expected, atol=2e-3)
    # The first validation is behind; lengths of translations go on changing.
    settled = UPDATES // 2
    assert 0 < graphs[settled] == graphs[-1] <= most
    assert not counters["graph_break"]
    new = set().union(*shapes[settled:]) - set().union(*shapes[:settled])
    assert new or objective != "mt"
