"""corpora.lock: written by the first fetch of an archive, demanded by every later one."""

import hashlib
import json
import re
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.files import UserError
from text.addresses import DownloadError
from text.corpora_lock import add_to_lock, read_lock
from text.download import fetch_source
from workflow_runs import ROOT, snakemake

PATH = "folder/a text.zip"


def make_mirror(folder, text):
    """A mirror with one archive; its digest."""
    path = folder / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.en"), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(folder, mirror, lock, **options):
    return fetch_source(
        "mine",
        "https://example.org/a.zip",
        PATH,
        folder / "archive",
        folder / "record",
        mirror=str(mirror),
        lock=lock,
        **options,
    )


def test_the_first_fetch_writes_it_and_a_second_person_gets_the_same_or_nothing(tmp_path):
    digest = make_mirror(tmp_path / "mirror", "one")
    lock = tmp_path / "corpora.lock"
    assert fetch(tmp_path / "first", tmp_path / "mirror", lock)["pinned"] is False
    assert read_lock(lock) == {PATH: digest}
    before = lock.read_bytes()
    assert fetch(tmp_path / "second", tmp_path / "mirror", lock)["pinned"] is True
    make_mirror(tmp_path / "changed", "two")
    with pytest.raises(DownloadError, match=f"expected sha256 {digest}"):
        fetch(tmp_path / "third", tmp_path / "changed", lock)
    assert not (tmp_path / "third/archive").exists() and lock.read_bytes() == before


def test_sha256sum_reads_it(tmp_path):
    make_mirror(tmp_path, "one")
    fetch(tmp_path / "first", tmp_path, tmp_path / "corpora.lock")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "corpora.lock"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_a_fetch_that_fails_adds_nothing(tmp_path):
    make_mirror(tmp_path / "mirror", "one")
    with pytest.raises(DownloadError):
        fetch(tmp_path / "out", tmp_path / "mirror", tmp_path / "corpora.lock", sha256="0" * 64)
    assert not (tmp_path / "corpora.lock").exists()


def test_fetches_at_the_same_time_lose_no_line(tmp_path):
    lock = tmp_path / "corpora.lock"
    digests = {f"a/{number}.zip": f"{number:064x}" for number in range(24)}
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda item: add_to_lock(lock, dict([item])), digests.items()))
    assert read_lock(lock) == digests


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense\n", "line 1: 'nonsense' is no '<sha256>  <path>'"),
        (f"{'0' * 64}  a\n{'1' * 64}  a\n", "line 2: .* has another digest before"),
        (f"# x\n\n{'0' * 63}  a\n", "line 3"),
    ],
)
def test_a_damaged_file_is_refused_with_the_line(tmp_path, text, problem):
    (tmp_path / "corpora.lock").write_text(text)
    with pytest.raises(UserError, match=problem):
        read_lock(tmp_path / "corpora.lock")


def test_another_digest_is_never_written_over_the_first(tmp_path):
    add_to_lock(tmp_path / "corpora.lock", {"a.zip": "0" * 64})
    with pytest.raises(UserError, match=r"says that a\.zip has sha256 0+, but .* has 1+"):
        add_to_lock(tmp_path / "corpora.lock", {"a.zip": "1" * 64})


def test_a_lock_that_came_later_is_checked_before_anything_runs(tmp_path):
    """Somebody has archives already, then gets the file of somebody else."""
    path = "OPUS-Europarl/v8/moses/de-en.txt.zip"
    place = tmp_path / "results/paper/corpora/archives" / path
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    place.with_name(f"{place.name}.json").write_text(json.dumps({"bytes": 1, "sha256": "a" * 64}))
    add_to_lock(tmp_path / "corpora.lock", {path: "b" * 64})
    done = snakemake(
        tmp_path,
        *("--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "corpora", "--dry-run"),
        *("--config", "models=[clm-en]"),
    )
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert re.search(f"expected sha256 {'b' * 64}\\s+found sha256 +{'a' * 64}", done.stdout)
    assert "the line in corpora.lock" in done.stdout
