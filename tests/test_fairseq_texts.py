"""Named texts in trainings with fairseq: which sentences they draw, and which tokens count."""

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.cube.word_bins import words_in_band
from losschange.errors import RecordingError
from losschange_fairseq.probes import word_counts
from losschange_fairseq.texts import TargetFilter, parse_texts
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from tiny_trainings import RECORDING, tiny_training
from training.fairseq_arguments import fairseq_arguments

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

NAMES = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
TEXTS = {
    "rare": {"split": "valid", "tokens": {"frequency": [0, 0.25]}},
    "rest": {"split": "valid", "tokens": {"frequency": [0.25, 1]}},
}


def train(folder, objective, tokens, strides, texts, updates=3, **changes):
    """A finished training in this process."""
    model = parse_model(NAMES[objective])
    training = tiny_training(model, total_updates=updates, warmup_updates=1, **changes)
    recording = {**RECORDING, "estimators": strides, "texts": texts, "probe_tokens": 256}
    arguments = fairseq_arguments(model, training, tokens[objective], 1, "cpu", recording)
    run = ResumableTraining(arguments, folder, DutyIntervals(updates, 10, 10))
    assert run.run(lambda update, numbers: None, lambda: False)
    return run


def probe_of(run, name):
    """The text of an estimator."""
    return next(
        probe.measure
        for schedule in run.task.recorder._schedules
        for probe in schedule.integrators
        if name in probe.estimators
    )


def targets(probe, padding):
    return torch.cat([sample["target"][sample["target"] != padding] for sample in probe.samples])


def recorded(run, variable):
    [(_, _, path)] = run.store.parts()
    with open_cube(path) as cube:
        return cube[variable].values.astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [False, True], ids=["stock criterion", "chunked criterion"])
@pytest.mark.parametrize("objective", list(NAMES))
def test_two_bands_that_make_up_a_text_add_up_to_it(objective, fast, tokens, tmp_path):
    """Losses and LCA of rare and other words, weighted by their tokens, are those of the text."""
    strides = {"simpson_valid": 1, "simpson_rare": 1, "simpson_rest": 1}
    run = train(tmp_path, objective, tokens, strides, TEXTS, fast_cross_entropy=fast)
    padding = run.task.target_dictionary.pad()
    found = {name: targets(probe_of(run, f"simpson_{name}"), padding) for name in
             ("valid", "rare", "rest")}  # fmt: skip
    sizes = {name: len(words) for name, words in found.items()}
    assert sizes["rare"] + sizes["rest"] == sizes["valid"] and min(sizes.values()) > 0
    language = "de" if objective == "mt" else None
    counts = word_counts(tokens[objective], len(run.task.target_dictionary), language)
    assert set(found["rare"].tolist()) <= set(np.flatnonzero(words_in_band(counts, 0, 0.25)))
    for variable in ("simpson_{}_loss_before", "simpson_{}_loss", "lca_simpson_{}"):
        whole, rare, rest = (
            np.nan_to_num(recorded(run, variable.format(name)))
            for name in ("valid", "rare", "rest")
        )
        joined = (sizes["rare"] * rare + sizes["rest"] * rest) / sizes["valid"]
        np.testing.assert_allclose(joined, whole, rtol=1e-3, atol=2e-6)
    assert np.abs(recorded(run, "simpson_rare_loss") - recorded(run, "simpson_rest_loss")).max() > 0


@pytest.mark.slow
def test_another_split_is_drawn_from_its_own_text(tokens, tmp_path):
    """A third split in the model's folder; fresh batches of it, too."""
    folder = tmp_path / "tokens"
    folder.mkdir()
    for path in tokens["clm"].iterdir():
        (folder / path.name).symlink_to(path)
    for kind in ("bin", "idx"):
        (folder / f"news.{kind}").symlink_to(tokens["clm"] / f"valid.{kind}")
    texts = {"news": {"split": "news"}}
    run = train(
        tmp_path / "run", "clm", {"clm": folder},
        {"probe_news": 1, "probe_valid": 1, "fresh_news": 1, "fresh": 1}, texts,
    )  # fmt: skip
    news, valid = (probe_of(run, name).samples for name in ("probe_news", "probe_valid"))
    assert not torch.equal(news[0]["id"], valid[0]["id"]), "another draw"
    fresh, other = (recorded(run, name) for name in ("lca_fresh", "lca_fresh_news"))
    assert np.nanmax(np.abs(fresh - other)) > 1e-5


