"""What a run is estimated to cost: sizes against built models, times against the measurements."""

import numpy as np
import pytest
import yaml

from losschange.cube.format import open_cube
from objectives import OBJECTIVES
from running.configuration_check import ConfigurationError, load_configuration
from running.corpus_costs import corpus_pairs, text_minutes
from running.costs import evaluations_per_update, records_per_update, training_cost
from running.models import parse_model
from running.speeds import hardware_names, measurements, seconds_per_batch, size_of
from tiny_trainings import (
    EXECUTION,
    RECORDING,
    ROOT,
    TINY,
    VOCABULARY,
    tiny_training,
    values,
)
from training.state import Outputs
from workflow_runs import snakemake

NAMES = ("clm-en", "mlm-en", "mt-en-de")
SHAPES = (
    {},
    {"layers": 4, "norm": "pre"},
    {"embedding_layer": "roberta"},
    {
        "tied_embeddings": False,
        "norm": "pre",
        "attention_heads": 4,
        "feed_forward_dimension": 48,
        "tokens_per_sample": 24,
    },
)


def configuration(**changes):
    """The paper's configuration with whole sections' keys replaced."""
    loaded = values()
    for section, keys in changes.items():
        loaded[section].update(keys)
    return load_configuration(loaded)


def cost(name="clm-en", **changes):
    return training_cost(configuration(**changes), parse_model(name))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*NAMES, "plm-en", "dae-en"])
def test_parameters_and_cells_are_those_of_the_model_that_fairseq_builds(name, tokens, tmp_path):
    from losschange.recording.partition import partition_parameters
    from losschange_fairseq.building import build_trainer
    from training.fairseq_arguments import fairseq_arguments

    model = parse_model(name)
    for shape in SHAPES:
        training = tiny_training(model, **shape)
        arguments = fairseq_arguments(model, training, tokens[model.objective], 1, "cpu")
        _, task, trainer = build_trainer([*arguments, "--save-dir", str(tmp_path)])
        built = trainer.get_model()
        named = [(key, p.shape) for key, p in built.named_parameters() if p.requires_grad]
        words = len(task.target_dictionary)
        size = size_of(model.objective, training, VOCABULARY)
        assert size.parameters == sum(shape.numel() for _, shape in named)
        assert size.cells == len(
            partition_parameters(named, OBJECTIVES[model.objective].schema(built)).layout.cells
        )
        matrices = [shape for _, shape in named if len(shape) == 2 and shape[0] == words]
        assert size.embedding_matrices == len(matrices)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_thread")
def test_a_cube_holds_as_many_numbers_as_estimated(tokens, tmp_path):
    from training.run import train_model

    model = parse_model("mt-en-de")
    training = tiny_training(model)
    outputs = Outputs(*(tmp_path / name for name in ("cube", "checkpoint", "history", "settings")))
    train_model(model, training, EXECUTION, RECORDING, tokens["mt"], 1, tmp_path / "state", outputs)
    with open_cube(outputs.cube) as cube:
        names = [name for name in cube if name.startswith(("lca", "helped"))]
        found = sum(int(np.isfinite(cube[name].values).sum()) for name in names)
    recording = load_configuration(values() | {"recording": RECORDING}).recording
    size = size_of("mt", training, VOCABULARY)
    # Intervals that the end of training cuts short have a record of their own.
    expected = training["total_updates"] * records_per_update(recording, size)
    assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("measured", measurements(), ids=lambda m: f"{m.hardware}-{m.objective}")
def test_estimated_times_are_near_the_measured_ones(measured):
    estimated = seconds_per_batch(
        measured.hardware,
        measured.objective,
        measured.training,
        measured.vocabulary,
        measured.tokens_per_update / measured.update_frequency,
    )
    assert estimated == pytest.approx(measured.seconds, rel=0.35)
    assert measured.source.startswith("20") and len(measured.source) > 10


def test_the_paper_takes_two_days_a_model_on_its_own_hardware():
    for name in NAMES:
        estimated = cost(name)
        assert estimated.seconds_plain / 3600 == pytest.approx(48, rel=0.02)
        assert estimated.seconds_plain < estimated.seconds < 1.2 * estimated.seconds_plain
        assert estimated.device_memory < 32_000, "the V100's"
    assert cost(execution={"hardware": "h100"}).seconds < cost().seconds / 2


