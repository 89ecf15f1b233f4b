"""Grouping of models and agreement of estimators, against examples computed by hand."""

import numpy as np
import pytest
import xarray as xr

from illustrations import draw
from losschange.claims import Evidence, main_models
from losschange.claims.agreement import agreement, block_profiles, positive_share
from losschange.claims.distances import (
    classical_scaling,
    labels_of,
    model_distances,
    neighbour_accuracy,
    permanova,
)
from losschange.claims.statistics import intraclass_correlation, kendall, linear_fit, spearman, t90
from losschange.plots.style import house_style
from report.claims.record import group_by_model
from synthetic_cubes import model_attributes
from synthetic_summaries import BINS, LAYERS, SIX, make_summary, paper_like, paper_like_run

LINE = np.array([0.0, 1.0, 4.0, 6.0])
DISTANCES = np.abs(LINE[:, None] - LINE)


def test_permanova_of_four_points_on_a_line():
    # Sums of squares by hand: total 22.75 around 2.75, within 0.5 + 2, so between 20.25.
    ratio, explained, p = permanova(DISTANCES, ["a", "a", "b", "b"], permutations=4999)
    assert ratio == pytest.approx(20.25 / (2.5 / 2))
    assert explained == pytest.approx(20.25 / 22.75)
    # Of the three ways to halve four points this one separates best.
    assert p == pytest.approx(1 / 3, abs=0.03)


def test_permanova_needs_groups_and_is_the_same_for_the_same_seed():
    assert np.isnan(permanova(DISTANCES, ["a"] * 4)).all()
    assert np.isnan(permanova(DISTANCES, list("abcd"))).all()
    labels = ["a", "b", "a", "b"]
    assert permanova(DISTANCES, labels, seed=3) == permanova(DISTANCES, labels, seed=3)
    assert permanova(7 * DISTANCES, labels)[0] == pytest.approx(permanova(DISTANCES, labels)[0])


def test_nearest_neighbours_of_four_points():
    assert neighbour_accuracy(DISTANCES, ["a", "a", "b", "b"]) == (1.0, 1.0)
    # 0 and 1 are each other's neighbours, so are 4 and 6: all wrong.
    found, above = neighbour_accuracy(DISTANCES, ["a", "b", "a", "b"])
    assert found == 0 and above == pytest.approx((0 - 1 / 3) / (1 - 1 / 3))
    # Half are right, as many as at random where three of four have one label.
    assert neighbour_accuracy(DISTANCES, ["a", "a", "a", "b"]) == (0.5, 0.0)
    assert np.isnan(neighbour_accuracy(DISTANCES, list("abcd"))[1])


def test_a_map_of_points_in_a_plane_keeps_their_distances():
    points = np.array([[0, 0], [3, 0], [0, 4], [3, 4.0]])
    distances = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    found, kept = classical_scaling(distances)
    again = np.hypot(*(found[:, None] - found).transpose(2, 0, 1))
    np.testing.assert_allclose(again, distances, atol=1e-9)
    assert kept == pytest.approx(1)


@pytest.mark.parametrize(
    "model, expected",
    [
        ("clm-en", ("clm", "en", "europarl", "2M")),
        ("mlm-et", ("mlm", "et", "europarl", "0.7M")),
        ("mt-et-en", ("mt", "en", "europarl", "0.7M")),
        ("mt-en-de-wmt", ("mt", "de", "wmt", "5M")),
    ],
)
def test_labels_are_those_of_the_papers_table(model, expected):
    assert tuple(labels_of(model_attributes(model)).values()) == expected


def test_models_are_nearer_to_their_objective():
    found = model_distances(
        {name: [make_summary(training)] for name, training in paper_like_run().items()}, "batch"
    )
    objectives = [label["objective"] for label in found.labels]
    assert neighbour_accuracy(found.distances, objectives)[0] == 1
    np.testing.assert_allclose(found.distances, found.distances.T)
    assert model_distances({}, "batch") is None


def test_small_statistics_by_hand():
    one, other = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    assert kendall(one, other) == pytest.approx(4 / 6)  # five of six pairs agree, one does not
    assert spearman(one, other) == pytest.approx(0.8)
    assert np.isnan(kendall(one, np.ones(4))) and np.isnan(spearman(one, np.ones(4)))
    slope, explained = linear_fit(np.array([1.0, 3, 5, 7]))
    assert (slope, explained) == (pytest.approx(2), pytest.approx(1))
    # 80 % at a tenth, the rest evenly over nine: 90 % half-way through these.
    series = np.array([[0.8], *[[0.2 / 9]] * 9])
    assert t90(series, np.arange(1, 11) / 10)[0] == pytest.approx(0.1 + 0.45)
    assert t90(-series, np.arange(1, 11) / 10)[0] == pytest.approx(0.55)
    # Between 2 * var(1, 5) = 16, within 2: (16 - 2) / (16 + 2).
    assert intraclass_correlation(np.array([[0.0, 2.0], [4.0, 6.0]])) == pytest.approx(14 / 18)


def two_estimators():
    """A summary whose second estimator turns the layers round."""
    training = paper_like("clm-en")
    one = make_summary(training)
    for name in SIX:
        training.profile[name] = training.profile[name][::-1]
    other = make_summary(training).assign_coords(estimator=["probe"])
    return xr.concat(
        [one, other], "estimator", data_vars="minimal", coords="minimal", compat="override"
    )


def test_agreement_is_one_with_itself_and_negative_with_the_reverse():
    summaries = {"clm-en": [two_estimators()]}
    evidence = Evidence(summaries, main_models(summaries), draws=40)
    same = agreement(evidence, "clm-en", "batch", "batch")
    assert same.kendall[0] == same.spearman[0] == same.cells[0] == pytest.approx(1)
    turned = agreement(evidence, "clm-en", "batch", "probe")
    for value, low, high in (turned.kendall, turned.spearman):
        assert low <= value <= high and value < 0.2
    assert turned.cells[0] < 0.5  # feed-forward stays above attention in both
    assert positive_share(evidence, "clm-en", "batch") == pytest.approx(
        4 / (BINS * 10 * LAYERS * len(SIX))
    )
    for profile in block_profiles(evidence, "clm-en", "batch").values():
        assert np.abs(profile.share).sum() == pytest.approx(1)
        assert (profile.low <= profile.share).all() and (profile.share <= profile.high).all()


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.get_yticklabels()}


def test_figure_of_estimators_compares_all_with_batch():
    with house_style():
        figure = draw("E", [two_estimators()])
        assert "probe" in texts(figure) and "batch" not in texts(figure)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["batch", "probe"]
        figure.canvas.draw()
        alone = draw("E", [make_summary(paper_like("mlm-en"))])
        assert "no other estimator" in {text.get_text() for text in alone.axes[2].texts}


def test_figure_of_distances_names_every_model():
    summaries = [make_summary(training) for training in paper_like_run().values()]
    with house_style():
        figure = draw("D", summaries)
        assert set(group_by_model(summaries)) <= texts(figure)
        lonely = draw("D", summaries[:2])
        assert "needs three models" in lonely.texts[0].get_text()
