"""Recording never changes a training by a bit, whatever is measured on the side."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from estimator_names import ESTIMATORS
from losschange.cube.word_bins import bin_words
from losschange.recording.attachment import attach
from losschange.recording.partition import Rule, Schema
from losschange.recording.side_effects import with_parameters, without_side_effects
from small_models import attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMA = Schema(
    ("embedding", "decoder"),
    1,
    (
        Rule(r"first\.weight", "W1", 1),
        Rule(r"second\.weight", "W2", 1),
        Rule(r"(first|second)\.bias", "bias", 1),
        Rule(r"(normal|frozen)\.(weight|bias)", "norm", 1),
    ),
)


class Noisy(torch.nn.Module):
    """Everything that leaves traces: dropout, running statistics, a part kept in another mode."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.normal = torch.nn.BatchNorm1d(8)
        self.frozen = torch.nn.BatchNorm1d(8)
        self.dropout = torch.nn.Dropout(0.3)
        self.second = torch.nn.Linear(8, 3)
        self.train()

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, inputs):
        return self.second(self.dropout(self.frozen(self.normal(self.first(inputs)).relu())))


def draw_loss(model, *_):
    """Loss of a batch from all the random numbers there are."""
    shift = random.random() + np.random.random()
    inputs = torch.randn(12, 6) + shift
    return functional.cross_entropy(model(inputs), (inputs.sum(dim=1) > 0).long())


def random_states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def train_noisy(folder=None):
    """Everything that a training leaves behind, after seven updates."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    model = Noisy()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    recorder = None
    if folder:
        recorder = attach(
            model,
            optimizer,
            SCHEMA,
            folder / "parts",
            estimators={**dict.fromkeys(ESTIMATORS, 1), "simpson": 3, "probe_valid": 2},
            probes={"train": draw_loss, "valid": draw_loss},
            fresh=draw_loss,
            details=dict.fromkeys(ESTIMATORS, ("positive", "helped", "vocabulary")),
            word_bins=bin_words(np.arange(1, 9), ["first.weight"], bins=3),
        )
    left = []
    for update in range(1, 8):
        loss = draw_loss(model)
        # The gradients of two batches are added, as in gradient accumulation.
        if update % 2:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        left.append([p.grad.clone() for p in model.parameters()])
        if recorder and update in (2, 5):
            recorder.save()
    if recorder:
        recorder.finish(folder / "cube.nc")
    moments = [value for held in optimizer.state.values() for value in held.values()]
    tensors = [*model.state_dict().values(), *moments, *(g for each in left for g in each)]
    return tensors, random_states(), modes(model), [p.requires_grad for p in model.parameters()]


def test_a_training_is_the_same_by_the_bit_with_every_estimator_on(tmp_path):
    plain, watched = train_noisy(), train_noisy(tmp_path)
    assert len(plain[0]) == len(watched[0]) > 50
    assert all(torch.equal(a, b) for a, b in zip(plain[0], watched[0]))
    assert plain[1:] == watched[1:]


def test_a_transformer_with_dropout_is_trained_the_same_by_the_bit(tmp_path):
    found = []
    for recorded in (False, True):
        model = make_transformer(dropout=0.2)
        optimizer = make_optimizer(model)
        recorder = None
        if recorded:
            recorder = attach_to(model, optimizer, tmp_path, estimators=list(ESTIMATORS))
        torch.manual_seed(8)
        train(model, optimizer, 12, recorder)
        found.append((list(model.parameters()), random_states()))
    assert all(torch.equal(a, b) for a, b in zip(found[0][0], found[1][0]))
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
@pytest.mark.parametrize("fails", [False, True])
def test_what_runs_on_the_side_leaves_no_trace(training, fails):
    model = Noisy()
    model.dropout.eval()
    loss = draw_loss(model)
    loss.backward()
    before = (
        {name: value.clone() for name, value in model.state_dict().items()},
        [p.grad.clone() for p in model.parameters()],
        random_states(),
        modes(model),
    )
    try:
        with without_side_effects(model, training, seed=4):
            assert model.normal.training == training
            assert not model.dropout.training  # it was switched off in the training, too
            with torch.no_grad():
                draw_loss(model)
            torch.autograd.grad(draw_loss(model), list(model.parameters()))
            random.seed(1)
            np.random.seed(1)
            if fails:
                raise KeyError("bad luck")
    except KeyError:
        assert fails
    state, gradients, *rest = before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients))
    assert [random_states(), modes(model)] == rest


def test_dropout_on_the_side_is_drawn_by_the_seed_alone():
    model, inputs = Noisy(), torch.ones(5, 6)
    outputs = []
    for seed in (1, 2, 1):
        torch.rand(3)
        with without_side_effects(model, training=True, seed=seed):
            outputs.append(model(inputs).detach())
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])


def test_gradients_can_be_measured_where_they_are_switched_off():
    model = Noisy()
    with torch.no_grad(), without_side_effects(model):
        gradients = torch.autograd.grad(draw_loss(model), list(model.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("fails", [False, True])
def test_parameters_get_their_own_bits_back(fails):
    # Adding and subtracting a difference would not give these bits back.
    parameters = [torch.nn.Parameter(torch.tensor([1e-8, 0.1, 3e7])) for _ in range(2)]
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        with with_parameters(parameters, [torch.tensor([1.0, 2.0, 0.3])] * 2):
            assert parameters[1].tolist() == pytest.approx([1.0, 2.0, 0.3])
            if fails:
                raise KeyError("bad luck")
    except KeyError:
        assert fails
    assert all(torch.equal(a, b) for a, b in zip(parameters, kept))
    with with_parameters(parameters, None):
        assert all(torch.equal(a, b) for a, b in zip(parameters, kept))


def test_recurrent_networks_evaluate_in_a_mode_that_has_a_backward_pass_on_every_device():
    """cuDNN has none for those that evaluate."""
    torch.manual_seed(0)
    model = torch.nn.LSTM(4, 5, num_layers=2, dropout=0.5)
    inputs = torch.randn(7, 2, 4)
    expected = model.eval()(inputs)[0]
    model.train()
    with without_side_effects(model):
        assert model.training
        assert torch.equal(model(inputs)[0], expected)
    assert model.training and model.dropout == 0.5
    assert not torch.equal(model(inputs)[0], expected)
