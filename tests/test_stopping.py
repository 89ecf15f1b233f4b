"""When a training stops before its end."""

import multiprocessing
import os
import signal
import subprocess

import pytest

from running import stopping
from running.stopping import StopRequest, tries_left


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand; signals keep their handlers."""
    now = [0.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield now
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


def first_stop(stop, clock, pauses):
    """Time at which an update ends after which it stops."""
    for pause in pauses:
        clock[0] += pause
        if stop():
            return clock[0]
    return None


def test_without_a_limit_only_a_signal_stops(clock):
    stop = StopRequest()
    assert first_stop(stop, clock, [1.0] * 100_000) is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop() and stop.reason == "it was asked to (SIGTERM)"


def test_a_forked_process_leaves_stopping_to_its_parent(clock):
    stop = StopRequest()
    ours, its = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: its.send(its.recv()))
    child.start()
    subprocess.run(["kill", str(child.pid)], check=True)
    ours.send("alive?")
    assert ours.recv() == "alive?" and not stop()
    child.join()
    child = fork.Process(target=signal.pause)
    child.start()
    child.terminate()
    child.join()
    assert child.exitcode in (0, -signal.SIGTERM)


def test_it_stops_in_time_to_save_before_the_limit(clock):
    stop = StopRequest(3600)
    clock[0] = 500  # the model was built
    stop.start()
    # A save took 40 s once: three times that are kept, and half a minute.
    stopped = first_stop(stop, clock, [1.0] * 100 + [40.0] + [1.0] * 3600)
    assert 3600 - stopped == pytest.approx(150, abs=2)
    assert stop.reason == "its job ends in 149 s"


def test_a_short_job_still_trains(clock):
    assert first_stop(StopRequest(60), clock, [0.5] * 200) == pytest.approx(30, abs=1)


def test_at_least_one_update_is_made_before_it_is_asked(clock):
    assert first_stop(StopRequest(-5.0), clock, [0.5]) == 0.5


def test_tries_left():
    assert [tries_left(left, 40) for left in (0, 1, 40, 41, 400)] == [0, 1, 1, 2, 10]
    assert tries_left(7, 0) == 7
