"""Estimators on any text: their names, their place in a cube, and how they are recorded."""

import netCDF4
import numpy as np
import pytest

from estimator_names import ESTIMATORS
from losschange.analysis.summaries import summarise_cube
from losschange.cube.estimators import Estimator, EstimatorError, in_order, parse_estimator
from losschange.cube.format import estimators_of, open_cube
from small_models import (
    attach_to,
    fresh_loss,
    make_optimizer,
    make_transformer,
    make_words,
    train,
    word_loss,
)

OTHER = make_words(32, seed=3)


@pytest.mark.parametrize(
    ("name", "rule", "text", "variable"),
    [
        ("batch", "batch", "train", "lca"),
        ("fresh", "fresh", "train", "lca_fresh"),
        ("fresh_test", "fresh", "test", "lca_fresh_test"),
        ("probe", "probe", "train", "lca_probe"),
        ("simpson_valid", "simpson", "valid", "lca_simpson_valid"),
        ("simpson_rare_words", "simpson", "rare_words", "lca_simpson_rare_words"),
    ],
)
def test_a_name_is_a_rule_and_a_text(name, rule, text, variable):
    estimator = parse_estimator(name)
    assert (estimator, estimator.name, estimator.variable) == (
        Estimator(rule, text), name, variable,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["", "prob", "probe_", "probe_train", "batch_valid", "probe_a b", "fresh_training"]
)
def test_other_names_are_refused(name):
    with pytest.raises(EstimatorError):
        parse_estimator(name)


def test_the_order_is_by_text_and_then_by_rule():
    names = ["simpson_rare", *ESTIMATORS[::-1], "fresh_valid", "probe_news"]
    expected = [*ESTIMATORS[:4], "fresh_valid", *ESTIMATORS[4:], "probe_news", "simpson_rare"]
    assert in_order(names) == expected


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A training with probes and fresh batches of a text named "news"."""
    folder = tmp_path_factory.mktemp("news")
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    probes = {
        "train": lambda model: word_loss(model, make_words(32, seed=1)),
        "news": lambda model: word_loss(model, OTHER),
    }
    fresh = {"train": fresh_loss, "news": lambda model, update: word_loss(model, OTHER)}
    strides = {"probe": 1, "simpson_news": 2, "fresh": 1, "fresh_news": 3}
    recorder = attach_to(
        model, optimizer, folder / "parts", estimators=strides, probes=probes, fresh=fresh
    )
    before = probes["news"](model).item()
    train(model, optimizer, 12, recorder)
    recorder.finish(folder / "cube.nc")
    return folder / "cube.nc", before, probes["news"](model).item()


@pytest.mark.usefixtures("one_thread")
def test_the_cube_tells_which_estimators_it_holds(recorded):
    with open_cube(recorded[0]) as cube:
        assert estimators_of(cube) == ["batch", "fresh", "probe", "fresh_news", "simpson_news"]
        attributes = cube["lca_simpson_news"].attrs
        assert (attributes["rule"], attributes["text"]) == ("simpson", "news")
        assert cube["step_fresh_news"].values.tolist() == [3, 6, 9, 12]


@pytest.mark.usefixtures("one_thread")
def test_conservation_is_measured_on_any_text(recorded):
    path, before, after = recorded
    summary = summarise_cube(path)
    found = summary["measured_change"].sel(measure="news_probe")
    assert found.item() == pytest.approx(after - before, rel=1e-6)
    own = summary.sel(estimator="simpson_news")
    assert own["reference"] == "news_probe" and own["text"] == "news" and own["rule"] == "simpson"
    assert abs(own["relative_conservation_error"].item()) < 0.01
    assert own["over_count"].sel(measure="news_probe").item() == pytest.approx(1, abs=0.01)
    assert summary["reference"].sel(estimator="fresh_news") == "news_probe"
    assert summary["reference"].sel(estimator="batch") == "training_probe"
    assert "news" in summary.attrs["measure_news_probe"]


@pytest.mark.usefixtures("one_thread")
def test_fresh_batches_of_a_text_are_of_that_text(tmp_path):
    """The same loss under both names gives the same bits; another loss does not."""
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    fresh = {"train": fresh_loss, "same": fresh_loss, "other": lambda m, _: word_loss(m, OTHER)}
    strides = {"fresh": 1, "fresh_same": 1, "fresh_other": 1}
    recorder = attach_to(model, optimizer, tmp_path, estimators=strides, fresh=fresh)
    train(model, optimizer, 3, recorder)
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        one, same, other = (cube[f"lca_{name}"].values for name in strides)
    np.testing.assert_array_equal(same, one)
    assert np.nanmax(np.abs(other - one)) > 1e-5


@pytest.mark.usefixtures("one_thread")
def test_a_cube_of_format_1_is_still_read(recorded, tmp_path):
    """Estimators are found by name, and text stands in encoded characters."""
    path = tmp_path / "old.nc"
    path.write_bytes(recorded[0].read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        file.cube_format = np.int64(1)
        for name in ("lca", "lca_fresh", "lca_probe", "lca_simpson_news", "lca_fresh_news"):
            file[name].delncattr("rule")
            file[name].delncattr("text")
        for name in ("stack", "label"):
            file[name]._Encoding = "utf-8"
    with open_cube(path) as old, open_cube(recorded[0]) as new:
        assert estimators_of(old) == ["batch", "fresh", "probe"]
        assert old["label"].values.tolist() == new["label"].values.tolist()
