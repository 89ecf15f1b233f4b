"""Synthetic text: reproducible, aligned, with gold relations, and with something to learn in it."""

import math
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from common.files import UserError
from text.artificial.languages import LANGUAGES
from text.artificial.lexicon import NOUNS, make_stems
from text.artificial.words import write_conllu, write_lines
from text.preparation import prepare_corpus
from text.synthetic import BLOCK, generate_slots, write_synthetic_text

SCRIPT = Path(__file__).parents[1] / "scripts" / "generate_source.py"


def generate(languages, pairs, seed=1, offset=0, domain="parliament"):
    """All lines for each language."""
    lines = [[] for _ in languages]
    for block in generate_slots(languages, pairs, seed, offset, domain):
        for side, slots in zip(lines, block, strict=True):
            side += write_lines(slots)
    return lines


@pytest.fixture(scope="module")
def corpus():
    """Language to 2 * BLOCK sentences."""
    return dict(zip(LANGUAGES, generate(LANGUAGES, 2 * BLOCK)))


def test_same_seed_gives_the_same_bytes(tmp_path):
    outputs = [tmp_path / "text.en", tmp_path / "text.de"]
    trees = [tmp_path / "tree.en", tmp_path / "tree.de"]
    arguments = ["--languages", "en", "de", "--pairs", "100", "--seed", "7", "--output", *outputs]
    arguments += ["--relations", *trees]
    subprocess.run([sys.executable, "-B", SCRIPT, *arguments], check=True)
    again = [tmp_path / "again.en", tmp_path / "again.de"]
    trees_again = [tmp_path / "again.tree.en", tmp_path / "again.tree.de"]
    write_synthetic_text(again, ["en", "de"], pairs=100, seed=7, relations=trees_again)
    for first, second in zip([*outputs, *trees], [*again, *trees_again], strict=True):
        assert first.read_bytes() == second.read_bytes() != b""
    assert len(list(tmp_path.iterdir())) == 8


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


@pytest.fixture(scope="module")
def treebanks():
    """Language to the same sentences as CoNLL-U, each its text and its rows of ten columns."""
    found = {language: [] for language in LANGUAGES}
    for block in generate_slots(LANGUAGES, BLOCK, seed=1):
        for language, slots in zip(LANGUAGES, block):
            for sentence in write_conllu(slots):
                text, *rows = sentence.removesuffix("\n\n").split("\n")
                rows = [row.split("\t") for row in rows]
                found[language].append((text.removeprefix("# text = "), rows))
    return found


def relations(rows):
    """(word, relation, head) of what depends on a verb or noun and is no punctuation."""
    form = {row[0]: row[1] for row in rows}
    return [(row[1], row[7], form[row[6]]) for row in rows if row[7] not in ("root", "punct")]


