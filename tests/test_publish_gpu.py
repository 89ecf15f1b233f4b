"""What a check of a GPU found becomes the project's tables and pages."""

import sys

import pytest

from tiny_trainings import ROOT

BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

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
from gpu.results import ResultLog  # noqa: E402
from gpu.table import tables  # noqa: E402


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
