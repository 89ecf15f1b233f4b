"""The exact gradient of a whole text: first order in single updates, and with both other rules."""

import numpy as np
import pytest
import torch

from losschange.analysis.summaries import summarise_cube
from losschange.cube.estimators import in_order, parse_estimator
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange_fairseq.smoothing import unsmoothed
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from small_models import attach_to, make_optimizer, make_transformer, make_words, train, word_loss
from tiny_trainings import RECORDING, tiny_training
from training.fairseq_arguments import fairseq_arguments

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

WHOLE = make_words(40, seed=8)
SMALL = {"small": {"split": "train", "sentences": 30}}


def test_exact_is_a_rule_of_single_updates_on_fixed_text():
    exact = parse_estimator("exact_small")
    assert (exact.rule, exact.text, exact.is_probe, exact.needs_probe) == (
        "exact", "small", False, True,
    )  # fmt: skip
    assert "all of the text 'small'" in exact.description
    assert in_order(["probe_small", "exact_small", "fresh_small"]) == [
        "fresh_small", "exact_small", "probe_small",
    ]  # fmt: skip


def test_the_first_order_of_a_text_is_its_gradient_times_the_step(tmp_path):
    """Beside autograd, update by update; records lie only at the updates of the stride."""
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    loss = {"whole": lambda model: word_loss(model, WHOLE)}
    recorder = attach_to(
        model, optimizer, tmp_path / "parts", estimators={"exact_whole": 3}, probes=loss
    )
    expected = []

    def keep(update):
        before = [p.detach().clone() for p in model.parameters()]
        slopes = torch.autograd.grad(word_loss(model, WHOLE), list(model.parameters()))
        expected.append((before, slopes))

    sums = []
    for update in range(1, 10):
        train(model, optimizer, range(update, update + 1), recorder, change=keep)
        before, slopes = expected[-1]
        steps = [p.detach() - b for p, b in zip(model.parameters(), before)]
        sums.append(sum(float((g.double() * s).sum()) for g, s in zip(slopes, steps)))
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_exact_whole"].values.tolist() == [3, 6, 9]
        found = cube["lca_exact_whole"].sum(("layer", "component", "head")).values
    np.testing.assert_allclose(found, [sums[n] for n in (2, 5, 8)], rtol=2e-4)
    summary = summarise_cube(tmp_path / "cube.nc")
    assert float(summary["coverage"].sel(estimator="exact_whole")) == pytest.approx(1 / 3)


def test_an_exact_gradient_needs_its_text(tmp_path):
    model = make_transformer(layers=1)
    with pytest.raises(RecordingError, match="'exact_other' needs a probe of other text"):
        attach_to(model, make_optimizer(model), tmp_path, estimators=["exact_other"])


def run_mt(folder, tokens, strides, updates=6, **changes):
    """A finished training of a translation model in this process."""
    model = parse_model("mt-en-de")
    training = tiny_training(model, total_updates=updates, warmup_updates=1, **changes)
    recording = {**RECORDING, "estimators": strides, "texts": SMALL, "details": {}}
    arguments = fairseq_arguments(model, training, tokens["mt"], 1, "cpu", recording)
    run = ResumableTraining(arguments, folder, DutyIntervals(updates, 10, 10))
    assert run.run(lambda update, numbers: None, lambda: False)
    return run


def values_of(run, variable):
    [(_, _, path)] = run.store.parts()
    with open_cube(path) as cube:
        return np.nan_to_num(cube[variable].values.astype(np.float64))


@pytest.mark.slow
def test_a_whole_text_conserves_whatever_passes_it_takes(tokens, tmp_path):
    """Simpson's rule within 0.1 %; the first order is not conserved; labels may be smoothed."""
    strides = {"exact_small": 1, "probe_small": 1, "simpson_small": 1, "fresh_small": 1}
    run = run_mt(
        tmp_path / "a", tokens, strides, tied_embeddings="none",
        label_smoothing=0.1, fast_cross_entropy=False, max_tokens=64,
    )  # fmt: skip
    [integrator] = [one for s in run.task.recorder._schedules for one in s.integrators]
    assert len(integrator.measure.samples) > 4, "several passes"
    assert sum(len(sample["id"]) for sample in integrator.measure.samples) == 30
    change = (
        values_of(run, "simpson_small_loss")[-1] - values_of(run, "simpson_small_loss_before")[0]
    )
    sums = {name: values_of(run, f"lca_{name}").sum() for name in strides}
    assert sums["simpson_small"] == pytest.approx(change, rel=1e-3)
    assert sums["probe_small"] == pytest.approx(change, rel=0.05)
    assert sums["exact_small"] < 0 and abs(sums["exact_small"] / change - 1) > 1e-3
    # All passes in one: the loss and the gradient are those of the text, not of its batches.
    once = run.task.recorder.partition
    [first] = [one.measure for s in run.task.recorder._schedules for one in s.integrators]
    loss, gradients = first(None)
    source = first.samples
    joined = type(first)(first._gradient, source[::-1])
    again, others = joined(None)
    assert float(loss) == pytest.approx(float(again), rel=1e-6)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert "decoder_embedding" in once.layout.components


def test_fresh_batches_of_a_text_are_drawn_from_its_sentences_alone(tokens, tmp_path):
    run = run_mt(tmp_path, tokens, {"fresh_small": 1, "probe_small": 1}, updates=2)
    [probe] = [one.measure for s in run.task.recorder._schedules for one in s.integrators]
    whole = {int(i) for sample in probe.samples for i in sample["id"]}
    source = run.task.recorder._fresh["fresh_small"]._source
    drawn = {int(i) for n in range(5) for sample in source.draw(128, (7, n)) for i in sample["id"]}
    assert len(whole) == 30 and drawn < whole


@pytest.mark.parametrize(("eps", "same"), [(0.0, True), (0.1, False)])
def test_lca_is_of_the_loss_without_smoothing(eps, same):
    class Criterion:
        sentence_avg = False

    class Task:
        target_dictionary = None

    criterion = Criterion()
    criterion.eps = eps
    assert (unsmoothed(criterion, Task()) is criterion) == same
