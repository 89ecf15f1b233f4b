"""Cleaning of single lines and pairs, and the list of steps in the configuration."""

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest

from common.files import UserError
from text.cleaning import (
    clean_batch,
    clean_lines,
    fold_text,
    folded_keys,
    normalise_text,
    pair_keys,
)
from text.steps import STEPS, Step, change_text, check_steps, leaves_out


def clean_one(lines, steps):
    """The clean pair, or the reason why it is left out."""
    batch = clean_batch(([lines[0]], [lines[1]]), steps)
    if batch.dropped:
        return next(iter(batch.dropped))
    return tuple(text.decode().removesuffix("\n") for text in batch.texts)


def test_characters_are_composed():
    decomposed = unicodedata.normalize("NFD", "äö Ülemiste")
    assert normalise_text(decomposed) == "äö Ülemiste"


@pytest.mark.parametrize(
    "line",
    ["a  b", " a b ", "a\tb\r", "a\u00a0b", "a\u2028b", "\ufeffa b", "a\x00 b\x07", "a \x00 b"],
)
def test_white_space_and_control_characters_become_one_form(line):
    assert normalise_text(line) == "a b"


def test_visible_text_is_kept_as_it_is():
    text = "“Ça va?” – 5 % de l’œuvre… 👍"
    assert normalise_text(text) == text


def test_many_lines_at_once_are_what_single_lines_are():
    """The slow way, character by character, on random lines of difficult characters."""
    alphabet = list(
        "ab ÄßÉ.,-_—“”’\t\r\x00\x1f\x85\xa0\xad\u0301\u0345\u200b\u2028\u3000\ufeffİﬁΣς中9²"
    )
    random = np.random.default_rng(5)
    lines = ["".join(random.choice(alphabet, size)) for size in random.integers(0, 30, 400)]
    controls = [*map(chr, [*range(0x20), *range(0x7F, 0xA0)]), "\ufeff"]

    def slow_form(line):
        words = " ".join(unicodedata.normalize("NFC", line).split())
        return " ".join("".join(c for c in words if c not in controls).split())

    def slow_fold(line):
        return re.sub(r"[\W_]+", "", line.casefold())

    clean = clean_lines([line.encode() for line in lines])
    assert clean == [slow_form(line) for line in lines]
    assert fold_text("\n".join(clean)).decode().split("\n") == [slow_fold(line) for line in clean]


STEPS_TRIED = [{"maximum_words": 5}, {"maximum_ratio": 3.0}, {"maximum_characters": 30}]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((b"caf\xe9", b"Kaffee"), "invalid_utf8"),
        ((b"text", b" \t\r"), "empty"),
        ((b"\xc2\xa0", b"text"), "empty"),
        ((b"a " * 6, b"b b b b"), "too_long"),
        ((b"a a a a", b"b"), "unbalanced"),
        ((b"b", b"a a a a"), "unbalanced"),
        ((b"x" * 31, b"y"), "too_many_characters"),
    ],
)
def test_reason_for_leaving_a_pair_out(lines, reason):
    assert clean_one(lines, check_steps(STEPS_TRIED)) == reason


def test_limits_themselves_are_allowed():
    steps = check_steps([{"maximum_words": 3}, {"maximum_ratio": 3}])
    assert clean_one((b"a b c", b"d"), steps) == ("a b c", "d")


def test_test_sets_keep_empty_lines():
    assert clean_one((b"text", b""), None) == ("text", "")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"maximum_wrods": 5}, "'maximum_wrods' is no cleaning step; .* maximum_words, .*shuffle"),
        ({"maximum_words": 0}, "a number, 1 or more, not 0"),
        ({"maximum_words": "5"}, "not '5'"),
        ({"maximum_words": True}, "not True"),
        ({"shuffle_words": 1.5}, "a number, 0 to 1, not 1.5"),
        ({"maximum_words": 5, "maximum_ratio": 3}, "one name and its value"),
        ({}, "one name and its value"),
        ("maximum_words", "one name and its value"),
    ],
)
def test_wrong_steps_are_refused(step, message):
    with pytest.raises(UserError, match=message):
        check_steps([step])


def test_a_step_of_the_user_is_counted_by_its_reason():
    """The example of docs/how-to/own-text.md."""

    @leaves_out(minimum=0, maximum=1)
    def most_digits(pair, value):
        text = "".join(pair)
        return "digits" if sum(c.isdigit() for c in text) > value * len(text) else None

    try:
        batch = clean_batch(
            ([b"one", b"1 2 3"], [b"eins", b"1 2 3"]), check_steps([{"most_digits": 0.5}])
        )
    finally:
        del STEPS["most_digits"]
    assert (batch.texts, batch.dropped) == ((b"one\n", b"eins\n"), Counter(digits=1))


def test_near_identical_pairs_share_a_folded_key():
    pair, near = ("The end.", "Das Ende."), ("“the  END”", "das Ende !")
    assert fold_text(pair[0]) == fold_text(near[0])
    keys = [folded_keys([pair]), folded_keys([near]), folded_keys([("The ends", "Das Ende")])]
    assert keys[0] == keys[1] != keys[2]
    assert pair_keys(b"The end.", b"Das Ende.") != pair_keys(b"The end", b"Das Ende")


def test_the_two_turkish_i_fold_alike_in_either_case():
    folded = {fold_text(text) for text in ("DİYARBAKIR", "Diyarbakır", "diyarbakir")}
    assert folded == {b"diyarbakir"}


def test_key_tells_where_one_side_ends():
    assert pair_keys(b"ab", b"c") != pair_keys(b"a", b"bc")
    assert folded_keys([("ab", "c")]) != folded_keys([("a", "bc")])


def test_pairs_left_out_are_counted_and_not_kept():
    first, second = [b"One\r", b"\xff", b"", b"Two"], [b"Eins", b"x", b"y", b"Zwei"]
    batch = clean_batch((first, second), [])
    assert batch.read == 4
    assert batch.dropped == {"invalid_utf8": 1, "empty": 1}
    assert batch.texts == (b"One\nTwo\n", b"Eins\nZwei\n")
    assert batch.exact == pair_keys(b"One\nTwo", b"Eins\nZwei")
    assert len(batch.folded) == 16


def shuffled(text, level, seed=1):
    return change_text(text, Step("shuffle_words", level), seed)


def test_shuffling_keeps_the_words_and_depends_on_sentence_and_seed_only():
    text = " ".join(f"w{number}" for number in range(30))
    assert shuffled(text, 1.0) == shuffled(text, 1.0) != text
    assert sorted(shuffled(text, 1.0).split()) == sorted(text.split())
    assert shuffled(text, 1.0, seed=2) != shuffled(text, 1.0)
    others = {shuffled(f"{text} {end}", 1.0).replace(f" {end}", "") for end in "abcdefgh"}
    assert len(others) == 8


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 1.0])
def test_the_level_is_the_share_of_words_that_take_part(level):
    words = [f"w{number}" for number in range(100)]
    moved = 0
    for sentence in range(200):
        after = shuffled(" ".join([f"s{sentence}", *words]), level).split()
        moved += sum(word != after[place + 1] for place, word in enumerate(words))
    # One of those that take part stays where it was, on average; 20,000 words, 4 deviations.
    expected = max(level - 0.01, 0) * 100 * 200
    assert abs(moved - expected) <= 4 * (20_000 * level * (1 - level) + 200) ** 0.5 * (level > 0)


@pytest.mark.parametrize("text", ["", "word", "two words"])
def test_short_sentences_can_be_shuffled(text):
    assert sorted(shuffled(text, 1.0).split()) == sorted(text.split())
