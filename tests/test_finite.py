"""A number that is not finite is found, on a GPU without waiting for it."""

import torch

from losschange.recording.finite import FiniteWatch


class LateEvent:
    """An event of a GPU that is slower than the host."""

    arrived = False

    def record(self):
        """Nothing to record on a CPU."""

    def query(self):
        return LateEvent.arrived


def test_on_a_cpu_the_answer_is_there_at_once():
    watch = FiniteWatch("cpu")
    watch.add(torch.ones(3))
    assert not watch.lost()
    watch.add(torch.tensor([1.0, float("nan")]))
    assert watch.lost()


def test_what_travels_to_the_host_is_read_only_when_it_has_arrived(monkeypatch):
    """The pinned memory is written by the GPU: it is neither read nor written again before."""
    watch = FiniteWatch("cpu")
    watch._travels, watch._on_host = True, torch.ones((), dtype=torch.bool)
    watch._answer = watch._on_host.numpy()
    monkeypatch.setattr(torch.cuda, "Event", LateEvent)
    assert not watch.lost()  # The first copy sets out.
    watch.add(torch.tensor(float("inf")))
    for _ in range(3):
        assert not watch.lost() and watch._on_host, "the copy has not arrived, so none follows it"
    LateEvent.arrived = True
    assert not watch.lost()  # That copy knew nothing; the next one sets out.
    assert watch.lost()
