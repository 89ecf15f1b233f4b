"""Every faster way makes the update that stock fairseq makes, and Table 2 says which were taken."""

from multiprocessing import active_children

import numpy as np
import pytest
import torch
from torch.nn import functional

from losschange.cube.assembly import assemble_cube
from losschange.cube.format import open_cube
from losschange_fairseq import tasks
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from tiny_trainings import tiny_training
from training.fairseq_arguments import fairseq_arguments
from training_runs import ALL_NAMES, NAMES, SWITCHES, in_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

UPDATES = 30
RATE = 2e-3


def train(folder, objective, tokens, fast, arguments=(), **changes):
    """(cube, losses per update, settings as run) of a training with some switches on."""
    model = parse_model(ALL_NAMES[objective])
    switches = {name: name in fast for name in SWITCHES}
    changes = {"dropout": 0.0, "learning_rate": RATE, "total_updates": UPDATES, **changes}
    updates = changes["total_updates"]
    training = tiny_training(model, **switches, **changes)
    run = ResumableTraining(
        [*fairseq_arguments(model, training, tokens[objective], 1, "cpu"), *arguments],
        folder,
        DutyIntervals(updates, updates, updates),
    )
    losses = []
    assert run.run(lambda update, numbers: losses.append(numbers["loss"]), lambda: False)
    assemble_cube(run.store, folder / "cube.nc", run.updates, {})
    with open_cube(folder / "cube.nc") as cube:
        return cube.load(), np.array(losses), run.settings_as_run()


def difference(cube, other):
    """Largest difference of a cell at a step, as a share of what all cells of a step change."""
    found, expected = cube["lca"].values, other["lca"].values
    size = np.nansum(np.abs(expected), axis=(1, 2, 3)).mean()
    assert np.array_equal(np.isnan(found), np.isnan(expected)) and size > 1e-3
    return np.nanmax(np.abs(found - expected)) / size


@pytest.fixture(scope="module", params=list(NAMES))
def stock(request, tokens, tmp_path_factory):
    """(objective, what stock fairseq makes)."""
    folder = tmp_path_factory.mktemp(f"stock-{request.param}")
    found = train(folder, request.param, tokens, ())
    assert not any(found[2][name] for name in SWITCHES)
    return request.param, found


@pytest.mark.parametrize("fast", [*((name,) for name in SWITCHES), SWITCHES], ids="+".join)
def test_thirty_updates_are_those_of_stock_fairseq(stock, fast, tokens, tmp_path):
    objective, (cube, losses, _) = stock
    found, found_losses, settings = train(tmp_path, objective, tokens, fast)
    assert [name for name in SWITCHES if settings[name]] == list(fast)
    assert len(losses) == UPDATES and losses[-5:].mean() < losses[:5].mean() - 0.2
    # fairseq prints losses with three digits
    np.testing.assert_allclose(found_losses, losses, atol=2e-3)
    np.testing.assert_allclose(found["loss"].values, cube["loss"].values, rtol=1e-4)
    np.testing.assert_allclose(found["grad_norm"].values, cube["grad_norm"].values, rtol=5e-3)
    assert difference(found, cube) < 1e-3


@pytest.mark.parametrize("objective", ["plm", "dae"])
def test_all_faster_ways_together_make_the_updates_of_the_stock_layers(objective, tokens, tmp_path):
    cube, losses, _ = train(tmp_path / "stock", objective, tokens, ())
    found, found_losses, settings = train(tmp_path / "fast", objective, tokens, SWITCHES)
    assert all(settings[name] for name in SWITCHES)
    assert losses[-5:].mean() < losses[:5].mean() - 0.2
    np.testing.assert_allclose(found_losses, losses, atol=2e-3)
    assert difference(found, cube) < 1e-3


def test_bfloat16_keeps_the_profile_of_the_layers(stock, tokens, tmp_path):
    """Products in bfloat16 on a CPU; a weak stand-in for half precision on a GPU."""
    objective, (cube, losses, _) = stock
    found, _, settings = train(tmp_path, objective, tokens, SWITCHES, ["--autocast", "cpu"])
    assert settings["precision"] == "bf16"
    profiles = [c["lca"].sum(("step", "head"), min_count=1).values.ravel() for c in (found, cube)]
    known = np.isfinite(profiles[0])
    assert difference(found, cube) > 1e-5
    assert np.corrcoef(profiles[0][known], profiles[1][known])[0, 1] > 0.99


