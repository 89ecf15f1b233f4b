"""Splits of whole corpora, from source files to counts.json."""

import json
import resource
import subprocess
import sys
import zipfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from common.files import UserError
from text.cleaning import fold_text
from text.preparation import prepare_corpus
from text.splitting import are_among, draw_places, first_occurrences

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_corpus.py"


def numbered(count, first=0):
    return [(f"Sentence number {n}.", f"Satz Nummer {n}.") for n in range(first, first + count)]


def text_source(folder, pairs, name="tiny"):
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for side, language in enumerate(("en", "de")):
        files[language] = str(folder / f"{name}.{language}")
        Path(files[language]).write_text("".join(pair[side] + "\n" for pair in pairs))
    return {"name": name, "kind": "text", "files": files}


def settings(*sources, splits, **others):
    return {"languages": ["en", "de"], "sources": sources, "splits": splits, "seed": 1, **others}


def read_split(folder, split):
    sides = [(folder / f"{split}.{language}").read_text() for language in ("en", "de")]
    return list(zip(*(side.split("\n")[:-1] for side in sides)))


def test_splits_share_nothing_and_keep_the_order(tmp_path):
    pairs = numbered(300)
    source = text_source(tmp_path, pairs)
    splits = {"train": "rest", "valid": 20, "test": 30}
    counts = prepare_corpus("tiny", settings(source, splits=splits), tmp_path / "out")
    parts = {split: read_split(tmp_path / "out", split) for split in splits}
    assert {split: len(part) for split, part in parts.items()} == counts["splits"]
    assert counts["splits"] == {"train": 250, "valid": 20, "test": 30}
    assert sorted(chain(*parts.values())) == sorted(pairs)
    for part in parts.values():
        assert part == [pair for pair in pairs if pair in set(part)]


def test_held_out_pairs_come_from_everywhere(tmp_path):
    source = text_source(tmp_path, numbered(1000))
    splits = {"train": "rest", "valid": 200}
    prepare_corpus("tiny", settings(source, splits=splits), tmp_path / "out")
    drawn = [int(en[16:-1]) for en, _ in read_split(tmp_path / "out", "valid")]
    # 50 are expected in each quarter; 20 and 80 are five standard deviations away.
    assert all(20 < count < 80 for count in np.histogram(drawn, 4, (0, 1000))[0])


def test_every_nth_pair_is_validation_and_what_equals_it_is_in_no_split(tmp_path):
    """fairseq's split: pairs 5, 10, 15 ... of those that are left, counted from 1."""
    pairs = numbered(20)
    pairs.insert(12, (pairs[4][0].upper(), pairs[4][1]))  # nearly the fifth pair
    source = text_source(tmp_path, pairs)
    splits = {"train": "rest", "valid": "every 5"}
    counts = prepare_corpus("tiny", settings(source, splits=splits), tmp_path / "out")
    wanted = numbered(20)[4::5]
    assert read_split(tmp_path / "out", "valid") == wanted
    rest = [pair for pair in numbered(20) if pair not in wanted]
    assert read_split(tmp_path / "out", "train") == rest
    assert counts["splits"] == {"train": 16, "valid": 4}
    assert counts["dropped"] == {"near_duplicate_of_held_out": 1}


@pytest.mark.parametrize("splits", [{"valid": "every"}, {"valid": "every 0"}, {"test": "every 5"}])
def test_other_splits_in_words_are_refused(splits, tmp_path):
    source = text_source(tmp_path, numbered(20))
    with pytest.raises(UserError, match="should be a number of pairs"):
        prepare_corpus(
            "tiny", settings(source, splits={"train": "rest", **splits}), tmp_path / "out"
        )


def test_near_identical_pairs_never_straddle_two_splits(tmp_path):
    pairs = []
    for en, de in numbered(60):
        pairs += [(en, de), (en.upper(), de), (en[:-1] + " !", de + "..")]
    source = text_source(tmp_path, pairs)
    splits = {"train": "rest", "valid": 15, "test": 15}
    counts = prepare_corpus("tiny", settings(source, splits=splits), tmp_path / "out")
    folded = [
        {tuple(map(fold_text, pair)) for pair in read_split(tmp_path / "out", split)}
        for split in splits
    ]
    assert [len(part) for part in folded] == [30, 15, 15]
    assert folded[0].isdisjoint(folded[1] | folded[2]) and folded[1].isdisjoint(folded[2])
    assert counts["splits"]["train"] == 90
    assert counts["dropped"] == {"near_duplicate_of_held_out": 60}


