"""Learning rates of parameter groups, of one optimizer and of several."""

import numpy as np
import pytest
import torch

from losschange import attach
from losschange.command import main
from losschange.cube.format import open_cube, rates_of
from losschange.schemas import schema_for
from small_models import attach_to, make_transformer, make_words, train, word_loss

pytestmark = pytest.mark.usefixtures("one_thread")


def groups_of(model):
    named = list(model.named_parameters())
    matrices = [p for name, p in named if "layers" in name and p.ndim == 2]
    norms = [p for name, p in named if "norm" in name]
    taken = {id(p) for p in (*matrices, *norms)}
    return matrices, norms, [p for _, p in named if id(p) not in taken]


def step_all(model, optimizers, update):
    model.zero_grad()
    word_loss(model, make_words(8, seed=update)).backward()
    for optimizer in optimizers:
        optimizer.step()


def test_every_group_of_every_optimizer_has_its_rate_in_the_cube_and_in_show(tmp_path, capsys):
    model = make_transformer()
    matrices, norms, others = groups_of(model)
    rate = torch.tensor(0.25)
    muon = torch.optim.Muon(matrices, lr=0.02)
    adam = torch.optim.AdamW([{"params": norms, "lr": 2e-3}, {"params": others}], lr=rate)
    recorder = attach_to(model, [muon, adam], tmp_path / "parts")
    for update in range(1, 5):
        step_all(model, [muon, adam], update)
        muon.param_groups[0]["lr"] /= 2
        rate.div_(2)
        if update == 2:
            recorder.save()
    recorder.save()
    assert main(["show", str(tmp_path / "parts")]) == 0
    shown = capsys.readouterr().out
    assert "0.0025 (group 0 of Muon), 0.002 (group 0 of AdamW), 0.0312 (group 1 of AdamW)" in shown
    recorder.finish(tmp_path / "cube.nc")
    halves = 0.5 ** np.arange(4)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert rates_of(cube) == ["lr_Muon_0", "lr_AdamW_0", "lr_AdamW_1"]
        np.testing.assert_allclose(cube["lr_Muon_0"], 0.02 * halves, rtol=1e-6)
        np.testing.assert_allclose(cube["lr_AdamW_0"], [2e-3] * 4, rtol=1e-6)
        np.testing.assert_allclose(cube["lr_AdamW_1"], 0.25 * halves, rtol=1e-6)
        np.testing.assert_allclose(cube["lr"], cube["lr_Muon_0"])
        assert cube["lr_AdamW_1"].attrs["long_name"] == "learning rate of group 1 of AdamW"


def test_two_optimizers_of_a_kind_are_numbered_and_one_that_rests_has_no_rate(tmp_path):
    model = make_transformer()
    matrices, norms, others = groups_of(model)
    optimizers = [torch.optim.SGD([*matrices, *norms], lr=0.1), torch.optim.SGD(others, lr=0.2)]
    recorder = attach_to(model, optimizers, tmp_path / "parts")
    for update in range(1, 5):
        step_all(model, optimizers[: 1 + update % 2], update)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_allclose(cube["lr_SGD1_0"], [0.1] * 4, rtol=1e-6)
        np.testing.assert_allclose(cube["lr_SGD2_0"], [0.2, np.nan, 0.2, np.nan], rtol=1e-6)


def test_one_group_has_the_plain_rate_alone_and_groups_may_change_on_resuming(tmp_path):
    model = make_transformer()
    recorder = attach_to(model, torch.optim.SGD(model.parameters(), lr=0.1), tmp_path / "parts")
    train(model, recorder._optimizers[0], 2)
    state = recorder.save()
    recorder.detach()
    matrices, norms, others = groups_of(model)
    again = torch.optim.SGD([{"params": [*matrices, *norms]}, {"params": others}], lr=0.3)
    recorder = attach_to(model, again, tmp_path / "parts", updates=2, state=state)
    train(model, again, range(3, 5))
    recorder.finish(tmp_path / "cube.nc")
    with (
        open_cube(tmp_path / "cube.nc") as cube,
        open_cube(tmp_path / "parts" / "part-000000001-000000002.nc") as part,
    ):
        assert rates_of(part) == []
        np.testing.assert_allclose(cube["lr"], [0.1, 0.1, 0.3, 0.3], rtol=1e-6)
        np.testing.assert_allclose(cube["lr_SGD_1"], [np.nan, np.nan, 0.3, 0.3], rtol=1e-6)


def test_attach_finds_the_schema_of_a_model_by_itself(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = attach(model, optimizer, folder=tmp_path / "parts")
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["component"].values.tolist() == list(schema_for(model).components)
        assert float(cube["lca"].sum()) < 0