@pytest.mark.parametrize("bias", [False, True])
def test_the_cross_entropy_and_its_gradients_are_those_of_pytorch(bias, monkeypatch):
    from losschange_fairseq.fast import cross_entropy

    monkeypatch.setattr(cross_entropy, "ROWS", 7)
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(30, 5, generator=generator).requires_grad_()
    weight = torch.randn(11, 5, generator=generator).requires_grad_()
    offset = torch.randn(11, generator=generator).requires_grad_() if bias else None
    target = torch.randint(0, 11, (30,), generator=generator)
    target[::4] = 1
    inputs = [features, weight, *([offset] if bias else [])]
    found = cross_entropy.linear_cross_entropy(features, weight, offset, target, 1)
    expected = functional.cross_entropy(
        functional.linear(features, weight, offset), target, ignore_index=1, reduction="sum"
    )
    torch.testing.assert_close(found, expected)
    # As fp16 does: a scale on the loss.
    for one, other in zip(
        torch.autograd.grad(found * 8, inputs), torch.autograd.grad(expected * 8, inputs)
    ):
        torch.testing.assert_close(one, other)


def test_scores_in_half_precision_lose_nothing_but_their_rounding():
    from losschange_fairseq.fast.cross_entropy import linear_cross_entropy

    generator = torch.Generator().manual_seed(1)
    features = torch.randn(40, 8, generator=generator).bfloat16().requires_grad_()
    weight = torch.randn(90, 8, generator=generator).bfloat16().requires_grad_()
    target = torch.randint(0, 90, (40,), generator=generator)
    found = linear_cross_entropy(features, weight, None, target, 1)
    scores = functional.linear(features, weight).float()
    expected = functional.cross_entropy(scores, target, ignore_index=1, reduction="sum")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, (features, weight)) for loss in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("causal", "padded"), [(True, False), (False, True), (False, False)])
def test_attention_of_narrow_heads_is_that_of_pytorch(causal, padded):
    from losschange_fairseq.fast.small_heads import attend, suits

    generator = torch.Generator().manual_seed(1)
    query, key, value, gradient = (torch.randn(3, 2, 6, 4, generator=generator) for _ in range(4))
    if not causal:
        key, value = key[:, :, :5], value[:, :, :5]
    inputs = [part.requires_grad_() for part in (query, key, value)]
    seen = torch.ones(3, 1, 1, key.shape[2], dtype=torch.bool)
    seen[1, ..., :2] = False
    seen = seen if padded else None
    assert suits(query.flatten(1, 2), key.flatten(1, 2), width=4)
    rows = [part.transpose(2, 3).flatten(0, 1) for part in inputs]
    found = attend(*rows, causal, seen).unflatten(0, (3, 2)).transpose(2, 3)
    expected = functional.scaled_dot_product_attention(*inputs, attn_mask=seen, is_causal=causal)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(out, inputs, gradient) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_dropout_drops_its_share_and_keeps_the_mean():
    from fairseq.modules import FairseqDropout

    from losschange_fairseq.fast.dropout import add_dropped

    torch.manual_seed(1)
    inputs = [torch.full((301, 401), value, requires_grad=True) for value in (5.0, 1.0)]
    module = FairseqDropout(0.1)
    total = add_dropped(module, *inputs)
    of_residual, gradient = torch.autograd.grad(total.sum(), inputs)
    found = total - 5
    torch.testing.assert_close(gradient, found)
    assert torch.equal(of_residual, torch.ones_like(found)) and gradient.unique().tolist()[0] == 0
    assert float((gradient == 0).float().mean()) == pytest.approx(0.1, abs=0.004)
    assert float(gradient.mean()) == pytest.approx(1, abs=0.004)
    # neighbours that share a random number are independent
    dropped = (gradient == 0).float()
    assert float((dropped[:, 1:] * dropped[:, :-1]).mean()) == pytest.approx(0.01, abs=0.002)
    assert torch.equal(add_dropped(module.eval(), *inputs), torch.full((301, 401), 6.0))