def test_counts_add_up(tmp_path):
    pairs = [*numbered(50), *numbered(10), ("", "leer"), ("a " * 9, "b")]
    source = text_source(tmp_path, pairs)
    other = text_source(tmp_path, numbered(20, 45), "other")
    steps = [{"maximum_words": 8}]
    chosen = settings(source, other, splits={"train": 40, "valid": 5}, steps=steps)
    counts = prepare_corpus("tiny", chosen, tmp_path / "out")
    assert counts["read"] == {"tiny": 62, "other": 20}
    assert counts["dropped"] == {"duplicate": 15, "empty": 1, "too_long": 1}
    assert counts["kept"] == 65
    parts = counts["sources"]
    assert parts["tiny"]["dropped"] == {"duplicate": 10, "empty": 1, "too_long": 1}
    assert parts["other"]["dropped"] == {"duplicate": 5}
    for split, number in counts["splits"].items():
        assert sum(part["splits"].get(split, 0) for part in parts.values()) == number
    assert counts["words"] == {
        "train": {"en": 120, "de": 120},
        "valid": {"en": 15, "de": 15},
    }
    assert not (tmp_path / "out" / "test.en").exists()
    assert json.loads((tmp_path / "out" / "counts.json").read_text()) == counts


def test_training_pairs_are_drawn_in_proportion_to_the_sizes_of_the_sources(tmp_path):
    sizes = {"small": 300, "large": 1200}
    sources = [
        text_source(tmp_path, numbered(sizes["small"]), "small"),
        text_source(tmp_path, numbered(sizes["large"], 300), "large"),
    ]
    counts = prepare_corpus("tiny", settings(*sources, splits={"train": 500}), tmp_path / "out")
    drawn = [int(en[16:-1]) for en, _ in read_split(tmp_path / "out", "train")]
    assert drawn == sorted(drawn) and len(drawn) == 500
    found = {"small": sum(number < 300 for number in drawn)}
    found["large"] = 500 - found["small"]
    assert {name: part["splits"]["train"] for name, part in counts["sources"].items()} == found
    # 100 are expected of the small one, with a standard deviation of 7.
    assert 65 < found["small"] < 135


def test_seed_decides_the_draw_and_same_seed_gives_same_bytes(tmp_path):
    source = text_source(tmp_path, numbered(200))
    splits = {"train": 100, "valid": 20, "test": 20}
    contents = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        chosen = {**settings(source, splits=splits), "seed": seed}
        prepare_corpus("tiny", chosen, tmp_path / folder)
        files = sorted((tmp_path / folder).iterdir())
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert set(contents[0]) == set(contents[2])
    assert all(contents[0][name] != contents[2][name] for name in contents[0])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": 91, "valid": 10}, "91 pairs for train, but there are only 90"),
        ({"train": 1, "valid": 60, "test": 60}, "120 pairs for valid and test, .* only 100"),
        ({"train": "all"}, "number of pairs"),
        ({"train": -1}, "number of pairs"),
        ({"train": 5, "test": "rest"}, 'cannot be "rest"'),
        ({"dev": 5}, "none of train, valid, test"),
    ],
)
def test_impossible_splits_are_refused_and_leave_nothing(tmp_path, splits, message):
    source = text_source(tmp_path, numbered(100))
    with pytest.raises(UserError, match=message):
        prepare_corpus("tiny", settings(source, splits=splits), tmp_path / "out")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_test_set_is_kept_complete(tmp_path):
    pairs = [("Same.", "Gleich."), ("Same.", "Gleich."), ("long " * 20, "kurz"), ("", "leer")]
    source = text_source(tmp_path, pairs)
    steps = [{"maximum_words": 5}, {"shuffle_words": 1}]
    chosen = settings(source, splits={"test": "rest"}, steps=steps)
    counts = prepare_corpus("tiny", chosen, tmp_path / "out")
    assert counts["splits"] == {"test": 4} and counts["dropped"] == {}
    expected = [(" ".join(en.split()), de) for en, de in pairs]
    assert read_split(tmp_path / "out", "test") == expected


def test_pairs_held_out_elsewhere_are_left_out(tmp_path):
    source = text_source(tmp_path, numbered(50))
    prepare_corpus("a", settings(source, splits={"train": 30, "test": 20}), tmp_path / "a")
    chosen = settings(source, splits={"train": "rest"}, held_out_from=[str(tmp_path / "a")])
    counts = prepare_corpus("b", chosen, tmp_path / "b")
    assert counts["dropped"] == {"held_out": 20}
    held_out = set(read_split(tmp_path / "a", "test"))
    assert held_out.isdisjoint(read_split(tmp_path / "b", "train"))


