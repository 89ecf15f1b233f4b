"""Hyper-parameters in use, read from the objects that fairseq built, not from the arguments."""

from __future__ import annotations

import ast

import torch
from fairseq.modules import LearnedPositionalEmbedding

from .fast.small_heads import LONGEST, WIDEST
from .fast.stacks import FastDecoder, FastEncoder

# Settings that only some tasks have: the name in the configuration to fairseq's name.
OF_TASKS = {
    "tokens_per_sample": "tokens_per_sample",
    "mask_probability": "mask_prob",
    "leave_unmasked_probability": "leave_unmasked_prob",
    "random_token_probability": "random_token_prob",
    "prefix_share": "prefix_share",
    "infilling_share": "mask",
    "infilling_span": "poisson_lambda",
    "permuted_sentences": "permute_sentences",
}


def settings_as_run(cfg, model, passes: int | None = None) -> dict[str, object]:
    """Settings of a training under the names of the paper's Table 2.

    Parameters
    ----------
    cfg : fairseq configuration
    model : fairseq model
        A `transformer`, `transformer_lm` or `roberta` model.
    passes : int, optional
        Passes per update, if this number was chosen during training.
    """
    sides = [getattr(model, side, None) for side in ("encoder", "decoder")]
    stacks = [getattr(side, "sentence_encoder", side) for side in sides if side is not None]
    layer = stacks[0].layers[0]
    learned = isinstance(stacks[0].embed_positions, LearnedPositionalEmbedding)
    options, optimization, task = cfg.model, cfg.optimization, cfg.task
    settings = {
        "layers": sum(len(stack.layers) for stack in stacks),
        "attention_heads": layer.self_attn.num_heads,
        "embedding_dimension": layer.self_attn.embed_dim,
        "feed_forward_dimension": layer.fc1.out_features,
        "activation": options.activation_fn,
        "norm": "pre" if layer.normalize_before else "post",
        "positions": "learned" if learned else "sinusoidal",
        "embedding_norm": stacks[0].layernorm_embedding is not None,
        "dropout": layer.dropout_module.p,
        "attention_dropout": layer.self_attn.dropout_module.p,
        # Micro-batches of an update, summed over all data-parallel processes.
        "update_frequency": optimization.update_freq[0]
        * cfg.distributed_training.distributed_world_size,
        "precision": _precision(cfg),
        "total_updates": int(cfg.optimization.max_update),
        "warmup_updates": cfg.lr_scheduler.warmup_updates,
        "learning_rate_schedule": cfg.lr_scheduler._name,
        "learning_rate": optimization.lr[0],
        "optimizer": cfg.optimizer._name.removeprefix("fused_"),
        # Which of the faster implementations are in use, read from the built objects.
        "fast_layers": isinstance(stacks[0], FastEncoder | FastDecoder),
        "fast_cross_entropy": cfg.criterion._name.startswith("chunked_"),
        "fast_optimizer": cfg.optimizer._name.startswith("fused_"),
        "fast_masking": bool(getattr(task, "fast_masking", False)),
        "compile": bool(getattr(task, "compile_layers", False)),
        # Passes per update, of all data-parallel processes together.
        "micro_batches": (passes or optimization.update_freq[0])
        * cfg.distributed_training.distributed_world_size,
        "attention_kernel": _attention_kernel(stacks[0]),
        **_optimizer_options(cfg.optimizer),
        "weight_decay": cfg.optimizer.weight_decay,
        "clip_norm": optimization.clip_norm,
        "max_tokens": cfg.dataset.max_tokens,
        "label_smoothing": getattr(cfg.criterion, "label_smoothing", 0.0),
    }
    return settings | {name: getattr(task, n) for name, n in OF_TASKS.items() if hasattr(task, n)}


def _optimizer_options(options) -> dict[str, object]:
    """Options that only one of fairseq's optimizers has."""
    if options._name == "sgd":
        return {"momentum": options.momentum}
    return {
        "adam_betas": list(ast.literal_eval(str(options.adam_betas))),
        "adam_epsilon": options.adam_eps,
    }


def _attention_kernel(stack) -> str:
    """Which code computed the attention of a stack: fairseq's, this project's, or PyTorch's."""
    if not isinstance(stack, FastEncoder | FastDecoder):
        return "fairseq"
    parameter = next(stack.parameters())
    attention = stack.layers[0].self_attn
    if parameter.device.type == "cpu":
        narrow = attention.head_dim <= WIDEST and not attention.dropout_module.p
        return f"small_heads up to {LONGEST} tokens, torch above" if narrow else "torch"
    allowed = torch.backends.cuda
    names = {
        "cudnn": allowed.cudnn_sdp_enabled() and not stack.lengths_change,
        "flash": allowed.flash_sdp_enabled(),
        "efficient": allowed.mem_efficient_sdp_enabled(),
        "math": allowed.math_sdp_enabled(),
    }
    return "torch: " + ", ".join(name for name, on in names.items() if on)


def _precision(cfg) -> str:
    if cfg.common.fp16:
        return "fp16"
    return "bf16" if getattr(cfg.task, "autocast", None) else "fp32"
