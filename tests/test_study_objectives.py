"""The study of objective and architecture: known answers of its statistics, and its inputs."""

from dataclasses import replace

import numpy as np
import pytest

from losschange.claims import FAILS, HOLDS, UNKNOWN, Evidence, judge_claim, main_models
from losschange.claims.two_factors import explained_beyond, permanova_beyond
from running.configuration_check import ConfigurationError, load_configuration
from running.costs import training_cost
from running.models import parse_model
from running.run_files import RunFiles
from running.studies import load_studies
from studies.objectives.claims import CLAIMS
from studies.objectives.factors import FUTURE, STACKS, factor_rows
from studies.objectives.tables.tableO1 import fill
from synthetic_summaries import SIX, blend, make_summary, paper_like
from tiny_trainings import values

# ------------------------------------------------------------------ two factors


def distances(points):
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))


def crossed(first, second, copies=3, noise=0.0, seed=1):
    """Points of a crossed design: `first` and `second` are the distances of the two levels."""
    random = np.random.default_rng(seed)
    a, b = np.tile([0, 0, 1, 1], copies), np.tile([0, 1, 0, 1], copies)
    points = np.stack([first * a, second * b], axis=1) + noise * random.standard_normal(
        (4 * copies, 2)
    )
    return distances(points), a, b


def test_two_factors_share_the_variance_of_a_crossed_design_by_their_squares():
    found, a, b = crossed(3.0, 1.0)
    assert explained_beyond(found, a, b) == pytest.approx(0.9)
    assert explained_beyond(found, b, a) == pytest.approx(0.1)
    effect = permanova_beyond(found, a, b)
    assert np.inf == effect.F and effect.explained == pytest.approx(0.9)
    # Six models at each level of the other factor, three of each label: 20 ways each.
    assert effect.floor == pytest.approx(1 / 400)
    assert effect.p < 0.02


def test_an_effect_is_what_a_factor_explains_beyond_the_other_in_an_unbalanced_design():
    """Only the second factor matters; the first is correlated with it."""
    a = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    b = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    found = distances(b[:, None].astype(float))
    assert explained_beyond(found, a, b) == pytest.approx(0, abs=1e-9)
    assert explained_beyond(found, b, a) == pytest.approx(0.75)


def test_confounded_factors_have_no_effect_of_their_own():
    a = np.array([0, 0, 1, 1])
    found = distances(np.arange(4.0)[:, None])
    assert np.isnan(permanova_beyond(found, a, a).explained)
    assert np.isnan(permanova_beyond(np.zeros((4, 4)), a, [0, 1, 0, 1]).explained)


def test_where_there_is_no_effect_small_p_are_rare():
    found = []
    for seed in range(60):
        points, a, b = crossed(5.0, 0.0, noise=1.0, seed=seed)
        found.append(permanova_beyond(points, b, a, permutations=99, seed=seed).p)
    assert np.mean(np.array(found) <= 0.05) < 0.15 and 0.3 < np.mean(found) < 0.7


# ----------------------------------------------------------------------- claims

MASKED_LOWER = [3, 2.5, 1, 0.8, 0.7, 0.75]


def run_of_five():
    """One training of each objective in which all claims but O6 hold by construction."""
    found = {model: paper_like(model) for model in ("clm-en", "mlm-en", "mt-en-de")}
    clm, mlm, mt = found.values()
    for training in (clm, mlm, mt):
        training.noise = 0.02
    # MT's encoder is like the MLM, its decoder like the CLM; the denoising model the same.
    for name in SIX:
        halves = [one.profile[name].reshape(6, 2).mean(axis=1) for one in (mlm, clm)]
        mt.profile[name] = np.concatenate(halves)
    found["plm-en"] = replace(blend(clm, mlm, 0.4), model="plm-en")
    found["dae-en"] = replace(blend(mt, mt, 0.0), model="dae-en")
    return found


def judged(run, number):
    summaries = {model: [make_summary(training)] for model, training in run.items()}
    evidence = Evidence(summaries, main_models(summaries), draws=40)
    return judge_claim(CLAIMS[number], evidence, "batch")


def with_profile(run, model, change):
    """The run with another shape of all components of one model."""
    for name in SIX:
        run[model].profile[name] = np.array(change(run, name), float)
    return run


