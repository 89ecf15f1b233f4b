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
    PublishingError,
    agreements,
    between_marks,
    hardware_name,
    publish,
    throughputs,
)
from gpu.results import BEGUN, ENDED, ResultLog, ended_stages, running_stage  # noqa: E402
from gpu.supervisor import supervise  # noqa: E402
from gpu.table import tables  # noqa: E402


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


def speed(objective, way="fast", tokens_per_second=500_000.0, **values):
    """A record of the stage speed."""
    return {
        "stage": "speed",
        "what": "speed",
        "objective": objective,
        "way": way,
        "lca": "off",
        "tokens_per_second": tokens_per_second,
        "tokens_per_update": 32768.0,
        "max_tokens": 2048,
        "update_frequency": 16,
        **values,
    }


def test_the_cost_table_reads_the_published_speed_of_the_same_way(tmp_path, monkeypatch):
    from running import speeds

    table = speeds.TABLE.read_text()
    found = [speed(o, tokens_per_second=900_000.0) for o in ("clm", "mlm", "mt")]
    found += [speed("clm", "stock", 70_000.0), speed("clm", lca="batch", tokens_per_second=1.0)]
    new = throughputs(table, found, "NVIDIA H100 80GB HBM3", "2026-01-01; a card")
    path = tmp_path / "throughputs.csv"
    path.write_text(new)
    monkeypatch.setattr(speeds, "TABLE", path)
    fresh = speeds.measurements.__wrapped__()
    monkeypatch.setattr(speeds, "measurements", lambda: fresh)
    h100 = [m for m in fresh if m.hardware == "h100" and m.objective == "clm"]
    # The stock one is replaced, the one in a single pass is kept.
    assert sorted(m.tokens_per_second for m in h100) == [70_000, 513_400, 900_000]
    training = {**h100[0].training, "max_tokens": 2048}
    for way, tokens in (("fast", 900_000), ("stock", 70_000)):
        settings = training | speeds.WAYS[way]
        seconds = speeds.seconds_per_batch("h100", "clm", settings, 32000, 2048)
        assert 2048 / seconds == pytest.approx(tokens, rel=0.01)
    assert [line for line in table.splitlines() if line.startswith("cpu")] == [
        line for line in new.splitlines() if line.startswith("cpu")
    ]


def test_another_card_is_published_with_all_objectives_or_not_at_all():
    from running.speeds import TABLE

    table = TABLE.read_text()
    with pytest.raises(PublishingError, match="no speed of mt"):
        throughputs(table, [speed("clm"), speed("mlm")], "NVIDIA A100-SXM4-80GB", "2026")
    rows = throughputs(table, [speed(o) for o in ("clm", "mlm", "mt")], "NVIDIA L4", "2026")
    assert sum(line.startswith("l4,") for line in rows.splitlines()) == 3


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA H200", "h200"),
    ],
)
def test_a_card_has_a_short_name(card, name):
    assert hardware_name(card) == name


def test_nothing_is_published_of_nothing(tmp_path):
    import datetime

    with pytest.raises(PublishingError, match="no results"):
        publish(tmp_path, None, datetime.date(2026, 1, 1))
    log = ResultLog(tmp_path)
    log.add("start", "call", scale="paper", device="cuda", budget=540)
    log.add("speed", "failed", objective="mt", way="fast", reason="OutOfMemoryError: no room")
    with pytest.raises(PublishingError, match="no measured speed"):
        publish(tmp_path, None, datetime.date(2026, 1, 1))
    assert "speed, mt, fast: OutOfMemoryError" in "\n".join(tables(log.read()))


def test_the_table_goes_between_its_marks():
    text = f"before\n{START}\nold\n{END}\nafter\n"
    assert between_marks(text, "| x |\n") == f"before\n{START}\n| x |\n{END}\nafter\n"
    with pytest.raises(PublishingError, match="lacks the marks"):
        between_marks("no marks", "table")
    assert END in (ROOT / "docs/performance.md").read_text()


def test_published_first_updates_vouch_for_the_card_unless_they_differ():
    table = (ROOT / "scripts/running/agreements.csv").read_text(encoding="utf-8")
    one = {
        **{"device": "GPU X", "objective": "clm", "precision": "fp16", "compile": "false"},
        **{"torch": "2.0", "code": "abc", "loss": 1e-4, "cells": 2e-3, "stage": "equivalence"},
    }
    changed = agreements(table, [one, {**one, "objective": "mt", "cells": None}], "a run")
    assert changed.startswith(table)
    assert changed.splitlines()[-2:] == [
        "GPU X,clm,fp16,false,2.0,abc,1.0e-04,2.0e-03,a run",
        "GPU X,mt,fp16,false,2.0,abc,1.0e-04,inf,a run",
    ]
