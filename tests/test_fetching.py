"""The target `fetch`: what it says first, how much it does at once, and that once is enough."""

import hashlib
import json
import zipfile

import pytest

from archive_server import archive_server
from workflow_runs import ROOT, planned_jobs, snakemake

PATHS = [f"OPUS-Europarl/v8/moses/{pair}.txt.zip" for pair in ("de-en", "en-et", "en-fi")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A mirror with the three archives of Europarl; it answers slowly."""
    made = tmp_path_factory.mktemp("made") / "made.zip"
    with archive_server() as running:
        for path in PATHS:
            languages = path.rpartition("/")[2].partition(".")[0]
            with zipfile.ZipFile(made, "w") as archive:
                for language in languages.split("-"):
                    text = "".join(f"{language} sentence {number}\n" for number in range(60))
                    archive.writestr(f"Europarl.{languages}.{language}", text)
            running.files[path] = made.read_bytes()
        running.block, running.pause, running.gather = 100, 0.1, 2
        yield running


def run(folder, server, *arguments):
    configuration = [
        "mirror=" + server.base,
        "models=[clm-en,clm-fi,clm-et]",
        "studies=[vazquez2022]",
    ]
    done = snakemake(
        folder,
        *arguments,
        *("--snakefile", str(ROOT / "Snakefile"), "--cores", "4"),
        *("--config", "parallel_downloads=2", *configuration),
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def fetched(server, tmp_path_factory):
    """A folder in which everything was fetched, and what was said meanwhile."""
    folder = tmp_path_factory.mktemp("run")
    code, output = run(folder, server, "fetch")
    assert code == 0, output
    return folder, output


def test_sizes_and_licences_come_before_the_first_download(fetched, server):
    _, output = fetched
    before, _, after = output.partition("rule fetch_source:")
    sizes = [f"{len(server.files[path]) / 1e6:,.1f} MB, to fetch" for path in PATHS]
    assert all(before.count(size) == sizes.count(size) for size in sizes)
    assert before.count("licence: European Parliament") == 3
    assert all(f"{server.base}/{path}" in before for path in PATHS)
    assert "3 archives, 0 of them here" in before
    assert "3 archives, 3 of them here; to fetch: 0.0 MB" in after


def test_downloads_run_together_but_not_more_than_allowed(fetched, server):
    assert sorted(server.requested) == sorted("/" + path for path in PATHS)
    assert server.most_at_once == 2


def dry_run_with_digest(server, folder, digest):
    settings = folder / "pinned.yaml"
    settings.write_text(json.dumps({"sources": {"europarl-v8-en-fi": {"sha256": digest}}}))
    server.requested, server.asked_size = [], []
    return run(folder, server, "corpora", "--dry-run", "--configfile", str(settings))


def test_what_is_here_is_never_asked_for_again(fetched, server):
    folder, _ = fetched
    for path in PATHS:
        place = folder / "results/paper/corpora/archives" / path
        assert place.read_bytes() == server.files[path]
    server.headers = {"Last-Modified": "Fri, 20 Nov 2026 00:00:00 GMT"}
    digest = hashlib.sha256(server.files[PATHS[2]]).hexdigest()
    code, output = dry_run_with_digest(server, folder, digest)
    assert code == 0 and planned_jobs(output)["corpora"] == 1
    assert "fetch_source" not in planned_jobs(output)
    assert server.requested == server.asked_size == []


def test_a_digest_that_is_demanded_later_is_checked_without_the_network(fetched, server):
    folder, _ = fetched
    code, output = dry_run_with_digest(server, folder, "0" * 64)
    assert code != 0 and "Traceback" not in output
    assert f"expected sha256 {'0' * 64}" in output and "Delete it" in output
    assert server.requested == server.asked_size == []
