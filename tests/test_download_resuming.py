"""Downloads that are cut off, stall or are killed go on where they were, or start again."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from archive_server import archive_server
from text.addresses import DownloadError
from text.archive_kinds import ArchiveError
from text.download import fetch_source
from text.transfer import Partial, Patience

SCRIPT = Path(__file__).parents[1] / "scripts" / "fetch_source.py"
PATH = "folder/text.zip"
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


def make_content(folder, seed=0):
    """The bytes of a zip archive of some 80 kB that hardly compresses."""
    noise = np.random.default_rng(seed).integers(0, 256, 80_000, dtype=np.uint8).tobytes()
    with zipfile.ZipFile(folder / "made.zip", "w") as archive:
        archive.writestr("text.en", noise)
    return (folder / "made.zip").read_bytes()


@pytest.fixture
def content(tmp_path):
    """The archive that the server has."""
    return make_content(tmp_path)


@pytest.fixture
def server(content):
    """A server that has it under any address."""
    with archive_server() as running:
        running.files = {None: content}
        yield running


def fetch(server, folder, tries=2, timeout=5.0, **options):
    archive = folder / "out" / "archive.zip"
    fetch_source(
        "tiny",
        f"{server.base}/{PATH}",
        PATH,
        archive=archive,
        record=folder / "out" / "record",
        patience=Patience(tries, timeout, first_delay=0.0),
        **options,
    )
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["archive.zip", "record"]
    return archive.read_bytes()


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_at_any_byte_costs_nothing_that_came(server, content, tmp_path, seed):
    cut = int(np.random.default_rng(seed).integers(1, len(content)))
    server.cuts = [cut]
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None, f"bytes={cut}-"]


def test_twenty_cuts_in_a_row_are_no_reason_to_give_up(server, content, tmp_path):
    cuts = np.random.default_rng(3).choice(len(content), 20, replace=False)
    server.cuts = sorted(int(cut) for cut in cuts)
    assert fetch(server, tmp_path) == content
    assert len(server.requested) == 21


def test_last_modified_is_a_validator_too(server, content, tmp_path):
    server.headers, server.cuts = {"Last-Modified": MODIFIED, "ETag": 'W/"weak"'}, [5000]
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None, "bytes=5000-"]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_validator_the_download_starts_again(server, content, tmp_path, headers):
    server.headers, server.cuts = headers, [5000]
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None, None]


def test_a_server_that_knows_no_ranges_sends_everything_again(server, content, tmp_path):
    server.resumes, server.cuts = False, [5000, 6000]
    assert fetch(server, tmp_path) == content
    assert len(server.requested) == 3


def test_a_server_that_always_stops_at_the_same_byte_is_given_up(server, tmp_path):
    server.resumes, server.cuts = False, [5000] * 9
    with pytest.raises(DownloadError, match=r"\(4 tries\)"):
        fetch(server, tmp_path, tries=4)
    # The first brings more than there was, so it does not count.
    assert len(server.requested) == 4


def test_content_that_changes_between_two_tries_is_never_mixed(server, tmp_path):
    server.cuts = [30_000]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, tries=1)
    changed = make_content(tmp_path, seed=1)
    server.files, server.headers = {None: changed}, {"ETag": '"two"'}
    assert fetch(server, tmp_path) == changed
    assert server.ranges == [None, "bytes=30000-"]


@pytest.mark.parametrize("headers", [{"Content-Range": "bytes 7-9/10"}, {}, {"ETag": '"two"'}])
def test_a_wrong_part_is_not_put_behind_what_came(server, content, tmp_path, headers):
    server.cuts = [30_000]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, tries=1)
    rest = {"Content-Range": f"bytes 30000-{len(content) - 1}/{len(content)}", **headers}
    server.answers = [(206, rest if headers else {}, content[30_000:]), (200, {}, content)]
    assert fetch(server, tmp_path) == content
    assert server.ranges[1:] == ["bytes=30000-", None]


def test_a_stall_ends_after_the_timeout_and_goes_on(server, content, tmp_path):
    server.cuts, server.stall = [20_000], 3.0
    start = time.monotonic()
    assert fetch(server, tmp_path, timeout=0.3) == content
    assert server.ranges == [None, "bytes=20000-"]
    assert time.monotonic() - start < 2.5


def test_the_next_call_goes_on_where_a_failed_one_was(server, content, tmp_path):
    server.cuts = [20_000, 20_000]
    with pytest.raises(DownloadError, match=r"20000 bytes|IncompleteRead|bytes read"):
        fetch(server, tmp_path, tries=1)
    assert not (tmp_path / "out" / "archive.zip").exists()
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, tries=1)
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None, "bytes=20000-", "bytes=20000-"]


def test_old_bytes_that_went_bad_are_fetched_again(server, content, tmp_path):
    server.cuts = [50_000]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, tries=1)
    partial = Partial(tmp_path / "out" / "archive.zip")
    partial.path.write_bytes(bytes(50_000))  # as after a loss of power
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None, "bytes=50000-", None]


@pytest.mark.parametrize("note", [None, "{", "[]", '{"address": "other", "validator": "x"}'])
def test_bytes_that_nobody_vouches_for_are_not_used(server, content, tmp_path, note):
    partial = Partial(tmp_path / "out" / "archive.zip")
    partial.path.parent.mkdir()
    partial.path.write_bytes(b"anything")
    if note is not None:
        partial.note.write_text(note)
    assert fetch(server, tmp_path) == content
    assert server.ranges == [None]


def test_what_came_completely_is_not_asked_for_again(server, content, tmp_path):
    partial = Partial(tmp_path / "out" / "archive.zip")
    partial.path.parent.mkdir()
    partial.start(f"{server.base}/{PATH}", '"one"', len(content))
    partial.path.write_bytes(content)
    assert fetch(server, tmp_path) == content
    assert server.requested == []


def test_more_bytes_than_the_server_has_are_dropped(server, content, tmp_path):
    partial = Partial(tmp_path / "out" / "archive.zip")
    partial.path.parent.mkdir()
    partial.start(f"{server.base}/{PATH}", '"one"', None)
    partial.path.write_bytes(content + b"more")
    server.answers = [(416, {}, b""), (200, {}, content)]
    assert fetch(server, tmp_path) == content


@pytest.mark.parametrize("stated", [40_000, 100_000])
def test_a_wrong_content_length_leaves_nothing_wrong_behind(server, content, tmp_path, stated):
    server.answers = [(200, {"Content-Length": stated, "ETag": '"one"'}, content)]
    with pytest.raises((ArchiveError, DownloadError), match=r"no complete \.zip|\(2 tries\)"):
        fetch(server, tmp_path, timeout=0.5)
    assert not (tmp_path / "out" / "archive.zip").exists()
    server.answers = []
    assert fetch(server, tmp_path) == content


def test_wrong_content_is_not_kept_for_the_next_call(server, content, tmp_path):
    server.answers = [(200, {"ETag": '"one"'}, content)]
    with pytest.raises(DownloadError, match="not the one expected"):
        fetch(server, tmp_path, sha256="0" * 64)
    assert list((tmp_path / "out").iterdir()) == []


def test_two_processes_do_not_write_the_same_file(server, tmp_path):
    partial = Partial(tmp_path / "out" / "archive.zip")
    with partial.held(), pytest.raises(DownloadError, match="another process is fetching"):
        fetch(server, tmp_path)


def arguments(server, folder):
    out = folder / "out"
    return [
        *(sys.executable, "-B", str(SCRIPT), "--source", "tiny"),
        *("--url", f"{server.base}/{PATH}", "--path", PATH),
        *("--archive", str(out / "archive.zip"), "--record", str(out / "record")),
    ]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_goes_on_at_the_next_call(server, content, tmp_path, signal_number):
    server.block, server.pause = 4_000, 0.05
    killed = subprocess.Popen(arguments(server, tmp_path), stderr=subprocess.DEVNULL)
    partial = Partial(tmp_path / "out" / "archive.zip")
    deadline = time.monotonic() + 30
    while partial.size() < 10_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal_number)
    killed.wait()
    came = partial.size()
    assert 10_000 <= came < len(content)
    assert not (tmp_path / "out" / "archive.zip").exists()
    server.pause = 0.0
    assert fetch(server, tmp_path, sha256=hashlib.sha256(content).hexdigest()) == content
    assert server.ranges == [None, f"bytes={came}-"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_on_the_way_is_one_message(server, content, tmp_path):
    disk = tmp_path / "out"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        command = arguments(server, tmp_path)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert "No space left" in done.stderr and "Free some space" in done.stderr
    assert fetch(server, tmp_path) == content
