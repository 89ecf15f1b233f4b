"""Networks of one's own, by their modules: cells of a float64 reference, and not a bit changed."""

import pytest
import torch
from test_schema_modules import IDS, WORDS, NanoGPT
from torch import nn
from torch.nn import functional

from library_reference import cells_of_update, check_cells
from losschange import attach
from losschange.schemas import schema_for

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(6) % 3


class Recurrent(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.words, self.net = nn.Embedding(WORDS, 6), nn.LSTM(6, 8, 2, dropout=dropout)
        self.output = nn.Linear(8, WORDS)

    def forward(self, ids):
        return self.output(self.net(self.words(ids))[0])


class Translator(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.net = nn.Transformer(16, 4, 1, 2, 24, dropout, batch_first=True)
        self.output = nn.Linear(16, WORDS)

    def forward(self, ids):
        return self.output(self.net(self.words(ids), self.words(ids)))


def mlp(dropout):
    first = nn.Linear(3 * 8 * 8, 7)
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 3))


def cnn(dropout):
    """With running statistics, and with weights that are not contiguous."""
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout)]
    model = nn.Sequential(*layers, nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(128, 3))
    return model.to(memory_format=torch.channels_last)


def normed(dropout):
    """Parameters that are not those which the layers compute with."""
    first = nn.utils.parametrizations.weight_norm(nn.Linear(3 * 8 * 8, 5))
    second = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3))
    return nn.Sequential(nn.Flatten(), first, nn.Dropout(dropout), second)


NETWORKS = {
    "MLP": mlp,
    "CNN": cnn,
    "parametrized": normed,
    "LSTM": Recurrent,
    "nn.Transformer": Translator,
    "nanoGPT": lambda dropout: nn.Sequential(NanoGPT(), nn.Dropout(dropout)),
}


def loss_of(shift):
    """The loss of a batch of images or of words, as the network takes them."""

    def loss(model, update=0):
        dtype = next(model.parameters()).dtype
        if any(isinstance(module, nn.Embedding) for module in model.modules()):
            return functional.cross_entropy(
                model((IDS + shift) % WORDS).flatten(0, 1), IDS.flatten()
            )
        return functional.cross_entropy(model(IMAGES.to(dtype) + shift / 10), CLASSES)

    return loss


@pytest.mark.parametrize("kind", NETWORKS)
def test_cells_are_those_of_the_reference(tmp_path, kind):
    torch.manual_seed(0)
    model = NETWORKS[kind](0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    recorder = attach(model, optimizer, folder=tmp_path / "parts")
    expected = []
    for update in range(3):
        loss = loss_of(update)
        expected.append(cells_of_update(model, optimizer, loss, schema_for(model)))
    recorder.finish(tmp_path / "cube.nc")
    check_cells(tmp_path / "cube.nc", expected)


@pytest.mark.parametrize("kind", NETWORKS)
def test_recording_does_not_change_a_bit_of_a_training_with_dropout(tmp_path, kind):
    trained = []
    for recording in (False, True):
        torch.manual_seed(0)
        model = NETWORKS[kind](0.2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        if recording:
            attach(
                model, optimizer, folder=tmp_path / "parts",
                estimators=["probe", "simpson", "fresh"], probes={"train": loss_of(3)},
                fresh=loss_of(5), quadrature="fixed",
            )  # fmt: skip
        torch.manual_seed(3)
        for update in range(3):
            optimizer.zero_grad()
            loss_of(update)(model).backward()
            optimizer.step()
        trained.append(model)
    for one, other in zip(*(model.state_dict().values() for model in trained), strict=True):
        assert torch.equal(one, other)
