"""Masks drawn once for source and target are those that fairseq draws twice."""

import numpy as np
import pytest
import torch
from fairseq.data import (
    Dictionary,
    FairseqDataset,
    MaskTokensDataset,
    NestedDictionaryDataset,
    RightPadDataset,
    SortDataset,
)

from losschange_fairseq.building import build_trainer
from losschange_fairseq.fast.masking import draw_masks_once
from running.models import parse_model
from tiny_trainings import tiny_training
from training.fairseq_arguments import fairseq_arguments

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


class Sentences(FairseqDataset):
    """Sentences of 1 to 40 words, as fairseq's datasets give them."""

    def __init__(self, words, seed):
        self.words, self.seed = words, seed
        self.sizes = np.random.default_rng(seed).integers(1, 41, 300)

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        random = np.random.default_rng([self.seed, index])
        return torch.from_numpy(random.integers(4, self.words, self.sizes[index]))

    def set_epoch(self, epoch):
        pass


def masked(words=50, **options):
    """The masked samples that fairseq's masked_lm task makes of sentences."""
    vocabulary = Dictionary()
    for word in range(words - len(vocabulary)):
        vocabulary.add_symbol(str(word))
    mask = vocabulary.add_symbol("<mask>")
    source, target = MaskTokensDataset.apply_mask(
        Sentences(words, 3), vocabulary, pad_idx=1, mask_idx=mask, seed=5, **options
    )
    parts = {
        "net_input": {"src_tokens": RightPadDataset(source, 1)},
        "target": RightPadDataset(target, 1),
    }
    nested = NestedDictionaryDataset(parts, sizes=[source.sizes])
    return SortDataset(nested, sort_order=[source.sizes]), mask


def items(dataset, epoch):
    dataset.set_epoch(epoch)
    return [dataset[index] for index in range(len(dataset))]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in ("net_input.src_tokens", "target"):
            assert one[name].dtype == other[name].dtype
            assert torch.equal(one[name], other[name])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mask_prob": 0.6, "leave_unmasked_prob": 0.3, "random_token_prob": 0.4},
        {"freq_weighted_replacement": True, "mask_prob": 0.5},
        # Left to fairseq.
        {"mask_multiple_length": 3},
        {"random_token_prob": 0.0},
        {"leave_unmasked_prob": 0.0},
    ],
    ids=str,
)
def test_every_sentence_of_every_epoch_is_masked_as_fairseq_does(options):
    stock, mask = masked(**options)
    once, _ = masked(**options)
    draw_masks_once(once)
    epochs = [items(once, epoch) for epoch in (1, 2)]
    for epoch, found in zip((1, 2), epochs, strict=True):
        assert_same(found, items(stock, epoch))
    # The masks are not the same ones in both.
    sources = [torch.cat([item["net_input.src_tokens"] for item in found]) for found in epochs]
    assert (sources[0] == mask).any() and not torch.equal(*sources)


def test_a_sentence_is_drawn_once_for_source_and_target(monkeypatch):
    dataset, _ = masked()
    draw_masks_once(dataset)
    dataset.set_epoch(1)
    seeds, given = [], np.random.default_rng
    monkeypatch.setattr("numpy.random.default_rng", lambda s: seeds.append(s) or given(s))
    dataset[0], dataset[1]
    # Two more are those of the sentences themselves.
    assert len([seed for seed in seeds if not isinstance(seed, list)]) == 2


def test_a_text_with_the_mask_in_it_is_refused():
    dataset, mask = masked()
    draw_masks_once(dataset)
    dataset.dataset.defn["net_input.src_tokens"].dataset.dataset.mask_idx = 7
    with pytest.raises(ValueError, match=r"sentence \d+ holds the id 7, which is the mask's"):
        items(dataset, 1)


def test_the_switch_gives_the_task_the_same_sentences(tokens):
    changes = {"total_updates": 5}
    splits = {}
    for fast in (False, True):
        training = tiny_training(parse_model("mlm-en"), fast_masking=fast, **changes)
        arguments = fairseq_arguments(parse_model("mlm-en"), training, tokens["mlm"], 1, "cpu")
        _, task, _ = build_trainer(arguments)
        task.load_dataset("train", epoch=1)
        splits[fast] = items(task.dataset("train"), 2)
        drawn_once = task.dataset("train").dataset.defn["target"].dataset.dataset
        assert (type(drawn_once) is MaskTokensDataset) is not fast
    assert_same(splits[True], splits[False])
