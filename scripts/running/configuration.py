"""The configuration: the sections and keys of config.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from objectives import OBJECTIVES

from .configuration_corpora import CleaningSteps, Corpus, CorpusName, Source, Treebank
from .configuration_execution import Claims, Evaluation, Execution, Figures, Snapshots, Update
from .configuration_fields import Count, Positive, Rate, RunName, Section, Seeds
from .configuration_recording import Recording
from .configuration_training import Training, TrainingOverride
from .models import Model, parse_model
from .studies import resume_points_of_study, settings_of_studies, study_names, variants_of_study
from .variants import Variant

NEWS_TEST = "newstest2018"


def _model_name(name: str) -> str:
    if parse_model(name).variant:
        raise ValueError("allowed are models; their variants are set by the studies")
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


class RunConfiguration(Section):
    """The sections of config.yaml that belong to no single study."""

    run: RunName
    seed: Annotated[int, Field(ge=1, lt=2**31)]
    seeds: Seeds
    models: Annotated[list[ModelName], Field(min_length=1)]
    wmt_language_models: bool
    matched_architecture: bool
    main_models: dict[ObjectiveName, ModelName]
    studies: Annotated[list[StudyName], Field(min_length=1)]
    figures: Figures
    claims: Claims
    mirror: str | None
    corpora_lock: str | None = "corpora.lock"
    download_retries: Positive
    download_timeout: Rate
    parallel_downloads: Positive
    unpacked_limit: Rate
    invalid_utf8_share: Annotated[float, Field(ge=0, le=1)]
    sources: dict[str, Source]
    corpora: dict[CorpusName, Corpus]
    treebanks: dict[str, Treebank | None] = {}
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
        """The models of this run without their variants, in the order of the configuration."""
        names = list(self.models)
        if self.wmt_language_models:
            names += ["clm-en-wmt", "mlm-en-wmt"]
        if self.matched_architecture:
            main = self.main_models.values()
            names += [f"{name}.matched" for name in main if name in names]
        return [parse_model(name) for name in dict.fromkeys(names)]

    def variants(self) -> dict[str, Variant]:
        """The variants of models that the studies of this run train, by full name."""
        found = (variant for study in self.studies for variant in variants_of_study(study, self))
        return {variant.full_name: variant for variant in found}

    def models_and_variants(self) -> list[Model]:
        """Everything that this run trains."""
        return [*self.trained_models(), *map(parse_model, self.variants())]

    def replicates(self) -> dict[str, tuple[Model, int]]:
        """Every training of this run: a mapping of its name to model and seed.

        A model's training with the first seed has the model's name, the others have
        `.seed<number>` after it.
        """
        return {
            model.name if position == 0 else f"{model.name}.seed{seed}": (model, seed)
            for position, seed in enumerate(dict.fromkeys(self.seeds))
            for model in self.models_and_variants()
        }

    def news_corpus(self, model: Model) -> str | None:
        """Name of the news test set of a translation model, None if there is none.

        A corpus that takes its test pairs from another one is tested on these alone.
        """
        name = f"{NEWS_TEST}-{'-'.join(model.languages)}"
        corpus = self.corpora.get(model.corpus)
        if not model.translates or name not in self.corpora or (corpus and corpus.test_from):
            return None
        return name

    def cleaning_of(self, corpus: str) -> list[dict[str, float]]:
        """Cleaning steps of a corpus: its own, or those of the run."""
        own = self.corpora[corpus].cleaning
        return self.cleaning if own is None else own

    def vocabulary_size_of(self, model: Model) -> int:
        """Symbols of a model's vocabulary: those that its corpus asks for, or those of the run."""
        return self.corpora[model.corpus].vocabulary_size or self.vocabulary.size

    def used_corpora(self) -> list[str]:
        """Names of the corpora that this run reads.

        The corpora that its models are trained on, the news test sets of its translation models,
        and the corpora that one of these must not overlap with.
        """
        models = self.trained_models()
        names = [model.corpus for model in models]
        names += [news for model in models if (news := self.news_corpus(model))]
        for name in names:  # the list grows inside this loop
            corpus = self.corpora[name]
            others = [*corpus.held_out_from, *([corpus.test_from] if corpus.test_from else [])]
            names += [other for other in others if other not in names]
        return list(dict.fromkeys(names))

    def is_generated(self, corpus: str) -> bool:
        """Whether all text of a corpus is generated."""
        return generated_pairs(self.corpora[corpus].sources) is not None

    def treebanks_of(self, model: Model) -> dict[str, Treebank]:
        """Treebanks of a model's languages; none if its text is generated with its syntax."""
        if self.is_generated(model.corpus):
            return {}
        languages = (model.source, model.target)
        return {name: found for name in languages if (found := self.treebanks.get(name))}

    def snapshots_of(self, model: Model) -> list[int]:
        """Updates after which the weights of a model are saved, ascending."""
        if model.variant:
            chosen = self.variants()[model.name].snapshots
            return sorted(chosen or [self.training_of(model).total_updates])
        wanted = (
            self.snapshots.main
            if model.name in self.main_models.values()
            else self.snapshots.others
        )
        return snapshot_updates(wanted, self.training_of(model).total_updates)

    def resume_points_of(self, model: Model) -> list[int]:
        """Updates after which the whole state of a model is saved, ascending."""
        if model.variant:
            return []
        asked = (
            update
            for study in self.studies
            for update in resume_points_of_study(study, self).get(model.name, [])
        )
        return sorted({*self.resume_points, *asked})

    def recording_of(self, model: Model) -> Recording:
        """The recording of one model; only main models record the texts for main models."""
        if model.name in self.main_models.values():
            return self.recording
        recording = self.recording.without_texts_of_main_models()
        if not model.variant:
            return recording
        return Recording.model_validate(
            {**recording.model_dump(), **self.variants()[model.name].recording}
        )

    def training_of(self, model: Model) -> Training:
        """The hyper-parameters of one model, with its overrides."""
        merged = self.training.model_dump()
        for override in (
            self.objective_training.get(model.objective),
            self.matched_training if model.architecture == "matched" else None,
            self.model_training.get(model.parent),
        ):
            if override is not None:
                merged |= override.model_dump(exclude_unset=True)
        if model.variant:
            merged |= self.variants()[model.name].training
        return Training.model_validate(merged)


if TYPE_CHECKING:

    class Configuration(RunConfiguration):
        """The whole config.yaml; the sections of the studies are attributes too."""

        def __getattr__(self, name: str) -> Any: ...

else:
    Configuration = create_model(
        "Configuration",
        __base__=RunConfiguration,
        __doc__="The whole config.yaml; the sections of the studies are attributes too.",
        **{
            key: (section, Field(default_factory=section))
            for key, section in settings_of_studies().items()
        },
    )


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


def generated_pairs(sources: Iterable[str]) -> int | None:
    """Number of pairs of a corpus of artificial text alone; None if it has any other text."""
    found = [synthetic_pairs(source) for source in sources]
    return sum(one[0] for one in found if one) if all(found) else None


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
