"""The study of Zhu et al. 2020 on cubes whose groups are known: profiles, agreement, verdicts."""

import numpy as np
import pytest
import xarray as xr
from markupsafe import Markup
from scipy.stats import kendalltau

from losschange.analysis.summaries import summarise_cube
from losschange.claims import FAILS, HOLDS, UNKNOWN, Evidence, judge_claim
from losschange.claims.resamples import Resample, TimeBins
from losschange.claims.statistics import kendall
from losschange.cube.layout import WITH_DECODER_EMBEDDING, Cell, CubeLayout
from losschange.cube.word_bins import bin_words
from losschange.cube.writer import CubeWriter
from report.inputs import Run
from report.page import _environment
from report.sections import StudyContext
from running.studies import load_studies
from studies.zhu2020.agreement import null_bound, split_half, tau, tau_course, tau_of_sizes
from studies.zhu2020.bleu import bleu_rows
from studies.zhu2020.claims import CLAIMS
from studies.zhu2020.figures import figureZ1, figureZ2, figureZ3, figureZ4, figureZ5
from studies.zhu2020.groups import groups_of
from studies.zhu2020.models import counterpart_of, reference_of, sampled_of, train_and_test
from studies.zhu2020.profiles import PER_PARAMETER, SUM, intervals, profile
from studies.zhu2020.record import judge_study
from studies.zhu2020.section import sections
from synthetic_cubes import write_cube

NAMES = ("en_emb", *(f"en{n}" for n in range(1, 7)), *(f"de{n}" for n in range(1, 7)), "de_emb",
         "de_softmax")  # fmt: skip
WORDS = ("en_emb", "de_emb", "de_softmax")
MODEL = "mt-de-en-iwslt14"
STEPS = 200
# Contributions in nats as the paper describes them: a sandwich, a rise, little by the words.
THEIRS = dict(zip(NAMES, (0.05, 0.9, 0.3, 0.32, 0.34, 0.36, 0.8, 0.2, 0.3, 0.4, 0.5, 0.6, 0.95,
                          0.04, 0.06), strict=True))  # fmt: skip
ESTIMATORS = {"fresh": 1, "fresh_test": 1, "exact_small": 4, "simpson_small": 4}


def layout():
    """Two stacks of six layers, three word matrices, and a norm after the decoder."""
    counts = {Cell(0, "embedding"): 4000, Cell(0, "decoder_embedding"): 5000}
    for depth in range(1, 13):
        counts |= {Cell(depth, "W1"): 900, Cell(depth, "bias"): 100}
    counts |= {Cell(13, "output"): 6000, Cell(13, "norm"): 20}
    cells = sorted(counts, key=lambda cell: (cell.layer, cell.component))
    stacks = ("embedding", *["encoder"] * 6, *["decoder"] * 6, "output")
    sizes = tuple(counts[cell] for cell in cells)
    return CubeLayout(stacks, 1, tuple(cells), sizes, WITH_DECODER_EMBEDDING)


def cell_of(name):
    if name in WORDS:
        return {"en_emb": Cell(0, "embedding"), "de_emb": Cell(0, "decoder_embedding"),
                "de_softmax": Cell(13, "output")}[name]  # fmt: skip
    return Cell(int(name[2:]) + (6 if name.startswith("de") else 0), "W1")