def test_the_fused_adam_is_the_one_of_fairseq():
    from fairseq.optim.adam import Adam

    from losschange_fairseq.fast.optimizer import FusedAdam

    generator = torch.Generator().manual_seed(1)
    start = torch.randn(200, generator=generator)
    settings = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-3, "weight_decay": 0.1}
    parameters = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    optimizers = [kind([p], **settings) for kind, p in zip((Adam, FusedAdam), parameters)]
    for step in range(30):
        gradient = torch.randn(200, generator=generator) * 10.0 ** (step % 5 - 4)
        for parameter, optimizer in zip(parameters, optimizers):
            parameter.grad = gradient.clone()
            optimizer.step()
    assert (parameters[0] - start).abs().mean() > 0.02
    torch.testing.assert_close(parameters[1], parameters[0], rtol=2e-5, atol=2e-6)


def test_it_goes_on_from_its_state():
    from losschange_fairseq.fast.optimizer import FusedAdam

    def go(parameter, optimizer, steps):
        for step in steps:
            parameter.grad = torch.sin(torch.arange(50.0) * (step + 1))
            optimizer.step()

    straight, halted = (torch.nn.Parameter(torch.ones(50)) for _ in range(2))
    go(straight, FusedAdam([straight], eps=1e-2), range(6))
    first = FusedAdam([halted], eps=1e-2)
    go(halted, first, range(3))
    second = FusedAdam([halted], eps=1e-2)
    second.load_state_dict(first.state_dict())
    go(halted, second, range(3, 6))
    assert torch.equal(halted, straight)


def batches(objective, tokens, folder, number, updates=6):
    """What the first updates are made of, in so many passes."""
    model = parse_model(ALL_NAMES[objective])
    changes = {"update_frequency": 8, "max_tokens": 96, "micro_batches": number}
    training = tiny_training(model, **changes)
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu")
    run = ResumableTraining(arguments, folder, DutyIntervals(UPDATES, UPDATES, UPDATES))
    found = [samples for samples, _ in zip(run._batches(), range(updates), strict=False)]
    return [run.task.join_samples(samples, run.trainer.get_model()) for samples in found]


def words_of(samples):
    """Sorted ids, and the numbers of tokens and of places that hold one, of an update."""
    ids = sorted(number for sample in samples for number in sample["id"].tolist())
    tokens = sum(int(sample["ntokens"]) for sample in samples)
    sides = [s for sample in samples for s in (sample["net_input"]["src_tokens"], sample["target"])]
    return ids, tokens, sum(int((side != 1).sum()) for side in sides)


@pytest.mark.parametrize("objective", list(NAMES))
@pytest.mark.parametrize("number", [1, 3])
def test_the_same_samples_enter_an_update_in_fewer_passes(objective, number, tokens, tmp_path):
    stock = batches(objective, tokens, tmp_path / "stock", "stock")
    joined = batches(objective, tokens, tmp_path / "joined", number)
    assert [len(samples) for samples in stock[:-1]] == [8] * 5
    assert [len(samples) for samples in joined[:-1]] == [number] * 5
    for before, after in zip(stock, joined, strict=True):
        assert words_of(after) == words_of(before)
        assert sum(s["nsentences"] for s in after) == sum(s["nsentences"] for s in before)


def test_joined_translations_are_padded_little_and_keep_their_sides(tokens, tmp_path):
    (one,), *_ = batches("mt", tokens, tmp_path / "one", 1)
    three, *_ = batches("mt", tokens, tmp_path / "three", 3)
    source, target = one["net_input"]["src_tokens"], one["target"]
    padded = source.eq(1)
    # fairseq pads a source on the left and a target on the right
    assert padded.any() and (padded[:, 1:] <= padded[:, :-1]).all()
    assert (target.eq(1)[:, 1:] >= target.eq(1)[:, :-1]).all()
    places = [sum(s["target"].numel() for s in samples) for samples in ([one], three)]
    assert places[1] < 0.9 * places[0]


