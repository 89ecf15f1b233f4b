"""Token ids: byte for byte what fairseq-preprocess makes of the same pieces."""

import json
import math
from collections import Counter

import pytest
import sentencepiece
from fairseq import options
from fairseq.data import data_utils
from fairseq_cli import preprocess

from reproduction.binarisation import LINES_PER_BATCH, binarise
from tiny_trainings import write_tokens

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    write_tokens(folder, {"train": 60, "valid": 12})
    return folder


def pieces(folder, name, language, split):
    model = str(folder / name / "vocabulary.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    lines = (folder / "text" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
    return [processor.encode(line, out_type=str) for line in lines]


def preprocessed(folder, name, languages, output):
    """What fairseq-preprocess makes of the encoded text."""
    output.mkdir()
    for split in ("train", "valid"):
        for language in languages:
            lines = (" ".join(line) for line in pieces(folder, name, language, split))
            (output / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dictionary = folder / name / ("dict.txt" if len(languages) == 1 else "dict.en.txt")
    arguments = ["--source-lang", languages[0], "--srcdict", str(dictionary), "--workers", "1"]
    arguments += ["--trainpref", str(output / "train"), "--validpref", str(output / "valid")]
    arguments += ["--destdir", str(output / "bin")]
    if len(languages) == 1:
        arguments += ["--only-source"]
    else:
        arguments += ["--target-lang", languages[1], "--joined-dictionary"]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))
    return output / "bin"


@pytest.mark.parametrize(("name", "languages"), [("en", ["en"]), ("en-de", ["en", "de"])])
def test_the_bytes_are_those_of_fairseq_preprocess(folder, tmp_path, name, languages):
    ours, stock = folder / name, preprocessed(folder, name, languages, tmp_path / "stock")
    compared = 0
    for split in ("train", "valid"):
        for language in languages:
            pair = f".{'-'.join(languages)}.{language}"
            infix = "" if len(languages) == 1 else pair
            # With one language, fairseq-preprocess still puts a pair into the name.
            stock_infix = ".en-None.en" if len(languages) == 1 else pair
            for kind in ("bin", "idx"):
                found = (ours / f"{split}{infix}.{kind}").read_bytes()
                assert found == (stock / f"{split}{stock_infix}.{kind}").read_bytes()
                compared += len(found)
    assert compared > 1000


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


def test_unknown_characters_empty_lines_and_more_than_one_batch(folder, tmp_path):
    text = tmp_path / "text.en"
    text.write_text("\n" + "日本\n" + "a\n" * LINES_PER_BATCH, encoding="utf-8")
    binarise(
        folder / "en" / "vocabulary.model", ["en"], {"test": tmp_path / "text"}, tmp_path / "out"
    )
    found = json.loads((tmp_path / "out" / "tokens.json").read_text())["splits"]["test"]["en"]
    assert found["sentences"] == LINES_PER_BATCH + 2 and found["unknown"] == 1
    dataset = data_utils.load_indexed_dataset(str(tmp_path / "out" / "test"), None)
    assert len(dataset) == LINES_PER_BATCH + 2
    assert dataset[0].tolist() == [2] and 3 in dataset[1].tolist()


def test_a_missing_text_leaves_no_half_written_ids(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        binarise(
            folder / "en" / "vocabulary.model", ["en"], {"train": tmp_path / "no"}, tmp_path / "out"
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dict.txt"]
