"""The paper's hyper-parameters as the command line of fairseq-train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import UserError
from objectives import OBJECTIVES
from running.models import Model

PLUGIN = Path(__file__).resolve().parent.parent / "losschange_fairseq"


def fairseq_arguments(
    model: Model,
    training: Mapping[str, Any],
    data: Path,
    seed: int,
    device: str,
    recording: Mapping[str, Any] | None = None,
    worker: tuple[int, int] = (0, 1),
    data_workers: int = 0,
    files: Mapping[str, Path] | None = None,
) -> list[str]:
    """Arguments of fairseq-train for a training with the paper's hyper-parameters (Table 2).

    Parameters
    ----------
    model : Model
    training : mapping
        Fields of running.configuration.Training.
    data : path
        Folder of token ids.
    seed : int
    device : {"cpu", "cuda"}
        A CPU always trains in float32, whatever precision is configured.
    recording : mapping, optional
        Fields of running.configuration.Recording; without it, only the batch estimator is recorded.
    worker : (int, int)
        Number of this process, from 0, and how many processes share every update.
    data_workers : int
        Processes that load batches in advance; 0 = the training process loads them itself.
    files : mapping of str to path, optional
        Files of a variant. "head_mask": the heads that are closed from the start
        (losschange_fairseq.head_mask). "frozen_cells": the cells that do not learn
        (losschange.cube.frozen_cells.FrozenCells).

    Raises
    ------
    UserError
        If the micro-batches of an update cannot be shared evenly, or the mask cannot be read.
    """
    files = files or {}
    rank, workers = worker
    if training["update_frequency"] % workers:
        raise UserError(
            f"update_frequency {training['update_frequency']} does not divide among {workers} "
            "workers"
        )
    arguments = [
        str(data),
        *("--user-dir", str(PLUGIN)),
        *("--seed", str(seed)),
        *_optimizer(training),
        *("--weight-decay", str(training["weight_decay"])),
        *("--clip-norm", str(training["clip_norm"])),
        *("--lr", str(training["learning_rate"])),
        *("--lr-scheduler", str(training["learning_rate_schedule"])),
        *("--warmup-updates", str(training["warmup_updates"])),
        *("--max-update", str(training["total_updates"])),
        *("--update-freq", str(training["update_frequency"] // workers)),
        *("--max-tokens", str(training["max_tokens"])),
        *("--dropout", str(training["dropout"])),
        *("--attention-dropout", str(training["attention_dropout"])),
        *("--activation-fn", str(training["activation"])),
        *("--num-workers", str(data_workers)),
        # By default fairseq uses all GPUs of the machine. Exchange gradients once per update.
        *("--distributed-world-size", str(workers), "--distributed-rank", str(rank)),
        *("--device-id", str(rank), "--distributed-no-spawn", "--ddp-backend", "legacy_ddp"),
        # torch >= 2.6 refuses to load the objects that fairseq would send to other processes.
        "--load-checkpoint-on-all-dp-ranks",
        "--skip-invalid-size-inputs-valid-test",
    ]
    if training["learning_rate_schedule"] == "polynomial_decay":
        arguments += ["--total-num-update", str(training["total_updates"])]
    if training["initialisation"] == "depth_scaled":
        arguments.append("--depth-scaled-initialisation")
    if recording:
        arguments += ["--lca-recording", _recording(recording, training, seed)]
    for switch in ("fast_layers", "fast_masking"):
        if training[switch]:
            arguments.append(f"--{switch.replace('_', '-')}")
    if "head_mask" in files:
        arguments += ["--head-mask", read_head_mask(files["head_mask"])]
    if "frozen_cells" in files:
        arguments += ["--frozen-cells", str(files["frozen_cells"])]
    if training["micro_batches"] != "stock":
        arguments += ["--micro-batches", str(training["micro_batches"])]
    if training["compile"]:
        arguments.append("--compile-layers")
        if training["fast_cross_entropy"]:
            arguments.append("--compile-chunks")
    if device == "cpu":
        # A thread that loads batches in advance gains nothing on one core, and can abort the
        # process when it ends.
        arguments += ["--cpu", "--data-buffer-size", "0"]
    elif training["precision"] == "fp16":
        arguments.append("--fp16")
    elif training["precision"] == "bf16":
        # fairseq's own --bf16 is for TPUs.
        arguments += ["--autocast", device]
    objective = OBJECTIVES[model.objective]
    languages = (model.source, model.target)
    return [*arguments, "--task", objective.task, *objective.arguments(training, languages)]


def _optimizer(training: Mapping[str, Any]) -> list[str]:
    """The optimizer and its options; fairseq refuses options of another optimizer."""
    if training["optimizer"] == "sgd":
        return ["--optimizer", "sgd", "--momentum", str(training["momentum"])]
    return [
        *("--optimizer", "fused_adam" if training["fast_optimizer"] else "adam"),
        *("--adam-betas", str(tuple(training["adam_betas"]))),
        *("--adam-eps", str(training["adam_epsilon"])),
    ]


def read_head_mask(path: Path) -> str:
    """The mask in a file of prune_heads.py, as JSON of one line.

    Raises
    ------
    UserError
        If the file holds no mask.
    """
    try:
        return json.dumps(json.loads(path.read_text(encoding="utf-8"))["mask"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no mask of heads ({error}); prune the model again") from error


def _recording(recording: Mapping[str, Any], training: Mapping[str, Any], seed: int) -> str:
    """Fields of losschange_fairseq.recording.RecordingSettings as JSON."""
    settings = dict(recording)
    strides = settings.pop("estimators")
    limits = {"seed": seed, "max_tokens": training["max_tokens"]}
    return json.dumps({"strides": strides, **settings, **limits})
