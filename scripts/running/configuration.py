"""The configuration: the sections and keys of config.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    create_model,
    model_validator,
)

from objectives import OBJECTIVES
from studies import study_names

from .configuration_corpora import CleaningSteps, Corpus, CorpusName, Source
from .configuration_execution import Evaluation, Execution, Figures, Snapshots, Update
from .configuration_fields import Count, Positive, Rate, RunName, Section, Seeds, Share
from .configuration_recording import Recording
from .models import Model, parse_model

NEWS_TEST = "newstest2018"


def _model_name(name: str) -> str:
    parse_model(name)
    return name


def _objective_name(name: str) -> str:
    if name not in OBJECTIVES:
        raise ValueError(f"allowed are {', '.join(OBJECTIVES)}")
    return name


def _study_name(name: str) -> str:
    if name not in study_names():
        raise ValueError(f"allowed are the folders of scripts/studies: {', '.join(study_names())}")
    return name


ModelName = Annotated[str, AfterValidator(_model_name)]
ObjectiveName = Annotated[str, AfterValidator(_objective_name)]
StudyName = Annotated[str, AfterValidator(_study_name)]


class Vocabulary(Section):
    """SentencePiece byte-pair encoding."""

    size: Annotated[int, Field(ge=8)]
    sentences: Count
    normalisation: Literal["nmt_nfkc", "identity"] = "nmt_nfkc"


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
            problems.append("fast_cross_entropy knows no label_smoothing; set one of them off")
        if self.compile and not self.fast_layers:
            problems.append("compile needs fast_layers")
        if problems:
            raise ValueError("; ".join(problems))
        return self


# The same keys, all of them optional: the values that an objective or a model overrides.
TrainingOverride = create_model(
    "TrainingOverride",
    __base__=Section,
    **{
        name: (Annotated[(info.annotation, *info.metadata, name)] | None, None)
        for name, info in Training.model_fields.items()
    },
)


class Configuration(Section):
    """The whole config.yaml."""

    run: RunName
    seed: Annotated[int, Field(ge=1, lt=2**31)]
    seeds: Seeds
    models: Annotated[list[ModelName], Field(min_length=1)]
    wmt_language_models: bool
    matched_architecture: bool
    main_models: dict[ObjectiveName, ModelName]
    studies: Annotated[list[StudyName], Field(min_length=1)]
    figures: Figures
    mirror: str | None
    corpora_lock: str | None = "corpora.lock"
    download_retries: Positive
    download_timeout: Rate
    parallel_downloads: Positive
    unpacked_limit: Rate
    invalid_utf8_share: Annotated[float, Field(ge=0, le=1)]
    sources: dict[str, Source]
    corpora: dict[CorpusName, Corpus]
    cleaning: CleaningSteps
    lengths: dict[str, Literal["words", "characters"]] = {}
    vocabulary: Vocabulary
    training: Training
    objective_training: dict[ObjectiveName, TrainingOverride]
    model_training: dict[ModelName, TrainingOverride]
    matched_training: TrainingOverride
    recording: Recording
    evaluation: Evaluation
    snapshots: Snapshots
    resume_points: list[Update]
    execution: Execution

    def trained_models(self) -> list[Model]:
        """The models of this run, in the order of the configuration."""
        names = list(self.models)
        if self.wmt_language_models:
            names += ["clm-en-wmt", "mlm-en-wmt"]
        if self.matched_architecture:
            main = self.main_models.values()
            names += [f"{name}.matched" for name in main if name in names]
        return [parse_model(name) for name in dict.fromkeys(names)]

    def replicates(self) -> dict[str, tuple[Model, int]]:
        """Every training of this run: a mapping of its name to model and seed.

        A model's training with the first seed has the model's name, the others have
        `.seed<number>` after it.
        """
        return {
            model.name if position == 0 else f"{model.name}.seed{seed}": (model, seed)
            for position, seed in enumerate(dict.fromkeys(self.seeds))
            for model in self.trained_models()
        }

    def news_corpus(self, model: Model) -> str | None:
        """Name of the news test set of a translation model, None if there is none."""
        name = f"{NEWS_TEST}-{'-'.join(model.languages)}"
        return name if model.translates and name in self.corpora else None

    def used_corpora(self) -> list[str]:
        """Names of the corpora that this run reads.

        The corpora that its models are trained on, the news test sets of its translation models,
        and the corpora that one of these must not overlap with.
        """
        models = self.trained_models()
        names = [model.corpus for model in models]
        names += [news for model in models if (news := self.news_corpus(model))]
        for name in names:  # grows while it is read
            names += [other for other in self.corpora[name].held_out_from if other not in names]
        return list(dict.fromkeys(names))

    def snapshots_of(self, model: Model) -> list[int]:
        """Updates after which the weights of a model are saved, ascending."""
        wanted = (
            self.snapshots.main
            if model.name in self.main_models.values()
            else self.snapshots.others
        )
        return snapshot_updates(wanted, self.training_of(model).total_updates)

    def recording_of(self, model: Model) -> Recording:
        """The recording of one model; only main models record the texts for main models."""
        if model.name in self.main_models.values():
            return self.recording
        return self.recording.without_texts_of_main_models()

    def training_of(self, model: Model) -> Training:
        """The hyper-parameters of one model, with its overrides."""
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
    """Number of pairs and domain of a source synthetic:<pairs>[:news]; None for other sources.

    Raises
    ------
    ValueError
        If the source starts with "synthetic:" but does not have this form.
    """
    kind, _, rest = source.partition(":")
    if kind != "synthetic":
        return None
    pairs, _, domain = rest.partition(":")
    if not pairs.isdigit() or int(pairs) < 1 or domain not in ("", "news", "parliament"):
        raise ValueError("allowed is synthetic:<pairs> or synthetic:<pairs>:news")
    return int(pairs), domain or "parliament"


def snapshot_updates(wanted: int | list[int], total: int) -> list[int]:
    """Updates after which the weights are saved.

    Parameters
    ----------
    wanted : int or list of int
        The updates themselves, or their number. The number 1 means the last update alone. A larger
        number means the first (0, before training), the last, and updates between them, spaced
        logarithmically from a thousandth of the training.
    total : int
        Updates of the training.
    """
    if isinstance(wanted, list):
        return sorted(set(wanted))
    if wanted == 1:
        return [total]
    first = max(1, total / 1000)
    steps = wanted - 2
    spaced = [round(first * (total / first) ** (n / max(steps, 1))) for n in range(steps)]
    return sorted({0, *spaced, total})