def write(path, contributions, noise=0.3, seed=0, signal=None, frequent=0.8):
    """A cube whose groups have these contributions under every estimator.

    `signal` replaces those of some estimators. A share `frequent` of what word matrices contribute
    lies in the first of 25 groups of words.
    """
    random = np.random.default_rng(seed)
    made, numbers = layout(), np.arange(1, STEPS + 1)
    recorded = {name: numbers[stride - 1 :: stride] for name, stride in ESTIMATORS.items()}
    details = {"simpson_small": ("loss_before", "loss", "error"), "fresh": ("vocabulary",)}
    bins = bin_words(np.ones(25, dtype=int), ["a", "b", "c"], 25, "rank")
    attributes = {"model": MODEL, "objective": "mt"}
    with CubeWriter(
        path, made, numbers, attributes, recorded, details=details, word_bins=bins
    ) as out:
        for name in ("batch", *recorded):
            at = numbers if name == "batch" else recorded[name]
            wanted = (signal or {}).get(name, contributions)
            size = np.zeros(len(made.cells))
            for group, value in wanted.items():
                size[made.cells.index(cell_of(group))] = value
            spans = STEPS / len(at) if name.startswith("simpson") else 1
            block = -size / STEPS * spans
            block = block * (1 + noise * random.standard_normal((len(at), len(size))))
            out.write(0, values={name: block})
            if name == "simpson_small":
                change = block.sum(axis=1)
                losses = 8 + np.concatenate([[0], np.cumsum(change)])
                out.write_details(0, name, {
                    "loss_before": losses[:-1], "loss": losses[1:], "error": 0 * change,
                })  # fmt: skip
            if name == "fresh":
                words = np.full((len(at), 3, 25), -(1 - frequent) / 24 / STEPS)
                words[:, :, 0] = -frequent / STEPS
                out.write_details(0, name, {"vocabulary": words})
        series = {name: np.ones(STEPS) for name in
                  ("loss", "tokens", "sample_size", "lr", "grad_norm", "loss_scale")}  # fmt: skip
        out.write(0, series=series)
    return summarise_cube(path)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return write(tmp_path_factory.mktemp("theirs") / "cube.nc", THEIRS)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """Groups that contribute alike, but for independent noise in every estimator."""
    random = np.random.default_rng(4)
    alike = {name: dict(zip(NAMES, 0.5 + 0.2 * random.standard_normal(15))) for name in
             ("batch", *ESTIMATORS)}  # fmt: skip
    folder = tmp_path_factory.mktemp("nothing")
    return write(folder / "cube.nc", THEIRS, noise=1.5, signal=alike, frequent=1 / 25)


def test_every_parameter_belongs_to_one_of_fifteen_groups(theirs):
    groups = groups_of(theirs)
    assert groups.names == NAMES
    assert groups.parameters.sum() == sum(layout().n_parameters)
    counted = theirs["n_parameters"].sum("head").values > 0
    assert (groups.members.sum(axis=0)[counted] == 1).all()
    sizes = dict(zip(groups.names, groups.parameters, strict=True))
    # The norm after the decoder counts to its last layer.
    assert (sizes["en_emb"], sizes["de_emb"], sizes["de6"]) == (4000, 5000, 1020)


def test_profiles_are_the_known_sums_and_means_whatever_share_was_recorded(theirs):
    wanted = np.array([THEIRS[name] for name in NAMES])
    sizes = groups_of(theirs).parameters
    for estimator in ("batch", "fresh", "exact_small", "simpson_small"):
        resample = Resample(TimeBins(theirs, estimator))
        np.testing.assert_allclose(profile(resample, SUM), wanted, rtol=0.15)
        np.testing.assert_allclose(
            profile(resample, PER_PARAMETER), profile(resample, SUM) / sizes, rtol=1e-12
        )
    parts = intervals(theirs, "fresh", 5)
    assert parts.shape == (5, 15)
    np.testing.assert_allclose(parts.sum(axis=0), profile(
        Resample(TimeBins(theirs, "fresh")), SUM), rtol=1e-9)  # fmt: skip


