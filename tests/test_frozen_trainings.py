"""Trainings by fairseq with frozen cells, from a resume point of their parent or from the start."""

import json

import numpy as np
import pytest
import torch

from losschange.cube.format import layout_of, open_cube
from losschange.cube.frozen_cells import FrozenCells
from losschange.cube.layout import Cell
from running.models import parse_model
from studies.interventions.cells import cells_of_model
from studies.interventions.variants import RECORDING as CHILDS
from tiny_trainings import EXECUTION, RECORDING, tiny_training
from training.probe_losses import ProbedModel
from training.run import train_model
from training.state import Outputs
from training_runs import NAMES, check_same_model, command, run, state_of

pytestmark = pytest.mark.slow

# Neither a multiple of the strides nor the end of an epoch.
FROM = 17
CELLS = (
    Cell(1, "query", 1),
    Cell(1, "out", 0),
    Cell(1, "bias", 1),
    Cell(2, "W1"),
    Cell(2, "norm"),
    Cell(0, "embedding"),
)
# What the children record: less than the parent, but enough to see that nothing moves.
LESS = {**RECORDING, "estimators": {"probe": 3, "simpson": 3}, "details": {}}


def train(folder, objective, tokens, recording=LESS, kept=None, files=None, **changes):
    """Train a tiny model in this process into a folder; the folder."""
    model = parse_model(NAMES[objective])
    outputs = Outputs(*(folder / name for name in ("cube", "checkpoint", "history", "settings")))
    settings = {"clip_norm": 0.5, "weight_decay": 0.1, **changes}
    training = tiny_training(model, **settings)
    torch.manual_seed(len(str(folder)))
    data, state = tokens[objective], folder / "state"
    train_model(
        model, training, EXECUTION, recording, data, 1, state, outputs, kept=kept, files=files
    )
    return folder


def frozen_file(path, update=FROM, cells=CELLS):
    path.write_text(FrozenCells(update, cells).text())
    return path


def start_of(parent, frozen):
    """The files of a child that starts from its parent's resume point."""
    return {
        "frozen_cells": frozen,
        "resume_point": parent / f"resume_points/{FROM}.pt",
        "parent_cube": parent / "cube",
        "parent_history": parent / "history",
    }


@pytest.fixture(scope="module")
def family(tokens, tmp_path_factory):
    """A parent with a resume point, and its children: one starts there, one from the start."""
    folder = tmp_path_factory.mktemp("family")
    kept = {"updates": [0, FROM], "resume_points": [FROM], "precision": "float32"}
    parent = train(folder / "parent", "clm", tokens, RECORDING, kept)
    frozen = frozen_file(folder / "frozen.json")
    kept = {"updates": [FROM], "precision": "float32"}
    late = train(folder / "late", "clm", tokens, files=start_of(parent, frozen))
    early = train(folder / "early", "clm", tokens, kept=kept, files={"frozen_cells": frozen})
    return parent, late, early


def test_a_child_without_a_resume_point_trains_from_the_start_to_the_same_bits(family):
    _, late, early = family
    check_same_model(late, early)
    with open_cube(late / "cube") as one, open_cube(early / "cube") as other:
        assert set(one.variables) == set(other.variables)
        for name in one.variables:
            assert one[name].dtype == other[name].dtype, name
            np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)
    rows = [(folder / "history").read_text().splitlines() for folder in (late, early)]
    assert len(rows[0]) == 31
    assert [row.rsplit(",", 1)[0] for row in rows[0]] == [r.rsplit(",", 1)[0] for r in rows[1]]


def test_a_child_that_records_batch_alone_is_the_same_model(family, tokens, tmp_path):
    """As the study's children do."""
    parent, late, _ = family
    files = start_of(parent, frozen_file(tmp_path / "frozen.json"))
    alone = train(tmp_path / "alone", "clm", tokens, {**RECORDING, **CHILDS}, files=files)
    check_same_model(late, alone)
    with open_cube(late / "cube") as one, open_cube(alone / "cube") as other:
        np.testing.assert_array_equal(one["lca"].values, other["lca"].values)
        assert "lca_probe" not in other


