"""The paper's hyper-parameters as the command line of fairseq-train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from running.files import UserError
from running.models import Model

# What fairseq's roberta always does with its token vectors.
ROBERTA_EMBEDDINGS = ("--layernorm-embedding", "--no-scale-embedding")
PLUGIN = Path(__file__).resolve().parent.parent / "losschange_fairseq"


def fairseq_arguments(
    model: Model,
    training: Mapping[str, object],
    data: Path,
    seed: int,
    device: str,
    recording: Mapping[str, object] | None = None,
    worker: tuple[int, int] = (0, 1),
) -> list[str]:
    """Arguments that make fairseq-train do what the paper describes (Table 2).

    Parameters
    ----------
    model : Model
    training : mapping
        Fields of running.configuration.Training.
    data : path
        Folder of token ids.
    seed : int
    device : {"cpu", "cuda"}
        A CPU trains in float32 whatever the precision asked for.
    recording : mapping, optional
        Fields of running.configuration.Recording; the batch estimator alone without it.
    worker : (int, int)
        Number of this process, from 0, and how many share every update.

    Raises
    ------
    UserError
        If the micro-batches of an update cannot be shared evenly.
    """
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
        *("--optimizer", "fused_adam" if training["fast_optimizer"] else training["optimizer"]),
        *("--adam-betas", str(tuple(training["adam_betas"]))),
        *("--adam-eps", str(training["adam_epsilon"])),
        *("--weight-decay", str(training["weight_decay"])),
        *("--clip-norm", str(training["clip_norm"])),
        *("--lr", str(training["learning_rate"])),
        *("--lr-scheduler", str(training["learning_rate_schedule"])),
        *("--warmup-updates", str(training["warmup_updates"])),
        *("--total-num-update", str(training["total_updates"])),
        *("--max-update", str(training["total_updates"])),
        *("--update-freq", str(training["update_frequency"] // workers)),
        *("--max-tokens", str(training["max_tokens"])),
        *("--dropout", str(training["dropout"])),
        *("--attention-dropout", str(training["attention_dropout"])),
        *("--activation-fn", str(training["activation"])),
        *("--num-workers", str(training["data_workers"])),
        # fairseq would count the GPUs of the machine. One exchange of gradients per update.
        *("--distributed-world-size", str(workers), "--distributed-rank", str(rank)),
        *("--device-id", str(rank), "--distributed-no-spawn", "--ddp-backend", "legacy_ddp"),
        # torch >= 2.6 refuses what fairseq would send to the others.
        "--load-checkpoint-on-all-dp-ranks",
        "--skip-invalid-size-inputs-valid-test",
    ]
    if training["initialisation"] == "depth_scaled":
        arguments.append("--depth-scaled-initialisation")
    if recording:
        arguments += ["--lca-recording", _recording(recording, training, seed)]
    for switch in ("fast_layers", "fast_bookkeeping"):
        if training[switch]:
            arguments.append(f"--{switch.replace('_', '-')}")
    if training["micro_batches"] != "stock":
        arguments += ["--micro-batches", str(training["micro_batches"])]
    if training["compile"]:
        arguments.append("--compile-layers")
        if training["fast_cross_entropy"]:
            arguments.append("--compile-chunks")
    if device == "cpu":
        # A thread that reads ahead gains nothing on one core, and can abort a process that ends.
        arguments += ["--cpu", "--data-buffer-size", "0"]
    elif training["precision"] == "fp16":
        arguments.append("--fp16")
    elif training["precision"] == "bf16":
        # fairseq's own --bf16 means a TPU.
        arguments += ["--autocast", device]
    specific = {"clm": _causal_lm, "mlm": _masked_lm, "mt": _translation}[model.objective]
    return [*arguments, *specific(model, training)]


def _recording(recording: Mapping[str, object], training: Mapping[str, object], seed: int) -> str:
    """Fields of losschange_fairseq.recording.RecordingSettings as JSON."""
    settings = dict(recording)
    strides = settings.pop("estimators")
    limits = {"seed": seed, "max_tokens": training["max_tokens"]}
    return json.dumps({"strides": strides, **settings, **limits})


def _causal_lm(model: Model, training: Mapping[str, object]) -> list[str]:
    arguments = [
        *("--task", "lca_language_modeling", "--arch", "transformer_lm"),
        *_criterion(training),
        *("--tokens-per-sample", str(training["tokens_per_sample"])),
        *_stack("decoder", training["layers"], training),
        *("--decoder-input-dim", str(training["embedding_dimension"])),
        *("--decoder-output-dim", str(training["embedding_dimension"])),
    ]
    if training["tied_embeddings"]:
        arguments.append("--share-decoder-input-output-embed")
    if training["embedding_layer"] == "roberta":
        arguments += ["--decoder-learned-pos", *ROBERTA_EMBEDDINGS]
    # fairseq does not apply its pre-norm defaults for language models to the plain transformer_lm.
    if training["norm"] == "pre":
        arguments.append("--decoder-normalize-before")
    return arguments


def _masked_lm(model: Model, training: Mapping[str, object]) -> list[str]:
    arguments = [
        *("--task", "lca_masked_lm", "--arch", "roberta_base"),
        *("--criterion", "chunked_masked_lm" if training["fast_cross_entropy"] else "masked_lm"),
        *("--tokens-per-sample", str(training["tokens_per_sample"])),
        *("--mask-prob", str(training["mask_probability"])),
        *("--leave-unmasked-prob", str(training["leave_unmasked_probability"])),
        *("--random-token-prob", str(training["random_token_probability"])),
        *_stack("encoder", training["layers"], training),
    ]
    if not training["tied_embeddings"]:
        arguments.append("--untie-weights-roberta")
    if training["norm"] == "pre":
        arguments.append("--encoder-normalize-before")
    return arguments


def _translation(model: Model, training: Mapping[str, object]) -> list[str]:
    half = training["layers"] // 2
    arguments = [
        *("--task", "lca_translation", "--arch", "transformer"),
        *("--source-lang", model.source, "--target-lang", model.target),
        *_criterion(training),
        *_stack("encoder", half, training),
        *_stack("decoder", half, training),
    ]
    if training["tied_embeddings"]:
        arguments.append("--share-all-embeddings")
    if training["embedding_layer"] == "roberta":
        arguments += ["--encoder-learned-pos", "--decoder-learned-pos", *ROBERTA_EMBEDDINGS]
    if training["norm"] == "pre":
        arguments += ["--encoder-normalize-before", "--decoder-normalize-before"]
    return arguments


def _stack(side: str, layers: int, training: Mapping[str, object]) -> list[str]:
    return [
        *(f"--{side}-layers", str(layers)),
        *(f"--{side}-attention-heads", str(training["attention_heads"])),
        *(f"--{side}-embed-dim", str(training["embedding_dimension"])),
        *(f"--{side}-ffn-embed-dim", str(training["feed_forward_dimension"])),
    ]


def _criterion(training: Mapping[str, object]) -> list[str]:
    if training["label_smoothing"]:
        smoothing = str(training["label_smoothing"])
        return ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", smoothing]
    chunked = training["fast_cross_entropy"]
    return ["--criterion", "chunked_cross_entropy" if chunked else "cross_entropy"]
