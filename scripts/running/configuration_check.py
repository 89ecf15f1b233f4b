"""Check a configuration and report all of its mistakes at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError

from .configuration import NEWS_TEST, Configuration, synthetic_pairs
from .configuration_corpora import Source
from .configuration_plans import broken_plans
from .models import Model, parse_model
from .studies import mistakes_of_study

# Keys of earlier versions, and their present places.
MOVED = {
    "resources": "execution, without training_ before its keys",
    "training.device": "execution.device",
    "training.data_workers": "execution.data_workers",
    "training.validation_interval": "execution.validation_interval",
    "training.checkpoint_interval": "execution.checkpoint_interval",
}


class ConfigurationError(ValueError):
    """Everything that is wrong with a configuration, one line per mistake."""


def load_configuration(
    values: Mapping[str, Any], places: bool = True, found_before: Iterable[str] = ()
) -> Configuration:
    """Check a configuration completely.

    Parameters
    ----------
    values : mapping
        The values from YAML and the command line.
    places : bool
        Whether the folders in it must exist on this machine; False on the nodes of a cluster.
    found_before : iterable of str
        Mistakes found in the files before YAML was parsed, such as a key that occurs twice.

    Raises
    ------
    ConfigurationError
        With all mistakes: the key, the value found, and what is allowed.
    """
    values = dict(values)
    for key in ("models", "studies"):
        if isinstance(values.get(key), str):
            values[key] = values[key].strip("[]").replace(",", " ").split()
    try:
        configuration = Configuration.model_validate(values)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        problems += list(_broken_references(values))
    else:
        models = configuration.trained_models()
        references = list(_broken_references(values))
        broken = list(_broken_trainings(configuration, models))
        # Sections of studies refer to corpora and trainings, and variants are made from these
        # sections, so each is checked only if the parts that it refers to are valid.
        of_studies = [
            line
            for study in ([] if references or broken else configuration.studies)
            for line in mistakes_of_study(study, configuration)
        ]
        if not (references or broken or of_studies):
            models = configuration.models_and_variants()
            broken = list(_broken_trainings(configuration, models))
        problems = [
            *references,
            *of_studies,
            *_shared_paths(configuration),
            *broken,
            *_missing_splits(configuration, models),
        ]
        # These checks follow references, so all references must be valid.
        if not references:
            problems += broken_plans(configuration, models, places)
    problems = [*found_before, *problems]
    if problems:
        problems = list(dict.fromkeys(problems))
        count = f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"
        raise ConfigurationError(
            f"{count} in the configuration:\n" + "\n".join(f"  {line}" for line in problems)
        )
    return configuration


def _describe(problem: Mapping[str, Any]) -> str:
    """One line for one mistake found by pydantic."""
    path = [part for part in problem["loc"] if part != "[key]" and not _is_branch(part)]
    key = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        if key in MOVED:
            return f"{key}: this key is now {MOVED[key]}"
        known = _known_keys(path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "allowed is")
    if isinstance(problem["input"], Mapping):
        return f"{key}: {message}"
    return f"{key}: found {problem['input']!r}; {message}"


def _is_branch(part: str | int) -> bool:
    """Whether a part of pydantic's location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part.startswith(("constrained-", "literal[")) or part in ("int", "bool")
    )


def _known_keys(path: list[str | int]) -> list[str]:
    """Allowed keys of the section at a path."""
    section: type[BaseModel] = Configuration
    for part in path:
        annotation = getattr(section, "model_fields", {}).get(part)
        if annotation is None:
            continue
        section = next(_sections_in(annotation.annotation), section)
    return sorted(info.alias or name for name, info in section.model_fields.items())


def _sections_in(kind: Any) -> Iterator[type[BaseModel]]:
    """Sections inside a type; a RootModel, which maps names to sections, is looked through."""
    if isinstance(kind, type) and issubclass(kind, RootModel):
        kind = kind.model_fields["root"].annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in getattr(kind, "__args__", ()):
        yield from _sections_in(inner)


