"""The configuration: what config.yaml may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    create_model,
    model_validator,
)

from .configuration_corpora import CleaningSteps, Corpus, Source
from .configuration_fields import Count, Positive, Rate, Section, Share
from .models import Model, parse_model


def _model_name(name: str) -> str:
    parse_model(name)
    return name


ModelName = Annotated[str, AfterValidator(_model_name)]


class Vocabulary(Section):
    """SentencePiece byte-pair encoding."""

    size: Annotated[int, Field(ge=8)]
    sentences: Count


class Training(Section):
    """Hyper-parameters of one training (Table 2)."""

    layers: Positive
    attention_heads: Positive
    embedding_dimension: Positive
    feed_forward_dimension: Positive
    activation: Literal["relu", "gelu"]
    dropout: Share
    attention_dropout: Share
    tied_embeddings: bool
    norm: Literal["stock", "pre", "post"]
    embedding_layer: Literal["stock", "roberta"]
    initialisation: Literal["stock", "depth_scaled"]
    optimizer: Literal["adam"]
    adam_betas: Annotated[list[Share], Field(min_length=2, max_length=2)]
    adam_epsilon: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(ge=0)]
    learning_rate: Rate
    learning_rate_schedule: Literal["polynomial_decay"]
    warmup_updates: Count
    total_updates: Positive
    update_frequency: Positive
    tokens_per_sample: Annotated[int, Field(ge=8)]
    max_tokens: Annotated[int, Field(ge=8)]
    label_smoothing: Share
    mask_probability: Annotated[float, Field(gt=0, lt=1)]
    leave_unmasked_probability: Share
    random_token_probability: Share
    precision: Literal["fp16", "bf16", "fp32"]
    device: Literal["auto", "cpu", "cuda"]
    fast_layers: bool
    fast_cross_entropy: bool
    fast_optimizer: bool
    fast_bookkeeping: bool
    micro_batches: Positive | Literal["auto", "stock"]
    compile: bool
    data_workers: Count
    validation_interval: Positive
    checkpoint_interval: Positive

    @model_validator(mode="after")
    def _fits_together(self) -> Training:
        problems = []
        if self.embedding_dimension % self.attention_heads:
            problems.append(
                f"embedding_dimension {self.embedding_dimension} does not divide "
                f"into {self.attention_heads} attention_heads"
            )
        if self.layers % 2:
            problems.append(f"layers {self.layers} is odd; MT needs half of them on each side")
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
            problems.append("fast_cross_entropy knows no label_smoothing; set one of them off")
        if self.compile and not self.fast_layers:
            problems.append("compile needs fast_layers")
        if problems:
            raise ValueError("; ".join(problems))
        return self


# The same keys, all of them optional: what an objective or a model overrides.
TrainingOverride = create_model(
    "TrainingOverride",
    __base__=Section,
    **{
        name: (Annotated[(info.annotation, *info.metadata, name)] | None, None)
        for name, info in Training.model_fields.items()
    },
)


class EstimatorStrides(Section):
    """Updates between two records of each estimator; 0 = off."""

    fresh: Count
    probe: Count
    simpson: Count
    probe_valid: Count
    simpson_valid: Count


class Recording(Section):
    """What a cube holds beside the training batch's own estimator."""

    estimators: EstimatorStrides
    probe_tokens: Annotated[int, Field(ge=8)]
    fresh_tokens: Annotated[int, Field(ge=8)]
    details: dict[
        Literal["batch", "fresh", "probe", "simpson", "probe_valid", "simpson_valid"],
        list[Literal["positive", "helped", "vocabulary"]],
    ]
    simpson_tolerance: Rate | None
    vocabulary_bins: Positive
    vocabulary_division: Literal["mass", "rank"]

    @model_validator(mode="after")
    def _details_of_what_is_recorded(self) -> Recording:
        off = [
            name
            for name, details in self.details.items()
            if details and not getattr(self.estimators, name, 1)
        ]
        if off:
            raise ValueError(f"details of {', '.join(off)}, which estimators turns off")
        return self


