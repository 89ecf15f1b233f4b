"""Recording never waits for the device between two copies of the buffered records to the host."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from estimator_names import PROBES
from small_models import attach_to, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

# What a GPU has to finish before: a value for the host, or a shape that depends on values.
WAITS = {
    f"aten::{name}"
    for name in ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique")
}


class NoWaiting(TorchDispatchMode):
    """Refuses every operation that would make the host wait for the device."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation.name().partition(".")[0]
        by_mask = name == "aten::index" and any(
            index is not None and index.dtype == torch.bool for index in arguments[1]
        )
        assert name not in WAITS and not by_mask, f"{name} waits for the device"
        return operation(*arguments, **(options or {}))


@pytest.fixture
def no_waiting(monkeypatch):
    """Neither such operations nor values copied to where the host reads them."""

    def refuse(*_):
        raise AssertionError("a value is read by the host")

    def switch_on():
        for name in ("item", "tolist", "numpy", "cpu", "__float__", "__bool__", "__int__"):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        return NoWaiting()

    yield switch_on
    monkeypatch.undo()


def start(folder, strides, **options):
    model = make_transformer(layers=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    recorder = attach_to(model, optimizer, folder / "parts", estimators=strides, **options)
    train(model, optimizer, range(1, 4), recorder)
    return model, optimizer, recorder


@pytest.mark.parametrize(
    "strides",
    [{}, {"probe": 1}, dict.fromkeys(("fresh", *PROBES), 1), dict.fromkeys(("fresh", *PROBES), 3)],
    ids=["batch", "probe", "all", "all strided"],
)
def test_no_update_waits_for_the_device(tmp_path, no_waiting, strides):
    model, optimizer, recorder = start(tmp_path, strides, quadrature="fixed")
    with no_waiting():
        train(model, optimizer, range(4, 16), recorder)
    assert recorder.recorder.updates == 15


def test_an_error_that_is_looked_at_is_the_one_thing_to_wait_for(tmp_path, no_waiting):
    """An interval halved until its error is small needs the error; so the check does see waits."""
    model, optimizer, recorder = start(tmp_path, {"simpson": 1}, simpson_tolerance=1e-6)
    with (
        pytest.raises(AssertionError, match=r"waits for the device|read by the host"),
        no_waiting(),
    ):
        train(model, optimizer, range(4, 6), recorder)