def test_failure_keeps_what_was_there(tmp_path):
    good, bad = text_source(tmp_path, numbered(50)), text_source(tmp_path, numbered(5), "bad")
    prepare_corpus("tiny", settings(good, splits={"train": "rest"}), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with open(bad["files"]["en"], "a") as file:
        file.write("One line more\n")
    with pytest.raises(UserError, match="6 lines .* 5"):
        prepare_corpus("tiny", settings(good, bad, splits={"train": "rest"}), tmp_path / "out")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"langauges": ["en", "de"]}, "unknown: langauges"),
        ({"languages": ["en"]}, "two different ones"),
        ({"languages": ["en", "fi"]}, "no file for fi"),
        ({"sources": []}, "at least one source"),
        ({"sources": [{"name": "x", "kind": "web"}]}, 'should be "archive" or "text"'),
        ({"sources": [{"name": "x", "kind": "archive"}]}, "archive, members, path"),
        ({"held_out_from": ["nowhere"]}, "nowhere holds no"),
        ({"steps": [{"maximum": 5}]}, "no cleaning step"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, change, message):
    source = text_source(tmp_path, numbered(5))
    with pytest.raises(UserError, match=message):
        prepare_corpus("tiny", {**settings(source, splits={"train": 5}), **change}, tmp_path / "o")


def test_script_prepares_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("text.en", "One\nTwo\n")
        archive.writestr("text.de", "Eins\nZwei\n")
    source = {"name": "tiny", "kind": "archive", "archive": str(tmp_path / "archive")}
    source |= {"path": "x/text.zip", "members": {"de": "text.de", "en": "text.en"}}
    chosen = json.dumps(settings(source, splits={"train": "rest"}))
    assert run_script(chosen, tmp_path).returncode == 0
    assert (tmp_path / "out" / "train.de").read_text() == "Eins\nZwei\n"
    assert str(tmp_path) not in (tmp_path / "out" / "counts.json").read_text()


def test_full_disk_is_one_message_and_leaves_nothing(tmp_path):
    source = text_source(tmp_path, numbered(5000))
    chosen = json.dumps(settings(source, splits={"train": "rest"}))
    done = run_script(
        chosen, tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "space" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["{not json", "missing.json"])
def test_unreadable_settings_are_an_error_message(tmp_path, text):
    done = run_script(text, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def run_script(text, folder, before=None):
    arguments = ["--corpus", "tiny", "--settings", text, "--output-folder", folder / "out"]
    arguments += ["--processes", "2"]
    return subprocess.run(
        [sys.executable, "-B", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
    )


def test_first_occurrences_agree_with_a_set():
    keys = np.random.default_rng(0).integers(0, 50, 200).astype(np.uint64)
    seen, expected = set(), []
    for key in keys.tolist():
        expected.append(key not in seen)
        seen.add(key)
    assert first_occurrences(keys).tolist() == expected
    assert first_occurrences(keys[:0]).tolist() == []


def test_a_draw_is_fixed_by_content_and_a_longer_one_starts_with_a_shorter():
    keys = np.random.default_rng(1).integers(0, 2**63, 5000).astype(np.uint64)
    eligible = np.arange(5000) % 3 > 0
    places = draw_places(keys, eligible, 1000, seed=3, stream=0)
    assert len(set(places.tolist())) == 1000 and eligible[places].all()
    assert draw_places(keys, eligible, 10, 3, 0).tolist() == places[:10].tolist()
    assert draw_places(keys, eligible, 0, 3, 0).tolist() == []
    assert len(draw_places(keys, eligible, eligible.sum(), 3, 0)) == eligible.sum()
    again = draw_places(keys[::-1], eligible[::-1], 1000, 3, 0)
    assert keys[places].tolist() == keys[::-1][again].tolist()
    for seed, stream in ((3, 1), (4, 0)):
        assert places.tolist() != draw_places(keys, eligible, 1000, seed, stream).tolist()


def test_keys_among_others_agree_with_a_set():
    keys, wanted = np.random.default_rng(2).integers(0, 99, (2, 40)).astype(np.uint64)
    assert are_among(keys, wanted).tolist() == [key in set(wanted) for key in keys]
    assert not are_among(keys, wanted[:0]).any()
