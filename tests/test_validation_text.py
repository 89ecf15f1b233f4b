"""What is recorded as valid_loss, measured by evaluate_model, and probed is the same text."""

import json

import numpy as np
import pytest

from common.files import UserError
from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange_fairseq.batches import samples_left_out, size_limit, whole_text
from losschange_fairseq.errors import TrainingError
from losschange_fairseq.probes import BatchGradient, ProbeText, SampleSource
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.models import parse_model
from text.binarisation import binarise
from text.steps import check_steps
from text.vocabulary import learn_vocabulary
from tiny_trainings import tiny_training, write_corpus
from training.fairseq_arguments import fairseq_arguments
from training.quality import TrainedModel

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
NAMES = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
SHORT, LONG = "we vote .", "we vote today on the new budget of the house " * 5
# Fifteen pairs: fairseq's multiple of eight would leave out the seven longest.
FIFTEEN = [f"{SHORT} {n}" for n in range(8)] + [f"{LONG} {n}" for n in range(7)]


def write_data(folder, valid, languages, train=60):
    """A fairseq data folder whose validation text are these lines on both sides.

    Of its training text, from which the vocabulary is learnt, all or the first `train` pairs.
    """
    splits = write_corpus(folder / "text", {"train": 60, "valid": 1})
    for language in ("en", "de"):
        (folder / f"text/valid.{language}").write_text("".join(f"{x}\n" for x in valid), "utf-8")
    texts = [folder / f"text/train.{x}" for x in languages]
    learn_vocabulary(texts, 200, 0, 1, 1, folder / "data/v.model", folder / "data/v.txt")
    for text in texts:
        lines = text.read_text("utf-8").splitlines(keepends=True)
        text.write_text("".join(lines[:train]), "utf-8")
    binarise(folder / "data/v.model", languages, splits, folder / "data")
    return folder / "data"


def trained(folder, objective, valid, updates=3, train=60, **changes):
    """A tiny training to its end, and its model as evaluate_model loads it."""
    model = parse_model(NAMES[objective])
    data = write_data(folder, valid, ["en", "de"] if objective == "mt" else ["en"], train)
    training = tiny_training(model, total_updates=updates, warmup_updates=1, **changes)
    arguments = fairseq_arguments(model, training, data, 1, "cpu")
    run = ResumableTraining(arguments, folder / "state", DutyIntervals(updates, updates, updates))
    run.run(lambda update, numbers: None, lambda: False)
    run.save_model(folder / "checkpoint.pt")
    return run, TrainedModel(folder / "checkpoint.pt", data, max_tokens=150)


def recorded(run):
    """The last validation loss in the parts of the cube."""
    *_, (_, _, path) = run.store.parts()
    with open_cube(path) as cube:
        return float(cube["valid_loss"].values[-1])


@pytest.mark.parametrize("objective", NAMES)
def test_the_three_agree_to_the_token(tmp_path, objective):
    run, model = trained(tmp_path, objective, FIFTEEN, max_tokens=2048, tokens_per_sample=32)
    found = model.loss("valid")
    assert found["left_out"] == 0
    assert recorded(run) == pytest.approx(found["loss"], rel=1e-6)
    source = SampleSource(run.task, "valid", run.trainer.get_model(), 1, 2048)
    samples = source.draw(10**6, [0])
    targets = [sample["target"] for sample in samples]
    assert sum(int((target != 1).sum()) for target in targets) == found["tokens"]
    gradient = BatchGradient(run.trainer.get_model(), run.trainer.get_criterion(), None)
    loss, _ = ProbeText(gradient, samples)()
    assert float(loss) == pytest.approx(found["loss"], rel=1e-6)
    if objective != "mlm":
        sizes = run.task.dataset("valid").sizes
        total = sizes[:, 1].sum() if objective == "mt" else sizes.sum()
        assert found["tokens"] == total, "every token is a target"


