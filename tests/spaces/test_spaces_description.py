"""Spaces described and compared as a whole, from arrays and from files."""

import numpy as np
import pytest
from spaces_cases import normal, words_of

from representations.comparison import compare_states
from representations.description import Extent, describe_states
from representations.errors import RepresentationError
from representations.states import StatesWriter

WIDTH, VOCABULARY, SENTENCES, LENGTH = 8, 30, 150, 10
SMALL = Extent(pairs=2_000, types=20, clusters=40, repeats=8)


@pytest.fixture(scope="module")
def words():
    """Sentences of words whose frequencies fall off; "." ends them."""
    draw = np.random.default_rng(0)
    chance = 1 / np.arange(2, VOCABULARY + 2)
    drawn = draw.choice(VOCABULARY, (SENTENCES, LENGTH - 1), p=chance / chance.sum())
    return words_of([[*(f"w{word}" for word in row), "."] for row in drawn], ("clm", "mt"))


@pytest.fixture(scope="module")
def layers(words):
    """Layer 0 knows the word, layer 1 the next one, layer 2 nothing."""
    _, now = np.unique(words["type"].values, return_inverse=True)
    _, following = np.unique(words["right"].values, return_inverse=True)
    table, noise = 3 * normal(VOCABULARY + 2, WIDTH), normal(3, len(now), WIDTH, seed=1)
    return {"0": table[now] + noise[0], "1": table[following] + noise[1], "2": noise[2] + 1}


def test_every_measure_tells_what_the_layers_know(words, layers):
    found = describe_states(layers, words, extent=SMALL)
    assert found["layer"].values.tolist() == ["0", "1", "2"]
    at = {layer: found.sel(layer=layer) for layer in "012"}
    assert at["0"].input_information_share > 0.4 > at["1"].input_information_share
    assert at["1"].output_information_share > 0.4 > at["0"].output_information_share
    assert abs(at["2"].input_information_share) < 0.05
    assert at["0"].neighbours_same_type > 0.8 > at["1"].neighbours_same_type
    assert at["1"].neighbours_same_right > 0.8 > at["0"].neighbours_same_right
    assert at["2"].neighbours_same_type == pytest.approx(
        float(at["2"].neighbours_same_type_floor), abs=0.03
    )
    assert at["0"].self_similarity > 0.6
    assert at["2"].self_similarity_corrected == pytest.approx(0, abs=0.03)
    assert at["2"].average_similarity == pytest.approx(0.5, abs=0.05)
    assert at["2"].intra_similarity_leave_one_out > 0.4
    assert np.isnan(at["0"].change).all()
    assert found["change"].dims == ("layer", "frequency_bin")
    assert (at["1"].change > 0.3).all() and (at["1"].change <= 1).all()
    assert (np.diff(found["cosine_quantiles"], axis=1) > 0).all()


def test_every_number_has_a_floor_and_an_interval(words, layers):
    found = describe_states(layers, words, ["isotropy", "contextuality", "neighbours"], SMALL)
    named = [name.removesuffix("_floor") for name in found if name.endswith("_floor")]
    assert len(named) >= 9
    for name in named:
        assert (found[f"{name}_low"] <= found[name]).all(), name
        assert (found[name] <= found[f"{name}_high"]).all(), name


def test_a_file_of_states_is_described_as_the_arrays_are(words, layers, tmp_path):
    path = tmp_path / "clm.nc"
    with StatesWriter(path, list(layers), words.sizes["word"], WIDTH) as file:
        for layer, states in layers.items():
            file.write(layer, 0, states)
    found = describe_states(path, words, ["isotropy"], SMALL)
    rounded = {layer: states.astype(np.float16) for layer, states in layers.items()}
    expected = describe_states(rounded, words, ["isotropy"], SMALL)
    np.testing.assert_allclose(found["average_similarity"], expected["average_similarity"])


def test_what_cannot_be_described_is_refused(words, layers):
    with pytest.raises(RepresentationError, match="unknown measure 'rsa'; allowed: isotropy"):
        describe_states(layers, words, ["rsa"])
    with pytest.raises(RepresentationError, match="states of 9 words, the table 1500"):
        describe_states({"0": normal(9, 4)}, words)
    with pytest.raises(RepresentationError, match="have no layers"):
        describe_states({}, words)
    alone = words_of([["a"], ["b"]] * 20)
    with pytest.raises(RepresentationError, match="layer 0, information: states: 0 samples"):
        describe_states({"0": normal(40, 4)}, alone, ["information"])
    with pytest.raises(RepresentationError, match="layer 5, contextuality: states: 1350 of 1350"):
        describe_states({"5": np.zeros((1_500, 4))}, words, ["contextuality"])


@pytest.mark.parametrize("measures", [["rsa", "rsa_uncentred", "cka"], ["pwcca", "svcca"]])
def test_layers_with_the_same_content_are_the_most_similar(words, layers, measures):
    turned = np.linalg.qr(normal(WIDTH, WIDTH, seed=7))[0]
    other = {"0": layers["1"] @ turned, "1": layers["0"] @ turned, "2": normal(1_500, 5, seed=8)}
    found = compare_states(layers, other, words, measures, rsa_words=200, repeats=4)
    for name in measures:
        table = found[name].values
        assert table.shape == (3, 3)
        assert table[0, 1] == pytest.approx(1, abs=1e-6), name
        assert table[1, 0] == pytest.approx(1, abs=1e-6), name
        np.testing.assert_allclose(table[:, 2], found[f"{name}_floor"].values[:, 2], atol=0.06)
        assert (found[f"{name}_low"] <= found[name] + 1e-12).all()


def test_both_weighings_of_pwcca_stand_beside_each_other(words, layers):
    found = compare_states(layers, layers, words, ["pwcca", "pwcca_reversed"])
    np.testing.assert_allclose(found["pwcca"], found["pwcca_reversed"].T, atol=1e-9)
    np.testing.assert_allclose(np.diag(found["pwcca"]), 1, atol=1e-9)


def test_comparisons_that_cannot_be_made_are_refused(words, layers):
    with pytest.raises(RepresentationError, match="unknown measure 'cca' of two spaces"):
        compare_states(layers, layers, words, ["cca"])
    same = {"3": np.ones((1_500, 4))}
    with pytest.raises(RepresentationError, match="layers 0 and 3, cka: second view: all 1500"):
        compare_states(layers, same, words, ["cka"])