@pytest.mark.slow
def test_recording_texts_does_not_change_the_training(tokens, tmp_path):
    strides = {"simpson_rare": 2, "fresh_rare": 1}
    runs = [
        train(tmp_path / name, "mlm", tokens, chosen, TEXTS, updates=6, dropout=0.1)
        for name, chosen in (("plain", {}), ("full", strides))
    ]
    plain, full = (
        torch.cat([p.detach().flatten() for p in run.trainer.get_model().parameters()])
        for run in runs
    )
    assert torch.equal(plain, full)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strides", "texts", "message"),
    [
        ({"probe_news": 1}, {}, "looks at the text 'news', which is unknown; known: train, valid"),
        ({"probe_a": 1}, {"a": {"split": "newstest"}}, "has no split 'newstest' to record"),
        (
            {"probe_a": 1},
            {"a": {"split": "valid", "tokens": {"side": "source"}}},
            "only the target side of a translation has a loss of its own",
        ),
        (
            {"probe_a": 1},
            {"a": {"split": "valid", "tokens": {"classes": "missing.tsv"}}},
            "missing.tsv cannot be read",
        ),
    ],
)
def test_texts_that_cannot_be_recorded_are_refused(strides, texts, message, tokens, tmp_path):
    with pytest.raises(RecordingError, match=message):
        train(tmp_path, "clm", tokens, strides, texts)


@pytest.mark.slow
def test_tokens_of_a_class_count_alone(tokens, tmp_path):
    words = (tokens["clm"] / "dict.txt").read_text(encoding="utf-8").splitlines()
    words = [line.rsplit(" ", 1)[0] for line in words]
    classes = tmp_path / "classes.tsv"
    lines = [f"{word}\t{'even' if number % 2 else 'odd'}" for number, word in enumerate(words)]
    classes.write_text("\n".join([*lines, "not-a-token\teven"]), encoding="utf-8")
    tokens_of = {"classes": str(classes), "class_name": "even"}
    texts = {"even": {"split": "valid", "tokens": tokens_of}}
    run = train(tmp_path / "run", "clm", tokens, {"probe_even": 1}, texts)
    dictionary = run.task.target_dictionary
    found = set(targets(probe_of(run, "probe_even"), dictionary.pad()).tolist())
    assert found and found <= {dictionary.index(word) for word in words[1::2]}


def test_a_filter_leaves_the_input_and_counts_what_is_left():
    sample = {
        "target": torch.tensor([[4, 5, 1], [6, 5, 4]]),
        "ntokens": 5,
        "net_input": {"src_tokens": torch.tensor([[2, 4, 1], [2, 6, 5]])},
    }
    other = {**sample, "target": torch.tensor([[6, 6, 1]])}
    counted = np.zeros(8, dtype=bool)
    counted[[1, 4]] = True  # 1 is padding, which never counts
    [found] = TargetFilter(counted, padding=1)([sample, other])
    assert found["target"].tolist() == [[4, 1, 1], [1, 1, 4]] and found["ntokens"] == 2
    assert found["net_input"] is sample["net_input"] and sample["target"][0, 1] == 5


def test_bands_of_frequency_divide_the_vocabulary():
    counts = np.array([0, 50, 1, 25, 24, 0])
    rare, middle, frequent = (
        np.flatnonzero(words_in_band(counts, *band)).tolist()
        for band in ((0, 0.2), (0.2, 0.6), (0.6, 1))
    )
    assert (rare, middle, frequent) == ([0, 2, 4, 5], [3], [1])
    assert words_in_band(counts, 0, 1).all()
    for low, high in ((0, 0), (0.5, 0.2), (-0.1, 0.5), (0, 1.1)):
        with pytest.raises(ValueError, match="allowed are shares"):
            words_in_band(counts, low, high)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"valid": {"split": "test"}}, "exists by itself"),
        ({"a b": {"split": "test"}}, "cannot be named"),
        ({"a": {"tokens": {}}}, "must have a split"),
        ({"a": {"split": "test", "tokens": {"side": "target", "classes": "x"}}}, "one of"),
        ({"a": {"split": "test", "tokens": {"frequencies": [0, 1]}}}, "one of"),
    ],
)
def test_settings_of_texts_are_checked(texts, message):
    with pytest.raises(RecordingError, match=message):
        parse_texts(texts)
