"""Models divided among processes by fully_shard: the cells of the same training in one process."""

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.distributed.fsdp import fully_shard

from losschange.cube.format import layout_of, open_cube
from losschange.errors import RecordingError
from losschange.recording.allocation import CellSum, FlatVector
from losschange.recording.partition import partition_parameters
from losschange.recording.shards import Shards
from small_models import (
    attach_to,
    make_optimizer,
    make_transformer,
    make_words,
    train,
    transformer_schema,
    word_loss,
)

pytestmark = pytest.mark.usefixtures("one_thread")

UPDATES = 6
STRIDES = {"fresh": 2, "probe": 1, "simpson": 4}
DETAILS = {"batch": ["positive", "helped"], "probe": ["helped"]}


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_the_cells_of_all_pieces_add_up_to_those_of_the_whole(monkeypatch, processes):
    model = make_transformer()
    named = [(name, p.detach()) for name, p in model.named_parameters()]
    whole = partition_parameters(((n, p.shape) for n, p in named), transformer_schema())
    expected = CellSum(whole, "cpu")(FlatVector(whole, "cpu").copy([p for _, p in named]).flat)
    found = torch.zeros_like(expected)
    monkeypatch.setattr(Shards, "processes", processes)
    for rank in range(processes):
        monkeypatch.setattr(Shards, "rank", rank)
        part = Shards(None, torch.device("cpu")).part_of(whole)
        assert part.layout == whole.layout
        pieces = [p.chunk(processes) for _, p in named]
        own = [p[rank] if rank < len(p) else p[0][:0] for p in pieces]
        found += CellSum(part, "cpu")(FlatVector(part, "cpu").copy(own).flat)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def divided_model():
    model = make_transformer()
    for layer in model.layers:
        fully_shard(layer)
    return fully_shard(model)


def train_share(rank, folder):
    """One of two processes: half of the sentences of every batch, half of every parameter."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    try:
        model, state = divided_model(), None
        optimizer = make_optimizer(model)
        for first, last in ((1, 3), (4, UPDATES)):  # the second goes on from the first's state
            recorder = attach_to(
                model,
                optimizer,
                folder / "parts",
                estimators=STRIDES,
                details=DETAILS,
                updates=first - 1,
                state=state,
            )
            for update in range(first, last + 1):
                share = make_words(16, seed=1000 + update).chunk(2)[rank]
                loss = word_loss(model, share)
                optimizer.zero_grad()
                loss.backward()
                recorder.describe(loss=loss, tokens=80)
                optimizer.step()
            state = recorder.save()
            if last < UPDATES:
                recorder.detach()
        with pytest.raises(RecordingError, match="is that of process . of 2, but this is process"):
            other = {**state, "run": {**state["run"], "process": [1 - rank, 2]}}
            attach_to(model, optimizer, folder / "parts", updates=UPDATES, state=other)
        recorder.finish(folder / "cube.nc")
        torch.save([p.full_tensor().detach() for p in model.parameters()], folder / f"{rank}.pt")

        half = make_transformer()
        fully_shard(half.layers[0])
        with pytest.raises(RecordingError, match="is divided among processes and 'embedding"):
            attach_to(half, make_optimizer(half), folder / "refused")
        assert not (folder / "refused").exists()
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_half_a_model_each_record_what_one_does(tmp_path):
    multiprocessing.spawn(train_share, (tmp_path,), nprocs=2)
    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "alone", estimators=STRIDES, details=DETAILS)
    train(model, optimizer, UPDATES, recorder)
    recorder.finish(tmp_path / "alone.nc")
    for one, other in zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))):
        assert torch.equal(one, other)
    with open_cube(tmp_path / "cube.nc") as two, open_cube(tmp_path / "alone.nc") as one:
        assert layout_of(two) == layout_of(one)
        assert two.sizes == one.sizes
        for variable in ("lca", "lca_fresh", "lca_probe", "lca_simpson", "lca_positive"):
            found, expected = two[variable].values, one[variable].values
            size = np.nansum(np.abs(expected), axis=(1, 2, 3)).mean()
            assert found.shape == expected.shape and size > 1e-3
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * size)
        # Rounding decides about parameters whose gradient is 0, such as the biases of keys.
        assert float(abs(two["helped_probe"] - one["helped_probe"]).mean()) < 0.01
        np.testing.assert_allclose(two["probe_loss"], one["probe_loss"], rtol=1e-5)
        np.testing.assert_allclose(two["simpson_error"], one["simpson_error"], rtol=0, atol=1e-5)