@pytest.mark.parametrize("objective", list(NAMES))
def test_fewer_passes_make_the_same_updates(objective, tokens, tmp_path):
    """The very same sentences: so the profile of the layers is the same too, for MT as well."""
    small = {"update_frequency": 4, "max_tokens": 192, "total_updates": UPDATES}
    cube, losses, _ = train(tmp_path / "stock", objective, tokens, SWITCHES, **small)
    found, found_losses, settings = train(
        tmp_path / "joined", objective, tokens, SWITCHES, **small, micro_batches=2
    )
    assert settings["micro_batches"] == 2
    np.testing.assert_allclose(found_losses, losses, atol=2e-3)
    assert difference(found, cube) < 1e-3


def test_a_resumed_training_keeps_the_number_of_passes(tokens, tmp_path, monkeypatch):
    """What another GPU, or less memory on the same, would decide must not change the numbers."""
    decided = iter([3, 2])
    monkeypatch.setattr(tasks, "passes_for", lambda model, samples: next(decided))
    changes = {"update_frequency": 4, "max_tokens": 192, "micro_batches": "auto"}
    halted = in_process(tmp_path, "clm", tokens, **changes)
    assert not halted.run(lambda update, numbers: None, lambda: halted.updates == 2)
    resumed = in_process(tmp_path, "clm", tokens, **changes)
    assert not resumed.run(lambda update, numbers: None, lambda: resumed.updates == 3)
    assert halted.task.passes == resumed.task.passes == 3
    # What Table 2 and the cube say.
    assert halted.settings_as_run()["micro_batches"] == 3
    assert resumed.settings_as_run()["micro_batches"] == 3


def test_memory_decides_how_many_passes_an_update_needs():
    from losschange_fairseq.fast.micro_batches import passes_that_fit

    assert passes_that_fit(32768, 400_000, free=80 * 10**9) == 1
    assert passes_that_fit(32768, 400_000, free=16 * 10**9) == 2
    assert passes_that_fit(32768, 400_000, free=10**9) == 22


def test_padding_decides_how_few_passes_are_worth_it(tokens, tmp_path):
    from losschange_fairseq.fast.micro_batches import passes_worth_their_padding, places_of

    for samples in batches("clm", tokens, tmp_path / "clm", "stock", updates=3):
        assert passes_worth_their_padding(samples) == 1
    for samples in batches("mt", tokens, tmp_path / "mt", "stock", updates=3):
        number = passes_worth_their_padding(samples)
        assert 1 <= number < len(samples)
        fewest = sum(places_of([sample]) for sample in samples)
        assert number == 1 or places_of(samples) * 0.75 > fewest


@pytest.mark.parametrize("objective", ["mlm", "mt", "plm", "dae"])
def test_a_resumed_training_is_the_straight_one_to_the_bit(objective, tokens, tmp_path):
    """With all of the faster ways, joined passes and batches read ahead by another process."""
    updates, halt = 20, 11  # an epoch has eight
    changes = {"update_frequency": 4, "max_tokens": 192, "micro_batches": 2, "dropout": 0.1}
    changes["total_updates"] = updates
    if objective == "plm":
        changes["prefix_share"] = None
    straight, _, _ = train(tmp_path / "straight", objective, tokens, SWITCHES, **changes)
    model = parse_model(ALL_NAMES[objective])
    switches = dict.fromkeys(SWITCHES, True)
    training = tiny_training(model, learning_rate=RATE, **switches, **changes)
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu", data_workers=1)
    intervals = DutyIntervals(updates, updates, updates)
    halted = ResumableTraining(arguments, tmp_path / "halted", intervals)
    assert not halted.run(lambda update, numbers: None, lambda: halted.updates == halt)
    before = set(active_children())
    resumed = ResumableTraining(arguments, tmp_path / "halted", intervals)
    assert resumed.updates == halt
    assert len(set(active_children()) - before) == 1, "one that reads, and none to throw away"
    assert resumed.run(lambda update, numbers: None, lambda: False)
    assemble_cube(resumed.store, tmp_path / "cube.nc", resumed.updates, {})
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_array_equal(cube["lca"].values, straight["lca"].values)
        np.testing.assert_array_equal(cube["loss"].values, straight["loss"].values)
