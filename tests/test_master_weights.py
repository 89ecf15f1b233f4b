"""What fairseq's optimizers move: float32 parameters and gradients, whatever they are kept as."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.optim.adam import FairseqAdam
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer
from omegaconf import OmegaConf

from losschange.cube.format import open_cube
from losschange.cube.layout import Cell
from losschange.cube.parts import PartStore
from losschange.errors import RecordingError
from losschange.recording.freezing import CellValues
from losschange.recording.partition import Rule, Schema, partition_parameters
from losschange.recording.recorder import Recorder
from losschange_fairseq.fast.optimizer import FairseqFusedAdam
from losschange_fairseq.master_weights import MasterWeights

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

SCHEMA = Schema(
    ("embedding", "output"),
    1,
    (Rule("0.weight", "W1", 0), Rule("0.bias", "bias", 0), Rule("2.weight", "W2", 1)),
)
CFG = OmegaConf.create(
    {
        "optimizer": {},
        "common": {
            "bf16": False,
            "fp16_scale_window": 4,
            "fp16_init_scale": 128,
            "fp16_scale_tolerance": 0.0,
            "threshold_loss_scale": None,
            "min_loss_scale": 1e-4,
        },
    }
)


def make_model(half=True):
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3, bias=False)
    )
    return model.half() if half else model


def stock_adam(parameters):
    settings = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6, "weight_decay": 0.1, "lr": [0.05]}
    settings |= {"use_old_adam": True, "fp16_adam_stats": False, "tpu": False}
    return FairseqAdam(OmegaConf.create(settings), parameters)


def fused_adam(parameters):
    settings = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-6, "weight_decay": 0.1, "lr": [0.05]}
    return FairseqFusedAdam(OmegaConf.create(settings), parameters)


def make_optimizer(kind, model, initial_scale=128):
    """fairseq's optimizers as `build_optimizer` makes them; its flat one asks for a GPU."""
    parameters = list(model.parameters())
    adam = fused_adam if kind.endswith("fused") else stock_adam
    kind = kind.removesuffix(" fused")
    if kind == "fp32":
        return adam(parameters)
    cfg = OmegaConf.merge(CFG, {"common": {"fp16_init_scale": initial_scale}})
    copies = FP16Optimizer.build_fp32_params(None, parameters, flatten=False)
    if kind == "flat":
        flat = torch.nn.Parameter(torch.cat([copy.data.view(-1) for copy in copies]))
        flat.grad = torch.zeros_like(flat)
        # On a CPU the index of a parameter's device is None, which is the key fairseq looks up.
        return FP16Optimizer(cfg, parameters, adam([flat]), {None: flat})
    return FP16Optimizer(cfg, parameters, adam(copies), copies)


def run(kind, folder, model=None, steps=6, initial_scale=128, reverse=False, spoil=()):
    """A training as fairseq's Trainer makes it; (cells per step, float64 reference, skipped)."""
    model = model or make_model(half=not kind.startswith("fp32"))
    optimizer = make_optimizer(kind, model, initial_scale)
    named = list(model.named_parameters())
    named = named[::-1] if reverse else named
    weights = MasterWeights(optimizer, named)
    partition = partition_parameters(((n, p.shape) for n, p in named), SCHEMA)
    recorder = Recorder(partition, PartStore(folder))
    generator = torch.Generator().manual_seed(2)
    reference, skipped = [], []
    for step in range(steps):
        inputs = torch.randn(8, 6, generator=generator).to(named[0][1].dtype)
        targets = torch.randint(0, 3, (8,), generator=generator)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs).float(), targets, reduction="sum")
        optimizer.backward(loss)
        if step in spoil:
            named[0][1].grad.view(-1)[0] = float("inf")
        optimizer.multiply_grads(1 / 8)
        try:
            optimizer.clip_grad_norm(0.0)
        except OverflowError:
            skipped.append(step)
            continue
        before = [p.double().clone() for p in weights.parameters()]
        scale = getattr(getattr(optimizer, "scaler", None), "loss_scale", 1.0)
        waiting = 1 if kind.startswith("fp32") else 1 / 8
        gradients = [p.grad.double() / scale * waiting for _, p in named]
        recorder.before_update(weights.parameters())
        optimizer.step()
        recorder.after_update(weights.parameters(), weights.gradients(), weights.scale())
        recorder.describe_update(loss=loss.detach() / 8)
        after = weights.parameters()
        reference.append(
            {
                n: float(((a - b) * g).sum())
                for (n, _), a, b, g in zip(named, after, before, gradients)
            }
        )
    recorder.flush()
    with open_cube(PartStore(folder).parts()[0][2]) as cube:
        grid = cube["lca"].sum("head", min_count=1).values
    place = {"0.weight": (0, "W1"), "0.bias": (0, "bias"), "2.weight": (1, "W2")}
    names = cube["component"].values.tolist()
    found = {n: grid[:, layer, names.index(c)] for n, (layer, c) in place.items()}
    expected = {n: np.array([row[n] for row in reference]) for n in place}
    return found, expected, skipped


@pytest.mark.parametrize(
    "kind", ["fp32", "per tensor", "flat", "fp32 fused", "per tensor fused", "flat fused"]
)
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in another order"])
def test_equals_the_reference_for_every_kind_of_master_weights(tmp_path, kind, reverse):
    found, expected, _ = run(kind, tmp_path, reverse=reverse)
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=2e-5, atol=1e-7)
        assert np.abs(column).min() > 1e-5


@pytest.mark.parametrize("kind", ["per tensor", "flat"])
def test_the_loss_scale_does_not_matter(tmp_path, kind):
    columns = [
        run(kind, tmp_path / str(scale), initial_scale=scale)[0] for scale in (1, 128, 2**12)
    ]
    for column in columns[1:]:
        for name, values in column.items():
            # Half precision rounds small gradients of the unscaled loss.
            np.testing.assert_allclose(values, columns[0][name], rtol=2e-2, atol=1e-5)


