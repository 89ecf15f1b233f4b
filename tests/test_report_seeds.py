"""A model that was trained with several seeds has the mean and the range in the report."""

from report.inputs import Run
from report.quality import (
    failed_models,
    held_out_table,
    judge_trainings,
    learning_table,
    translation_table,
)
from report.table_files import MISSING
from report.values import nats, over_seeds
from tiny_reports import quality, scores


def run_of(**qualities):
    """A run of which nothing but qualities is known."""
    names = [name.replace("_", "-") for name in qualities]
    found = dict(zip(names, qualities.values(), strict=True))
    return Run({"training": {}}, names, found, {}, {}, {}, [], [], [], {}, [])


def test_the_mean_has_its_range_behind_it_and_a_single_value_none():
    assert over_seeds([1.0, 2.0, 6.0], nats) == "3.000 [1.000, 6.000]"
    assert over_seeds([2.0], nats) == "2.000"
    assert over_seeds([], nats) == over_seeds([1.0, None], nats) == MISSING


def test_a_model_learned_if_it_did_with_every_seed():
    good, bad = quality("clm-en", 4.0), quality("clm-en", 5.45)
    assert judge_trainings([good, good]) == ("learned", "")
    verdict, reason = judge_trainings([good, bad, good])
    assert verdict == "did not learn" and reason.endswith("(1 of 3 seeds)")
    assert judge_trainings([])[0] == "cannot tell"
    assert failed_models(run_of(clm_en=[good, bad], clm_de=[good, good])) == ["clm-en"]


def test_every_table_of_quality_shows_them():
    pair = [quality("mt-en-de", loss, translation={"test": scores(10 * loss)}) for loss in (3, 4)]
    run = run_of(mt_en_de=pair)
    [row] = learning_table(run)
    assert {"3.500 [3.000, 4.000]", "−2.000 [−2.500, −1.500]"} <= set(row.cells)
    assert "3.500 [3.000, 4.000]" in held_out_table(run).rows[0]
    grid, _ = translation_table(run)
    assert grid.rows[0][3] == "35.0 [30.0, 40.0]"
