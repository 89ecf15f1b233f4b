"""The check of a GPU, rehearsed on a CPU: killed in the middle, called again, and published."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tiny_trainings import ROOT, write_tokens

BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

from gpu.clock import Clock, OutOfTime  # noqa: E402
from gpu.publishing import (  # noqa: E402
    END,
    START,
)
from gpu.results import BEGUN, ENDED, ResultLog, ended_stages, running_stage  # noqa: E402
from gpu.supervisor import supervise  # noqa: E402


def test_a_line_is_there_whole_or_not_at_all(tmp_path):
    log = ResultLog(tmp_path / "out")
    log.add("card", BEGUN, limit=20)
    with open(log.path, "a") as file:
        file.write('{"stage": "card", "what": "mem')  # killed while it wrote
    log.add("card", "peak", flops=float("nan"), shape=(1, 2.00000001))
    assert [record["what"] for record in log.read()] == [BEGUN, "peak"]
    assert log.read()[1] == {"stage": "card", "what": "peak", "flops": None, "shape": [1, 2.0]}
    assert running_stage(log.read()) == "card" and not ended_stages(log.read())
    log.add("card", ENDED, seconds=1.0, reason=None)
    assert running_stage(log.read()) is None and ended_stages(log.read()) == {"card"}


def test_limits_reach_code_that_never_looks_at_the_clock():
    whole = Clock.of(60)
    with pytest.raises(OutOfTime), whole.enforced(), whole.part(0.05).enforced():
        while True:
            time.sleep(10)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    with pytest.raises(OutOfTime):
        Clock.of(-1).check()


def test_a_limit_waits_for_an_import_to_end(tmp_path, monkeypatch):
    """A module whose import is cut would break whatever uses it afterwards."""
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end: pass\nWHOLE = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OutOfTime), Clock.of(0.05).enforced():
        import slow_to_import

        while True:
            time.sleep(10)
    assert slow_to_import.WHOLE == 1
    assert sys.modules.pop("slow_to_import").WHOLE == 1


def stages_that(act):
    """Work as run_stages does it, without PyTorch: `act(name, log)` is the stage."""

    def work(names, whole, allow):
        for name in names:
            log = ResultLog(work.out)
            log.add(name, BEGUN, limit=whole.left())
            allow(whole.left())
            act(name, log)
            log.add(name, ENDED, seconds=0.0, reason=None)

    return work


def ends(log):
    """Stage: why it ended early, None for those that came to their end."""
    return {one["stage"]: one["reason"] for one in log.read() if one["what"] == ENDED}


def test_a_process_that_dies_takes_only_its_stage_with_it(tmp_path):
    def act(name, log):
        if name == "speed":
            os.kill(os.getpid(), signal.SIGKILL)
        log.add(name, "number", value=1)

    work = stages_that(act)
    work.out = tmp_path
    supervise(["card", "speed", "equivalence"], 60, tmp_path, work)
    log = ResultLog(tmp_path)
    found = ends(log)
    assert found.pop("speed") == "its process ended with status -9"
    assert found == {"card": None, "equivalence": None}
    assert [one["stage"] for one in log.read() if one["what"] == "number"] == [
        "card",
        "equivalence",
    ]
    assert "status -9" in (tmp_path / "table.md").read_text()


def test_a_stage_that_hangs_is_killed_and_the_next_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("gpu.supervisor.GRACE", 0.2)

    def act(name, log):
        if name == "card":
            time.sleep(60)

    work = stages_that(act)
    work.out = tmp_path

    def limited(names, whole, allow):
        work(names, whole, lambda seconds: allow(0.1))

    supervise(["card", "speed"], 30, tmp_path, limited)
    assert ends(ResultLog(tmp_path)) == {
        "card": "killed, because it did not end at its limit",
        "speed": None,
    }


def test_a_check_that_is_asked_to_stop_says_so_and_keeps_what_it_has(tmp_path):
    code = f"""
import sys, time
sys.path[:0] = [{str(BENCHMARKS)!r}]
from pathlib import Path
from gpu.results import *
from gpu.supervisor import supervise
out = Path({str(tmp_path)!r})
def work(names, whole, allow):
    for name in names:
        ResultLog(out).add(name, BEGUN, limit=9)
        if name == "speed":
            time.sleep(60)
        ResultLog(out).add(name, ENDED, seconds=0, reason=None)