def test_parent_and_child_are_the_same_before_and_differ_after(family):
    parent, late, early = family
    for kind in ("loss", "lr", "tokens", "lca", "probe_loss", "lca_simpson"):
        with open_cube(parent / "cube") as one, open_cube(late / "cube") as other:
            axis = one[kind].dims[0]
            before = int((one[axis] <= FROM).sum())
            np.testing.assert_array_equal(one[kind].values[:before], other[kind].values[:before])
    with open_cube(parent / "cube") as one, open_cube(late / "cube") as other:
        assert not (one["loss"].values[FROM + 1 :] == other["loss"].values[FROM + 1 :]).any()
    one, other = (
        torch.load(folder / f"snapshots/{FROM}.pt")["weights"] for folder in (parent, early)
    )
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_frozen_cells_have_no_lca_and_their_parameters_do_not_move(family):
    parent, late, _ = family
    with open_cube(late / "cube") as cube:
        for name in ("lca", "lca_probe", "lca_simpson"):
            values = cube[name]
            # The interval of a probe that holds the beginning of the freeze is partly free.
            stride = 1 if name == "lca" else 3
            after = values.isel({values.dims[0]: cube[values.dims[0]].values - stride >= FROM})
            frozen = np.zeros(after.shape[1:], dtype=bool)
            for cell in CELLS:
                where = {"layer": cell.layer, "component": cell.component}
                place = 0 if cell.head is None else cell.head + 1
                index = list(cube["component"].values).index(cell.component)
                assert (after.sel(where).isel(head=place) == 0).all(), (name, cell)
                frozen[cell.layer, index, place] = True
            rest = after.values[:, ~frozen]
            assert (rest[:, ~np.isnan(rest).all(axis=0)] != 0).mean() > 0.99
    start = torch.load(parent / f"snapshots/{FROM}.pt")["weights"]
    end = state_of(late / "checkpoint")
    half = slice(8, None), slice(None, 8)
    kept = {
        "decoder.embed_tokens.weight": ...,
        "decoder.layers.0.self_attn.q_proj.weight": half[0],
        "decoder.layers.0.self_attn.q_proj.bias": half[0],
        "decoder.layers.0.self_attn.out_proj.weight": (slice(None), half[1]),
        "decoder.layers.1.fc1.weight": ...,
        "decoder.layers.1.final_layer_norm.weight": ...,
    }
    for name, place in kept.items():
        assert torch.equal(start[name][place], end[name][place]), name
        if place is not ...:
            assert (start[name] != end[name]).any(), name


def test_the_cells_that_the_configuration_may_name_are_those_of_the_cube(family):
    with open_cube(family[0] / "cube") as cube:
        named = cells_of_model("clm", tiny_training(parse_model("clm-en")))
        assert set(layout_of(cube).cells) == set(named)


def test_losses_on_the_probes_are_the_recorded_ones_and_rewinding_is_undone(family, tokens):
    parent, late, _ = family
    probed = ProbedModel(parent / "checkpoint", tokens["clm"], 1, 128, 256)
    samples = {"probe": probed.probe("train"), "probe_valid": probed.probe("valid")}

    def loss(name="probe"):
        losses, counts = probed.row_losses(samples[name])
        return losses.sum() / counts.sum()

    with open_cube(parent / "cube") as cube:
        end = float(cube["probe_loss"][-1])
        assert loss() == pytest.approx(end, rel=1e-4)
        assert loss("probe_valid") == pytest.approx(float(cube["probe_valid_loss"][-1]), rel=1e-4)
        wanted = {(cell.layer, cell.component) for cell in layout_of(cube).cells}
    final = {name: tensor.clone() for name, tensor in probed.handle.module.state_dict().items()}
    first = torch.load(parent / "snapshots/0.pt")["weights"]
    name, seen = "decoder.layers.1.fc1.weight", set()
    for layer, component, _ in probed.rewound(parent / "snapshots/0.pt"):
        seen.add((layer, component))
        own = probed.handle.module.state_dict()
        back = first if (layer, component) == (2, "W1") else final
        assert torch.equal(own[name], back[name])
        moved = [key for key, tensor in own.items() if not torch.equal(tensor, final[key])]
        assert moved and loss() != pytest.approx(end, abs=1e-7)
        if component == "W1":
            assert moved == [f"decoder.layers.{layer - 1}.fc1.weight"]
    assert seen == wanted
    assert loss() == pytest.approx(end, rel=1e-4)
    probed.take_weights(late / "checkpoint")
    with open_cube(late / "cube") as cube:
        assert loss() == pytest.approx(float(cube["probe_loss"][-1]), rel=1e-4)