def test_every_machine_has_all_objectives():
    known = {(m.hardware, m.objective) for m in measurements()}
    wanted = {(hardware, o) for hardware in hardware_names() for o in ("clm", "mlm", "mt")}
    assert known == wanted
    for hardware in set(hardware_names()) - {"cpu"}:
        assert configuration(execution={"hardware": hardware}).execution.hardware == hardware


def test_costs_grow_with_what_is_asked_for():
    paper = cost()
    twice = cost(training={"total_updates": 250_000})
    assert twice.seconds == pytest.approx(2 * paper.seconds)
    # Of which weights and snapshots stay the same.
    assert 1.2 * paper.disk_kept < twice.disk_kept < 2 * paper.disk_kept
    assert cost(training={"max_tokens": 4096}).device_memory > paper.device_memory
    shared = cost(execution={"gpus": 4})
    assert paper.seconds / 4 < shared.seconds < paper.seconds
    assert shared.host_memory == 4 * paper.host_memory
    on_cpu = cost(execution={"gpus": 0})
    assert on_cpu.seconds > 10 * paper.seconds and on_cpu.device_memory == 0


def test_a_training_needs_as_many_jobs_as_the_queue_makes_of_it():
    paper = cost()
    assert paper.tries(None) == paper.tries(paper.minutes_to_request) == 1
    assert paper.tries(24 * 60) == 4, "52 h and half as much again"
    assert paper.tries(1) > 100


def test_looks_at_probes_are_counted_once_where_estimators_share_them():
    def looks(tolerance=None, **strides):
        off = dict.fromkeys(("fresh", "probe", "simpson", "probe_valid", "simpson_valid"), 0)
        recording = {"estimators": off | strides, "simpson_tolerance": tolerance, "details": {}}
        return evaluations_per_update(configuration(recording=recording).recording)

    assert looks() == []
    assert looks(fresh=4) == [(4096, 0.25)]
    assert looks(probe=1) == looks(probe_valid=1) == [(4096, 1)]
    # Ends of intervals, and one look between them.
    assert looks(simpson=2) == looks(probe=2, simpson=2) == [(4096, 1)]
    [(_, shared)] = looks(probe=2, simpson=3)
    assert shared == pytest.approx(1 / 2 + 1 / 3 - 1 / 6 + 1 / 3)
    assert looks(tolerance=0.001, simpson=2) == [(4096, 2)]


def test_pairs_are_counted_where_they_can_be_known(tmp_path):
    paper = configuration()
    assert corpus_pairs(paper, "europarl-en-et") == 705_000
    assert corpus_pairs(paper, "wmt-en-de") == 5_003_000
    assert text_minutes(paper, "wmt-en-de") > text_minutes(paper, "europarl-en-et") > 10
    tiny = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())["corpora"]
    changed = {name: {**values()["corpora"][name], **keys} for name, keys in tiny.items()}
    small = configuration(
        corpora=changed, vocabulary={"size": 200}, attention_heads={"frequent": 20}
    )
    assert corpus_pairs(small, "europarl-en-de") == 1600


def test_workers_that_cannot_share_an_update_are_refused():
    with pytest.raises(ConfigurationError) as caught:
        configuration(training={**TINY, "update_frequency": 3}, execution={"gpus": 2})
    assert "more: update_frequency 3 does not divide among 2 workers" in str(caught.value)
    with pytest.raises(ConfigurationError, match="workers 3 should be null or gpus 2"):
        configuration(execution={"gpus": 2, "workers": 3})
    with pytest.raises(ConfigurationError, match="execution.hardware: found 'abacus'"):
        configuration(execution={"hardware": "abacus"})


def test_the_table_tells_what_a_preset_will_cost_and_starts_nothing(tmp_path):
    done = snakemake(
        tmp_path,
        *("--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "cost", "--quiet", "all"),
        *("--configfile", str(ROOT / "presets" / "demo.yaml")),
        *(
            "--default-resources",
            "time_limit=1",
            "--config",
            "seeds=[1,2]",
            "models=[clm-en,mt-en-de]",
            "studies=[vazquez2022]",
            "matched_architecture=false",
        ),
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    [clm] = [line.split() for line in lines if line.startswith("clm-en ")]
    assert clm[1:5] == ["180", "512", "0.2", "0.00011"]
    assert [line for line in lines if line.startswith("4 trainings (2 models, 2 seeds; 1 worker")]
    assert [line for line in lines if "tries of at most 1 minutes" in line]
    assert sum("(2026-11-21; " in line for line in lines) == 2, "where the numbers come from"
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("results/**/*.*")}
    assert made <= {"results", ".snakemake"} and kept == {"results/demo/logs/cost.log"}
