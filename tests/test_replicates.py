"""Trainings of the same model with other seeds: their names, and what figures make of them."""

import numpy as np
import pytest

from losschange.analysis.profiles import ModelProfile, ProfileError, join_replicates
from losschange.plots.layer_bars import draw_layer_bars
from losschange.plots.style import house_style
from running.configuration_check import ConfigurationError, load_configuration
from tiny_trainings import values

COMPONENTS = ("embedding", "key", "query", "value", "out", "W1", "W2")


def profile(model, number, layers=4):
    """A profile whose every value is a number of its own."""
    random = np.random.default_rng(number)
    sizes = {name: 1 if name == "embedding" else layers for name in COMPONENTS}
    drawn = {name: random.normal(size=size) for name, size in sizes.items()}
    return ModelProfile(model, "clm", "en", layers, None, drawn)


def test_the_first_seed_goes_by_the_name_of_the_model():
    chosen = values() | {"models": ["clm-en", "mt-en-de"], "seeds": [3, 1]}
    replicates = load_configuration(chosen).replicates()
    found = {name: (model.name, seed) for name, (model, seed) in replicates.items()}
    assert found == {
        "clm-en": ("clm-en", 3),
        "mt-en-de": ("mt-en-de", 3),
        "clm-en.seed1": ("clm-en", 1),
        "mt-en-de.seed1": ("mt-en-de", 1),
    }


@pytest.mark.parametrize("seeds", [[], [0], ["x"]])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ConfigurationError, match="seeds"):
        load_configuration(values() | {"seeds": seeds})


def test_replicates_are_joined_into_mean_and_range():
    joined = join_replicates([profile("a", 1), profile("b", 2), profile("a", 3), profile("a", 4)])
    assert [one.model for one in joined] == ["a", "b"]
    stack = np.stack([profile("a", number).values["key"] for number in (1, 3, 4)])
    np.testing.assert_allclose(joined[0].values["key"], stack.mean(0))
    np.testing.assert_array_equal(joined[0].lowest["key"], stack.min(0))
    np.testing.assert_array_equal(joined[0].highest["key"], stack.max(0))
    assert not joined[1].lowest, "one training has no range"


def test_replicates_of_other_sizes_are_an_error_that_names_the_model():
    with pytest.raises(ProfileError, match="trainings of a differ in size"):
        join_replicates([profile("a", 1), profile("a", 2, layers=6)])


def test_bars_have_room_for_the_range():
    with house_style():
        figure = draw_layer_bars(join_replicates([profile("a", 1), profile("a", 3)]))
    axes = figure.axes[1]
    highest = max(np.max(profile("a", n).values[name]) for n in (1, 3) for name in ("key", "query"))
    assert axes.get_ylim()[1] >= highest
