"""Verdicts, captions and numbers of the report, as a reader finds them."""

import pytest

from report.illustrations import marked, read_caption
from report.quality import judge
from report.values import make_grid, nats, percent, ratio, ratio_span, tiny
from tiny_reports import CAPTIONS, STUDY_CAPTIONS, quality

CAPTION_FILES = [CAPTIONS / "workflow.rst", *sorted(STUDY_CAPTIONS.glob("*.rst"))]


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (quality("clm-en", 5.4, 5.5), "learned"),
        (quality("clm-en", 5.41, 5.5), "did not learn"),
        (quality("clm-en", float("nan")), "did not learn"),
        (quality("clm-en", entropy=None), "cannot tell"),
        (quality("mlm-en", 4.5, context_free=4.6), "learned"),
        (quality("mlm-en", 4.7, context_free=4.6), "did not learn"),
        (quality("mlm-en", 4.7, context_free=None), "learned"),
        (None, "cannot tell"),
    ],
)
def test_the_verdict_needs_more_than_frequencies(record, verdict):
    assert judge(record)[0] == verdict


@pytest.mark.parametrize("path", CAPTION_FILES, ids=lambda path: path.stem)
def test_captions_read_the_same_in_both_reports(path):
    docutils = pytest.importorskip("docutils.core")
    text = path.read_text(encoding="utf-8")
    document = docutils.publish_doctree(text, settings_overrides={"halt_level": 2})
    paragraphs = [node.astext().replace("\n", " ") for node in document]
    title, rest = read_caption(path)
    assert [title, *("".join(part for part, _ in parts) for parts in rest)] == paragraphs
    # `snakemake --report` fills in captions as templates
    assert "{{" not in text and "{%" not in text


def test_numbers_are_written_for_readers():
    assert marked("the ``W1`` matrix") == [("the ", False), ("W1", True), (" matrix", False)]
    assert (nats(-0.0004, signed=True), nats(-1.5), nats(None)) == ("+0.000", "−1.500", "–")
    ratios = [ratio(value).replace("\u00a0", " ") for value in (4.5, 123.4, -0.97)]
    assert ratios == ["4.50 ×", "123 ×", "−0.970 ×"]
    assert ratio(0.99951) == "1.000\u00a0×" and ratio(float("nan")) == "–"
    assert ratio_span([3.1, 4.5]) == "3.10 to 4.50\u00a0×" and ratio_span([2, 2]) == "2.00\u00a0×"
    assert (percent(-0.0204), percent(0.1)) == ("−2.0\u00a0%", "+10\u00a0%")
    assert (tiny(0.0081), tiny(-9.2e-5, signed=True)) == ("0.0081", "−9.2 × 10⁻⁵")
    assert make_grid(["a", "b", "c"], [["1", "2", "x"], ["1", "", "3"]]).numeric == [
        False,
        True,
        False,
    ]
