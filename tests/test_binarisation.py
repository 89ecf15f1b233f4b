"""Token ids: byte for byte what fairseq-preprocess makes of the same pieces."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
from fairseq import options
from fairseq.data import data_utils, indexed_dataset
from fairseq_cli import preprocess

from common.files import FullDiskError, UserError
from text import text_lines
from text.binarisation import binarise
from text.token_files import TokenWriter
from tiny_trainings import write_tokens

ROOT = Path(__file__).parents[1]
# What real text holds now and then; SentencePiece brings most of it to another form.
ODD_LINES = [
    "",
    " ",
    "\t",
    "\u200b\u200b",
    "  two  spaces\u00a0and a no-break one ",
    "tabs\tand\rreturns",
    "line\u2028separator\u2029and paragraph",
    "control\x00\x01\x1c\x1f\x7f characters",
    "full width ＡＢＣ１２３，ligature ﬁnal, ½ and ①",
    "combining a\u0308 o\u0308 against ä ö, \u0308 alone",
    "日本語のテキスト and русский with عربى",
    "emoji 🙂👩‍👩‍👧 and \U0010ffff at the end",
    "<s> </s> <unk> <pad> ▁ ▁▁ literally",
    "\ufeffbyte-order mark, soft\u00adhyphen",
    "a" * 5000,
    "word " * 3000,
]

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    write_tokens(folder, {"train": 60, "valid": 12})
    return folder


def processor_of(folder, name):
    model = str(folder / name / "vocabulary.model")
    return sentencepiece.SentencePieceProcessor(model_file=model)


def pieces(folder, name, language, split):
    lines = (folder / "text" / f"{split}.{language}").read_bytes().decode().split("\n")[:-1]
    return processor_of(folder, name).encode(lines, out_type=str)


def preprocessed(encoded, languages, dictionary, output):
    """What fairseq-preprocess makes of encoded text: language to lines of pieces."""
    output.mkdir()
    for language, lines in encoded.items():
        text = "".join(" ".join(line) + "\n" for line in lines)
        (output / f"train.{language}").write_bytes(text.encode())
    arguments = ["--source-lang", languages[0], "--srcdict", str(dictionary), "--workers", "1"]
    arguments += ["--trainpref", str(output / "train"), "--destdir", str(output / "bin")]
    if len(languages) == 1:
        arguments += ["--only-source"]
    else:
        arguments += ["--target-lang", languages[1], "--joined-dictionary"]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))
    return output / "bin"


@pytest.mark.parametrize(("name", "languages"), [("en", ["en"]), ("en-de", ["en", "de"])])
def test_the_bytes_are_those_of_fairseq_preprocess(folder, tmp_path, name, languages):
    ours = folder / name
    dictionaries = ["dict.txt"] if len(languages) == 1 else ["dict.en.txt", "dict.de.txt"]
    encoded = {language: pieces(folder, name, language, "train") for language in languages}
    stock = preprocessed(encoded, languages, ours / dictionaries[0], tmp_path / "stock")
    for language, dictionary in zip(languages, dictionaries):
        pair = f".{'-'.join(languages)}.{language}"
        infix = "" if len(languages) == 1 else pair
        # With one language, fairseq-preprocess still puts a pair into the name.
        stock_infix = ".en-None.en" if len(languages) == 1 else pair
        for kind in ("bin", "idx"):
            found = (ours / f"train{infix}.{kind}").read_bytes()
            assert found == (stock / f"train{stock_infix}.{kind}").read_bytes()
            assert len(found) > 500
        written = (ours / dictionary).read_bytes()
        assert written == (stock / f"dict.{language}.txt").read_bytes()


def test_odd_text_gives_the_bytes_of_fairseq_preprocess(folder, tmp_path):
    lines = ODD_LINES + ["a plain line, the last one without a line feed"]
    (tmp_path / "text.en").write_bytes("\n".join(lines).encode())
    encoded = {"en": processor_of(folder, "en").encode(lines, out_type=str)}
    binarise(
        folder / "en/vocabulary.model", ["en"], {"train": tmp_path / "text"}, tmp_path / "ours"
    )
    stock = preprocessed(encoded, ["en"], tmp_path / "ours/dict.txt", tmp_path / "stock")
    for kind in ("bin", "idx"):
        found = (tmp_path / f"ours/train.{kind}").read_bytes()
        assert found == (stock / f"train.en-None.en.{kind}").read_bytes()
    statistics = json.loads((tmp_path / "ours/tokens.json").read_text())["splits"]["train"]["en"]
    assert statistics["sentences"] == len(lines) and statistics["unknown"] > 10


@pytest.mark.parametrize("vocabulary", [65_499, 65_500])
def test_the_type_of_the_ids_is_fairseqs(vocabulary, tmp_path):
    ids, sizes = np.array([5, 2, vocabulary - 1, 6, 2, 2]), np.array([2, 3, 1])
    with open(tmp_path / "ours.bin", "wb") as data:
        writer = TokenWriter(data, vocabulary)
        writer.add(ids[:2], sizes[:1])
        writer.add(ids[2:], sizes[1:])
    writer.write_index(tmp_path / "ours.idx")
    builder = indexed_dataset.make_builder(str(tmp_path / "stock.bin"), "mmap", vocabulary)
    for sentence in np.split(ids, np.cumsum(sizes)[:-1]):
        builder.add_item(torch.IntTensor(sentence))
    builder.finalize(str(tmp_path / "stock.idx"))
    for kind in ("bin", "idx"):
        ours, stock = (tmp_path / f"{name}.{kind}" for name in ("ours", "stock"))
        assert ours.read_bytes() == stock.read_bytes()


def test_fairseq_reads_the_sentences_back(folder):
    dataset = data_utils.load_indexed_dataset(str(folder / "en" / "valid"), None)
    model = str(folder / "en" / "vocabulary.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    lines = (folder / "text" / "valid.en").read_text(encoding="utf-8").splitlines()
    assert len(dataset) == len(lines)
    for item, line in zip(dataset, lines):
        assert item[-1] == processor.eos_id()
        assert processor.decode(item[:-1].tolist()) == line or processor.unk_id() in item


def test_the_statistics_equal_a_slow_count(folder):
    summary = json.loads((folder / "en-de" / "tokens.json").read_text())
    assert summary["vocabulary"] == 200
    for split in ("train", "valid"):
        for language in ("en", "de"):
            sentences = pieces(folder, "en-de", language, split)
            counts = Counter("</s>" for _ in sentences)
            for sentence in sentences:
                counts.update(sentence)
            total = counts.total()
            listing = (folder / "en-de" / "vocabulary.txt").read_text(encoding="utf-8")
            known = {line.split("\t")[0] for line in listing.splitlines()}
            unknown = sum(n for piece, n in counts.items() if piece not in known)
            merged = Counter({p: n for p, n in counts.items() if p in known} | {"?": unknown})
            entropy = -sum(n / total * math.log(n / total) for n in merged.values() if n)
            found = summary["splits"][split][language]
            assert (found["sentences"], found["tokens"]) == (len(sentences), total)
            assert found["unknown"] == unknown
            assert found["unigram_entropy"] == pytest.approx(entropy, rel=1e-12)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_threads_and_blocks_do_not_change_a_byte(folder, tmp_path, monkeypatch):
    splits = {"train": folder / "text/train", "valid": folder / "text/valid"}
    # Blocks of 100 bytes cut characters of several bytes and lines.
    monkeypatch.setattr(text_lines, "BLOCK", 100)
    binarise(folder / "en-de/vocabulary.model", ["en", "de"], splits, tmp_path, threads=3)
    expected = contents(folder / "en-de")
    assert contents(tmp_path) == {name: expected[name] for name in contents(tmp_path)}
    assert len(contents(tmp_path)) == 2 + 2 * 2 * 2 + 1


def loads(model):
    try:
        sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        return False
    return True


def test_what_is_wrong_is_told_and_leaves_nothing(folder, tmp_path):
    model = folder / "en/vocabulary.model"
    good = model.read_bytes()
    cut, symbols, other = (tmp_path / f"{name}.model" for name in ("cut", "symbols", "other"))
    cut.write_bytes(good[: len(good) // 2])
    # Between two symbols, as few cuts are: SentencePiece itself finds nothing wrong.
    symbols.write_bytes(next(good[:size] for size in range(100, 200) if loads(good[:size])))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e"] * 9), model_prefix=str(other.with_suffix("")),
        vocab_size=10, model_type="bpe", minloglevel=2,
    )  # fmt: skip
    texts = {name: tmp_path / name for name in ("good", "encoding", "shorter", "empty", "no")}
    for language in ("en", "de"):
        texts["good"].with_suffix(f".{language}").write_text("one\ntwo\n")
        texts["encoding"].with_suffix(f".{language}").write_bytes("one\nzwölf\n".encode("latin-1"))
        texts["empty"].with_suffix(f".{language}").write_text("")
    texts["shorter"].with_suffix(".en").write_text("one\ntwo\n")
    texts["shorter"].with_suffix(".de").write_text("one\n")
    output = tmp_path / "out"
    for vocabulary, text, message in (
        (cut, "good", r"cut\.model is no complete SentencePiece model \(\d+ bytes\).*Delete it"),
        (symbols, "good", r"symbols\.model is no complete.*its end is missing"),
        (other, "good", r"other\.model numbers the special symbols .* fairseq needs"),
        (tmp_path / "none.model", "good", r"none\.model: there is no such vocabulary"),
        (model, "encoding", r"encoding\.en, line 2: not UTF-8"),
        (model, "shorter", r"shorter\.en has 2 and .*shorter\.de has 1 lines"),
        (model, "empty", r"empty\.en is empty"),
    ):
        with pytest.raises(UserError, match=message):
            binarise(vocabulary, ["en", "de"], {"train": texts[text]}, output)
        assert not output.exists() or list(output.iterdir()) == []
    with pytest.raises(UserError, match=r"no\.en: there is no such text"):
        binarise(model, ["en"], {"train": texts["no"]}, output)
    assert list(output.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_what_was_there(folder, tmp_path):
    splits = {"train": folder / "text/train"}
    model = folder / "en/vocabulary.model"
    binarise(model, ["en"], splits, tmp_path)
    before = contents(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(FullDiskError, match="could not be written"):
            binarise(model, ["en"], splits, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == before


def test_killed_at_any_moment_the_next_run_gives_the_same_bytes(folder, tmp_path):
    lines = (folder / "text/train.en").read_bytes()
    (tmp_path / "long.en").write_bytes(lines * 2000)
    (tmp_path / "short.en").write_bytes(lines)
    output = tmp_path / "out"
    command = [sys.executable, str(ROOT / "scripts/binarise_text.py"), "--threads", "2"]
    command += ["--model", str(folder / "en/vocabulary.model"), "--languages", "en"]
    command += ["--output", str(output), "--split"]
    process = subprocess.Popen([*command, "train", str(tmp_path / "long")])
    growing = output / ".incomplete/train.bin"
    while not (growing.exists() and growing.stat().st_size):
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [path.name for path in output.iterdir()] == [".incomplete"]
    subprocess.run([*command, "train", str(tmp_path / "short")], check=True)
    binarise(
        folder / "en/vocabulary.model", ["en"], {"train": tmp_path / "short"}, tmp_path / "whole"
    )
    assert contents(output) == contents(tmp_path / "whole")
