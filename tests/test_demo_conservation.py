"""Do the parts sum to the whole? Trainings of the demo's models, probes at every update."""

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from losschange.cube.format import open_cube
from losschange_fairseq.training import DutyIntervals, ResumableTraining
from running.configuration_check import load_configuration
from running.models import parse_model
from tiny_trainings import ROOT, values, write_tokens
from training.fairseq_arguments import fairseq_arguments

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]

STRIDES = {"probe": 1, "simpson": 1}
# Of about 200: the loss falls fastest in the first ones. Those of the masked model cost most.
UPDATES = {"clm-en": 60, "mlm-en": 30, "mt-en-de": 40}
# Nats: intervals are split until Simpson's rule misses the measured change by no more.
TOLERANCE_OF_INTERVALS = 3e-5
TOLERANCE = {"probe": 0.01, "simpson": 0.001}


@pytest.fixture(scope="module")
def configuration():
    loaded = values()
    update_config(loaded, yaml.safe_load((ROOT / "presets" / "demo.yaml").read_text()))
    return load_configuration(loaded)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory, configuration):
    folder = tmp_path_factory.mktemp("tokens")
    return write_tokens(folder, {"train": 10000, "valid": 300}, configuration.vocabulary.size)


@pytest.mark.parametrize(("model", "updates"), UPDATES.items())
def test_probes_sum_to_the_measured_loss_change(model, updates, configuration, tokens, tmp_path):
    """Trapezoid within 1 %, Simpson within 0.1 %; the paper's estimator far from it."""
    model = parse_model(model)
    training = configuration.training_of(model).model_dump()
    recording = configuration.recording.settings() | {
        "estimators": STRIDES,
        "details": {},
        "simpson_tolerance": TOLERANCE_OF_INTERVALS,
    }
    run = ResumableTraining(
        fairseq_arguments(model, training, tokens[model.objective], 1, "cpu", recording),
        tmp_path,
        DutyIntervals(training["total_updates"], 1000, 1000),
    )
    assert not run.run(lambda update, numbers: None, lambda: run.updates == updates)
    ((_, _, part),) = run.store.parts()
    with open_cube(part) as cube:
        assert cube.sizes["step"] == updates
        change = float(cube["probe_loss"][-1] - cube["probe_loss_before"][0])
        assert change < -1, "the model learns"
        for name, tolerance in TOLERANCE.items():
            assert abs(float(cube[f"lca_{name}"].sum()) / change - 1) < tolerance, name
            # Interval by interval: the end of one is the start of the next.
            ends = cube[f"{name}_loss"].values, cube[f"{name}_loss_before"].values
            np.testing.assert_array_equal(ends[0][:-1], ends[1][1:])
        assert float(cube["lca"].sum()) / change > 1.1, "the training batch over-counts"
