"""The record of a corpus says what text and ids were made from, and is carried into the cube."""

import hashlib
import json
from pathlib import Path

import pytest

import record_provenance as script
from common.code_version import code_digest
from common.files import UserError
from text.binarisation import binarise
from text.preparation import prepare_corpus
from text.provenance import cube_provenance
from text.vocabulary import learn_vocabulary
from tiny_trainings import write_corpus

SCRIPTS = Path(__file__).parents[1] / "scripts"
ARCHIVE = {
    "source": "archived",
    "url": "https://example.org/a.zip",
    "bytes": 5,
    "sha256": "ab" * 32,
    "pinned": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared corpus of one generated source, with a vocabulary and ids."""
    folder = tmp_path_factory.mktemp("run")
    text = write_corpus(folder / "raw", {"train": 120})["train"]
    sides = {language: f"{text}.{language}" for language in ("en", "de")}
    settings = {"languages": ["en", "de"], "splits": {"train": "rest", "valid": 10}, "seed": 4}
    settings["sources"] = [{"name": "synthetic:120", "kind": "text", "files": sides}]
    prepare_corpus("tiny-en-de", settings, folder / "corpus")
    model = folder / "tiny-en-de.en/vocabulary.model"
    learn_vocabulary([folder / "corpus/train.en"], 100, 0, 4, 1, model, model.with_suffix(".txt"))
    binarise(model, ["en"], {"train": folder / "corpus/train"}, model.parent)
    (folder / "archive.json").write_text(json.dumps(ARCHIVE))
    return folder


def record(folder, *options):
    archived = {"name": "archived", "record": str(folder / "archive.json"), "licence": "free"}
    sources = [{"name": "synthetic:120"}, archived]
    output = folder / "provenance.json"
    arguments = ["--counts", str(folder / "corpus/counts.json"), "--sources", json.dumps(sources)]
    arguments += ["--sentences", "0", "--seed", "4", "--output", str(output)]
    script.main([*arguments, "--tokens", str(folder / "tiny-en-de.en/tokens.json"), *options])
    return output


def test_the_record_is_what_the_steps_left(folder):
    found = json.loads(record(folder).read_text())
    counts = json.loads((folder / "corpus/counts.json").read_text())
    assert found["counts"]["splits"] == counts["splits"] and counts["splits"]["valid"] == 10
    assert (found["corpus"], found["seed"], found["languages"]) == ("tiny-en-de", 4, ["en", "de"])
    generated, archived = found["sources"]
    assert generated == {"name": "synthetic:120", "generated": True, "pairs_read": 120}
    assert archived["sha256"] == ARCHIVE["sha256"] and archived["licence"] == "free"
    vocabulary = found["vocabularies"]["tiny-en-de.en"]
    model = (folder / "tiny-en-de.en/vocabulary.model").read_bytes()
    assert vocabulary["sha256"] == hashlib.sha256(model).hexdigest()
    assert (vocabulary["symbols"], vocabulary["seed"]) == (100, 4)
    assert found["code"] != vocabulary["code"]
    assert str(folder) not in record(folder).read_text()


def test_the_same_files_give_the_same_bytes(folder):
    assert record(folder).read_bytes() == record(folder).read_bytes()


def test_the_cube_says_it_in_one_line(folder):
    carried = json.loads(cube_provenance(record(folder), "tiny-en-de.en"))
    assert carried["sources"] == {"synthetic:120": None, "archived": ARCHIVE["sha256"]}
    assert carried["vocabulary"]["name"] == "tiny-en-de.en" and carried["splits"]["valid"] == 10
    with pytest.raises(UserError, match=r"has no vocabulary x\.en, only tiny-en-de\.en"):
        cube_provenance(folder / "provenance.json", "x.en")


def test_a_damaged_file_is_named_and_the_old_record_stays(folder, tmp_path):
    before = record(folder).read_bytes()
    (tmp_path / "tokens.json").write_text('{"vocabulary": 1')
    with pytest.raises(UserError, match="tokens.json"):
        record(folder, "--tokens", str(tmp_path / "tokens.json"))
    assert (folder / "provenance.json").read_bytes() == before


def test_the_digest_of_code_knows_names_and_contents_but_no_places(tmp_path, monkeypatch):
    monkeypatch.setattr("common.code_version.SCRIPTS", tmp_path)
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_bytes(b"1\n")
    second.write_bytes(b"2\n")
    digest = code_digest([first, second])
    assert code_digest([second, first]) == digest
    first.write_bytes(b"1\r\n")
    assert code_digest([first, second]) == digest
    second.rename(tmp_path / "c.py")
    assert code_digest([first, tmp_path / "c.py"]) != digest