def test_flat_and_per_tensor_give_the_same(tmp_path):
    flat, tensors = run("flat", tmp_path / "a")[0], run("per tensor", tmp_path / "b")[0]
    for name, column in flat.items():
        np.testing.assert_array_equal(column, tensors[name])


@pytest.mark.parametrize("kind", ["per tensor", "flat", "per tensor fused", "flat fused"])
def test_a_factor_that_the_optimizer_applies_itself_is_pending(tmp_path, kind):
    model = make_model()
    optimizer = make_optimizer(kind, model)
    weights = MasterWeights(optimizer, list(model.named_parameters()))
    optimizer.zero_grad()
    optimizer.backward(model(torch.ones(2, 6).half()).float().sum())
    optimizer.multiply_grads(0.25)
    optimizer.clip_grad_norm(0.0)
    assert float(weights.scale()) == 0.25 / 128
    pending = [gradient.clone() * weights.scale() for gradient in weights.gradients()]
    optimizer.step()
    assert float(weights.scale()) == 1.0
    for waiting, applied in zip(pending, weights.gradients()):
        assert torch.equal(waiting, applied) and applied.abs().max() > 0


@pytest.mark.parametrize("kind", ["per tensor", "flat", "per tensor fused", "flat fused"])
def test_an_update_that_overflowed_is_not_recorded(tmp_path, kind):
    found, expected, skipped = run(kind, tmp_path, steps=6, spoil=(0, 3))
    assert skipped == [0, 3]
    for name, column in expected.items():
        assert len(column) == 4
        np.testing.assert_allclose(found[name], column, rtol=2e-5, atol=1e-7)
    assert PartStore(tmp_path).last_update() == 4


def test_the_views_follow_the_optimizer_and_copy_nothing():
    model = make_model()
    optimizer = make_optimizer("flat", model)
    weights = MasterWeights(optimizer, list(model.named_parameters()))
    views = weights.parameters()
    with torch.no_grad():
        optimizer.fp32_params[None].zero_()
    assert all(not view.any() for view in views)
    assert [view.shape for view in views] == [p.shape for p in model.parameters()]


def test_several_flat_tensors_on_several_devices():
    """Pipeline-parallel training keeps one flat tensor per device."""
    parameters = [
        SimpleNamespace(
            device=SimpleNamespace(index=index), shape=torch.Size(shape), dtype=torch.float32,
            numel=torch.Size(shape).numel,
        )
        for index, shape in ((0, (2, 3)), (1, (4,)), (0, (5,)))
    ]  # fmt: skip
    flat = {0: torch.arange(11.0), 1: torch.arange(100.0, 104.0)}
    optimizer = SimpleNamespace(fp32_params=flat, fp16_params=parameters, clip_grad_norm=None)
    names = ["c", "b", "a"]
    views = MasterWeights(optimizer, list(zip(names, parameters[::-1]))).parameters()
    assert views[0].tolist() == [6.0, 7.0, 8.0, 9.0, 10.0]
    assert views[1].tolist() == [100.0, 101.0, 102.0, 103.0]
    assert views[2].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_a_trainable_parameter_outside_the_optimizer_is_named():
    model = make_model(half=False)
    optimizer = stock_adam(list(model.parameters())[:2])
    with pytest.raises(RecordingError, match="does not hold the trainable parameter '2.weight'"):
        MasterWeights(optimizer, list(model.named_parameters()))


def test_half_precision_without_float32_copies_is_refused():
    model = make_model()
    optimizer = stock_adam(list(model.parameters()))
    with pytest.raises(RecordingError, match=r"FairseqAdam moves parameters in torch\.float16"):
        MasterWeights(optimizer, list(model.named_parameters()))


def test_automatic_mixed_precision_is_refused():
    """Its optimizer skips an overflowing step by itself: that update never happened."""
    model = make_model(half=False)
    inner = stock_adam(list(model.parameters()))
    optimizer = AMPOptimizer(CFG, list(model.parameters()), inner)
    with pytest.raises(RecordingError, match="AMPOptimizer skips .* --fp16"):
        MasterWeights(optimizer, list(model.named_parameters()))


@pytest.mark.parametrize(
    "kind", ["fp32", "fp32 fused", "unflat", "flat", "flat fused"], ids=lambda kind: kind
)
def test_frozen_cells_stay_whatever_the_optimizer_keeps(kind):
    """Parameters, float32 copies and moments of frozen cells; those of the others move."""
    model = make_model(half=not kind.startswith("fp32"))
    optimizer = make_optimizer(kind, model)
    named = list(model.named_parameters())
    partition = partition_parameters(((name, p.shape) for name, p in named), SCHEMA)
    weights = MasterWeights(optimizer, named)
    values = CellValues(partition, [Cell(0, "W1"), Cell(0, "bias")], "cpu")
    before = [parameter.detach().clone() for _, parameter in named]
    for update in range(3):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 6, dtype=named[0][1].dtype) * (update + 1)).float().pow(2).sum()
        optimizer.backward(loss)
        values.keep(weights.moved_by_step())
        optimizer.step()
        values.put_back(weights.moved_by_step())
    moved = weights.moved_by_step()
    assert len(moved) == (3 if kind.startswith("fp32") else 4)
    for (_, parameter), start in zip(named, before, strict=True):
        assert torch.equal(parameter, start) == (parameter is not named[2][1])
    for vector in moved[-2:]:
        assert not vector[0].any() and not vector[1].any() and vector[2].any()
    for copy, start in zip(moved[0][:2], before, strict=False):
        assert torch.equal(copy, start.float())
