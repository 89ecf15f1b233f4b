"""What fairseq's models would be told at an update reaches who counts, without walks over them."""

import pytest
from torch import nn

from losschange_fairseq.building import build_trainer
from losschange_fairseq.fast.bookkeeping import remember_modes
from running.models import parse_model
from tiny_trainings import tiny_training
from training.fairseq_arguments import fairseq_arguments

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


class Counting(nn.Module):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def set_num_updates(self, updates):
        self.told.append(updates)


@pytest.mark.parametrize("name", ["clm-en", "mlm-en", "mt-en-de"])
def test_modules_that_count_updates_are_told_once_and_nothing_is_walked_over(
    name, tokens, monkeypatch
):
    model = parse_model(name)
    training = tiny_training(model, total_updates=5, fast_bookkeeping=False)
    kind = name.split("-")[0]
    arguments = fairseq_arguments(model, training, tokens[kind], 1, "cpu")
    _, _, trainer = build_trainer(arguments)
    built = trainer.get_model()
    deep, parts = Counting(), list(built.modules())
    parts[len(parts) // 2].add_module("counting", deep)
    remember_modes(built)
    monkeypatch.setattr(nn.Module, "apply", lambda *_: pytest.fail("a walk over all modules"))
    built.set_num_updates(7)
    built.set_num_updates(8)
    assert deep.told == [7, 8]
    assert built.training
    built.eval()
    assert not any(module.training for module in built.modules())
    built.train()
    assert all(module.training for module in built.modules())
