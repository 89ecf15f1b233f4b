"""The claims of the study: on spaces that are made to hold or to miss them, and on noise."""

import math

import numpy as np
import pytest
import xarray as xr

from losschange.claims import FAILS, HOLDS, UNKNOWN
from report import page
from report.claims.tables import value_text
from report.illustrations import Figure
from report.sections import StudyContext
from running.studies import load_studies
from studies.representations import section as section_of_study
from studies.representations.claims import CLAIMS
from studies.representations.claims.comparing import relation_of
from studies.representations.claims.numbers import Number, Space, Spaces, mean, read, slope
from studies.representations.judging import judge, judge_claim

BINS = 5
MODELS = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}


def table_of(layers, error, **columns):
    """Measures by layer, with intervals of ± 1.96 errors; two-dimensional ones by bin, too."""
    values = {}
    for name, column in columns.items():
        column = np.asarray(column, dtype=float)
        axes = ("layer", "frequency_bin")[: column.ndim]
        for ending, shift in (("", 0), ("_low", -1.96), ("_high", 1.96)):
            values[name + ending] = (axes, column + shift * error)
    return xr.Dataset(values, coords={"layer": layers})


def space_of(error=0.001, layers=6, over_training=None, **changes):
    """A space in which nothing differs between layers and bins, but for `changes`."""
    inner = [str(layer) for layer in range(layers + 1)]
    names = ["0 without positions", *inner]
    flat, bins = np.full(len(names), 0.5), np.full((len(names), BINS), 0.5)
    described = dict.fromkeys(
        (
            "average_similarity",
            "input_information_share",
            "output_information_share",
            *(f"neighbours_same_{key}" for key in ("type", "left", "right")),
        ),
        flat,
    )
    described |= {"change": bins} | {key: v for key, v in changes.items() if key in described}
    described |= {key: value for key, value in changes.items() if key == "change"}
    hidden = {
        "influence": np.full((len(inner) + 1, BINS), 0.2),
        "masked_input_share": flat,
        "masked_output_share": flat,
    }
    hidden |= {key: value for key, value in changes.items() if key in hidden}
    return Space(
        table_of(names, error, **described), table_of(names, error, **hidden), over_training
    )


def spaces_of(distances=None, others=None, **models):
    """One seed of all three objectives."""
    found = {name: models.get(name, space_of()) for name in MODELS}
    far = {frozenset(pair): value for pair, value in (distances or {}).items()}
    return Spaces(
        found,
        lambda one, two: Number(far.get(frozenset((one, two)), 0.5), 0.01),
        {kind: [Number(v, 0.01) for v in values] for kind, values in (others or {}).items()},
    )


def verdict(number, *seeds):
    return judge_claim(CLAIMS[number], seeds, MODELS, {})


def falling(layers=6):
    """From .8 at layer 0 to .2 at the top; the entry without positions equals layer 0."""
    return np.concatenate([[0.8], np.linspace(0.8, 0.2, layers + 1)])


def test_all_claims_of_the_study_are_there():
    assert sorted(CLAIMS) == list(range(10, 21))


@pytest.mark.parametrize("number", sorted(CLAIMS))
def test_no_claim_holds_where_all_layers_bins_and_models_are_alike(number):
    noise = np.random.default_rng(number)
    rough = {name: 0.5 + 0.01 * noise.normal(size=8) for name in ("average_similarity",)}
    spaces = spaces_of(mt=space_of(0.05, **rough), mlm=space_of(0.05), clm=space_of(0.05))
    assert verdict(number, spaces).verdict != HOLDS


def test_lost_information_holds_in_the_order_of_the_claim_and_fails_in_the_reverse():
    steep = space_of(input_information_share=falling())
    gentle = space_of(input_information_share=0.5 + 0.5 * (falling() - 0.5))
    assert verdict(10, spaces_of(clm=steep, mt=gentle)).verdict == HOLDS
    reverse = verdict(10, spaces_of(clm=gentle, mt=steep))
    assert reverse.verdict == FAILS
    assert reverse.parts[0].value == pytest.approx(0.3 - 0.6)
    assert reverse.parts[1].value == pytest.approx(0.6)


