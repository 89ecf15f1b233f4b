"""Denoising: its noise is bound to the sample, takes its share, and moves whole sentences."""

import numpy as np
import pytest
import torch

from losschange_fairseq.building import build_trainer
from running.models import parse_model
from tiny_trainings import tiny_training
from training.fairseq_arguments import fairseq_arguments

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

BOS, EOS = 0, 2


def task_of(tokens, seed=1, data_workers=0, **changes):
    """fairseq's task, and the trainer, of a tiny denoising model."""
    training = tiny_training(parse_model("dae-en"), tokens_per_sample=64, **changes)
    arguments = fairseq_arguments(
        parse_model("dae-en"), training, tokens["dae"], seed, "cpu", data_workers=data_workers
    )
    _, task, trainer = build_trainer(arguments)
    task.load_dataset("train")
    return task, trainer


@pytest.fixture(scope="module")
def task(tokens):
    return task_of(tokens)[0]


def sources(task, epoch=1, indices=range(20)):
    dataset = task.dataset("train")
    dataset.set_epoch(epoch)
    return [dataset[index]["source"].tolist() for index in indices]


def test_noise_depends_on_seed_epoch_and_sample_and_on_nothing_else(task, tokens):
    expected = sources(task)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert sources(task) == expected
    assert torch.equal(torch.get_rng_state(), before), "training's own draws are not disturbed"
    assert sources(task, indices=reversed(range(20))) == expected[::-1]
    assert sources(task, epoch=2) != expected
    assert sources(task_of(tokens, seed=2)[0]) != expected


def test_the_stated_share_of_the_text_is_hidden(tokens):
    """With sentences in their order, what is left of the source is a subsequence of the target."""
    task, _ = task_of(tokens, permuted_sentences=False, infilling_share=0.3)
    dataset, hidden, spans, places = task.dataset("train"), 0, 0, 0
    for index in range(len(dataset)):
        item = dataset[index]
        source, target = item["source"].tolist(), item["target"].tolist()
        kept = [word for word in source if word != task.mask_idx]
        rest = iter(target)
        assert all(word in rest for word in kept)
        # Spans may overlap, so at most the share is hidden.
        budget = int(np.ceil(0.3 * (len(target) - 2)))
        assert len(target) - len(kept) <= budget
        hidden += len(target) - len(kept)
        spans += source.count(task.mask_idx)
        places += len(target) - 2
    assert 0.22 < hidden / places <= 0.31
    # A mask stands for a span of three tokens on average, the empty ones included.
    assert 0.3 / 3 * 0.8 < spans / places < 0.3 / 3 * 1.5


def test_without_spans_only_whole_sentences_change_places(tokens):
    task, _ = task_of(tokens, infilling_share=1e-6)
    dataset, moved = task.dataset("train"), 0

    def sentences(words):
        text = " ".join("." if word == EOS else str(word) for word in words[1:-1])
        return [part.strip() for part in text.split(".")]

    for index in range(20):
        item = dataset[index]
        source, target = item["source"], item["target"]
        assert source[0] == BOS and target[-1] == EOS
        # One token of every sample is masked.
        source = source[source != task.mask_idx].tolist()
        one, other = sentences(source), sentences(target.tolist())
        assert len(other) > 2, "samples hold several sentences"
        same = sum(sentence in other for sentence in one)
        assert same >= len(other) - 2
        moved += one[: len(other)] != other
    assert moved > 15


def test_samples_are_whole_sentences_of_at_most_the_given_length(task):
    dataset = task.dataset("train")
    lengths = [len(dataset[index]["target"]) for index in range(len(dataset))]
    assert max(lengths) <= 64 and np.mean(lengths) > 40
    assert lengths == [int(dataset.num_tokens(index)) for index in range(len(dataset))]
    assert all(dataset[index]["target"][-2] == EOS for index in range(20))


def batches(task, trainer, epochs=2):
    found = []
    for epoch in range(1, epochs + 1):
        iterator = trainer.get_train_iterator(epoch, load_dataset=False).next_epoch_itr()
        found += [sample["net_input"]["src_tokens"] for sample in iterator]
    return found


def stock_noise(task, number):
    """(hidden tokens, masks, length of the source) of samples with fairseq's own noise."""
    from fairseq.data import DenoisingDataset

    dataset, cfg, found = task.dataset("train"), task.cfg, []
    stock = DenoisingDataset(
        dataset.dataset, dataset.sizes, task.dictionary, task.mask_idx, None, shuffle=False, seed=1,
        mask=cfg.mask, mask_random=0.0, insert=0.0, rotate=0.0, permute_sentences=0.0, bpe=None,
        replace_length=1, mask_length="span-poisson", poisson_lambda=cfg.poisson_lambda,
    )  # fmt: skip
    for index in range(number):
        found.append(stock[index])
    return found


def test_the_noise_is_that_of_fairseq_in_all_but_its_draws(tokens):
    task, _ = task_of(tokens, permuted_sentences=False)
    dataset = task.dataset("train")
    number = len(dataset)

    def measures(items):
        masks = [int((item["source"] == task.mask_idx).sum()) for item in items]
        lengths = [len(item["source"]) for item in items]
        kept = [length - count for length, count in zip(lengths, masks, strict=True)]
        return np.array([masks, lengths, kept], float)

    torch.manual_seed(1)
    theirs = measures(stock_noise(task, number))
    ours = []
    for epoch in (1, 2, 3):
        dataset.set_epoch(epoch)
        ours.append(measures([dataset[index] for index in range(number)]))
    error = theirs.std(axis=1) / np.sqrt(number)
    assert (abs(np.mean(ours, axis=(0, 2)) - theirs.mean(axis=1)) < 4 * error).all()


@pytest.mark.slow
def test_reading_processes_give_the_same_noise(tokens):
    one, two = (batches(*task_of(tokens, data_workers=number)) for number in (0, 2))
    assert len(one) == len(two)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