def test_with_everything_frozen_the_loss_stays_where_it_was(tokens, tmp_path, family):
    parent, _, _ = family
    with open_cube(parent / "cube") as cube:
        cells = layout_of(cube).cells
    files = {"frozen_cells": frozen_file(tmp_path / "all.json", 5, cells)}
    recording = {**LESS, "estimators": {"probe": 1}}
    child = train(tmp_path / "child", "clm", tokens, recording, files=files)
    with open_cube(child / "cube") as cube:
        loss, lca = cube["probe_loss"].values, cube["lca"].values[5:]
        assert (loss[4:] == loss[4]).all() and loss[0] != loss[4]
        assert (lca[~np.isnan(lca)] == 0).all()


def test_every_process_of_a_training_freezes(tokens, tmp_path):
    """Two processes with half of each batch give the model of one; a free one would drift off."""
    files = {"frozen_cells": frozen_file(tmp_path / "frozen.json", 0)}
    changes = {"total_updates": 8, "micro_batches": "stock", "dropout": 0.0, "clip_norm": 0.0}
    one = train(tmp_path / "one", "clm", tokens, files=files, weight_decay=0.01, **changes)
    two = tmp_path / "two"
    two.mkdir()
    named = {name: str(path) for name, path in files.items()}
    shared = command(two, "clm", tokens, workers=2, **changes)
    run([*shared, "--files", json.dumps(named)])
    ends = [state_of(folder / "checkpoint") for folder in (one, two)]
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name], rtol=1e-3, atol=1e-4)
    name = "decoder.layers.1.fc1.weight"
    assert torch.equal(ends[0][name], ends[1][name])


@pytest.mark.parametrize("objective", ["mlm", "mt"])
def test_fairseqs_own_adam_freezes_as_the_fused_one(objective, tokens, tmp_path):
    """Rounding aside, both give the same model, and its frozen cells are the initial ones."""
    cells = (Cell(1, "key", 0), Cell(1, "W2"), Cell(2, "value", 1))
    files = {"frozen_cells": frozen_file(tmp_path / "frozen.json", 0, cells)}
    recording = {**LESS, "estimators": {}}
    kept = {"updates": [0], "precision": "float32"}
    short = {"total_updates": 8, "clip_norm": 0.0}
    fused = train(tmp_path / "fused", objective, tokens, recording, kept, files, **short)
    own = {"fast_optimizer": False}
    stock = train(tmp_path / "stock", objective, tokens, recording, kept, files, **short, **own)
    start = torch.load(stock / "snapshots/0.pt")["weights"]
    first = {"mlm": "encoder.sentence_encoder.layers.0", "mt": "encoder.layers.0"}[objective]
    with open_cube(stock / "cube") as cube:
        settings = tiny_training(parse_model(NAMES[objective]))
        assert set(layout_of(cube).cells) == set(cells_of_model(objective, settings))
    ends = [state_of(folder / "checkpoint") for folder in (fused, stock)]
    for end in ends:
        assert torch.equal(end[f"{first}.fc2.weight"], start[f"{first}.fc2.weight"])
        name = f"{first}.self_attn.k_proj.weight"
        assert torch.equal(end[name][:8], start[name][:8])
        assert (end[name][8:] != start[name][8:]).any()
    for name, tensor in ends[0].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, ends[1][name], rtol=1e-3, atol=1e-4)
