"""Two processes that share each batch record what one process would, and one of them writes."""

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from losschange.cube.format import open_cube
from small_models import attach_to, make_optimizer, make_transformer, make_words, train, word_loss

pytestmark = pytest.mark.usefixtures("one_thread")

UPDATES = 6
STRIDES = {"fresh": 2, "probe": 1, "simpson": 4}


def train_share(rank, folder):
    """One of two processes: half of the sentences of every batch."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    try:
        model = DistributedDataParallel(make_transformer())
        optimizer = make_optimizer(model.module)
        recorder = attach_to(model, optimizer, folder / f"parts-{rank}", estimators=STRIDES)
        assert (recorder.recorder is None) == (rank == 1)
        for update in range(1, UPDATES + 1):
            share = make_words(16, seed=1000 + update).chunk(2)[rank]
            loss = word_loss(model, share)
            optimizer.zero_grad()
            loss.backward()
            recorder.describe(loss=loss, tokens=80)
            optimizer.step()
            if update == 3:
                recorder.add_valid_loss(3.0)
                assert bool(recorder.save()) == (rank == 0)
        recorder.finish(folder / f"cube-{rank}.nc")
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        torch.save(weights, folder / f"weights-{rank}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_record_what_one_does(tmp_path):
    multiprocessing.spawn(train_share, (tmp_path,), nprocs=2)
    left = {path.name for path in tmp_path.iterdir()} - {"meeting"}
    assert left == {"parts-0", "cube-0.nc", "weights-0.pt", "weights-1.pt"}
    assert torch.equal(*(torch.load(tmp_path / f"weights-{rank}.pt") for rank in (0, 1)))

    model = make_transformer()
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "alone", estimators=STRIDES)
    train(model, optimizer, UPDATES, recorder)
    recorder.finish(tmp_path / "alone.nc")
    with open_cube(tmp_path / "cube-0.nc") as two, open_cube(tmp_path / "alone.nc") as one:
        assert two["valid_step"].values.tolist() == [3]
        for variable in ("lca", "lca_fresh", "lca_probe", "lca_simpson"):
            found, expected = two[variable].values, one[variable].values
            size = np.nansum(np.abs(expected), axis=(1, 2, 3)).mean()
            assert found.shape == expected.shape and size > 1e-3
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * size)