def test_the_estimators_that_are_compared_are_found_by_what_they_are(theirs, tmp_path):
    assert (reference_of(theirs), sampled_of(theirs)) == ("exact_small", "fresh")
    assert train_and_test(theirs) == {"train": "fresh", "test": "fresh_test"}
    assert counterpart_of(theirs, "batch") == "fresh_test"
    assert counterpart_of(theirs, "fresh_test") == "fresh"
    write_cube(tmp_path / "tied.nc", "mt-en-de", 120, 12, 2, estimators={"fresh": 2, "probe": 5})
    tied = summarise_cube(tmp_path / "tied.nc")
    assert (reference_of(tied), sampled_of(tied)) == ("probe", "fresh")
    # One matrix, tied: no group for the decoder's, and none for the softmax.
    assert groups_of(tied).names == ("emb", *NAMES[1:13])
    assert train_and_test(tied) == {"train": "fresh"}


def test_tau_is_tau_b_and_nothing_stays_within_its_bound():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, 15)).astype(float)
    assert tau(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert tau(first, second) == pytest.approx(kendall(first, second))
    assert null_bound(15) == pytest.approx(0.377, abs=0.001)
    many = random.standard_normal((2, 400, 15))
    unrelated = tau(*many)
    assert unrelated[7] == pytest.approx(kendalltau(*many[:, 7]).statistic)
    assert np.isnan(tau(np.ones(15), many[0, 0]))
    assert np.mean(np.abs(unrelated) > null_bound(15)) == pytest.approx(0.05, abs=0.03)


def test_agreement_over_training_of_what_agrees_and_of_what_does_not(theirs, nothing):
    course = tau_course(TimeBins(theirs, "exact_small"), "fresh", draws=40)
    assert course.tau[-1] > 0.9 and (course.low <= course.tau).all()
    assert course.updates[-1] == STEPS and len(course.updates) == 6
    assert split_half(TimeBins(theirs, "exact_small")) > 0.85
    other = tau_course(TimeBins(nothing, "exact_small"), "fresh", draws=40)
    assert np.abs(other.tau).max() < 0.6 and other.low[-1] < null_bound(15)


def judged(summary, number, estimator="fresh"):
    evidence = Evidence({"m": [summary]}, {"mt": "m"}, draws=60)
    return judge_claim(CLAIMS[number], evidence, estimator)


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        ("Z-b", HOLDS),
        ("Z-b-sum", HOLDS),
        ("Z-c", HOLDS),
        ("Z-d", HOLDS),
        ("Z-e1", FAILS),  # the first encoder layer is above the last
        ("Z-e2", HOLDS),
        ("Z-g", HOLDS),
        ("Z-h", HOLDS),
        ("Z-i", HOLDS),
    ],
)
def test_claims_hold_of_what_the_paper_describes(theirs, number, verdict):
    assert judged(theirs, number).verdict == verdict


@pytest.mark.parametrize("number", ["Z-a-sum", "Z-b-sum", "Z-d", "Z-f", "Z-g-sum", "Z-h"])
def test_claims_do_not_hold_where_nothing_is_there(nothing, number):
    assert judged(nothing, number).verdict != HOLDS


def test_words_that_learn_alike_have_the_share_of_their_number(nothing):
    assert judged(nothing, "Z-h").parts[0].value == pytest.approx(0.2)


def test_means_per_parameter_follow_sizes_where_groups_contribute_alike(tmp_path):
    """Large word matrices have small means: claim Z-b holds for this reason alone."""
    summary = write(tmp_path / "cube.nc", dict.fromkeys(NAMES, 0.5))
    assert judged(summary, "Z-b").verdict == HOLDS
    assert judged(summary, "Z-b-sum").verdict != HOLDS
    sizes = groups_of(summary).parameters
    means = profile(Resample(TimeBins(summary, "fresh")), PER_PARAMETER)
    bins = TimeBins(summary, "fresh")
    assert tau_of_sizes(bins) == pytest.approx(tau(means, -sizes))
    assert tau_of_sizes(bins) > null_bound(15)
    assert np.isnan(tau_of_sizes(bins, SUM))


def test_sums_and_means_can_disagree(tmp_path):
    """A word matrix five times as large as a layer, with twice its contribution."""
    large = {**dict.fromkeys(NAMES, 0.3), **dict.fromkeys(WORDS, 0.6)}
    summary = write(tmp_path / "cube.nc", large, noise=0.05)
    assert judged(summary, "Z-b").verdict == HOLDS
    assert judged(summary, "Z-b-sum").verdict == FAILS


