"""Heads that are closed during a whole training: their LCA is 0, the others' is not."""

import json

import numpy as np
import pytest
import torch

from attention_heads.passes import mean_loss, open_gates
from common.files import UserError
from losschange_fairseq.head_mask import close_heads
from trained_models import SIZE, train
from training.fairseq_arguments import read_head_mask
from training.trained_model import TrainedModelHandle
from training_runs import in_process

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

# Of two layers of encoder and decoder with two heads each.
MASK = {
    "encoder": [[0, 1], [1, 1]],
    "decoder": [[1, 1], [1, 0]],
    "cross": [[1, 0], [0, 0]],
}


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "stock"])
def masked(request, tokens, tmp_path_factory):
    """(folder, cube parts' LCA with its layout) of a translation model with closed heads."""
    folder = tmp_path_factory.mktemp("masked")
    mask = folder / "mask.json"
    mask.write_text(json.dumps({"mask": MASK}))
    run = in_process(
        folder / "state",
        "mt",
        tokens,
        **{**SIZE, "fast_layers": request.param},
        files={"head_mask": mask},
    )
    run.run(lambda update, numbers: None, lambda: False)
    run.save_model(folder / "checkpoint.pt")
    return folder, run


def lca_of_heads(run):
    """LCA (updates, layers, components, heads), and names of stacks and components."""
    from losschange.cube.format import open_cube

    parts = []
    for _, _, path in run.store.parts():
        with open_cube(path) as cube:
            parts.append(cube["lca"].values)
            stacks = [str(name) for name in cube["stack"].values]
            components = [str(name) for name in cube["component"].values]
            heads = [str(name) for name in cube["head"].values]
    return np.concatenate(parts), stacks, components, heads


def test_pruned_heads_have_an_lca_of_exactly_zero_and_the_others_do_not(masked):
    lca, stacks, components, heads = lca_of_heads(masked[1])
    for attention, rows in MASK.items():
        stack = "decoder" if attention == "cross" else attention
        layers = [place for place, name in enumerate(stacks) if name == stack]
        start = "cross_" if attention == "cross" else ""
        for layer, row in zip(layers, rows, strict=True):
            for head, kept in enumerate(row):
                for name in ("query", "key", "value", "out"):
                    cell = lca[:, layer, components.index(start + name), heads.index(str(head))]
                    assert cell.any() if kept else not cell.any(), (attention, layer, head, name)


def test_the_checkpoint_knows_its_closed_heads(masked, tokens):
    folder, _ = masked
    handle = TrainedModelHandle(folder / "checkpoint.pt", tokens["mt"], device="cpu")
    batches = list(handle.sentences("valid", 400))
    gates = open_gates(handle)
    for name, rows in MASK.items():
        gates[name] = torch.tensor(rows, dtype=torch.float32)
    # Closing what is closed changes nothing; opening it is not possible by gates.
    assert mean_loss(handle, batches, gates) == mean_loss(handle, batches)
    gates["cross"][0, 0] = 0.0
    assert mean_loss(handle, batches, gates) != mean_loss(handle, batches)


def test_closing_heads_by_hooks_is_closing_them_by_gates(tokens, tmp_path):
    train(tmp_path, "mt", tokens, "fast-pre")
    handle = TrainedModelHandle(tmp_path / "checkpoint.pt", tokens["mt"], device="cpu")
    batches = list(handle.sentences("valid", 400))
    gates = {name: torch.tensor(rows, dtype=torch.float32) for name, rows in MASK.items()}
    before, expected = mean_loss(handle, batches), mean_loss(handle, batches, gates)
    hooks = close_heads(handle.module, MASK)
    assert mean_loss(handle, batches) == pytest.approx(expected, rel=1e-6)
    for hook in hooks:
        hook.remove()
    assert mean_loss(handle, batches) == before
    with pytest.raises(ValueError, match="encoder attention has layers of .* the model has"):
        close_heads(handle.module, {"encoder": [[1, 1, 1]]})
    with pytest.raises(ValueError, match="no such attention"):
        close_heads(handle.module, {"sideways": [[1]]})


def test_a_mask_that_is_none_is_refused(tmp_path):
    path = tmp_path / "mask.json"
    path.write_text("[1, 2]")
    with pytest.raises(UserError, match="no mask of heads"):
        read_head_mask(path)