LONGEST = (
    "stadday the tess blot a pity dal in the droly stog mamly, although he prides a frofy spol.\n"
)
KNOWN = {
    "en": """stadday advmod blot, the det tess, tess nsubj blot, a det dal, pity amod dal,
        dal obj blot, in case stog, the det stog, droly amod stog, stog obl blot,
        mamly advmod blot, although mark prides, he nsubj prides, prides advcl blot,
        a det spol, frofy amod spol, spol obj prides""",
    "de": """stadtags advmod bloten, die det tese, tese nsubj bloten, ein det dal,
        pitigen amod dal, dal obj bloten, mamlich advmod bloten, in case stog, dem det stog,
        droligen amod stog, stog obl bloten, obwohl mark pridt, er nsubj pridt, ein det spol,
        frofiges amod spol, spol obj pridt, pridt advcl bloten""",
    "fi": """stadina advmod blotavat, tesit nsubj blotavat, mamisti advmod blotavat,
        pitin amod dalin, dalin obj blotavat, drolissa amod stogissa, stogissa obl blotavat,
        vaikka mark pridää, hän nsubj pridää, pridää advcl blotavat, frofin amod spolin,
        spolin obj pridää""",
    "et": """stadal advmod blotavad, tesud nsubj blotavad, pitu amod dalu, dalu obj blotavad,
        mamalt advmod blotavad, drolus amod stogus, stogus obl blotavad, kuigi mark pridab,
        ta nsubj pridab, pridab advcl blotavad, frofu amod spolu, spolu obj pridab""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_relations_of_a_sentence_parsed_by_hand(corpus, treebanks, language):
    """The longest sentences have every part that there is; the words keep their order."""
    place = corpus["en"].index(LONGEST)
    _, rows = treebanks[language][place]
    expected = [tuple(item.split()) for item in KNOWN[language].split(",")]
    assert sorted(relations(rows)) == sorted(expected)


@pytest.mark.parametrize("language", LANGUAGES)
def test_treebanks_are_trees_over_the_words_of_the_text(corpus, treebanks, language):
    """One root, heads that exist and lead to it, and words that make up the line again."""
    for line, (text, rows) in zip(corpus[language][:BLOCK], treebanks[language], strict=True):
        assert text == line.rstrip("\n")
        spaces = ["" if row[9] == "SpaceAfter=No" else " " for row in rows]
        assert "".join(row[1] + space for row, space in zip(rows, spaces)).rstrip() == text
        assert [row[0] for row in rows] == [str(place + 1) for place in range(len(rows))]
        assert all(len(row) == 10 for row in rows)
        heads = [int(row[6]) for row in rows]
        assert [row[7] for row in rows if row[6] == "0"] == ["root"]
        for word in range(1, len(rows) + 1):
            steps = 0
            while word and steps <= len(rows):
                word, steps = heads[word - 1], steps + 1
            assert word == 0, "no cycles"


@pytest.mark.parametrize("language", LANGUAGES)
def test_equal_sentences_have_equal_relations(treebanks, language):
    """So that the text of a sentence is enough to find its relations."""
    known = {}
    for text, rows in treebanks[language]:
        assert known.setdefault(text, rows) == rows
    assert len(known) < len(treebanks[language]), "some sentences are repeated"


@pytest.mark.parametrize(
    ("language", "singular", "plural"),
    [
        ("en", ("es", "ed"), ("", "ed")),
        ("de", ("t", "te"), ("en", "ten")),
        ("fi", ("aa", "ää", "i"), ("avat", "ävät", "ivat", "ivät")),
        ("et", ("ab", "as"), ("avad", "asid")),
    ],
)
def test_verbs_agree_with_pronouns_in_number(treebanks, language, singular, plural):
    he, they = {"en": "he they", "de": "er sie", "fi": "hän he", "et": "ta nad"}[language].split()
    seen = Counter()
    for _, rows in treebanks[language]:
        for word, relation, head in relations(rows):
            if relation == "nsubj" and word in (he, they):
                assert head.endswith(singular if word == he else plural), (word, head)
                seen[word] += 1
    assert min(seen[he], seen[they]) > 100


@pytest.mark.parametrize(
    ("language", "endings"),
    [("fi", ("eissa", "eissä", "issa", "issä")), ("et", ("udes", "us"))],
)
def test_finnic_adjectives_take_case_and_number_of_their_nouns(treebanks, language, endings):
    def ending(word):
        return next(ending[:2] for ending in endings if word.endswith(ending))

    seen = Counter()
    for _, rows in treebanks[language]:
        noun = {row[0]: row[1] for row in rows if row[7] == "obl"}
        for row in rows:
            if row[7] == "amod" and row[6] in noun:
                assert ending(row[1]) == ending(noun[row[6]]), row
                seen[ending(row[1])] += 1
    assert len(seen) == 2 and min(seen.values()) > 50, "singular and plural"


def test_german_verbs_stand_last_in_subordinate_clauses_and_second_elsewhere(treebanks):
    for text, rows in treebanks["de"]:
        comma = next((place for place, row in enumerate(rows) if row[1] == ","), None)
        if comma is not None:
            assert rows[-2][7] == "advcl", text
        if rows[0][7] == "advmod":
            assert rows[1][7] == "root", text


def test_languages_order_verb_and_adverb_in_their_own_ways(treebanks):
    """English puts the adverb behind the object, Finnish before it."""
    for language, sign in (("en", 1), ("de", 1), ("fi", -1)):
        for text, rows in treebanks[language]:
            place = {row[7]: int(row[0]) for row in rows if row[6] == "2" or row[7] == "obj"}
            if "advmod" in place and "obj" in place and len(rows) < 8 and place["advmod"] > 2:
                assert sign * (place["advmod"] - place["obj"]) > 0, text


def test_relations_of_prepared_sentences_are_found_by_their_text(tmp_path):
    """Cleaning leaves the text as it is, and shuffling changes training text alone."""
    texts = [tmp_path / "text.de", tmp_path / "text.et"]
    trees = [tmp_path / "tree.de", tmp_path / "tree.et"]
    write_synthetic_text(texts, ["de", "et"], pairs=300, seed=1, relations=trees)
    files = {"de": str(texts[0]), "et": str(texts[1])}
    settings = {
        "languages": ["de", "et"],
        "sources": [{"name": "synthetic:300", "kind": "text", "files": files}],
        "splits": {"train": "rest", "valid": 40, "test": 20},
        "seed": 1,
        "steps": [{"maximum_words": 250}, {"maximum_ratio": 9.0}, {"shuffle_words": 1.0}],
    }
    prepare_corpus("pair", settings, tmp_path / "corpus")
    for language, tree in zip(("de", "et"), trees, strict=True):
        rows = tree.read_text(encoding="utf-8").splitlines()
        known = {row.removeprefix("# text = ") for row in rows if row.startswith("#")}

        def lines(split, language=language):
            text = (tmp_path / "corpus" / f"{split}.{language}").read_text(encoding="utf-8")
            return text.splitlines()

        assert set(lines("valid") + lines("test")) <= known
        assert not set(lines("train")) <= known, "shuffled"


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
    both = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(UserError, match="2 languages but 1 output"):
        write_synthetic_text(both, ["en", "de"], pairs=5, seed=1, relations=both[:1])
    assert list(tmp_path.iterdir()) == []
