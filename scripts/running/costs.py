"""Estimate the time, memory and disk of every training before a run starts.

Times are estimated from throughputs.csv (see `speeds`), memory and disk from the sizes of models
and cubes. tests/test_costs.py compares the estimates with real runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from losschange.cube.estimators import INTERVAL_RULES, Estimator, parse_estimator, texts_of
from objectives import OBJECTIVES

from .configuration import Configuration, Execution, Training
from .configuration_recording import Recording
from .model_size import ModelSize
from .models import Model
from .speeds import seconds_per_batch, size_of

# Share of an update's time that recording `batch` adds; 1.5 % was measured on an H100.
RECORDING_SHARE = 0.03
# Evaluations of Simpson's rule inside an interval: one, or more where intervals are split.
SIMPSON_EVALUATIONS, SIMPSON_EVALUATIONS_WITH_TOLERANCE = 1, 3
# Time for imports, loading token ids, and the first and last validation.
START_UP_SECONDS = 60
# Additional minutes that a job requests, for a slow file system or a busy machine.
SPARE_MINUTES = 5
# Ratio of requested to estimated time: machines differ, and a job that is killed has to restart.
TIME_MARGIN = 1.5
# Megabytes of a process with PyTorch and fairseq but no model; the CUDA value is an assumption.
PROCESS_MEMORY = {"cpu": 600, "cuda": 4000}
MEMORY_MARGIN = 1.5
# Bytes per cell and record of a compressed cube; 4.3 to 4.6 in runs of the preset sample.
BYTES_PER_CELL = 4.5
# Checkpoints that a training keeps while it runs.
CHECKPOINTS = 2
# Numbers of a cube summarised per second, and seconds to translate a sentence. Both are slower
# than measured on one core with the preset sample (2,000,000 and 0.1).
SUMMARISED_PER_SECOND = 500_000
TRANSLATION_SECONDS = 0.2
TEST_SENTENCES = 3000


@dataclass(frozen=True)
class TrainingCost:
    """Estimates for one training.

    Attributes
    ----------
    updates : int
        Updates that are computed: a variant may take over the first ones from its parent.
    tokens_per_update : float
        Target tokens.
    parameters : int
    operations : float
        Floating point operations of all updates, without recording.
    seconds_plain, seconds : float
        Time of the training without recording, and with the configured recording.
    host_memory, device_memory : int
        Megabytes; device_memory is that of one GPU, 0 on a CPU.
    cube_numbers : float
        Numbers in its cube.
    disk_running, disk_kept : int
        Megabytes of temporary files while the training runs, and of the files kept afterwards.
    """

    updates: int
    tokens_per_update: float
    parameters: int
    operations: float
    seconds_plain: float
    seconds: float
    host_memory: int
    device_memory: int
    cube_numbers: float
    disk_running: int
    disk_kept: int

    @property
    def summary_minutes(self) -> int:
        """Minutes that a job should request to summarise the cube."""
        return 5 + math.ceil(self.cube_numbers / SUMMARISED_PER_SECOND / 60)

    @property
    def tokens_per_second(self) -> float:
        """Target tokens per second with everything that is recorded."""
        return self.updates * self.tokens_per_update / self.seconds

    @property
    def minutes_to_request(self) -> int:
        """Minutes that a job should request to finish the training in one try."""
        return SPARE_MINUTES + math.ceil((TIME_MARGIN * self.seconds + START_UP_SECONDS) / 60)

    def tries(self, time_limit: int | None) -> int:
        """Jobs needed if each may take `time_limit` minutes; each job has its own start-up time."""
        if time_limit is None:
            return 1
        usable = max(60 * time_limit - START_UP_SECONDS, 1)
        return math.ceil(TIME_MARGIN * self.seconds / usable)


def hardware_of(execution: Execution) -> str:
    """The hardware that costs are estimated for: a name in throughputs.csv.

    "auto" means a CPU if trainings use no GPU, else a V100, the paper's GPU and the slowest.
    """
    if execution.gpus == 0 or execution.device == "cpu":
        return "cpu"
    return "v100" if execution.hardware == "auto" else execution.hardware


def training_cost(configuration: Configuration, model: Model) -> TrainingCost:
    """Estimate one training of a configuration."""
    training, execution = configuration.training_of(model), configuration.execution
    settings, recording = training.model_dump(), configuration.recording_of(model)
    vocabulary = configuration.vocabulary_size_of(model)
    hardware = hardware_of(execution)
    size = size_of(model.objective, settings, vocabulary)
    batch_tokens = OBJECTIVES[model.objective].filled * training.max_tokens

    def seconds(tokens: float) -> float:
        return seconds_per_batch(hardware, model.objective, settings, vocabulary, tokens)

    batches = training.update_frequency / execution.processes
    update = batches * seconds(batch_tokens)
    recorded = update * (1 + RECORDING_SHARE)
    sentence = OBJECTIVES[model.objective].sample_tokens(settings)
    for tokens, evaluations in evaluations_per_update(recording, sentence):
        whole, rest = divmod(tokens, training.max_tokens)
        recorded += evaluations * (
            whole * seconds(training.max_tokens) + (seconds(rest) if rest else 0.0)
        )
    host, device = _memory(hardware, training, recording, size)
    running, kept = _disk(hardware, training, recording, size)
    taken_over = configuration.variants()[model.name].updates_made if model.variant else 0
    made = training.total_updates - taken_over
    kept += snapshots_disk(configuration, model, size)
    return TrainingCost(
        updates=made,
        tokens_per_update=training.update_frequency * batch_tokens,
        parameters=size.parameters,
        operations=made * training.update_frequency * batch_tokens * size.operations,
        seconds_plain=made * update,
        seconds=made * recorded,
        host_memory=host * execution.processes,
        device_memory=device,
        cube_numbers=training.total_updates * records_per_update(recording, size),
        disk_running=running,
        disk_kept=kept,
    )


def snapshots_disk(configuration: Configuration, model: Model, size: ModelSize) -> int:
    """Megabytes of a model's snapshots and resume points."""
    weight = 2 if configuration.snapshots.precision == "float16" else 4
    weights = weight * len(configuration.snapshots_of(model))
    # Weights and the optimizer's two moments in float32.
    states = 12 * len(configuration.resume_points_of(model))
    return math.ceil(size.parameters * (weights + states) / 1e6)