FALSE = {
    "O1": lambda run: with_profile(
        run,
        "dae-en",
        lambda r, n: np.concatenate([r["mlm-en"].profile[n][:6], r["mt-en-de"].profile[n][6:]]),
    ),
    "O2": lambda run: with_profile(run, "plm-en", lambda r, n: r["clm-en"].profile[n][::-1] ** 2),
    "O3": lambda run: with_profile(
        run, "mt-en-de", lambda r, n: np.tile(r["clm-en"].profile[n].reshape(6, 2).mean(1), 2)
    ),
    "O4": lambda run: with_profile(
        run, "dae-en", lambda r, n: np.tile(r["clm-en"].profile[n].reshape(6, 2).mean(1), 2)
    ),
    "O5": lambda run: with_profile(
        run, "dae-en", lambda r, n: np.tile(r["mlm-en"].profile[n].reshape(6, 2).mean(1), 2)
    ),
}


@pytest.mark.parametrize("number", list(FALSE))
def test_a_claim_holds_where_it_is_true_and_fails_where_it_is_not(number):
    assert judged(run_of_five(), number).verdict == HOLDS
    assert judged(FALSE[number](run_of_five()), number).verdict == FAILS


@pytest.mark.parametrize("number", ["O1", "O3", "O4", "O5"])
def test_models_that_are_all_alike_give_no_verdict(number):
    run = run_of_five()
    for training in run.values():
        for name in SIX:
            training.profile[name] = np.full(12, 2.0)
        training.rate = dict.fromkeys(SIX, np.full(12, 20.0))
        training.ripple, training.noise = np.zeros(12), 3.0
    assert judged(run, number).verdict == UNKNOWN


def several(shape_of):
    """Two models of each objective, whose shape `shape_of(objective)` gives."""
    names = ("clm-en", "clm-de", "plm-en", "plm-de", "mlm-en", "mlm-de")
    names += ("mt-en-de", "mt-de-en", "dae-en", "dae-de")
    like = {"plm": "clm-en", "dae": "mt-en-de"}
    run = {}
    for place, name in enumerate(names):
        objective = name.split("-")[0]
        training = replace(blend(*[paper_like(like.get(objective, name))] * 2, 0), model=name)
        for component in SIX:
            training.profile[component] = shape_of(objective) + 0.01 * place
        run[name] = training
    return run


LAYER = np.arange(12.0)


def by_stacks(objective):
    return 3 + np.cos(LAYER) if objective in ("mt", "dae") else 3 - np.cos(LAYER)


def by_future(objective):
    return 3 + np.sin(LAYER) if objective in ("mlm", "dae") else 3 - np.sin(LAYER)


@pytest.mark.parametrize(("shape_of", "verdict"), [(by_stacks, HOLDS), (by_future, FAILS)])
def test_what_makes_the_difference_is_told(shape_of, verdict):
    run = several(shape_of)
    assert judged(run, "O6").verdict == verdict
    summaries = {model: [make_summary(training)] for model, training in run.items()}
    rows = {row.factor: row for row in factor_rows(summaries, "batch", seed=1)}
    strong, weak = (STACKS, FUTURE) if verdict == HOLDS else (FUTURE, STACKS)
    # The labels are not balanced, so the other factor keeps a part of what they share.
    assert rows[strong].effect.explained > 0.8 > 0.05 > rows[weak].effect.explained
    assert rows[strong].low <= rows[strong].effect.explained <= rows[strong].high
    assert rows[strong].effect.p <= 0.02 and rows[strong].effect.floor < 0.02
    table = fill({"summaries": [one for (one,) in summaries.values()]}, {"seed": 1})
    assert [row[2] for row in table.rows if row[0] == "batch"] == [STACKS, FUTURE, "objective"]


def test_where_every_objective_has_one_model_the_single_factor_is_not_defined():
    run = run_of_five()
    table = fill({"summaries": [make_summary(one) for one in run.values()]}, {"seed": 1})
    (objective,) = (row for row in table.rows if row[:3] == ["batch", "5", "objective"])
    assert objective[3:] == ["–"] * 5
    assert not any("nan" in cell or "inf" in cell for row in table.rows for cell in row)


def test_without_the_new_objectives_nothing_is_said():
    run = {model: paper_like(model) for model in ("clm-en", "mlm-en", "mt-en-de")}
    assert "no main model of the objective dae" in judged(run, "O1").reason
    for models in (run, {name: run[name] for name in ("clm-en", "mt-en-de")}):
        result = judged(models, "O6")
        assert result.verdict == UNKNOWN and "too few" in result.reason
    summaries = {model: [make_summary(training)] for model, training in run.items()}
    assert factor_rows(summaries, "batch", seed=1) == []
    assert fill({"summaries": [one for (one,) in summaries.values()]}, {"seed": 1}).rows == []


