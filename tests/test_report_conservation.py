"""The report says by how much each estimator over-counts, without models that did not learn."""

import math

import pytest

from losschange.analysis.conservation import ERRORS, reference_measure
from report.conservation import (
    conservation_sentences,
    detail_tables,
    estimator_table,
    outcome,
    ratio_table,
)
from report.inputs import EstimatorSum, Run

PROBE_ERRORS = dict(zip(ERRORS, (-0.04, 0.02, 0.003, 0.0004), strict=True))


def total(model, estimator, ratio, changes=None, stride=1, training=None):
    """A sum that is `ratio` times the change that it is compared with."""
    changes = changes or {"training_probe": -2.0, "validation_probe": -1.6}
    known = [name for name, change in changes.items() if math.isfinite(change)]
    reference = reference_measure(estimator, known)
    amount = ratio * changes.get(reference, math.nan)
    return EstimatorSum(
        model=model,
        training=training or model,
        objective=model.split("-")[0],
        estimator=estimator,
        stride=stride,
        total=amount,
        changes=changes,
        ratios={name: amount / change for name, change in changes.items()},
        reference=reference,
        errors=PROBE_ERRORS if estimator.startswith("probe") else dict.fromkeys(ERRORS, math.nan),
    )


def run_of(*sums):
    """A run of which nothing but sums is known."""
    models = list(dict.fromkeys(entry.model for entry in sums))
    return Run({}, models, {}, {}, {}, {}, list(sums), [], [], {}, {})


def said(*sums, failed=()):
    """All sentences on these sums."""
    return " ".join(conservation_sentences(run_of(*sums), failed)).replace("\u00a0", " ")


def test_one_model_is_told_in_one_number():
    text = said(total("clm-en", "batch", 4.5), total("clm-en", "probe", 0.98))
    assert text.startswith(
        "``batch`` claims 4.50 times the loss change that the training probe measured; "
        "``probe`` 0.980 times."
    )
    assert "``batch`` over-counts because it multiplies" in text


def test_several_models_are_told_as_a_range_with_its_middle():
    models = ("clm-en", "mlm-en", "mt-en-de")
    sums = [total(m, "batch", r) for m, r in zip(models, (3.0, 5.0, 4.0), strict=True)]
    text = said(*sums)
    assert "claims 3.00 to 5.00 times the loss change" in text
    assert "(median 4.00 ×, over 3 models)" in text


def test_validation_probes_are_held_against_their_own_text():
    text = said(total("clm-en", "batch", 4.5), total("clm-en", "probe_valid", 1.01))
    assert "``probe_valid`` claims 1.010 times the loss change that the validation probe" in text


def test_without_a_probe_the_sentence_names_the_loss():
    changes = {"training": -1.5, "validation": -2.0, "training_probe": math.nan}
    assert "claims 2.00 times the loss change that the validation losses show." in said(
        total("clm-en", "batch", 2.0, changes)
    )


def test_models_that_did_not_learn_are_left_out_by_name():
    sums = (total("clm-en", "batch", 4.5), total("mlm-en", "batch", -700.0))
    text = said(*sums, failed=["mlm-en", "mlm-fi"])
    assert "claims 4.50 times" in text and "700" not in text
    assert text.endswith("Left out is what did not learn: mlm-en.")
    assert said(*sums, failed=["clm-en", "mlm-en"]).startswith("No model of this run has learned")


def test_an_over_count_of_some_models_names_them():
    text = said(total("clm-en", "batch", 4.5), total("mt-en-de", "batch", 1.0))
    assert "``batch`` over-counts for clm-en because" in text
    assert "over-counts" not in said(total("clm-en", "batch", 1.0))


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (4.5, "over-counts"),
        (0.96, "adds up"),
        (0.5, "under-counts"),
        (-2.0, "wrong direction"),
    ],
)
def test_the_outcome_names_what_the_ratio_says(ratio, word):
    assert outcome(total("clm-en", "batch", ratio)) == word
    assert outcome(total("clm-en", "batch", ratio, {"training": math.nan})) == "cannot tell"


def test_a_row_per_estimator_sums_up_the_models_that_learned():
    sums = [
        total("clm-en", "batch", 4.5),
        total("clm-en", "probe", 0.98, stride=10),
        total("mt-en-de", "probe", 1.2, stride=5),
        total("mlm-en", "probe", 90.0, stride=10),
    ]
    grid = estimator_table(run_of(*sums), ["mlm-en"])
    batch, probe = ([cell.replace("\u00a0", " ") for cell in row] for row in grid.rows)
    assert batch[:6] == ["batch", "1", "training probe", "4.50 ×", "4.50 ×", "0 of 1"]
    assert probe[:6] == [
        *("probe", "5 or 10", "training probe", "0.980 to 1.20 ×"),
        *("1.090 ×", "1 of 2"),
    ]
    assert (batch[-2:], probe[-2:]) == (["–", "–"], ["+2.0 %", "0.0030"])


def test_a_row_per_model_has_each_change_and_each_ratio():
    changes = {"training": -1.0, "validation": math.nan, "training_probe": -2.0}
    sums = [total("clm-en", "batch", 4.5, changes), total("clm-en", "probe", 0.98, changes)]
    grid = ratio_table(run_of(*sums, total("mt-en-de", "batch", 3.0, changes)))
    assert grid.columns == ["model", "training probe", "training loss", "batch", "probe"]
    assert grid.rows[0] == ["clm-en", "−2.000", "−1.000", "4.50\u00a0×", "0.980\u00a0×"]
    assert grid.rows[1][-2:] == ["3.00\u00a0×", "–"]


def test_every_number_is_somewhere_in_the_details():
    sums = [total("clm-en", "batch", 4.5), total("clm-en", "probe", 0.98)]
    (batch, first), (probe, second) = detail_tables(run_of(*sums))
    assert (batch, probe) == ("batch", "probe")
    row = dict(zip(first.columns, first.rows[0], strict=True))
    assert row["ΣLCA"] == "−9.000" and row["÷ validation probe"] == "5.62\u00a0×"
    row = dict(zip(second.columns, second.rows[0], strict=True))
    assert (row["error"], row["relative error"]) == ("−0.040", "+2.0\u00a0%")
    assert (row["largest of an interval"], row["root mean square"]) == ("0.0030", "0.00040")


def test_without_a_probe_there_are_no_columns_of_errors():
    grid = estimator_table(run_of(total("clm-en", "batch", 4.5)), [])
    assert grid.columns[-1] == "models that add up" and len(grid.rows[0]) == 6


def test_without_summaries_there_are_no_tables():
    run = run_of()
    assert estimator_table(run, []) is None and ratio_table(run) is None
    assert detail_tables(run) == []


def test_a_model_with_several_seeds_has_its_mean_and_range():
    sums = [
        total("clm-en", "batch", value, {"training_probe": change}, training=training)
        for training, value, change in (("clm-en", 4.0, -2.0), ("clm-en.seed2", 5.0, -1.0))
    ]
    [row] = ratio_table(run_of(*sums)).rows
    assert [cell.replace("\u00a0", " ") for cell in row] == [
        *("clm-en", "−1.500 [−2.000, −1.000]", "4.50 × [4.00 ×, 5.00 ×]"),
    ]
    [(_, grid)] = detail_tables(run_of(*sums))
    assert [cells[0] for cells in grid.rows] == ["clm-en", "clm-en.seed2"]
