"""What a run will cost before it starts: time, memory and disk of every training.

All numbers are estimates: times from throughputs.csv (see `speeds`), memory and disk from the
sizes of models and cubes. tests/test_costs.py says how near they are to real runs.
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

# What recording `batch` adds to an update; on an H100 1.5 % were measured.
RECORDING_SHARE = 0.03
# Evaluations of Simpson's rule inside an interval: one, or more where intervals are split.
SIMPSON_EVALUATIONS, SIMPSON_EVALUATIONS_WITH_TOLERANCE = 1, 3
# Imports, token ids, the first and last validation.
START_UP_SECONDS = 60
# Minutes that a job asks for in addition, for a slow file system or a busy machine.
SPARE_MINUTES = 5
# Requested over estimated time: machines differ, and a job that is cut off has to start again.
TIME_MARGIN = 1.5
# Megabytes of a process with PyTorch and fairseq and no model; with CUDA an assumption.
PROCESS_MEMORY = {"cpu": 600, "cuda": 4000}
MEMORY_MARGIN = 1.5
# Bytes per cell and record of a compressed cube; 4.3 to 4.6 in runs of the preset sample.
BYTES_PER_CELL = 4.5
# Checkpoints that a training keeps while it runs.
CHECKPOINTS = 2
# Numbers of a cube summarised per second, and seconds to translate a sentence: slower than was
# seen on one core with the preset sample (2,000,000 and 0.1).
SUMMARISED_PER_SECOND = 500_000
TRANSLATION_SECONDS = 0.2
TEST_SENTENCES = 3000


@dataclass(frozen=True)
class TrainingCost:
    """Estimates for one training.

    Attributes
    ----------
    updates : int
    tokens_per_update : float
        Target tokens.
    parameters : int
    operations : float
        Floating point operations of all updates, without recording.
    seconds_plain, seconds : float
        Of the training alone, and with everything that is recorded.
    host_memory, device_memory : int
        Megabytes; device_memory is of one GPU, 0 on a CPU.
    cube_numbers : float
        Numbers in its cube.
    disk_running, disk_kept : int
        Megabytes while it runs, beside those kept afterwards; and those.
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
        """Minutes that a job should ask for to summarise the cube."""
        return 5 + math.ceil(self.cube_numbers / SUMMARISED_PER_SECOND / 60)

    @property
    def tokens_per_second(self) -> float:
        """Target tokens per second with everything that is recorded."""
        return self.updates * self.tokens_per_update / self.seconds

    @property
    def minutes_to_request(self) -> int:
        """Minutes that a job should ask for to finish in one try."""
        return SPARE_MINUTES + math.ceil((TIME_MARGIN * self.seconds + START_UP_SECONDS) / 60)

    def tries(self, time_limit: int | None) -> int:
        """Jobs needed where each may take `time_limit` minutes; every one starts anew."""
        if time_limit is None:
            return 1
        usable = max(60 * time_limit - START_UP_SECONDS, 1)
        return math.ceil(TIME_MARGIN * self.seconds / usable)


def hardware_of(execution: Execution) -> str:
    """The machine that is estimated for: a name of throughputs.csv.

    "auto" is a CPU where trainings ask for no GPU, else the paper's own and the slowest, V100.
    """
    if execution.gpus == 0 or execution.device == "cpu":
        return "cpu"
    return "v100" if execution.hardware == "auto" else execution.hardware


def training_cost(configuration: Configuration, model: Model) -> TrainingCost:
    """Estimate one training of a configuration."""
    training, execution = configuration.training_of(model), configuration.execution
    settings, recording = training.model_dump(), configuration.recording_of(model)
    vocabulary = configuration.vocabulary.size
    hardware = hardware_of(execution)
    size = size_of(model.objective, settings, vocabulary)
    batch_tokens = OBJECTIVES[model.objective].filled * training.max_tokens

    def seconds(tokens: float) -> float:
        return seconds_per_batch(hardware, model.objective, settings, vocabulary, tokens)

    batches = training.update_frequency / execution.processes
    update = batches * seconds(batch_tokens)
    recorded = update * (1 + RECORDING_SHARE)
    for tokens, evaluations in evaluations_per_update(recording):
        whole, rest = divmod(tokens, training.max_tokens)
        recorded += evaluations * (
            whole * seconds(training.max_tokens) + (seconds(rest) if rest else 0.0)
        )
    host, device = _memory(hardware, training, recording, size)
    running, kept = _disk(hardware, training, recording, size)
    kept += snapshots_disk(configuration, model, size)
    return TrainingCost(
        updates=training.total_updates,
        tokens_per_update=training.update_frequency * batch_tokens,
        parameters=size.parameters,
        operations=training.total_updates
        * training.update_frequency
        * batch_tokens
        * size.operations,
        seconds_plain=training.total_updates * update,
        seconds=training.total_updates * recorded,
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
    states = 12 * len(configuration.resume_points)
    return math.ceil(size.parameters * (weights + states) / 1e6)


def evaluation_minutes(configuration: Configuration, model: Model) -> int:
    """Minutes that a job should ask for to measure a model's quality."""
    test_sets = 2 if OBJECTIVES[model.objective].translates else 0
    sentences = test_sets * (configuration.evaluation.sentences or TEST_SENTENCES)
    return 10 + math.ceil(TRANSLATION_SECONDS * sentences / 60)


def evaluations_per_update(recording: Recording) -> list[tuple[int, float]]:
    """Tokens of every further forward and backward pass that is recorded, and its share of updates.

    An interval's end is the next one's beginning, and both rules share it.
    """
    found = [
        (recording.fresh_tokens, 1 / stride)
        for name, stride in recording.strides.items()
        if parse_estimator(name).rule == "fresh"
    ]
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
        found.append((recording.probe_tokens, ends + (inner / simpson if simpson else 0)))
    return found


def records_per_update(recording: Recording, size: ModelSize) -> float:
    """Numbers that a cube gains with every update."""
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
    fresh = sum(parse_estimator(name).rule == "fresh" for name in recording.strides)
    # The recorder's copies of the parameters, and the gradients of a probe and of fresh batches.
    recorder = 4 * (4 + max(0, fresh - 1) if texts_of(recording.strides) else 1 + fresh)
    if hardware == "cpu":
        # Parameters, gradients and Adam's two moments in float32; a checkpoint on its way out.
        held = size.parameters * (16 + recorder + 12) + 4 * size.activations * training.max_tokens
        return round(MEMORY_MARGIN * (PROCESS_MEMORY["cpu"] + held / 1e6)), 0
    # Weights and gradients in half and single precision, Adam's two moments.
    fixed = 20 if training.precision == "fp16" else 16
    width = 2 if training.precision == "fp16" else 4
    device = size.parameters * (fixed + recorder) + width * size.activations * training.max_tokens
    # A checkpoint on its way out, and probes' gradients that are kept on the host.
    host = PROCESS_MEMORY["cuda"] + size.parameters * (14 + 8) / 1e6
    return round(MEMORY_MARGIN * host), round(MEMORY_MARGIN * device / 1e6)


def _disk(
    hardware: str, training: Training, recording: Recording, size: ModelSize
) -> tuple[int, int]:
    """Megabytes while a training runs and after it."""
    cube = training.total_updates * records_per_update(recording, size) * BYTES_PER_CELL
    weight = 2 if training.precision == "fp16" and hardware != "cpu" else 4
    # Parts until the cube is complete; weights and Adam's moments in every checkpoint.
    running = cube + CHECKPOINTS * size.parameters * (weight + 8)
    return math.ceil(running / 1e6), math.ceil((cube + weight * size.parameters) / 1e6)