def _broken_references(values: Mapping[str, Any]) -> Iterator[str]:
    """References to names that do not exist; other values may be invalid."""
    sources, corpora = values.get("sources"), values.get("corpora")
    if not isinstance(sources, Mapping) or not isinstance(corpora, Mapping):
        return
    for name, corpus in corpora.items():
        if not isinstance(corpus, Mapping) or not isinstance(corpus.get("sources"), list):
            continue
        for source in corpus["sources"]:
            try:
                known = source in sources or synthetic_pairs(str(source)) is not None
            except ValueError as error:
                yield f"corpora.{name}.sources: found {source!r}; {error}"
                continue
            if not known:
                yield (
                    f"corpora.{name}.sources: found {source!r}; allowed are the names under "
                    "sources and synthetic:<pairs>"
                )
            elif source in sources and isinstance(sources[source], Mapping):
                members = sources[source].get("members") or {}
                for language in corpus.get("languages") or []:
                    if language not in members:
                        yield f"sources.{source}.members: no member for {language} of {name}"
        languages = corpus.get("languages")
        if isinstance(languages, list) and len(set(map(str, languages))) < len(languages):
            yield f"corpora.{name}.languages: found {languages}; allowed are two different ones"
        for key in ("held_out_from", "test_from"):
            others = corpus.get(key) or []
            for other in [others] if isinstance(others, str) else others:
                if other not in corpora or other == name:
                    yield f"corpora.{name}.{key}: found {other!r}; allowed are other corpora"
    for name in values.get("models") or []:
        try:
            model = parse_model(str(name))
        except ValueError:
            continue
        if model.corpus not in corpora:
            yield f"models: {name} needs the corpus {model.corpus}, which corpora does not have"


def _shared_paths(configuration: Configuration) -> Iterator[str]:
    """Sources with the same file but different addresses or digests."""
    by_path: dict[str, tuple[str, Source]] = {}
    for name, source in configuration.sources.items():
        other, first = by_path.setdefault(source.mirror_path(), (name, source))
        if (source.url, source.sha256) != (first.url, first.sha256):
            yield (
                f"sources.{name}: it has the path {source.mirror_path()} of {other}, but another "
                "url or sha256; give both the same, or one of them another path"
            )


def _broken_trainings(configuration: Configuration, models: list[Model]) -> Iterator[str]:
    """Overrides that contradict the other hyper-parameters of a model."""
    workers = configuration.execution.processes
    for model in models:
        try:
            training = configuration.training_of(model)
            frequency, last = training.update_frequency, training.total_updates
            if frequency % workers:
                yield (
                    f"training of {model.name}: update_frequency {frequency} does not divide among "
                    f"{workers} workers (execution.workers, or one per GPU); multiply "
                    "update_frequency and divide max_tokens by the same number"
                )
            for key, updates in (
                ("snapshots", configuration.snapshots_of(model)),
                ("resume_points", configuration.resume_points_of(model)),
            ):
                late = [update for update in updates if update > last]
                if late:
                    yield (
                        f"{key}: found {late[0]}; {model.name} makes {last} updates, so allowed "
                        f"are 0 to {last}"
                    )
        except ValidationError as error:
            for problem in error.errors():
                yield f"training of {model.name}: {_describe(problem).lstrip(': ')}"


def _missing_splits(configuration: Configuration, models: list[Model]) -> Iterator[str]:
    """Estimators that use a split which a model's corpus does not have."""
    missing: dict[tuple[str, str], list[str]] = {}
    for model in models:
        corpus = configuration.corpora.get(model.corpus)
        if corpus is None:
            continue  # reported by _broken_references
        found = [*corpus.splits(), *(["test"] if corpus.test_from else [])]
        if configuration.news_corpus(model):
            found.append(NEWS_TEST)
        for name, split in configuration.recording_of(model).splits().items():
            if split not in found:
                missing.setdefault((name, split), []).append(model.name)
    for (name, split), without in missing.items():
        yield (
            f"recording.estimators.{name}: it looks at the split {split}, of which there is no "
            f"text for {', '.join(without)}; turn it off with 0, or give the text another split"
        )