def test_the_longest_pairs_are_seen(tmp_path):
    run, model = trained(tmp_path, "mt", FIFTEEN, max_tokens=2048)
    limit = size_limit(run.task, run.trainer.get_model(), 2048)
    dataset = run.task.dataset("valid")
    batches = whole_text(run.task, dataset, limit, 2048, 1)
    assert sorted(np.concatenate(batches.frozen_batches)) == list(range(15))


@pytest.mark.parametrize("pairs", [1, 7])
def test_fewer_than_eight_pairs_are_enough(tmp_path, pairs):
    run, model = trained(tmp_path, "mt", FIFTEEN[:pairs])
    assert recorded(run) == pytest.approx(model.loss("valid")["loss"], rel=1e-6)


def test_a_pair_longer_than_a_micro_batch_is_left_out_and_counted(tmp_path):
    lines = [*FIFTEEN[:4], "zq xj vk " * 60]
    run, model = trained(tmp_path, "mt", lines, max_tokens=64)
    assert run.left_out()["valid"] == (1, 5)
    found = model.loss("valid")
    assert found["left_out"] == 1 and np.isfinite(recorded(run))
    assert recorded(run) == pytest.approx(found["loss"], rel=1e-6)
    source = SampleSource(run.task, "valid", run.trainer.get_model(), 1, 64)
    targets = [sample["target"] for sample in source.draw(10**6, [0])]
    assert sum(int((target != 1).sum()) for target in targets) == found["tokens"]
    limit = size_limit(run.task, run.trainer.get_model(), 64)
    assert samples_left_out(run.task.dataset("valid"), limit) == 1


def test_a_validation_text_of_which_nothing_fits_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="every sample of the validation text is longer"):
        trained(tmp_path, "mt", ["zq xj vk " * 60], max_tokens=64)


def test_a_probe_of_which_nothing_fits_is_an_error(tmp_path):
    run, _ = trained(tmp_path, "mt", FIFTEEN, max_tokens=64)
    source = SampleSource(run.task, "valid", run.trainer.get_model(), 1, 2)
    with pytest.raises(RecordingError, match="no sample of the valid text is short enough"):
        source.draw(100, [0])


def test_a_training_text_that_makes_no_batch_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="the training text makes no batch"):
        trained(tmp_path, "mt", FIFTEEN[:2], train=5)


def test_a_split_that_does_not_fit_the_trained_model_has_no_loss(tmp_path):
    run, model = trained(tmp_path, "mt", FIFTEEN, max_tokens=2048)
    model.cfg.dataset.max_tokens = 2
    with pytest.raises(UserError, match="valid: every sample is longer than max_tokens 2"):
        model.loss("valid")


def test_limits_in_pieces_leave_out_training_and_validation_pairs_only(tmp_path):
    splits = write_corpus(tmp_path / "text", {"train": 40, "valid": 10, "test": 10})
    for split in splits:
        with open(f"{splits[split]}.en", "a") as en, open(f"{splits[split]}.de", "a") as de:
            en.write(f"{LONG * 3}\n{SHORT}\n")
            de.write(f"{SHORT}\n{SHORT}\n")
    model = tmp_path / "data/v.model"
    learn_vocabulary([tmp_path / "text/train.en"], 150, 0, 1, 1, model, model.with_suffix(".txt"))
    limits = check_steps([{"maximum_pieces": 300}, {"maximum_piece_ratio": 9}])
    for name, chosen in (("all", []), ("data", limits)):
        (tmp_path / name).mkdir(exist_ok=True)
        binarise(model, ["en", "de"], splits, tmp_path / name, 2, chosen)
    whole, cut = (json.loads((tmp_path / x / "tokens.json").read_text()) for x in ("all", "data"))
    assert cut["left_out"]["train"] == {"unbalanced_pieces": 1} == cut["left_out"]["valid"]
    assert cut["splits"]["train"]["en"]["sentences"] == 41
    assert cut["splits"]["train"]["de"]["sentences"] == 41
    assert cut["splits"]["test"] == whole["splits"]["test"] and whole["left_out"] == {}
    with pytest.raises(UserError, match="leave out all 42 pairs"):
        binarise(
            model, ["en", "de"], splits, tmp_path / "x", 1, check_steps([{"maximum_pieces": 1}])
        )
