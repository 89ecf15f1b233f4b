"""Preparing a corpus in several processes, with bad text, a full disk, and a sudden end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from common.files import UserError
from text import dealing, lines
from text.batches import map_in_order
from text.preparation import prepare_corpus
from text.workplace import workplace

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_corpus.py"
SPLITS = {"train": "rest", "valid": 300, "test": 300}


def write_sides(folder, first, second, name="tiny"):
    """A source of two text files."""
    files = {"en": str(folder / f"{name}.en"), "de": str(folder / f"{name}.de")}
    Path(files["en"]).write_bytes(first)
    Path(files["de"]).write_bytes(second)
    return {"name": name, "kind": "text", "files": files}


def many_pairs(folder, number):
    """A source with long and short, equal and near-identical pairs, and some that are bad."""
    english, german = [], []
    for n in range(number):
        english.append(f"This is sentence number {n // 2 if n % 7 else n}{'!' * (n % 3)}".encode())
        german.append(f"Dies   ist der Satz\tNummer {n // 2 if n % 7 else n}.\r".encode())
    english[5], german[9], german[11] = b"caf\xe9", b"", b"zu " * 300
    return write_sides(folder, b"\n".join(english) + b"\n", b"\n".join(german) + b"\n")


def settings(source, steps=({"maximum_words": 250}, {"shuffle_words": 0.5}), splits=SPLITS):
    return {
        "languages": ["en", "de"],
        "sources": [source],
        "splits": splits,
        "seed": 1,
        "steps": list(steps),
    }


def contents(folder):
    """Every file, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_number_of_processes_and_batches_changes_no_byte(tmp_path, monkeypatch):
    chosen = settings(many_pairs(tmp_path, 3000))
    prepare_corpus("tiny", chosen, tmp_path / "whole", processes=1)
    monkeypatch.setattr(lines, "BLOCK", 5000)
    monkeypatch.setattr(lines, "SMALLEST_BATCH", 100)
    monkeypatch.setattr(dealing, "BATCH", 170)
    prepare_corpus("tiny", chosen, tmp_path / "one", processes=1)
    prepare_corpus("tiny", chosen, tmp_path / "three", processes=3)
    whole = contents(tmp_path / "whole")
    assert whole == contents(tmp_path / "one") == contents(tmp_path / "three")
    counts = json.loads(whole["counts.json"])
    assert counts["dropped"]["duplicate"] > 50
    assert counts["changed"]["shuffle_words"] > 1000


def test_shuffling_changes_the_training_text_only_and_not_at_all_at_level_0(tmp_path):
    source, made = many_pairs(tmp_path, 1500), {}
    for name, steps in {"none": [], "zero": [0], "half": [0.5], "all": [1]}.items():
        chosen = settings(source, [{"shuffle_words": level} for level in steps])
        counts = prepare_corpus("tiny", chosen, tmp_path / name)
        made[name] = contents(tmp_path / name)
        counts.pop("steps")
        assert counts.pop("changed") == {} or name != "none"
        made[name]["counts.json"] = counts
    assert made["zero"] == made["none"]
    for name in ("half", "all"):
        same = {file for file in made[name] if made[name][file] == made["none"][file]}
        assert same == {"valid.en", "valid.de", "test.en", "test.de", "counts.json"}
        for before, after in zip(
            made["none"]["train.en"].splitlines(), made[name]["train.en"].splitlines(), strict=True
        ):
            assert sorted(before.split()) == sorted(after.split())


def test_line_ends_of_windows_make_no_difference(tmp_path):
    text = "".join(f"sentence {n}\n" for n in range(50)).encode()
    made = []
    for name, ending in {"unix": b"\n", "windows": b"\r\n"}.items():
        source = write_sides(tmp_path, text.replace(b"\n", ending), text, name)
        source["name"] = "tiny"
        prepare_corpus("tiny", settings(source, splits={"train": "rest"}), tmp_path / f"out-{name}")
        made.append(contents(tmp_path / f"out-{name}"))
    assert made[0] == made[1]