class Evaluation(Section):
    """How translations are decoded."""

    beam: Positive
    length_penalty: Rate
    sentences: Count
    max_tokens: Positive


class Resources(Section):
    """What one training asks of the machine."""

    hardware: Literal["auto", "h100", "v100"]
    time_limit: Positive | None
    training_threads: Positive
    training_gpus: Count
    training_workers: Positive | None
    training_memory: Positive | None

    @property
    def workers(self) -> int:
        """Processes that share every update of a training."""
        return self.training_workers or max(self.training_gpus, 1)

    @model_validator(mode="after")
    def _a_worker_per_gpu(self) -> Resources:
        if self.training_gpus and self.training_workers not in (None, self.training_gpus):
            raise ValueError(
                f"training_workers {self.training_workers} should be null or training_gpus "
                f"{self.training_gpus}: every worker has one GPU"
            )
        return self


class MainModels(Section):
    """The model of each objective in Figures 1-4 and Table 1."""

    clm: ModelName
    mlm: ModelName
    mt: ModelName


class Configuration(Section):
    """The whole config.yaml."""

    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    seed: Annotated[int, Field(ge=1, lt=2**31)]
    seeds: Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1)]
    models: Annotated[list[ModelName], Field(min_length=1)]
    wmt_language_models: bool
    matched_architecture: bool
    main_models: MainModels
    mirror: str | None
    download_retries: Positive
    download_timeout: Rate
    parallel_downloads: Positive
    unpacked_limit: Rate
    invalid_utf8_share: Annotated[float, Field(ge=0, le=1)]
    sources: dict[str, Source]
    corpora: dict[str, Corpus]
    cleaning: CleaningSteps
    vocabulary: Vocabulary
    training: Training
    objective_training: dict[Literal["clm", "mlm", "mt"], TrainingOverride]
    model_training: dict[ModelName, TrainingOverride]
    matched_training: TrainingOverride
    recording: Recording
    evaluation: Evaluation
    resources: Resources

    def trained_models(self) -> list[Model]:
        """The models of this run, in the order of the configuration."""
        names = list(self.models)
        if self.wmt_language_models:
            names += ["clm-en-wmt", "mlm-en-wmt"]
        if self.matched_architecture:
            main = self.main_models.model_dump().values()
            names += [f"{name}.matched" for name in main if name in names]
        return [parse_model(name) for name in dict.fromkeys(names)]

    def replicates(self) -> dict[str, tuple[Model, int]]:
        """Every training of this run: its name to model and seed.

        A model's training with the first seed has the model's name, the others have
        `.seed<number>` after it.
        """
        return {
            model.name if position == 0 else f"{model.name}.seed{seed}": (model, seed)
            for position, seed in enumerate(dict.fromkeys(self.seeds))
            for model in self.trained_models()
        }

    def training_of(self, model: Model) -> Training:
        """The hyper-parameters of one model, overrides applied."""
        merged = self.training.model_dump()
        for override in (
            self.objective_training.get(model.objective),
            self.matched_training if model.architecture == "matched" else None,
            self.model_training.get(model.name),
        ):
            if override is not None:
                merged |= override.model_dump(exclude_unset=True)
        return Training.model_validate(merged)


def synthetic_pairs(source: str) -> tuple[int, str] | None:
    """Number of pairs and domain of a source named synthetic:<pairs>[:news], else None.

    Raises
    ------
    ValueError
        If the source starts with "synthetic:" but is not of that form.
    """
    kind, _, rest = source.partition(":")
    if kind != "synthetic":
        return None
    pairs, _, domain = rest.partition(":")
    if not pairs.isdigit() or int(pairs) < 1 or domain not in ("", "news", "parliament"):
        raise ValueError("allowed is synthetic:<pairs> or synthetic:<pairs>:news")
    return int(pairs), domain or "parliament"
