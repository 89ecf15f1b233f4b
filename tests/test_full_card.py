"""A GPU whose memory runs out ends a training with a sentence, and nothing is half-written."""

import numpy as np
import pytest
import torch

from common.files import UserError
from losschange.recording.recorder import Recorder
from losschange_fairseq import training as training_loop
from losschange_fairseq.errors import TrainingError
from running.models import parse_model
from tiny_trainings import EXECUTION, RECORDING, tiny_training
from training.run import train_model
from training.state import Outputs
from training_runs import columns, in_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
CHANGES = {"total_updates": 8, "checkpoint_interval": 3, "fast_optimizer": True}


def to_its_end(folder, tokens):
    """What a training recorded that was run, or resumed, to its end."""
    run = in_process(folder, "clm", tokens, **CHANGES)
    assert run.run(lambda update, numbers: None, lambda: False)
    return np.concatenate(list(columns(run.store)))


@pytest.mark.parametrize("place", ["forward pass", "recording"])
def test_an_update_that_does_not_fit_is_named_and_the_training_goes_on(
    place, tokens, tmp_path, monkeypatch
):
    run = in_process(tmp_path / "full", "clm", tokens, **CHANGES)
    owner, name = {
        "forward pass": (run.trainer.get_criterion(), "forward"),
        "recording": (Recorder, "after_update"),
    }[place]
    original = getattr(owner, name)

    def overfull(*arguments, **options):
        if run.updates == 4 and (place == "recording" or run.trainer.model.training):
            raise FULL
        return original(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(TrainingError) as error:
        patch.setattr(owner, name, overfull)
        run.run(lambda update, numbers: None, lambda: False)
    assert str(error.value).startswith("update 5: out of memory. Set micro_batches to a larger")
    kept = sorted(path.name for path in (tmp_path / "full" / "checkpoints").iterdir())
    assert kept == ["checkpoint_3.pt"]
    resumed, straight = (to_its_end(tmp_path / name, tokens) for name in ("full", "straight"))
    np.testing.assert_array_equal(resumed, straight)


def test_a_validation_that_does_not_fit_is_told_too(tokens, tmp_path, monkeypatch):
    def overfull(*_):
        raise FULL

    monkeypatch.setattr(training_loop, "validation_loss", overfull)
    model, outputs = parse_model("clm-en"), Outputs(*(tmp_path / name for name in "abcd"))
    recording = {**RECORDING, "estimators": {}, "details": {}}
    with pytest.raises(UserError, match="clm-en: the GPU has no memory left .CUDA out of memory"):
        train_model(
            *(model, tiny_training(model), EXECUTION, recording, tokens["clm"], 1),
            *(tmp_path / "state", outputs),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