@pytest.mark.parametrize(("share", "is_refused"), [(0.1, False), (0.05, True)])
def test_text_that_is_not_utf8_is_dropped_up_to_a_share(tmp_path, share, is_refused):
    english = [b"sentence %d" % n for n in range(200)]
    for place in range(0, 200, 13):
        english[place] = b"caf\xe9 %d" % place  # 16 lines of 200
    german = b"\n".join(b"Satz %d" % n for n in range(200))
    source = write_sides(tmp_path, b"\n".join(english), german)
    chosen = settings(source, [], splits={"train": "rest"})
    if is_refused:
        with pytest.raises(UserError, match=r"16 of 200 pairs .* invalid_utf8_share"):
            prepare_corpus("tiny", chosen, tmp_path / "out", invalid_utf8_share=share)
        assert list((tmp_path / "out").iterdir()) == []
    else:
        counts = prepare_corpus("tiny", chosen, tmp_path / "out", invalid_utf8_share=share)
        assert counts["dropped"] == {"invalid_utf8": 16} and counts["kept"] == 184


def test_a_missing_side_is_named(tmp_path):
    source = many_pairs(tmp_path, 20)
    Path(source["files"]["de"]).unlink()
    done = subprocess.run(command(source, tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert source["files"]["de"] in done.stderr


def command(source, folder, splits=SPLITS):
    return [
        *(sys.executable, "-B", str(SCRIPT), "--corpus", "tiny", "--processes", "2"),
        *("--settings", json.dumps(settings(source, splits=splits))),
        *("--output-folder", str(folder / "out")),
    ]


def wait_until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "it was done before it could be killed"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A source, and what a preparation that nothing disturbed makes of it."""
    folder = tmp_path_factory.mktemp("prepared")
    source = many_pairs(folder, 20_000)
    prepare_corpus("tiny", settings(source), folder / "out")
    return source, contents(folder / "out")


@pytest.mark.parametrize("stage", ["clean.en", "train.en"])
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_preparation_leaves_nothing_that_matters(prepared, tmp_path, stage, signal_number):
    source, undisturbed = prepared
    growing = tmp_path / "out" / ".incomplete" / stage
    process = subprocess.Popen(command(source, tmp_path), stderr=subprocess.DEVNULL)
    wait_until(lambda: growing.exists() and growing.stat().st_size > 0, process)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal_number)
    process.wait()
    assert psutil.wait_procs(helpers, timeout=20)[1] == []
    left = contents(tmp_path / "out") if signal_number == signal.SIGTERM else {}
    assert left == {} and not (tmp_path / "out" / "counts.json").exists()

    subprocess.run(command(source, tmp_path), check=True, capture_output=True)
    assert contents(tmp_path / "out") == undisturbed


def test_two_processes_do_not_prepare_the_same_corpus(tmp_path):
    source = many_pairs(tmp_path, 2000)
    with workplace(tmp_path / "out"):
        done = subprocess.run(
            command(source, tmp_path), capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"process {os.getpid()} on " in done.stderr and "Wait until it ends" in done.stderr
    assert not (tmp_path / "out" / "counts.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("size", ["100k", "300k"])
def test_a_disk_that_fills_on_the_way_is_one_message(tmp_path, size):
    """At 100 kB while text is cleaned, at 300 kB while it is dealt out."""
    source = many_pairs(tmp_path, 3000)
    disk = tmp_path / "out"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        done = subprocess.run(
            command(source, tmp_path), capture_output=True, text=True, check=False
        )
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert "No space left" in done.stderr and str(disk) in done.stderr


def end_suddenly(number):
    """Work on which its process dies; negative numbers are harmless."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return -number


def test_a_helper_that_is_killed_is_an_error_message():
    with pytest.raises(UserError, match="memory is short"):
        list(map_in_order(end_suddenly, iter(range(10)), processes=2))


def test_results_come_in_order_and_batches_are_read_as_they_are_needed():
    read = []

    def numbers():
        for number in range(100, 140):
            read.append(number)
            yield number

    results = map_in_order(end_suddenly, numbers(), processes=2)
    assert next(results) == -100
    assert len(read) < 10
    assert list(results) == [-number for number in range(101, 140)]