def evaluation_minutes(configuration: Configuration, model: Model) -> int:
    """Minutes that a job should request to measure a model's quality."""
    test_sets = 2 if OBJECTIVES[model.objective].translates else 0
    sentences = test_sets * (configuration.evaluation.sentences or TEST_SENTENCES)
    return 10 + math.ceil(TRANSLATION_SECONDS * sentences / 60)


def evaluations_per_update(
    recording: Recording, sample_tokens: int = 32
) -> list[tuple[int, float]]:
    """Additional forward and backward passes for recording: tokens per pass, passes per update.

    Adjacent intervals share the evaluation at their common end, and so do the trapezoidal rule and
    Simpson's rule. `sample_tokens` is the length of a sample: a text with a number of sentences is
    evaluated as a whole.
    """
    found = [
        (recording.fresh_tokens, 1 / stride)
        for name, stride in recording.strides.items()
        if parse_estimator(name).rule == "fresh"
    ]

    def probe_tokens(text: str) -> int:
        sentences = recording.texts[text].sentences if text in recording.texts else None
        return sentences * sample_tokens if sentences else recording.probe_tokens

    for name, stride in recording.strides.items():
        if parse_estimator(name).rule == "exact":
            found.append((probe_tokens(parse_estimator(name).text), 1 / stride))
    inner = (
        SIMPSON_EVALUATIONS
        if recording.simpson_tolerance is None
        else SIMPSON_EVALUATIONS_WITH_TOLERANCE
    )
    for text in texts_of(recording.strides):
        trapezoid, simpson = (
            recording.strides.get(Estimator(rule, text).name, 0) for rule in INTERVAL_RULES
        )
        ends = sum(1 / stride for stride in (trapezoid, simpson) if stride)
        if trapezoid and simpson:
            ends -= 1 / math.lcm(trapezoid, simpson)
        found.append((probe_tokens(text), ends + (inner / simpson if simpson else 0)))
    return found


def records_per_update(recording: Recording, size: ModelSize) -> float:
    """Numbers that are added to a cube per update."""
    numbers = 0.0
    for name, stride in recording.strides.items():
        details = recording.details.get(name, [])
        per_cell = 1 + len(set(details) - {"vocabulary"})
        words = size.embedding_matrices * recording.vocabulary_bins
        numbers += (per_cell * size.cells + ("vocabulary" in details) * words) / stride
    return numbers


def _memory(
    hardware: str, training: Training, recording: Recording, size: ModelSize
) -> tuple[int, int]:
    """Megabytes of the host and of one device."""
    fresh = sum(parse_estimator(name).rule in ("fresh", "exact") for name in recording.strides)
    # The recorder's copies of the parameters, and the gradients of a probe and of fresh batches.
    recorder = 4 * (4 + max(0, fresh - 1) if texts_of(recording.strides) else 1 + fresh)
    if hardware == "cpu":
        # Parameters, gradients and Adam's two moments in float32; a checkpoint being written.
        held = size.parameters * (16 + recorder + 12) + 4 * size.activations * training.max_tokens
        return round(MEMORY_MARGIN * (PROCESS_MEMORY["cpu"] + held / 1e6)), 0
    # Weights and gradients in half and single precision, Adam's two moments.
    fixed = 20 if training.precision == "fp16" else 16
    width = 2 if training.precision == "fp16" else 4
    device = size.parameters * (fixed + recorder) + width * size.activations * training.max_tokens
    # A checkpoint being written, and gradients of probes, which are stored on the host.
    host = PROCESS_MEMORY["cuda"] + size.parameters * (14 + 8) / 1e6
    return round(MEMORY_MARGIN * host), round(MEMORY_MARGIN * device / 1e6)


def _disk(
    hardware: str, training: Training, recording: Recording, size: ModelSize
) -> tuple[int, int]:
    """Megabytes while a training runs and after it."""
    cube = training.total_updates * records_per_update(recording, size) * BYTES_PER_CELL
    weight = 2 if training.precision == "fp16" and hardware != "cpu" else 4
    # Parts, until the cube is complete; checkpoints with weights and Adam's moments.
    running = cube + CHECKPOINTS * size.parameters * (weight + 8)
    return math.ceil(running / 1e6), math.ceil((cube + weight * size.parameters) / 1e6)
