"""Layer profiles per text: the known ones come back, and equal texts do not differ."""

import numpy as np
import pytest

from losschange.analysis.profiles import ProfileError
from losschange.analysis.summaries import summarise_cube
from losschange.analysis.text_profiles import text_difference, text_profiles
from losschange.cube.writer import CubeWriter
from synthetic_cubes import make_layout, model_attributes

LAYERS, STEPS, STRIDE = 4, 600, 6
RARE = np.array([1.0, 2.0, 3.0, 4.0])
FREQUENT = np.array([4.0, 3.0, 2.0, 1.0])


def write(path, profiles, noise, same=False, stride=STRIDE, seed=5):
    """A cube in which W1 and the values of every layer contribute a known profile per text."""
    layout = make_layout("clm", LAYERS, 2)
    steps = np.arange(1, STEPS + 1)
    ends = steps[stride - 1 :: stride]
    names = [f"simpson_{text}" for text in profiles]
    with CubeWriter(
        path, layout, steps, model_attributes("clm-en"), dict.fromkeys(names, ends)
    ) as writer:
        writer.write(0, values={"batch": np.zeros((STEPS, len(layout.cells)))})
        for place, (name, profile) in enumerate(zip(names, profiles.values())):
            random = np.random.default_rng([seed, 0 if same else place])
            values = np.zeros((len(ends), len(layout.cells)))
            for column, cell in enumerate(layout.cells):
                if cell.component == "W1" or (cell.component, cell.head) == ("value", 1):
                    size = profile[cell.layer - 1] / len(ends)
                    size *= 1.0 if cell.component == "W1" else 0.5
                    values[:, column] = -size * (1 + noise * random.normal(size=len(ends)))
            writer.write(0, values={name: values})
    return summarise_cube(path)


def test_known_profiles_come_back_with_their_noise(tmp_path):
    """Values are the sums; 95 % intervals are as wide as the noise of independent records says."""
    noise = 1.0
    summary = write(tmp_path / "c.nc", {"rare": RARE, "frequent": FREQUENT}, noise)
    found = text_profiles(summary)
    assert list(found) == ["frequent", "rare"]
    records = STEPS // STRIDE
    assert found["rare"].records == records and found["rare"].estimator == "simpson_rare"
    for text, profile in (("rare", RARE), ("frequent", FREQUENT)):
        for group, share in (("feed-forward", 1.0), ("attention", 0.5)):
            values = found[text].contributions[group]
            error = share * profile * noise / np.sqrt(records)
            assert (np.abs(values.value - share * profile) < 4 * error).all()
            width = (values.high - values.low) / (2 * 1.96 * error)
            assert ((width > 0.65) & (width < 1.4)).all(), width
    difference = text_difference(summary, "rare", "frequent")["feed-forward"]
    np.testing.assert_allclose(difference.value, (RARE - FREQUENT) / 15, atol=0.05)
    assert difference.high[0] < 0 < difference.low[-1]


def test_shares_of_all_parameters_sum_to_one_without_noise(tmp_path):
    summary = write(tmp_path / "c.nc", {"rare": RARE}, 0.0)
    shares = text_profiles(summary)["rare"].shares
    np.testing.assert_allclose(sum(values.value.sum() for values in shares.values()), 1)
    np.testing.assert_allclose(shares["feed-forward"].value, RARE / 15, rtol=1e-5)
    np.testing.assert_allclose(shares["feed-forward"].low, shares["feed-forward"].high, rtol=1e-5)


def test_the_same_text_under_two_names_does_not_differ(tmp_path):
    summary = write(tmp_path / "c.nc", {"one": RARE, "two": RARE}, 1.0, same=True)
    for values in text_difference(summary, "one", "two").values():
        for numbers in (values.value, values.low, values.high):
            np.testing.assert_array_equal(numbers, 0)


def test_texts_that_differ_in_noise_alone_are_rarely_told_apart(tmp_path):
    """95 % intervals of a difference that is 0: it lies outside in few of 80 layers."""
    outside = []
    for seed in range(10):
        path = tmp_path / f"{seed}.nc"
        summary = write(path, {"one": RARE, "two": RARE}, 1.0, seed=seed)
        for values in text_difference(summary, "one", "two", draws=300).values():
            outside += ((values.low > 0) | (values.high < 0)).tolist()
    assert len(outside) == 80 and sum(outside) <= 16


def test_too_few_records_give_values_without_an_interval(tmp_path):
    summary = write(tmp_path / "c.nc", {"rare": RARE}, 0.0, stride=100)
    values = text_profiles(summary)["rare"].contributions["feed-forward"]
    np.testing.assert_allclose(values.value, RARE, rtol=1e-5)
    assert np.isnan(values.low).all() and np.isnan(values.high).all()


def test_a_text_without_a_probe_is_named(tmp_path):
    summary = write(tmp_path / "c.nc", {"rare": RARE}, 0.0)
    with pytest.raises(ProfileError, match="no probe of the text 'news'; it has probes of: rare"):
        text_difference(summary, "rare", "news")