def test_an_interval_over_the_criterion_cannot_tell():
    steep = space_of(0.5, input_information_share=falling())
    assert verdict(10, spaces_of(clm=steep)).verdict == UNKNOWN


def test_input_falls_and_output_rises():
    rising = 1 - falling()
    causal = space_of(input_information_share=falling(), output_information_share=rising)
    masked = space_of(masked_input_share=falling(), masked_output_share=rising)
    found = verdict(12, spaces_of(clm=causal, mlm=masked))
    assert found.verdict == HOLDS
    # A line from .8 to .2 falls by .6 over the whole depth.
    assert [part.value for part in found.parts] == pytest.approx([-0.6, 0.6, -0.6, 0.6])


def test_influence_of_rare_words_as_a_ratio():
    rare = np.full((8, BINS), 0.1)
    rare[2, -1] = 0.3
    found = verdict(16, spaces_of(mt=space_of(influence=rare)))
    assert [part.value for part in found.parts] == pytest.approx([3, 1])
    assert found.verdict == HOLDS


def test_positions_alone_do_not_make_the_embeddings_similar():
    similar = np.full(8, 0.3)
    similar[1] = 0.7  # layer 0 with positions
    found = verdict(18, spaces_of(mt=space_of(average_similarity=similar)))
    assert [part.verdict for part in found.parts] == [HOLDS, FAILS]


def test_distances_of_objectives():
    far = {("mt", "clm"): 0.8, ("mlm", "clm"): 0.8, ("mt", "mlm"): 0.4}
    assert verdict(13, spaces_of(far)).verdict == HOLDS
    assert verdict(13, spaces_of({("mt", "mlm"): 0.9})).verdict == FAILS
    found = verdict(20, spaces_of(far, {"languages": [0.3, 0.35]}))
    assert found.parts[0].value == pytest.approx(2 / 3 - 0.325)
    assert found.parts[0].verdict == HOLDS
    # Seeds that are as far apart as objectives leave nothing to the objective.
    found_seeds = verdict(20, spaces_of(far, {"languages": [0.3], "seeds": [0.2, 0.3]}))
    assert found_seeds.parts[1].value == pytest.approx(2 / 3 - 0.25)
    assert found_seeds.parts[1].verdict == HOLDS
    assert verdict(20, spaces_of(far, {"seeds": [0.7, 0.8]})).parts[1].verdict == FAILS
    # One seed and no snapshots: these conditions cannot be told, and the claim cannot.
    assert math.isnan(found.parts[1].value) and math.isnan(found.parts[2].value)
    assert found.verdict == UNKNOWN and "not measured" in found.reason


def test_a_model_that_did_not_learn_cannot_tell():
    far = {("mt", "clm"): 0.8, ("mlm", "clm"): 0.8, ("mt", "mlm"): 0.4}
    learned = {"clm-en": ["did not learn"]}
    found = judge_claim(CLAIMS[13], [spaces_of(far)], MODELS, learned)
    assert found.verdict == UNKNOWN and found.reason == "clm-en did not learn"


def test_seeds_that_disagree_widen_the_interval():
    one = spaces_of(clm=space_of(input_information_share=falling()))
    other = spaces_of(clm=space_of(input_information_share=1 - falling()))
    alike, apart = verdict(10, one, one).parts[0], verdict(10, one, other).parts[0]
    assert apart.high - apart.low > 10 * (alike.high - alike.low)
    assert alike.low <= alike.value <= alike.high


def snapshots_of(seed, related, layers=6, intervals=9):
    """Tables of change and loss change that agree beyond layer and interval means, or do not."""
    draw = np.random.default_rng(seed)
    parts = draw.normal(size=(2, layers, intervals))
    change = 1 + 0.1 * parts[0]
    lowered = 5 + np.arange(layers)[:, None] + 0.3 * parts[0 if related else 1]
    inner = [str(layer + 1) for layer in range(layers)]
    return xr.Dataset(
        {
            "change": (("interval", "layer"), np.vstack([np.zeros(intervals), change]).T),
            "loss_change": (("part", "inner_layer", "interval"), np.stack([lowered] * 2)),
        },
        coords={"layer": ["0", *inner], "inner_layer": inner, "part": ["layer", "feed-forward"]},
    )