def test_what_was_not_recorded_is_told(theirs):
    assert judged(theirs, "Z-a", "exact_small").verdict == UNKNOWN
    found = judged(theirs, "Z-h", "exact_small")
    assert found.verdict == UNKNOWN and "without the detail vocabulary" in found.reason


@pytest.fixture(scope="module")
def record(theirs):
    """What is judged of the model, and what two of its estimators cost."""
    return judge_study([theirs], MODEL, {}, 1, {MODEL: {"fresh": 0.125, "exact_small": 2.5}})


def test_the_record_has_a_verdict_for_every_claim_and_estimator(record):
    names = [column["name"] for column in record["columns"]]
    assert set(names) == {"batch", *ESTIMATORS}
    assert [claim["number"] for claim in record["claims"]] == list(CLAIMS)
    assert all(set(claim["results"]) == set(names) for claim in record["claims"])
    assert {course["estimator"] for course in record["courses"]} == set(names) - {"exact_small"}


def test_the_section_shows_tau_at_every_point_and_what_an_estimator_costs(record):
    environment = _environment()
    [study] = load_studies(["zhu2020"])
    run = Run({"corpora": {}}, [MODEL], {}, {}, {}, {}, [], [], [], {}, [])

    def render(template, **values):
        return Markup(environment.get_template(template).render(failed=(), **values))

    for claims in (record, None):
        context = StudyContext(study, run, {}, {}, claims, render)
        [section] = sections(context)
        assert ("34.4" in section.html) and ("have not been judged" in section.html) == (not claims)
    [section] = sections(StudyContext(study, run, {}, {}, record, render))
    table = section.html[section.html.index("Kendall") :]
    assert table.count("to update") == 6 and "the reference itself costs 2.5" in table
    row = table[table.index("<code>fresh</code>") :]
    assert row[: row.index("</tr>")].count("[") == 6 and ">0.125<" in row[: row.index("</tr>")]


def test_bleu_stands_beside_theirs_with_what_it_is_of():
    models = ["mt-de-en-iwslt14", "mt-en-de-wmt14", "mt-en-de"]
    corpora = {"iwslt14-en-de": {"cleaning": [{"maximum_words": 9}, {"lowercase": 1}]}}
    scores = {"bleu": 3.0, "bleu_shuffled_sources": 0.5, "bleu_signature": "tok:13a"}
    seeds = [{"translation": {"test": scores | {"bleu": bleu}}} for bleu in (3.0, 5.0)]
    qualities = dict.fromkeys(models[::2], seeds)
    run = Run({"corpora": corpora}, models, qualities, {}, {}, {}, [], [], [], {}, [])
    first, second = bleu_rows(run)
    assert (first.printed, first.reached, first.shuffled) == (34.4, 4.0, 0.5)
    assert (first.signature, first.text) == ("tok:13a", "detokenised, lower-cased")
    assert (second.printed, second.reached, second.text) == (27.7, None, "detokenised")


@pytest.mark.parametrize("module", [figureZ1, figureZ2, figureZ3, figureZ4, figureZ5])
def test_figures_have_a_row_per_model_and_say_so_without_one(module, theirs, tmp_path):
    write_cube(tmp_path / "tied.nc", "mt-en-de", 60, 4, 2, estimators={"fresh": 2, "probe": 5})
    tied = summarise_cube(tmp_path / "tied.nc")
    figure = module.draw({"summaries": [theirs, tied]}, {})
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "mt-de-en-iwslt14" in labels and "mt-en-de" in labels
    empty = module.draw({"summaries": []}, {})
    assert "no translation model" in empty.texts[0].get_text().replace("\n", " ")
    assert isinstance(theirs, xr.Dataset)