# ------------------------------------------------------------------------ inputs

PAPER = ["clm-en", "clm-de", "mlm-en", "mlm-de", "mt-en-de", "mt-de-en"]
FURTHER = ["plm-en", "dae-en", "plm-en.matched"]


def files(models):
    return RunFiles(load_configuration(values() | {"models": models}), "results/x")


def test_further_objectives_change_nothing_in_the_papers_own_figures_and_tables():
    [paper] = load_studies(["vazquez2022"])
    without, among = files(PAPER), files([*PAPER, *FURTHER])
    for one in (*paper.figures, *paper.tables):
        assert one.inputs(without) == one.inputs(among), one.number
        assert one.options(without) == one.options(among), one.number


def test_a_run_of_the_further_objectives_alone_has_what_its_models_allow():
    alone = files(["plm-en", "dae-en"])
    paper, own = load_studies(["vazquez2022", "objectives"])
    shown = {one.number: one.inputs(alone) for one in own.figures}
    assert shown["O1"] == {
        "summaries": [f"results/x/summaries/{n}.nc" for n in ("plm-en", "dae-en")]
    }
    for one in (*paper.figures, *paper.tables):
        assert "results/x/summaries/plm-en.nc" not in one.inputs(alone).get("summaries", [])


def test_their_settings_are_not_in_the_papers_table():
    from studies.vazquez2022.tables.table2 import settings_table
    from tiny_trainings import tiny_training

    configured = tiny_training(parse_model("clm-en"))
    assert {"prefix_share", "infilling_share", "mask_probability"} <= set(configured)
    record = {"model": "clm-en", "objective": "clm", "configured": configured, "as_run": {}}
    rows = {row[0] for row in settings_table([record]).rows}
    assert "mask probability" in rows
    assert not rows & {"prefix share", "infilling share", "infilling span", "permuted sentences"}


def test_every_objective_has_its_row_in_the_order_of_the_question():
    [study] = load_studies(["objectives"])
    figures = {one.number: one for one in study.figures}
    shown = figures["O1"].inputs(files([*PAPER, *FURTHER]))["summaries"]
    assert [path.split("/")[-1] for path in shown] == [
        f"{name}.nc" for name in ("clm-en", "plm-en", "mlm-en", "mt-en-de", "dae-en")
    ]
    compared = figures["OD"].inputs(files([*PAPER, *FURTHER]))["summaries"]
    assert "results/x/summaries/dae-en.nc" in compared
    assert "results/x/summaries/plm-en.matched.nc" not in compared


def test_their_cost_is_estimated_before_they_are_trained():
    configuration = load_configuration(values() | {"models": [*PAPER, *FURTHER]})
    costs = {
        name: training_cost(configuration, parse_model(name))
        for name in ("clm-en", "plm-en", "mt-en-de", "dae-en", "plm-en.matched")
    }
    width = configuration.training.embedding_dimension
    assert costs["plm-en"].parameters == costs["clm-en"].parameters
    assert costs["dae-en"].parameters == costs["mt-en-de"].parameters + width, "the mask"
    # Half of the tokens are not predicted: no output layer there.
    assert 0.5 < costs["plm-en"].operations / costs["clm-en"].operations < 1
    per_token = [costs[name].operations / costs[name].tokens_per_update for name in costs]
    assert per_token[3] == pytest.approx(per_token[2], rel=0.3)
    assert all(cost.seconds > 0 for cost in costs.values())
    assert costs["plm-en.matched"].parameters > costs["plm-en"].parameters


def test_mistakes_in_the_settings_of_an_objective_are_told_together():
    wrong = values(layers=11, tokens_per_sample=2000, infilling_span=3.0)
    wrong["models"] = ["plm-en", "dae-en", "mt-en-de"]
    with pytest.raises(ConfigurationError) as told:
        load_configuration(wrong)
    message = str(told.value)
    assert "training of dae-en, mt-en-de: layers 11 is odd" in message
    assert "dae-en: tokens_per_sample 2000 is above 1024" in message
    assert "plm-en" not in message
    wrong = values(prefix_share=1.0, infilling_share=0.0, infilling_span=0, permuted_sentences=3)
    with pytest.raises(ConfigurationError) as told:
        load_configuration(wrong)
    for key in ("prefix_share", "infilling_share", "infilling_span", "permuted_sentences"):
        assert f"training.{key}: found" in str(told.value)
