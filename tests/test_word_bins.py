"""Words by frequency: each in one bin, and the bins of a matrix sum to its cell."""

import numpy as np
import pytest

from losschange.cube.format import open_cube
from losschange.cube.layout import CubeError
from losschange.cube.parts import PartStore
from losschange.cube.word_bins import bin_words, bins_of
from losschange.errors import RecordingError
from small_models import VOCABULARY, attach_to, make_optimizer, make_transformer, train

pytestmark = pytest.mark.usefixtures("one_thread")

# Not in order of frequency; two words never occur.
COUNTS = np.array([(7 * word) % VOCABULARY * 3 for word in range(VOCABULARY)])
COUNTS[5] = 0
MATRICES = ["embedding.weight", "output.weight"]


def test_bins_of_equal_mass_hold_equal_shares_of_the_text():
    bins = bin_words(np.ones(100), ["x"], bins=25)
    assert bins.words.tolist() == [4] * 25
    np.testing.assert_allclose(bins.mass, 1 / 25)
    counts = np.array([1, 40, 1, 20, 1, 20, 1, 16])
    found = bin_words(counts, ["x"], bins=5)
    # 40 spans the first two bins and has its middle in the second; 20 and 20 fill the next two.
    assert found.bin_of_word.tolist() == [4, 1, 4, 2, 4, 3, 4, 4]
    np.testing.assert_allclose(found.mass, [0, 0.4, 0.2, 0.2, 0.2])
    assert found.words.tolist() == [0, 1, 1, 1, 5]


def test_bins_of_equal_rank_hold_equal_numbers_of_words():
    counts = np.array([5, 9, 1, 8, 7, 3])
    found = bin_words(counts, ["x"], bins=3, division="rank")
    assert found.bin_of_word.tolist() == [1, 0, 2, 0, 1, 2]
    assert found.words.tolist() == [2, 2, 2]
    np.testing.assert_allclose(found.mass, np.array([17, 12, 4]) / 33)
    uneven = bin_words(np.arange(26), ["x"], bins=25, division="rank")
    assert uneven.words.sum() == 26 and set(uneven.words) == {1, 2}


@pytest.mark.parametrize("division", ["mass", "rank"])
def test_more_frequent_words_never_stand_in_a_later_bin(division):
    counts = np.random.default_rng(0).zipf(1.3, 500)
    found = bin_words(counts, ["x"], division=division)
    order = np.argsort(-counts, kind="stable")
    assert np.all(np.diff(found.bin_of_word[order]) >= 0)
    assert found.bin_of_word.min() >= 0 and found.bin_of_word.max() == 24 == len(found.mass) - 1
    assert found.mass.sum() == pytest.approx(1) and found.words.sum() == 500


def test_an_empty_text_and_an_unknown_division_are_refused():
    with pytest.raises(CubeError, match="no word was counted"):
        bin_words(np.zeros(4), ["x"])
    with pytest.raises(CubeError, match="'length' of the words is unknown; allowed: mass, rank"):
        bin_words(np.ones(4), ["x"], division="length")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(cube, steps of the rows per matrix, gradients) of a training with words recorded."""
    folder = tmp_path_factory.mktemp("words")
    model = make_transformer()
    optimizer = make_optimizer(model)
    path, gradients = [[p.detach().double().clone() for p in model.parameters()]], []
    recorder = attach_to(
        model,
        optimizer,
        folder / "parts",
        estimators={"fresh": 2, "probe": 1, "simpson": 3},
        details={name: ["vocabulary"] for name in ("batch", "fresh", "probe", "simpson")},
        word_bins=bin_words(COUNTS, MATRICES, bins=6),
    )

    def keep(*_):
        path.append([p.detach().double().clone() for p in model.parameters()])
        gradients.append([p.grad.double().clone() for p in model.parameters()])

    optimizer.register_step_post_hook(keep)
    train(model, optimizer, 7, recorder)
    recorder.finish(folder / "cube.nc")
    names = [name for name, _ in model.named_parameters()]
    with open_cube(folder / "cube.nc") as cube:
        return cube.load(), names, path, gradients


def test_words_of_a_bin_are_the_rows_of_its_words(recorded):
    cube, names, path, gradients = recorded
    bins = bin_words(COUNTS, MATRICES, bins=6)
    assert cube["lca_vocabulary"].dims == ("step", "matrix", "frequency_bin")
    for step in range(7):
        for name in MATRICES:
            number = names.index(name)
            products = (path[step + 1][number] - path[step][number]) * gradients[step][number]
            found = cube["lca_vocabulary"].sel(matrix=name).values[step]
            for position in range(6):
                rows = [w for w in range(VOCABULARY) if bins.bin_of_word[w] == position]
                expected = sum(float(products[row].sum()) for row in rows)
                assert found[position] == pytest.approx(expected, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize(
    ("suffix", "records"), [("", 7), ("_fresh", 3), ("_probe", 7), ("_simpson", 3)]
)
def test_the_bins_sum_to_the_cell_of_the_matrix(recorded, suffix, records):
    cube = recorded[0]
    words = cube[f"lca_vocabulary{suffix}"].sum("frequency_bin").values
    assert words.shape == (records, 2)
    for column, (layer, component) in enumerate([(0, "embedding"), (3, "output")]):
        cell = cube[f"lca{suffix}"].sel(layer=layer, component=component, head="none").values
        np.testing.assert_allclose(words[:, column], cell, rtol=1e-5, atol=1e-8)


def test_the_cube_says_what_the_bins_are(recorded):
    cube = recorded[0]
    expected = bin_words(COUNTS, MATRICES, bins=6)
    found = bins_of(cube)
    assert found.matrices == expected.matrices and found.division == "mass"
    assert found.words.tolist() == expected.words.tolist() == cube["n_words"].values.tolist()
    np.testing.assert_array_equal(found.mass, expected.mass)
    assert cube["text_share"].attrs["division"] == "bins of equal mass"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, 'the detail "vocabulary" needs word_bins'),
        (
            {"word_bins": bin_words(COUNTS, ["embeddings.weight"])},
            "rows of 'embeddings.weight', which is not trained",
        ),
        (
            {"word_bins": bin_words(np.ones(22), ["embedding.weight"])},
            r"'embedding.weight', which has shape \(23, 12\); expected a matrix of 22 rows",
        ),
        ({"word_bins": bin_words(np.ones(12), ["norm.weight"])}, r"has shape \(12,\)"),
    ],
)
def test_words_that_are_not_the_rows_of_a_matrix_are_refused(tmp_path, options, message):
    model = make_transformer()
    with pytest.raises(RecordingError, match=message):
        attach_to(
            model, make_optimizer(model), tmp_path, details={"batch": ["vocabulary"]}, **options
        )
    assert PartStore(tmp_path).parts() == []