supervise(["card", "speed"], 60, out, work)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    await_record(ResultLog(tmp_path), "speed", BEGUN, process)
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert ends(ResultLog(tmp_path)) == {"card": None}
    assert "cut by SIGTERM" in (tmp_path / "table.md").read_text()


def await_record(log, stage, what, process):
    """Wait until a record is there."""
    for _ in range(3000):
        if any(one["stage"] == stage and one["what"] == what for one in log.read()):
            return
        assert process.poll() is None, "the check ended before"
        time.sleep(0.05)
    raise AssertionError(f"{stage}: {what} never came")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """(results, what a SIGKILL left of them): a rehearsal killed in its second stage, resumed."""
    folder = tmp_path_factory.mktemp("check")
    write_tokens(folder / "made")
    tokens = folder / "tokens"
    tokens.mkdir()
    for name in ("en", "en-de"):
        (folder / "made" / name).rename(tokens / f"europarl-en-de.{name}")
    out = folder / "out"
    command = [sys.executable, "-B", str(BENCHMARKS / "gpu_check.py"), "--device", "cpu"]
    command += ["--scale", "tiny", "--budget", "900", "--out", str(out), "--tokens", str(tokens)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    await_record(ResultLog(out), "speed", "speed", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = ResultLog(out).read()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, left


@pytest.mark.slow
def test_what_was_measured_before_a_kill_is_read_back_and_not_repeated(rehearsal):
    out, left = rehearsal
    assert ended_stages(left) == {"card"} and running_stage(left) == "speed"
    assert {one["objective"] for one in left if one["what"] == "first updates"} == {
        "clm",
        "mlm",
        "mt",
    }
    records = ResultLog(out).read()
    assert records[: len(left)] == left
    begun = [one["stage"] for one in records if one["what"] == BEGUN]
    assert begun == ["card", "speed", "speed", "equivalence", "paper_size"]


@pytest.mark.slow
def test_every_stage_leaves_its_records(rehearsal):
    out, _ = rehearsal
    records = ResultLog(out).read()
    assert ends(ResultLog(out)) == dict.fromkeys(("card", "speed", "equivalence", "paper_size"))
    for one in records:
        if one["what"] == "first updates":
            assert one["recorded"] == 6 and abs(one["simpson_over_change"] - 1) < 0.01
        if one["what"] == "profile" and one["training"] != "fast, fp16, other seed":
            assert one["correlations"]["all"] > 0.9999 and one["largest_difference"] < 1e-3
    models = [one for one in records if one["what"] == "model"]
    assert [one["model"] for one in models] == ["clm-en", "mlm-en", "mt-en-de"]
    assert all(one["complete"] and one["updates"] == 10 for one in models)
    table = (out / "table.md").read_text()
    assert "Speed" in table and "Equivalence" in table and "mt-en-de" in table
    assert "A rehearsal on a CPU" in table


@pytest.mark.slow
def test_a_rehearsal_becomes_pages_elsewhere_only(rehearsal, tmp_path):
    out, _ = rehearsal
    before = {path: path.read_bytes() for path in files_of_project()}

    def run(*arguments):
        command = [sys.executable, "-B", str(BENCHMARKS / "publish_gpu.py"), str(out), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    refused = run()
    assert refused.returncode == 1 and "rehearsal" in refused.stderr
    done = run("--into", str(tmp_path / "pages"))
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in files_of_project()} == before
    page = (tmp_path / "pages/docs/results-at-paper-size.md").read_text()
    assert "clm-en for 10, mlm-en for 10, mt-en-de for 10 updates" in page
    for shown in re.findall(r"\]\((figures/[^)]+)\)", page):
        assert (tmp_path / "pages/docs" / shown).stat().st_size > 1000
    measured = (tmp_path / "pages/docs/performance.md").read_text()
    _, _, table = measured.partition(START)
    table, _, _ = table.partition(END)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| CLM | fast |")]
    assert [row[3] for row in rows] == [
        "off",
        "batch",
        "batch + probe",
        "batch + probe, stride 10",
    ]
    assert "not measured |" not in table
    assert "results-at-paper-size.md" in (tmp_path / "pages/mkdocs.yml").read_text()


def files_of_project():
    """The files that publishing changes."""
    names = ("docs/performance.md", "scripts/running/throughputs.csv", "mkdocs.yml")
    return [ROOT / name for name in names]
