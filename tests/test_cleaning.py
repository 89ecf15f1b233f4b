"""Cleaning of single lines and pairs."""

import io
import unicodedata
from collections import Counter

import pytest

from reproduction.corpora.cleaning import (
    build_steps,
    clean_pair,
    clean_pairs,
    fold,
    folded_key,
    normalise_line,
    pair_key,
)
from reproduction.files import UserError


def test_characters_are_composed():
    decomposed = unicodedata.normalize("NFD", "äö Ülemiste")
    assert normalise_line(decomposed.encode()) == "äö Ülemiste"


@pytest.mark.parametrize(
    "line", ["a  b", " a b ", "a\tb\r", "a\u00a0b", "a\u2028b", "\ufeffa b", "a\x00 b\x07"]
)
def test_white_space_and_control_characters_become_one_form(line):
    assert normalise_line(line.encode()) == "a b"


def test_visible_text_is_kept_as_it_is():
    text = "“Ça va?” – 5 % de l’œuvre… 👍"
    assert normalise_line(text.encode()) == text


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
    steps = build_steps(
        [
            {"name": "maximum_words", "value": 5},
            {"name": "maximum_ratio", "value": 3.0},
            {"name": "maximum_characters", "value": 30},
        ]
    )
    assert clean_pair(lines, steps) == reason


def test_limits_themselves_are_allowed():
    steps = build_steps(
        [{"name": "maximum_words", "value": 3}, {"name": "maximum_ratio", "value": 3}]
    )
    assert clean_pair((b"a b c", b"d"), steps) == ("a b c", "d")


def test_test_sets_keep_empty_lines():
    assert clean_pair((b"text", b""), None) == ("text", "")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "maximum_wrods", "value": 5}, "no cleaning step"),
        ({"name": "maximum_words", "value": 0}, "above 0"),
        ({"name": "maximum_words", "value": "5"}, "above 0"),
        ({"name": "maximum_words"}, "above 0"),
    ],
)
def test_wrong_steps_are_refused(step, message):
    with pytest.raises(UserError, match=message):
        build_steps([step])


def test_near_identical_pairs_share_a_folded_key():
    pair, near = ("The end.", "Das Ende."), ("“the  END”", "das Ende !")
    assert fold(pair[0]) == fold(near[0])
    assert folded_key(pair) == folded_key(near)
    assert pair_key(pair) != pair_key(near)
    assert folded_key(pair) != folded_key(("The ends", "Das Ende"))


def test_key_tells_where_one_side_ends():
    assert pair_key(("ab", "c")) != pair_key(("a", "bc"))
    assert folded_key(("ab", "c")) != folded_key(("a", "bc"))


def test_pairs_left_out_are_counted_and_not_written():
    files, dropped = (io.BytesIO(), io.BytesIO()), Counter()
    raw = [(b"One\r", b"Eins"), (b"\xff", b"x"), (b"", b"y"), (b"Two", b"Zwei")]
    read, keys = clean_pairs(raw, [], files, dropped)
    assert read == 4
    assert dropped == {"invalid_utf8": 1, "empty": 1}
    assert [file.getvalue() for file in files] == [b"One\nTwo\n", b"Eins\nZwei\n"]
    assert keys.exact.tolist() == [pair_key(("One", "Eins")), pair_key(("Two", "Zwei"))]
