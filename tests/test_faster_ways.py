"""Where nothing vouches for a device, the faster ways are compared with stock fairseq first."""

import json

import numpy as np
import pytest
import torch

from common.files import UserError
from losschange.cube.format import open_cube
from losschange_fairseq.fast import layers
from losschange_fairseq.first_update import FirstUpdate
from running import agreements
from running.agreements import Circumstances, Distance, published_source
from running.models import parse_model
from tiny_trainings import RECORDING, split_changes, tiny_training
from training import faster_ways
from training.fairseq_arguments import fairseq_arguments
from training.run import train_model
from training.state import Outputs
from training_runs import ALL_NAMES, SWITCHES

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

HERE = Circumstances("cpu", "clm", "fp32", "false", "2.0", "abc")


@pytest.fixture
def unknown_device(tmp_path, monkeypatch):
    """Nothing is published or remembered of this device."""
    table = tmp_path / "agreements.csv"
    table.write_text(agreements.TABLE.read_text().splitlines()[0] + "\n")
    monkeypatch.setattr(agreements, "TABLE", table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def wrong_layers(monkeypatch):
    """Fast decoder layers that are wrong by a hundredth."""
    right = layers.decoder_layer
    monkeypatch.setattr(layers, "decoder_layer", lambda *arguments: right(*arguments) * 1.01)


def train(folder, tokens, objective="clm", **changes):
    """(cube, settings as run) of a short training in this process."""
    model = parse_model(ALL_NAMES[objective])
    changes = {"total_updates": 6, "dropout": 0.1, **dict.fromkeys(SWITCHES, True), **changes}
    changes, execution = split_changes({"checkpoint_interval": 3, **changes})
    training = tiny_training(model, **changes)
    names = ("cube.nc", "model.pt", "history.csv", "settings.json")
    outputs = Outputs(*(folder / name for name in names))
    recording = {**RECORDING, "estimators": {"fresh": 2}, "details": {}}
    train_model(
        *(model, training, execution, recording, tokens[objective], 1, folder / "state", outputs)
    )
    with open_cube(outputs.cube) as cube:
        return cube.load(), json.loads(outputs.settings.read_text())["as_run"]


def same(cube, other):
    """Whether two cubes record the same, to the bit."""
    names = ("lca", "lca_fresh", "loss", "grad_norm", "valid_loss")
    return all(np.array_equal(cube[n].values, other[n].values, equal_nan=True) for n in names)


def test_a_line_of_the_table_covers_what_its_fields_say(tmp_path, monkeypatch):
    table = tmp_path / "agreements.csv"
    head = agreements.TABLE.read_text().splitlines()[0]
    table.write_text(f"{head}\nGPU X,clm,fp16,false,2.0,abc,1e-4,2e-4,a run\n")
    monkeypatch.setattr(agreements, "TABLE", table)
    found = {"device": "GPU X", "precision": "fp16"}
    assert published_source(Circumstances(**{**vars(HERE), **found})) == "a run"
    for name, value in (("device", "GPU Y"), ("objective", "mt"), ("code", "abd"), ("torch", "3")):
        assert published_source(Circumstances(**{**vars(HERE), **found, name: value})) is None


def test_a_published_line_replaces_the_older_one(tmp_path, monkeypatch):
    place, text = tmp_path / "agreements.csv", agreements.TABLE.read_text()
    monkeypatch.setattr(agreements, "TABLE", place)
    card = Circumstances("GPU X", "clm", "fp16", "false", "2.0", "abc")
    for source in ("a run, before", "a run, after"):
        text = agreements.with_line(text, card, Distance(1e-4, 2e-3), source)
    place.write_text(text)
    assert published_source(card) == "a run, after"
    assert "tests" in published_source(HERE)
    assert text.count("GPU X") == 1
    assert text.splitlines()[-1].endswith(',abc,1.0e-04,2.0e-03,"a run, after"')
    place.write_text(agreements.with_line(text, card, Distance(1e-4, 2e-1), "far away"))
    assert published_source(card) is None


def test_the_tests_vouch_for_a_cpu_but_not_for_what_is_compiled():
    assert "tests" in published_source(HERE)
    assert published_source(Circumstances(**{**vars(HERE), "compile": "true"})) is None


def test_what_was_found_is_remembered_for_the_same_circumstances_alone(unknown_device):
    assert agreements.remembered_distance(HERE) is None
    agreements.remember_distance(HERE, Distance(1e-7, 2e-6))
    assert agreements.remembered_distance(HERE) == Distance(1e-7, 2e-6)
    other = Circumstances(**{**vars(HERE), "code": "abd"})
    assert agreements.remembered_distance(other) is None


def test_a_distance_is_a_share_and_what_cannot_be_compared_is_far():
    cells = np.array([[[1.0, np.nan]], [[-3.0, np.nan]]])
    one = FirstUpdate(2.0, cells)
    assert one.distance(one) == (0.0, 0.0)
    loss, largest = one.distance(FirstUpdate(2.1, cells + np.array([[[0.0]], [[0.4]]])))
    assert loss == pytest.approx(0.05) and largest == pytest.approx(0.1)
    for other in (FirstUpdate(2.0, np.nan_to_num(cells)), FirstUpdate(float("nan"), cells)):
        assert max(one.distance(other)) == float("inf")


@pytest.mark.slow
@pytest.mark.parametrize("objective", list(ALL_NAMES))
def test_the_faster_ways_of_this_machine_differ_by_rounding(objective, tokens, tmp_path):
    model = parse_model(ALL_NAMES[objective])
    changes = {**dict.fromkeys(SWITCHES, True), "learning_rate_schedule": "inverse_sqrt"}
    training = tiny_training(model, dropout=0.1, micro_batches=1, **changes)
    states = np.random.get_state()[1].tolist(), torch.get_rng_state()
    distance = faster_ways.compare_ways(
        training, lambda one: fairseq_arguments(model, one, tokens[objective], 1, "cpu"), tmp_path
    )
    assert 0 < max(distance.loss, distance.cells) < agreements.ROUNDING["fp32"] / 10
    assert np.random.get_state()[1].tolist() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_comparison_changes_no_bit_of_the_training(tokens, tmp_path, unknown_device, capfd):
    compared, settings = train(tmp_path / "compared", tokens)
    assert "comparing the faster ways" in capfd.readouterr().err
    assert settings["faster_ways"].startswith("agree with stock fairseq on this device: loss ")
    assert compared.attrs["faster_ways"] == settings["faster_ways"]
    again, _ = train(tmp_path / "again", tokens)
    assert "comparing" not in capfd.readouterr().err, "once per device and code"
    assert same(compared, again) and settings["fast_layers"]


@pytest.mark.slow
def test_a_wrong_faster_way_is_switched_off_and_said(
    tokens, tmp_path, unknown_device, wrong_layers, capfd
):
    found, settings = train(tmp_path / "found", tokens, micro_batches=1)
    assert "the faster ways are switched off: they differ" in capfd.readouterr().err
    for name, value in faster_ways.STOCK.items():
        assert settings[name] == (2 if name == "micro_batches" else value)
    assert settings["faster_ways"].startswith("switched off: they differ from stock fairseq")
    assert found.attrs["faster_ways"] == settings["faster_ways"]
    off = {**dict.fromkeys(SWITCHES, False), "micro_batches": "stock"}
    stock, stock_settings = train(tmp_path / "stock", tokens, **off)
    assert same(found, stock) and stock_settings["faster_ways"] == "none"


@pytest.mark.slow
def test_a_training_goes_on_in_the_ways_in_which_it_began(
    tokens, tmp_path, unknown_device, monkeypatch
):
    """On a device where they differ it stops with a sentence instead of changing its numbers."""
    state, model = tmp_path / "state", parse_model("clm-en")
    training = tiny_training(model, **dict.fromkeys(SWITCHES, True))

    def decide(device, distance):
        monkeypatch.setattr(faster_ways, "kind_of_device", lambda _: device)
        monkeypatch.setattr(faster_ways, "compare_ways", lambda *_: Distance(0.0, distance))
        return faster_ways.decide_ways(model, training, "cpu", state, lambda one: [])

    assert not decide("one", 1e-7).stock
    (state / "checkpoints").mkdir()
    (state / "checkpoints" / "checkpoint_3.pt").touch()
    assert not decide("one", 0.5).stock, "decided before"
    with pytest.raises(UserError, match="unfinished training in the faster ways.*switched off"):
        decide("another", 0.5)
    (state / "faster_ways.json").unlink()
    (state / "checkpoints" / "checkpoint_3.pt").unlink()
    assert decide("another", 0.5).stock and decide("one", 1e-7).stock, "stock stays stock"
