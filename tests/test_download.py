"""Fetching from a real server on the loopback interface, and from a folder."""

import gzip
import hashlib
import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from archive_server import archive_server
from text.addresses import DownloadError, locate
from text.archive_kinds import ArchiveError
from text.download import fetch_source
from text.transfer import Patience

SCRIPT = Path(__file__).parents[1] / "scripts" / "fetch_source.py"
PATH = "folder/text.zip"


@pytest.fixture
def content(tmp_path):
    """The bytes of a small zip archive."""
    with zipfile.ZipFile(tmp_path / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text.en", "one\ntwo\n" * 500)
    return (tmp_path / "made.zip").read_bytes()


@pytest.fixture
def server():
    """An `ArchiveServer` with the address of one file."""
    with archive_server() as running:
        running.url = f"{running.base}/{PATH}"
        yield running


def fetch(folder, url, **options):
    options = {"path": PATH, "patience": Patience(first_delay=0.0), **options}
    return fetch_source(
        "tiny", url, archive=folder / "out" / "archive", record=folder / "out" / "record", **options
    )


def left_over(folder):
    return list((folder / "out").glob("*")) + list((folder / "out").glob(".*"))


def test_record_says_what_came(server, content, tmp_path):
    server.answers = [(200, {}, content)]
    record = fetch(tmp_path, server.url)
    assert (tmp_path / "out" / "archive").read_bytes() == content
    assert json.loads((tmp_path / "out" / "record").read_text()) == record
    assert record == {
        "source": "tiny",
        "url": server.url,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "pinned": False,
    }
    assert len(left_over(tmp_path)) == 2


def test_server_that_fails_twice_is_tried_again(server, content, tmp_path):
    server.answers = [(500, {}, b""), (500, {}, b""), (200, {}, content)]
    fetch(tmp_path, server.url)
    assert len(server.requested) == 3
    assert (tmp_path / "out" / "archive").read_bytes() == content


def test_server_that_keeps_failing_is_given_up(server, tmp_path):
    server.answers = [(503, {}, b"")]
    with pytest.raises(DownloadError, match=r"503.*\(3 tries\)"):
        fetch(tmp_path, server.url, patience=Patience(tries=3, first_delay=0.0))
    assert left_over(tmp_path) == []


def test_missing_file_is_asked_for_once_and_explained(server, tmp_path):
    server.answers = [(404, {}, b"no")]
    with pytest.raises(DownloadError, match="404") as error:
        fetch(tmp_path, server.url)
    assert server.url in str(error.value) and "mirror" in str(error.value)
    assert len(server.requested) == 1
    assert left_over(tmp_path) == []


def test_redirect_is_followed(server, content, tmp_path):
    server.answers = [(302, {"Location": "/elsewhere"}, b""), (200, {}, content)]
    fetch(tmp_path, server.url)
    assert server.requested[1] == "/elsewhere"
    assert (tmp_path / "out" / "archive").read_bytes() == content


def test_web_page_is_not_saved_as_an_archive(server, tmp_path):
    server.answers = [(200, {}, b"\n<!DOCTYPE html><html>Please log in</html>")]
    with pytest.raises(ArchiveError, match="web page"):
        fetch(tmp_path, server.url)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("path", ["a.zip", "a.tgz", "a.gz", "a.txt"])
def test_empty_file_is_refused(server, tmp_path, path):
    server.answers = [(200, {}, b"")]
    with pytest.raises(ArchiveError, match="empty"):
        fetch(tmp_path, server.url, path=path)
    assert left_over(tmp_path) == []


def test_connection_cut_off_is_tried_again(server, content, tmp_path):
    server.answers = [(200, {"Content-Length": len(content)}, content[:50]), (200, {}, content)]
    fetch(tmp_path, server.url)
    assert (tmp_path / "out" / "archive").read_bytes() == content


@pytest.mark.parametrize("path", ["a.zip", "a.gz", "a.tar.gz"])
def test_archive_cut_off_upstream_is_refused(server, content, tmp_path, path):
    body = content if path.endswith(".zip") else gzip.compress(bytes(range(256)) * 40)
    server.answers = [(200, {}, body[:-9])]
    with pytest.raises(ArchiveError, match="no complete"):
        fetch(tmp_path, server.url, path=path)
    assert left_over(tmp_path) == []


def test_zip_with_a_changed_byte_is_refused(server, content, tmp_path):
    damaged = bytearray(content)
    damaged[45] ^= 0xFF
    server.answers = [(200, {}, bytes(damaged))]
    with pytest.raises(ArchiveError, match="no complete"):
        fetch(tmp_path, server.url)


def test_other_digest_is_refused_with_both(server, content, tmp_path):
    server.answers = [(200, {}, content)]
    with pytest.raises(DownloadError) as error:
        fetch(tmp_path, server.url, sha256="0" * 64)
    assert "0" * 64 in str(error.value)
    assert hashlib.sha256(content).hexdigest() in str(error.value)
    assert left_over(tmp_path) == []


def test_expected_digest_pins_the_file(server, content, tmp_path):
    server.answers = [(200, {}, content)]
    assert fetch(tmp_path, server.url, sha256=hashlib.sha256(content).hexdigest())["pinned"]


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}"])
def test_mirror_in_a_folder_leaves_no_trace_of_its_place(content, tmp_path, form):
    (tmp_path / "mirror" / "folder").mkdir(parents=True)
    (tmp_path / "mirror" / PATH).write_bytes(content)
    mirror = form.format(tmp_path / "mirror")
    record = fetch(tmp_path, "https://upstream.invalid/x.zip", mirror=mirror)
    assert record["url"] == f"mirror:{PATH}"
    assert (tmp_path / "out" / "archive").read_bytes() == content


def test_mirror_on_a_server_is_asked_for_the_path(server, content, tmp_path):
    server.answers = [(200, {}, content)]
    base = server.url.removesuffix(PATH) + "below/"
    fetch(tmp_path, "https://upstream.invalid/x.zip", mirror=base)
    assert server.requested == [f"/below/{PATH}"]


def test_mirror_without_the_file_says_so(tmp_path):
    with pytest.raises(DownloadError, match="does not exist"):
        fetch(tmp_path, "https://upstream.invalid/x.zip", mirror=str(tmp_path / "mirror"))


@pytest.mark.parametrize("path", ["../x.zip", "/x.zip", "a/../../x.zip", ""])
def test_path_cannot_lead_out_of_the_mirror(path):
    with pytest.raises(DownloadError, match="relative path"):
        locate("https://upstream.invalid/x.zip", path, "mirror")


def test_failed_download_keeps_the_file_of_before(server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "archive").write_bytes(b"before")
    server.answers = [(404, {}, b"")]
    with pytest.raises(DownloadError):
        fetch(tmp_path, server.url)
    assert (tmp_path / "out" / "archive").read_bytes() == b"before"


def test_full_disk_is_one_message_and_leaves_nothing(tmp_path):
    (tmp_path / "big.txt").write_bytes(b"word\n" * 100_000)
    out = tmp_path / "out"
    arguments = ["--source", "tiny", "--url", "https://upstream.invalid/big.txt"]
    arguments += ["--path", "big.txt", "--mirror", str(tmp_path)]
    arguments += ["--archive", str(out / "archive"), "--record", str(out / "record")]
    done = subprocess.run(
        [sys.executable, "-B", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert str(out / "archive") in done.stderr and "space" in done.stderr
    assert left_over(tmp_path) == []
