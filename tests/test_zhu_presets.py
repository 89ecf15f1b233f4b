"""The presets of Zhu et al. 2020: what they plan, what they cost, and mistakes in them."""

import pytest
import yaml

from objectives import OBJECTIVES
from running.configuration_check import ConfigurationError, load_configuration
from running.cost_table import cost_table
from running.costs import evaluations_per_update, training_cost
from running.models import parse_model
from studies.zhu2020.relative_cost import relative_costs
from tiny_trainings import values
from workflow_runs import ROOT, planned_jobs, snakemake

PAPER = ROOT / "presets/zhu2020.yaml"
SAMPLE = ROOT / "presets/zhu2020-sample.yaml"
IWSLT, WMT = "mt-de-en-iwslt14", "mt-en-de-wmt14"


def merged(*presets, **changes):
    """config.yaml with presets on top of it, as Snakemake joins them."""

    def join(below, above):
        for key, value in above.items():
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                join(below[key], value)
            else:
                below[key] = value

    loaded = values()
    for above in (*(yaml.safe_load(path.read_text()) for path in presets), changes):
        join(loaded, above)
    return loaded


@pytest.mark.parametrize("presets", [[PAPER], [PAPER, SAMPLE]], ids=["paper", "sample"])
def test_both_models_are_trained_with_nothing_tied_and_seen_on_two_texts(presets):
    configuration = load_configuration(merged(*presets))
    assert [model.name for model in configuration.trained_models()] == [IWSLT, WMT]
    for model in configuration.trained_models():
        training = configuration.training_of(model)
        assert (training.tied_embeddings, training.layers) == ("none", 12)
        strides = configuration.recording_of(model).strides
        assert strides["fresh"] == strides["fresh_test"] == 1
        assert ("exact_small" in strides) == (model.name == IWSLT)


def test_the_data_are_those_of_fairseqs_recipes():
    configuration = load_configuration(merged(PAPER))
    iwslt, wmt = (configuration.corpora[f"{name}-en-de"] for name in ("iwslt14", "wmt14"))
    assert (iwslt.valid, iwslt.test_from) == ("every 23", "iwslt14-test-en-de")
    assert (wmt.valid, wmt.test_from) == ("every 100", "newstest2014-en-de")
    assert len(configuration.corpora["iwslt14-test-en-de"].sources) == 5
    assert {"lowercase": 1} in configuration.cleaning_of("iwslt14-en-de")
    assert {"lowercase": 1} in configuration.cleaning_of("iwslt14-test-en-de")
    assert {"lowercase": 1} not in configuration.cleaning_of("wmt14-en-de")
    sizes = [configuration.vocabulary_size_of(parse_model(name)) for name in (IWSLT, WMT)]
    assert sizes == [10000, 40000]
    # Neither is tested on the news of the main paper.
    assert not any(map(configuration.news_corpus, configuration.trained_models()))


def test_the_cost_of_the_exact_gradient_is_stated_before_it_runs():
    configuration = load_configuration(merged(PAPER))
    model = parse_model(IWSLT)
    passes = dict(evaluations_per_update(configuration.recording_of(model), 32))
    # 10,000 sentences of 32 tokens: a pass every 500 updates for the end of an interval, and
    # about three inside of it. That of `exact_small` is counted by itself.
    assert passes[320000] == pytest.approx(4 / 500)
    without = merged(PAPER, recording={"estimators": dict.fromkeys(
        ("exact_small", "probe_small", "simpson_small"), 0)})  # fmt: skip
    plain = training_cost(load_configuration(without), model)
    whole = training_cost(configuration, model)
    assert whole.seconds > 1.1 * plain.seconds
    assert whole.seconds_plain == plain.seconds_plain
    every = merged(PAPER, recording={"estimators": {"exact_small": 1}})
    assert training_cost(load_configuration(every), model).seconds > 20 * plain.seconds
    table = cost_table(configuration)
    assert IWSLT in table and WMT in table


def test_what_an_estimator_costs_is_told_in_batches_per_update():
    configuration = load_configuration(merged(PAPER, recording={"estimators": {"simpson": 0}}))
    costs = relative_costs(configuration, parse_model(IWSLT))
    batch = 4096 * OBJECTIVES["mt"].filled
    assert costs["batch"] == 0
    assert costs["fresh"] == costs["fresh_test"] == pytest.approx(4096 / batch)
    assert costs["fresh_small"] == pytest.approx(costs["fresh"] / 10)
    # One pass of 10,000 sentences of 32 tokens every 500 updates; Simpson's takes about three more.
    assert costs["exact_small"] == costs["probe_small"] == pytest.approx(320000 / 500 / batch)
    assert costs["simpson_small"] == pytest.approx(4 * costs["exact_small"])
    assert "simpson" not in costs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recording": {"estimators": {"exact": 5}}}, "exact passes a whole text; add one with"),
        ({"recording": {"texts": {"small": {"sentences": 0}}}}, "recording.texts.small.sentences"),
        ({"corpora": {"wmt14-en-de": {"test_from": "nowhere"}}}, "test_from: found 'nowhere'"),
        ({"corpora": {"wmt14-en-de": {"test": 5}}}, "test: found 5 beside test_from"),
        ({"corpora": {"wmt14-en-de": {"valid": "every 0"}}}, "corpora.wmt14-en-de.valid"),
        ({"training": {"tied_embeddings": "encoder"}}, "training.tied_embeddings: found 'encoder'"),
        ({"zhu2020": {"untied": ["clm-en"]}}, "zhu2020.untied: found 'clm-en'; allowed are the"),
    ],
)
def test_mistakes_are_told(changes, message):
    with pytest.raises(ConfigurationError) as error:
        load_configuration(merged(PAPER, **changes))
    assert message in str(error.value)


def test_the_demo_trains_one_model_more_and_the_paper_none():
    demo = load_configuration(merged(ROOT / "presets/demo.yaml"))
    [variant] = [one for one in demo.variants().values() if one.name == "untied"]
    assert variant.parent == "mt-de-en"
    model = parse_model(variant.full_name)
    assert demo.training_of(model).tied_embeddings == "none"
    strides = demo.recording_of(model).strides
    assert strides["fresh"] == strides["fresh_test"] == 1 and strides["exact_small"] > 0
    assert demo.recording_of(parse_model("mt-de-en")).strides["fresh"] == 10
    assert not load_configuration(values()).variants()


@pytest.mark.parametrize("presets", [[PAPER], [PAPER, SAMPLE]], ids=["paper", "sample"])
def test_the_study_has_targets(presets, tmp_path):
    files = [str(path) for path in presets]
    done = snakemake(
        tmp_path, "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--cores", "2",
        "zhu2020", *(f"figureZ{number}" for number in range(1, 6)), "--configfile", *files,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    jobs = planned_jobs(done.stdout)
    assert jobs["train_model"] == jobs["evaluate_model"] == jobs["summarise_cube"] == 2
    assert [jobs[f"plot_figureZ{number}"] for number in range(1, 6)] == [1] * 5
    assert jobs["judge_zhu2020"] == jobs["zhu2020"] == 1
