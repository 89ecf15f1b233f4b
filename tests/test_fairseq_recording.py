"""Probes, fresh batches and half precision in real trainings with fairseq."""

import copy

import numpy as np
import pytest
import torch

from estimator_names import PROBES
from losschange.cube.format import open_cube
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from tiny_trainings import RECORDING, tiny_training
from training.fairseq_arguments import fairseq_arguments

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

NAMES = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
EVERY_UPDATE = dict.fromkeys(("fresh", *PROBES), 1)


def train(folder, objective, tokens, strides=None, extra=(), watch=None, **changes):
    """A finished training in this process; `strides` None records the batch estimator alone."""
    model = parse_model(NAMES[objective])
    training = tiny_training(model, **changes)
    recording = {**RECORDING, "estimators": strides or {}}
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu", recording)
    intervals = DutyIntervals(training["total_updates"], 10, 10)
    run = ResumableTraining([*arguments, *extra], folder, intervals)
    if watch:
        watch(run)
    assert run.run(lambda update, numbers: None, lambda: False)
    return run


def recorded(store, variable):
    """One variable of all parts, along its steps."""
    found = []
    for _, _, path in store.parts():
        with open_cube(path) as cube:
            found.append(cube[variable].values)
    return np.concatenate(found)


def probes_of(run):
    """The probes of a training."""
    recorder = run.task.recorder
    return [probe for schedule in recorder._schedules for probe in schedule.integrators]


def parameters_of(run):
    return torch.cat([p.detach().flatten() for p in run.trainer.get_model().parameters()])


@pytest.mark.parametrize("objective", list(NAMES))
def test_recording_does_not_change_the_training_by_a_bit(objective, tokens, tmp_path):
    changes = {"total_updates": 14, "dropout": 0.1}
    plain = train(tmp_path / "plain", objective, tokens, **changes)
    full = train(tmp_path / "full", objective, tokens, RECORDING["estimators"], **changes)
    assert torch.equal(parameters_of(plain), parameters_of(full))
    same = [recorded(run.store, "lca") for run in (plain, full)]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("objective", list(NAMES))
