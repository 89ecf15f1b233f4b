"""Prefix language model: known answers of its mask, its samples and its loss."""

import numpy as np
import pytest
import torch

from losschange_fairseq.prefix_lm import PrefixDataset, additive_mask, prefix_mask
from training_runs import in_process

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

CPU = torch.device("cpu")


class Blocks:
    """Samples of 8 tokens as fairseq's language modelling gives them."""

    def __getitem__(self, index):
        words = torch.arange(10 * index, 10 * index + 9)
        return {"id": index, "source": words[:-1], "target": words[1:]}

    def __len__(self):
        return 1000

    def set_epoch(self, epoch):
        pass


def test_an_empty_prefix_is_the_causal_mask_and_a_full_one_hides_nothing():
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    assert torch.equal(prefix_mask([0, 0], 5, CPU)[0, 0], causal)
    # One token sees only itself.
    assert torch.equal(prefix_mask([1], 5, CPU)[0, 0], causal)
    assert prefix_mask([5], 5, CPU).all()


def test_queries_of_the_prefix_see_all_of_it_and_later_ones_what_is_before_them():
    seen = prefix_mask([3], 5, CPU)[0, 0].int().tolist()
    assert seen == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_sentences_share_a_mask_if_their_prefixes_are_equally_long():
    assert prefix_mask([2] * 7, 5, CPU).shape == (1, 1, 5, 5)
    own = prefix_mask([2, 0, 4], 5, CPU)
    assert own.shape == (3, 1, 5, 5)
    for place, length in enumerate((2, 0, 4)):
        assert torch.equal(own[place], prefix_mask([length], 5, CPU)[0])
    added = additive_mask(own, heads=2)
    assert additive_mask(prefix_mask([2] * 7, 5, CPU), heads=2).shape == (1, 5, 5)
    assert added.shape == (6, 5, 5) and torch.equal(added[2], added[3])
    assert torch.equal(added[4] == 0, own[2, 0])


def test_a_fixed_share_is_the_beginning_of_every_sample_and_has_no_targets():
    dataset = PrefixDataset(Blocks(), 0.5, seed=1, padding=-1)
    item = dataset[3]
    assert item["prefix"] == 4
    assert item["target"].tolist() == [-1, -1, -1, -1, 35, 36, 37, 38]
    assert item["source"].tolist() == list(range(30, 38))
    assert PrefixDataset(Blocks(), 0.0, 1, -1)[3]["target"].tolist() == list(range(31, 39))


def test_drawn_prefixes_are_uniform_and_bound_to_seed_epoch_and_sample():
    def lengths(seed, epoch):
        dataset = PrefixDataset(Blocks(), None, seed, -1)
        dataset.set_epoch(epoch)
        return [dataset[index]["prefix"] for index in range(1000)]

    first = lengths(1, 1)
    assert first == lengths(1, 1)
    assert first != lengths(1, 2) and first != lengths(2, 1)
    counts = np.bincount(first, minlength=8)
    assert len(counts) == 8 and (abs(counts - 125) < 40).all()


@pytest.fixture(scope="module")
def runs(tokens, tmp_path_factory):
    """A function that makes a training, not yet run, of one of the two objectives."""

    def make(objective, **changes):
        folder = tmp_path_factory.mktemp(objective)
        return in_process(folder, objective, tokens, dropout=0.0, **changes)

    return make


def loss_and_gradients(run, samples):
    model = run.trainer.get_model()
    model.train()
    loss, size, _ = run.trainer.get_criterion()(model, samples)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
    return float(loss), int(size), dict(zip(names, gradients, strict=True))


FAST = [False, True]


@pytest.mark.parametrize("fast", FAST, ids=["stock", "fast"])
def test_with_an_empty_prefix_loss_and_gradients_are_the_causal_models(runs, fast):
    changes = {"fast_layers": fast, "fast_cross_entropy": fast}
    causal, prefix = runs("clm", **changes), runs("plm", prefix_share=0.0, **changes)
    one, other = next(iter(causal._batches()))[0], next(iter(prefix._batches()))[0]
    assert torch.equal(one["net_input"]["src_tokens"], other["net_input"]["src_tokens"])
    assert torch.equal(one["target"], other["target"])
    expected, found = loss_and_gradients(causal, one), loss_and_gradients(prefix, other)
    assert found[:2] == pytest.approx(expected[:2], rel=1e-6)
    assert found[2].keys() == expected[2].keys()
    for name, gradient in expected[2].items():
        torch.testing.assert_close(found[2][name], gradient, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fast", FAST, ids=["stock", "fast"])
def test_the_last_token_of_the_prefix_reaches_position_0_and_no_later_token_does(runs, fast):
    run = runs("plm", fast_layers=fast, fast_cross_entropy=fast)
    model = run.trainer.get_model().eval()
    sample = next(iter(run._batches()))[0]
    inputs = sample["net_input"]
    size = inputs["src_tokens"].shape[1]
    length = size // 2
    assert inputs["prefix_lengths"] == [length] * len(sample["target"])
    assert int(sample["ntokens"]) == (size - length) * len(sample["target"])

    def change_of(position):
        """Positions whose state changes with the token at `position`, of the first sample."""
        words = inputs["src_tokens"].clone()
        words[0, position] = 5 + (words[0, position] - 4) % 100
        states = [
            model(**{**inputs, "src_tokens": ids}, features_only=True)[0][0]
            for ids in (inputs["src_tokens"], words)
        ]
        return (states[0] - states[1]).abs().amax(-1) > 1e-6

    assert change_of(length - 1).all()
    changed = change_of(length)
    assert not changed[:length].any() and changed[length:].all()


@torch.no_grad()
def test_fast_layers_with_prefixes_of_different_lengths_are_the_stock_ones(runs):
    found = []
    for fast in FAST:
        run = runs("plm", prefix_share=None, fast_layers=fast, fast_cross_entropy=fast)
        sample = next(iter(run._batches()))[0]
        assert len(set(sample["net_input"]["prefix_lengths"])) > 3
        model = run.trainer.get_model().eval()
        found.append([model(**sample["net_input"])[0], run.trainer.get_criterion()(model, sample)])
    (one, first), (other, second) = found
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert float(first[0]) == pytest.approx(float(second[0]), rel=1e-5)
    assert int(first[1]) == int(second[1])


@pytest.mark.slow
def test_the_cells_of_a_training_with_an_empty_prefix_are_the_causal_models(runs):
    from losschange.cube.format import open_cube

    cubes = []
    for objective, changes in (("clm", {}), ("plm", {"prefix_share": 0.0})):
        run = runs(objective, total_updates=8, warmup_updates=2, **changes)
        assert run.run(lambda update, numbers: None, lambda: False)
        ((_, _, path),) = list(run.store.parts())[-1:]
        with open_cube(path) as cube:
            cubes.append(cube.load())
    one, other = cubes
    assert one.sizes == other.sizes
    for name in ("component", "layer", "head"):
        assert one[name].values.tolist() == other[name].values.tolist()
    size = np.nansum(np.abs(one["lca"].values), axis=(1, 2, 3)).mean()
    np.testing.assert_allclose(other["lca"].values, one["lca"].values, atol=1e-4 * size)
