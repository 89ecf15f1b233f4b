"""Every claim is found true, false or undecided where that is known."""

import math
from copy import deepcopy

import numpy as np
import pytest

from claim_cases import UNDECIDED, falsified
from losschange.claims import FAILS, HOLDS, UNKNOWN, Evidence, judge_claim, main_models
from studies.vazquez2022.claims import CLAIMS
from synthetic_summaries import ATTENTION, SIX, blend, make_summary, paper_like_run

DRAWS = 60
NUMBERS = sorted(CLAIMS)
# Those that speak of a loss in nats.
IN_NATS = {1}


def evidence(run, scale=1.0, **more):
    summaries = {model: [make_summary(training, scale=scale)] for model, training in run.items()}
    return Evidence(summaries, main_models(summaries), draws=DRAWS, **more)


def verdict(number, run):
    return judge_claim(CLAIMS[number], evidence(run), "batch").verdict


@pytest.fixture(scope="module")
def paper():
    return evidence(paper_like_run())


@pytest.fixture(scope="module")
def paper_verdicts(paper):
    return {number: judge_claim(CLAIMS[number], paper, "batch") for number in NUMBERS}


def test_all_claims_of_the_paper_are_on_the_list():
    assert list(range(1, 33)) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_claim_holds_in_a_run_like_the_papers(number, paper_verdicts):
    result = paper_verdicts[number]
    assert result.verdict == HOLDS, (result.reason, result.parts)
    for part in result.parts:
        assert part.low <= part.value <= part.high


@pytest.mark.parametrize("number", NUMBERS)
def test_a_claim_fails_in_a_run_made_against_it(number):
    result = judge_claim(CLAIMS[number], evidence(falsified(number)), "batch")
    assert result.verdict == FAILS, (result.reason, result.parts)


@pytest.mark.parametrize("number", NUMBERS)
def test_between_true_and_false_a_claim_cannot_be_told(number):
    paper, against = paper_like_run(), falsified(number)
    if number in UNDECIDED:
        run = deepcopy(paper)
        UNDECIDED[number](run)
        result = judge_claim(CLAIMS[number], evidence(run), "batch")
        assert result.verdict == UNKNOWN, (result.reason, result.parts)
        return
    low, high = 0.0, 1.0
    seen = []
    for _ in range(14):
        part = (low + high) / 2
        run = {model: blend(paper[model], against[model], part) for model in paper}
        for training in run.values():
            training.noise = 1.0
        result = judge_claim(CLAIMS[number], evidence(run), "batch")
        seen.append((part, result.verdict, result.reason))
        if result.verdict == UNKNOWN:
            assert "straddles" in result.reason
            return
        low, high = (part, high) if result.verdict == HOLDS else (low, part)
    pytest.fail(f"no undecided state between: {seen}")


@pytest.mark.parametrize("scale", [1e-6, 37.0])
def test_scaling_all_lca_changes_no_verdict_but_of_claims_in_nats(scale, paper_verdicts):
    scaled = evidence(paper_like_run(), scale)
    for number in NUMBERS:
        result = judge_claim(CLAIMS[number], scaled, "batch")
        if number in IN_NATS:
            assert result.verdict == FAILS
            continue
        assert result.verdict == HOLDS
        assert math.isclose(result.value, paper_verdicts[number].value, rel_tol=1e-6, abs_tol=1e-9)


def test_permuting_layers_breaks_the_claims_about_layers():
    run = paper_like_run()
    order = np.array([5, 7, 11, 6, 9, 3, 2, 10, 4, 1, 8, 0])
    for training in run.values():
        for values in (training.profile, training.rate):
            for name in SIX:
                values[name] = values[name][order]
        training.ripple, training.spread = training.ripple[order], training.spread[order]
        for name in ATTENTION:
            training.positives[name] = training.positives[name][:, order]
    shuffled = evidence(run)
    kept = {
        number
        for number in NUMBERS
        if CLAIMS[number].layers and judge_claim(CLAIMS[number], shuffled, "batch").verdict == HOLDS
    }
    # Curves of whole models stay as alike as they were, and so does their roughness in sum.
    assert kept <= {19, 20, 31}, kept


def test_a_noisy_loss_that_every_record_accounts_for_gives_an_exact_ratio():
    """The change over the records of a bin is resampled together with their LCA."""
    run = paper_like_run()
    for training in run.values():
        training.noise = 3.0
    summaries = {model: [make_summary(training)] for model, training in run.items()}
    for (summary,) in summaries.values():
        conserved = summary["binned_total"].sum(("layer", "component"))
        summary["binned_change"] = conserved
        # One record in four bins: it ends in the last of them.
        for name in ("binned_total", "binned_change"):
            summary[name] = summary[name].where(summary["bin"] // 10 % 4 == 0, 0.0)
        summary["binned_records"] = (
            (summary["bin"] // 10 % 4 == 0).astype(int).expand_dims("estimator")
        )
    result = judge_claim(
        CLAIMS[1], Evidence(summaries, main_models(summaries), draws=DRAWS), "batch"
    )
    ratio = result.parts[0]
    assert (ratio.low, ratio.high) == pytest.approx((1.0, 1.0))