def test_every_estimator_equals_a_slow_reference(objective, tokens, tmp_path):
    """A float64 copy of the model, autograd, tensor by tensor."""
    points = []

    def watch(run):
        stock = run._update

        def step(samples):
            before = [p.detach().clone() for p in run.trainer.get_model().parameters()]
            numbers = stock(samples)
            after = [p.detach().clone() for p in run.trainer.get_model().parameters()]
            points.append((before, after))
            return numbers

        run._update = step

    run = train(
        tmp_path, objective, tokens, EVERY_UPDATE, watch=watch,
        total_updates=6, warmup_updates=1, dropout=0.0,
    )  # fmt: skip
    recorder, criterion = run.task.recorder, run.trainer.get_criterion()
    model = copy.deepcopy(run.trainer.get_model()).double().eval()

    def gradient(samples, values):
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(value)
        loss = size = 0
        for sample in samples:
            part, sample_size, _ = criterion(model, sample)
            loss, size = loss + part, size + sample_size
        found = torch.autograd.grad(loss / size, list(model.parameters()), allow_unused=True)
        return float(loss / size), [0.0 if g is None else g for g in found]

    names = [name for name, _ in model.named_parameters()]
    for estimator in EVERY_UPDATE:
        values = recorded(recorder.store, "lca_" + estimator)
        for update, (before, after) in enumerate(points, start=1):
            moves = [b.double() - a.double() for a, b in zip(before, after, strict=True)]
            if estimator == "fresh":
                source = recorder._fresh["fresh"]._source
                source.dataset.set_epoch(update)
                samples = source.draw(RECORDING["fresh_tokens"], (2, update))
                weights = gradient(samples, before)[1]
            else:
                split = PROBES[estimator]
                probe = next(t for t in probes_of(run) if estimator in t.estimators)
                samples = probe.measure.samples
                middle = [a.double() + m / 2 for a, m in zip(before, moves, strict=True)]
                ends = [gradient(samples, point) for point in (before, middle, after)]
                (loss, first), (_, half), (later, last) = ends
                weights = [(a + b) / 2 for a, b in zip(first, last, strict=True)]
                if estimator.startswith("simpson"):
                    parts = zip(first, half, last, strict=True)
                    weights = [(a + 4 * b + c) / 6 for a, b, c in parts]
                measured = [
                    recorded(recorder.store, f"{estimator}_{name}")[update - 1]
                    for name in ("loss_before", "loss", "error")
                ]
                assert measured[:2] == pytest.approx([loss, later], abs=2e-5), split
                error = np.nansum(values[update - 1]) - (later - loss)
                assert measured[2] == pytest.approx(error, abs=3e-5)
            expected = {}
            for name, move, weight in zip(names, moves, weights, strict=True):
                start = recorder.partition.offsets[recorder.partition.names.index(name)]
                number = recorder.partition.block_cells[start // recorder.partition.block]
                cell = recorder.partition.layout.cells[number]
                key = cell.layer, cell.component
                expected[key] = expected.get(key, 0.0) + float((move * weight).sum())
            with open_cube(recorder.store.parts()[0][2]) as cube:
                components = [str(name) for name in cube["component"].values]
            for (layer, component), value in expected.items():
                found = np.nansum(values[update - 1, layer, components.index(component)])
                assert found == pytest.approx(value, rel=2e-3, abs=5e-6), (estimator, component)


def test_masks_and_text_of_probes_come_from_the_seed_alone(tokens, tmp_path):
    runs = [
        train(tmp_path / name, "mlm", tokens, {"probe": 1, "probe_valid": 1}, total_updates=updates)
        for name, updates in (("one", 5), ("two", 30))
    ]
    for first, second in zip(*(probes_of(run) for run in runs), strict=True):
        for one, two in zip(first.measure.samples, second.measure.samples, strict=True):
            assert torch.equal(one["net_input"]["src_tokens"], two["net_input"]["src_tokens"])
            assert torch.equal(one["target"], two["target"])
    train_probe, valid_probe = (probe.measure.samples for probe in probes_of(runs[0]))
    assert not torch.equal(train_probe[0]["id"], valid_probe[0]["id"])


def test_words_by_frequency_add_up_to_the_embedding(tokens, tmp_path):
    run = train(tmp_path, "clm", tokens, {"probe": 3}, total_updates=9)
    for variable, lca in (("lca_vocabulary", "lca"), ("lca_vocabulary_probe", "lca_probe")):
        words = recorded(run.store, variable).sum((1, 2))
        embedding = recorded(run.store, lca)[:, 0, 0, 0]
        np.testing.assert_allclose(words, embedding, rtol=1e-4, atol=1e-6)


HALF = {"total_updates": 16, "dropout": 0.0}
HALF_STRIDES = {"probe": 1, "simpson": 1, "probe_valid": 1}


@pytest.fixture(scope="module", params=list(NAMES))
def single(request, tokens, tmp_path_factory):
    """(objective, a training in single precision)."""
    folder = tmp_path_factory.mktemp(f"fp32-{request.param}")
    return request.param, train(folder, request.param, tokens, HALF_STRIDES, **HALF)


@pytest.mark.parametrize("extra", [("--fp16-no-flatten-grads",), ()], ids=["per tensor", "flat"])
def test_half_precision_records_what_float32_does(single, extra, tokens, tmp_path, monkeypatch):
    """fairseq's FP16Optimizer on a CPU: cells within 1 % of the largest one, of probes 3 %.

    A probe is looked at where its training went, and half precision goes another way.
    """
    # It asks for the number of the GPU; this is the one of a CPU.
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
    objective, full = single
    precision = ("--fp16", "--fp16-init-scale", "128", *extra)
    half = train(tmp_path, objective, tokens, HALF_STRIDES, precision, **HALF)
    assert (recorded(half.store, "loss_scale") == 128).all()
    for variable in ("lca", "lca_probe", "lca_simpson", "lca_probe_valid"):
        expected, found = (np.nansum(recorded(run.store, variable), 0) for run in (full, half))
        share = 1e-2 if variable == "lca" else 3e-2
        np.testing.assert_allclose(found, expected, atol=share * abs(expected).max())


def test_an_update_that_overflowed_is_not_recorded(tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
    # Its answer to an overflow is on the GPU, too.
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    scale = 2.0**22
    run = train(
        tmp_path, "clm", tokens, {"probe": 1},
        ("--fp16", "--fp16-init-scale", str(int(scale)), "--fp16-scale-window", "1000"),
        total_updates=8,
    )  # fmt: skip
    scales = recorded(run.store, "loss_scale")
    assert len(scales) == run.updates == 8
    assert scales[0] < scale, "the first tries overflowed"
    assert np.isfinite(recorded(run.store, "lca")[:, 0, 0, 0]).all()
    start, end = (recorded(run.store, f"probe_{name}") for name in ("loss_before", "loss"))
    np.testing.assert_array_equal(start[1:], end[:-1])


def test_the_middle_of_an_interval_survives_a_checkpoint(tokens, tmp_path):
    """Stopped at update 9 of intervals of 7: resumed, the records are the same bits."""
    model, strides = parse_model("mt-en-de"), {"probe": 7, "simpson_valid": 4}
    training = tiny_training(model)
    recording = {**RECORDING, "estimators": strides}
    arguments = fairseq_arguments(model, training, tokens["mt"], 1, "cpu", recording)
    straight = train(tmp_path / "straight", "mt", tokens, strides)
    for last in (9, 30):
        run = ResumableTraining(arguments, tmp_path / "stopped", DutyIntervals(30, 10, 100))
        run.run(lambda update, numbers: None, lambda run=run, last=last: run.updates >= last)
    for variable in ("lca_probe", "lca_simpson_valid", "probe_error", "simpson_valid_loss_before"):
        expected, found = (recorded(one.store, variable) for one in (straight, run))
        np.testing.assert_array_equal(found, expected)
    assert len(expected) == 8, "seven whole intervals and a short one"
