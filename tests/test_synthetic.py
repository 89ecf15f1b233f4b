"""Synthetic text: reproducible, aligned, with gold relations, and with something to learn in it."""

import math
import subprocess
import sys
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from running.files import UserError
from text.artificial.lexicon import NOUNS, make_stems
from text.artificial.words import write_conllu, write_lines
from text.synthetic import BLOCK, LANGUAGES, generate_blocks, generate_slots, write_synthetic_text

SCRIPT = Path(__file__).parents[1] / "scripts" / "generate_source.py"


def generate(languages, pairs, seed=1, offset=0, domain="parliament"):
    """All lines for each language."""
    lines = [[] for _ in languages]
    for block in generate_blocks(languages, pairs, seed, offset, domain):
        for side, texts in zip(lines, block):
            side += [text.decode() for text in texts]
    return lines


@pytest.fixture(scope="module")
def corpus():
    """Language to 2 * BLOCK sentences."""
    return dict(zip(LANGUAGES, generate(LANGUAGES, 2 * BLOCK)))


def test_same_seed_gives_the_same_bytes(tmp_path):
    outputs = [tmp_path / "text.en", tmp_path / "text.de"]
    arguments = ["--languages", "en", "de", "--pairs", "100", "--seed", "7", "--output", *outputs]
    subprocess.run([sys.executable, "-B", SCRIPT, *arguments], check=True)
    again = [tmp_path / "again.en", tmp_path / "again.de"]
    write_synthetic_text(again, ["en", "de"], pairs=100, seed=7)
    assert [path.read_bytes() for path in outputs] == [path.read_bytes() for path in again]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.de",
        "again.en",
        "text.de",
        "text.en",
    ]


def test_text_does_not_depend_on_the_other_languages(corpus):
    (finnish,) = generate(["fi"], 50)
    assert finnish == corpus["fi"][:50]


def test_other_seed_and_domain_give_other_text(corpus):
    others = [generate(["en"], 200, seed=2)[0], generate(["en"], 200, domain="news")[0]]
    for other in others:
        assert len(set(other) & set(corpus["en"][:200])) < 5


@pytest.mark.parametrize("offset", [0, 10, BLOCK - 5, BLOCK])
def test_offset_continues_the_same_text(corpus, offset):
    assert generate(["en"], 20, offset=offset)[0] == corpus["en"][offset : offset + 20]


def test_lines_are_aligned_sentences(corpus):
    assert {len(lines) for lines in corpus.values()} == {2 * BLOCK}
    for lines in corpus.values():
        for line in lines:
            assert line.endswith(".\n") and line.count("\n") == 1
            assert line[0] != " " and "  " not in line and " ," not in line


def test_sentences_have_usual_lengths_and_most_are_new(corpus):
    lengths = sorted(len(line.split()) for line in corpus["en"])
    assert lengths[0] >= 3 and lengths[-len(lengths) // 20] <= 12 and lengths[-1] <= 20
    assert len(set(corpus["en"])) > 0.75 * len(corpus["en"])


def test_domains_share_words_and_have_words_of_their_own(corpus):
    (news,) = generate(["en"], BLOCK, domain="news")
    words = [set(" ".join(lines).split()) for lines in (corpus["en"][:BLOCK], news)]
    assert len(words[0] & words[1]) > 100
    assert all(len(own - other) > 100 for own, other in (words, words[::-1]))


def entropies(lines):
    """Bits a word of a unigram and an interpolated bigram model on the last tenth."""
    sentences = [line.split() for line in lines]
    training, held_out = sentences[: -len(sentences) // 10], sentences[-len(sentences) // 10 :]
    words, pairs, before = Counter(), Counter(), Counter()
    for sentence in training:
        words.update(sentence)
        pairs.update(zip(["", *sentence], sentence))
        before.update(["", *sentence[:-1]])
    total, kinds, bits, count = words.total(), len(words) + 1, [0.0, 0.0], 0
    for sentence in held_out:
        for previous, word in zip(["", *sentence], sentence):
            unigram = (words[word] + 1) / (total + kinds)
            trust = before[previous] / (before[previous] + 20)
            bigram = pairs[previous, word] / max(before[previous], 1)
            bits[0] -= math.log2(unigram)
            bits[1] -= math.log2(trust * bigram + (1 - trust) * unigram)
            count += 1
    return bits[0] / count, bits[1] / count


@pytest.mark.parametrize("language", LANGUAGES)
def test_context_tells_much_about_a_word(corpus, language):
    unigram, bigram = entropies(corpus[language])
    assert bigram < unigram - 0.5


def test_sentences_of_a_document_share_words(corpus):
    rare = {word for word, count in Counter(" ".join(corpus["en"]).split()).items() if count < 500}
    sets = [set(line.split()) & rare for line in corpus["en"]]
    near = sum(len(a & b) for a, b in pairwise(sets))
    far = sum(len(a & b) for a, b in zip(sets, sets[500:]))
    assert near > 2 * far


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_frequent_and_rare_as_by_zipfs_law(corpus, language):
    """Frequency falls about as one over the rank, and some words are hardly ever seen."""
    counts = sorted(Counter(" ".join(corpus[language]).split()).values(), reverse=True)
    assert 0.5 < math.log(counts[9] / counts[99]) / math.log(10) < 1.6
    assert sum(count < 10 for count in counts) > 0.1 * len(counts)


def test_every_concept_has_a_stem_of_its_own():
    everything = [stem for kind in make_stems().values() for stem in kind]
    assert len(everything) == len(set(everything)) > NOUNS


def treebanks(pairs=2 * BLOCK, **options):
    """Language to its sentences, each a list of rows of ten columns."""
    found = {language: [] for language in LANGUAGES}
    for block in generate_slots(LANGUAGES, pairs, seed=1, **options):
        for language, slots in zip(LANGUAGES, block):
            rows = ("".join(write_conllu(slots))).split("\n")
            groups = [list(group) for filled, group in groupby(rows, bool) if filled]
            found[language] += [[row.split("\t") for row in group[1:]] for group in groups]
            texts = [group[0].removeprefix("# text = ") + "\n" for group in groups]
            assert texts == write_lines(slots)
    return found


@pytest.fixture(scope="module")
def trees():
    return treebanks()


def triples(rows):
    """(dependent, relation, head) by word, but for punctuation and the root."""
    form = {row[0]: row[1] for row in rows}
    return {(row[1], row[7], form[row[6]]) for row in rows if row[6] != "0" and row[3] != "PUNCT"}


KNOWN = {
    "en": (
        "the tugs spif a fliby drep.",
        {
            ("the", "det", "tugs"),
            ("tugs", "nsubj", "spif"),
            ("a", "det", "drep"),
            ("fliby", "amod", "drep"),
            ("drep", "obj", "spif"),
        },
    ),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"languages": ["en", "sv"]}, "sv is none"),
        ({"pairs": -1}, "pairs should be"),
        ({"domain": "web"}, "none of parliament, news"),
    ],
)
def test_wrong_wishes_are_refused(tmp_path, change, message):
    wishes = {"languages": ["en"], "pairs": 5, "seed": 1, "domain": "news", **change}
    outputs = [tmp_path / language for language in wishes["languages"]]
    with pytest.raises(UserError, match=message):
        write_synthetic_text(outputs, **wishes)
    assert list(tmp_path.iterdir()) == []


def test_one_output_for_each_language_is_needed(tmp_path):
    with pytest.raises(UserError, match="2 languages but 1 output"):
        write_synthetic_text([tmp_path / "a"], ["en", "de"], pairs=5, seed=1)
