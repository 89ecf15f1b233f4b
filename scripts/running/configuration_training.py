"""The section `training` of the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from .configuration_fields import Count, Positive, Rate, Section, Share


class Training(Section):
    """Hyper-parameters of one training (Table 2)."""

    layers: Positive
    attention_heads: Positive
    embedding_dimension: Positive
    feed_forward_dimension: Positive
    activation: Literal["relu", "gelu"]
    dropout: Share
    attention_dropout: Share
    tied_embeddings: bool | Literal["none", "decoder", "all"]
    norm: Literal["stock", "pre", "post"]
    embedding_layer: Literal["stock", "roberta"]
    initialisation: Literal["stock", "depth_scaled"]
    optimizer: Literal["adam", "sgd"]
    momentum: Share = 0.0
    adam_betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    adam_epsilon: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(ge=0)]
    learning_rate: Rate
    learning_rate_schedule: Literal["polynomial_decay", "inverse_sqrt"]
    warmup_updates: Count
    total_updates: Positive
    update_frequency: Positive
    tokens_per_sample: Annotated[int, Field(ge=8)]
    max_tokens: Annotated[int, Field(ge=8)]
    label_smoothing: Share
    mask_probability: Annotated[float, Field(gt=0, lt=1)]
    leave_unmasked_probability: Share
    random_token_probability: Share
    prefix_share: Share | None
    infilling_share: Annotated[float, Field(gt=0, lt=1)]
    infilling_span: Rate
    permuted_sentences: bool
    precision: Literal["fp16", "bf16", "fp32"]
    fast_layers: bool
    fast_cross_entropy: bool
    fast_optimizer: bool
    fast_masking: bool
    micro_batches: Positive | Literal["auto", "stock"]
    compile: bool

    @model_validator(mode="after")
    def _fits_together(self) -> Training:
        problems = []
        if self.embedding_dimension % self.attention_heads:
            problems.append(
                f"embedding_dimension {self.embedding_dimension} does not divide "
                f"into {self.attention_heads} attention_heads"
            )
        if self.warmup_updates >= self.total_updates:
            problems.append(
                f"warmup_updates {self.warmup_updates} is not below "
                f"total_updates {self.total_updates}"
            )
        if self.tokens_per_sample > self.max_tokens:
            problems.append(
                f"tokens_per_sample {self.tokens_per_sample} is above max_tokens {self.max_tokens}"
            )
        if self.fast_cross_entropy and self.label_smoothing:
            problems.append(
                "fast_cross_entropy does not support label_smoothing; turn one of them off"
            )
        if self.optimizer == "sgd" and self.fast_optimizer:
            problems.append("fast_optimizer is Adam; set it to false for optimizer sgd")
        if self.optimizer == "adam" and self.momentum:
            problems.append(
                f"momentum {self.momentum} is that of sgd; Adam's is the first of adam_betas"
            )
        if self.compile and not self.fast_layers:
            problems.append("compile needs fast_layers")
        if problems:
            raise ValueError("; ".join(problems))
        return self


# The keys of Training, all optional: the values that an objective or a model overrides. The types
# are made at run time, so they cannot be annotated more precisely than with Any.
_OPTIONAL_FIELDS: dict[str, Any] = {
    name: (Annotated[(info.annotation, *info.metadata, name)] | None, None)
    for name, info in Training.model_fields.items()
}
TrainingOverride = create_model("TrainingOverride", __base__=Section, **_OPTIONAL_FIELDS)