def test_the_relation_beats_every_shift_only_where_there_is_one():
    related = spaces_of(mt=space_of(over_training=snapshots_of(0, True)))
    assert verdict(20, related).parts[2].verdict == HOLDS
    verdicts = [
        verdict(20, spaces_of(mt=space_of(over_training=snapshots_of(seed, False)))).parts[2]
        for seed in range(30)
    ]
    # By chance one table in nine beats all shifts.
    assert sum(part.verdict == HOLDS for part in verdicts) <= 8
    assert relation_of(snapshots_of(0, True)).p_value == pytest.approx(1 / 9)


def test_too_few_intervals_have_no_relation():
    assert relation_of(snapshots_of(0, True, intervals=3)) is None


def test_errors_of_sums_and_slopes():
    numbers = [Number(1.0, 0.3), Number(2.0, 0.4)]
    assert mean(numbers).error == pytest.approx(0.25)
    assert slope(numbers) == pytest.approx((1.0, 0.5))
    assert (numbers[1] - numbers[0]).interval[0] == pytest.approx(1 - 1.96 * 0.5, abs=1e-3)
    assert math.isnan(numbers[0].over(Number(0.0)).value)


def test_numbers_read_from_a_table_have_the_errors_of_its_intervals():
    [number] = read(table_of(["0", "1"], 0.25, m=[1, 2]), "m", layer="1")
    assert number.value == 2 and number.error == pytest.approx(0.25, rel=1e-3)


def test_the_record_has_a_column_for_every_architecture():
    trainings = {name: [name] for name in MODELS.values()}
    trainings |= {f"{name}.matched": [f"{name}.matched"] for name in MODELS.values()}
    spaces = {"stock": [spaces_of()], "matched": [spaces_of()]}
    record = judge(spaces, trainings, {}, draws=8)
    assert [column["name"] for column in record["columns"]] == ["stock", "matched"]
    assert record["main_models"] == list(MODELS.values())
    for claim in record["claims"]:
        assert set(claim["results"]) == {"stock", "matched"} and claim["method"]
    assert record["relations"] == [], "without snapshots there is nothing to relate"


def test_the_record_relates_loss_change_and_change_of_every_main_training():
    tables = {"mt": snapshots_of(0, True), "clm": snapshots_of(1, False)}
    spaces = spaces_of(**{name: space_of(over_training=table) for name, table in tables.items()})
    trainings = {name: [name] for name in MODELS.values()}
    found = {
        each["training"]: each
        for each in judge({"stock": [spaces]}, trainings, {}, draws=8)["relations"]
    }
    assert set(found) == {"clm-en", "mt-en-de"}
    assert found["mt-en-de"]["correlation"] > max(found["mt-en-de"]["null"])
    assert abs(found["clm-en"]["correlation"]) < 0.5


def test_the_sections_of_the_report_name_verdicts_and_the_embedding_layer():
    trainings = {name: [name] for name in MODELS.values()}
    similar = np.full(8, 0.3)
    similar[1] = 0.7
    table = snapshots_of(0, True)
    spaces = {"stock": [spaces_of(mt=space_of(over_training=table, average_similarity=similar))]}
    record = judge(spaces, trainings, {}, draws=8)
    environment = page._environment()

    def render(template, **values):
        return environment.get_template(template).render(failed=(), **values)

    [study] = load_studies(["representations"])
    figures = {"S1": Figure("figureS1", None, "Isotropy", [], ["clm-en"])}
    for claims in (record, None):
        context = StudyContext(study, None, figures, {}, claims, render)
        shown, judged = (section.html for section in section_of_study.sections(context))
        assert "figureS1" in shown and "not BERT and OPUS-MT" in shown
        if claims:
            assert "MT less MLM 0.2" in shown and "without" in shown
            assert f"mt-en-de {value_text(1.0)} (" in shown
            assert judged.count('<th scope="row">') == 11 and "does not hold" in judged
        else:
            assert "not been judged" in judged
