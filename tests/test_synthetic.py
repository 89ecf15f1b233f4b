"""Synthetic text: reproducible, aligned, and with something to learn in it."""

import math
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from running.files import UserError
from text.artificial.concepts import NOUNS, make_concepts, noun_cell
from text.artificial.finnic import ESTONIAN, FINNISH
from text.artificial.forms import Forms
from text.artificial.stems import make_stems
from text.synthetic import BLOCK, LANGUAGES, generate_blocks, write_synthetic_text

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
            assert line[0].isupper() and "  " not in line and " ," not in line


def test_sentences_have_usual_lengths_and_are_rarely_repeated(corpus):
    lengths = sorted(len(line.split()) for line in corpus["en"])
    assert lengths[len(lengths) // 20] >= 4 and lengths[-len(lengths) // 20] <= 26
    assert len(set(corpus["en"])) > 0.99 * len(corpus["en"])


def test_domains_share_words_and_have_words_of_their_own(corpus):
    (news,) = generate(["en"], BLOCK, domain="news")
    words = [set(" ".join(lines).split()) for lines in (corpus["en"][:BLOCK], news)]
    assert len(words[0] & words[1]) > 1000
    assert all(len(own - other) > 500 for own, other in (words, words[::-1]))


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
    rare = {word for word, count in Counter(" ".join(corpus["en"]).split()).items() if count < 99}
    sets = [set(line.split()) & rare for line in corpus["en"]]
    near = sum(len(a & b) for a, b in pairwise(sets))
    far = sum(len(a & b) for a, b in zip(sets, sets[500:]))
    assert near > 3 * far


def test_every_concept_has_a_word_of_its_own():
    for stems in make_stems().values():
        everything = [stem for kind in stems.values() for stem in kind]
        assert len(everything) == len(set(everything))
        assert 2500 < len(everything) < 3500


def test_compounds_stay_within_their_topic():
    topic_size = noun_cell(1, 0)
    topics = np.arange(NOUNS) // topic_size
    modifiers = make_concepts().modifiers
    assert (modifiers // topic_size == topics[:, None]).all()


def test_finnish_endings_follow_vowel_harmony():
    assert FINNISH.noun("talo")[0][3] == "talossa"
    assert FINNISH.noun("kylä")[0][3] == "kylässä"
    assert FINNISH.noun("tukki")[0][:2] == ["tukki", "tukin"]


def test_estonian_nominative_drops_the_vowel():
    assert ESTONIAN.noun("linna")[0][:4] == ["linn", "linna", "linnat", "linnas"]


def test_german_puts_the_verb_last_in_subordinate_clauses(corpus):
    for line in corpus["de"]:
        if ", weil er " in line:
            assert line.rstrip(".\n").endswith(("t", "te", "kann", "wird")), line


def test_english_article_fits_the_next_word(corpus):
    for line in corpus["en"]:
        words = line.split()
        for article, word in pairwise(words):
            if article in ("a", "an"):
                assert (word[0] in "aeiou") == (article == "an"), line


def test_word_forms_at_the_start_and_joined():
    forms = Forms()
    numbers = forms.table(["Wasser", "Politik", "und", ""])
    comma = forms.add(",")
    forms.complete()
    water, politics, conjunction, none = numbers
    words = [conjunction, water, politics + forms.joined, none, comma + forms.joined]
    assert forms.text([np.array([word]) for word in words]) == b"Und Wasserpolitik,.\n"


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
