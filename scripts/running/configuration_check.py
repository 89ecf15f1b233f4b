"""Check a configuration and report all of its mistakes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from .configuration import NEWS_TEST, Configuration, synthetic_pairs
from .configuration_corpora import Source
from .configuration_plans import broken_plans
from .configuration_words import describe, did_you_mean, some_of, together
from .models import Model, parse_model
from .studies import mistakes_of_study, variants_of_study


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
        problems = describe(error.errors())
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
            of_studies = list(_same_variants(configuration))
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
                hint = did_you_mean(source, map(str, sources))
                yield (
                    f"corpora.{name}.sources: found {source!r}; allowed are the names under "
                    f"sources and synthetic:<pairs>{'; ' if hint else ''}{hint}"
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
    for name in values.get("model_training") or {}:
        try:
            model = parse_model(str(name))
        except ValueError:
            continue  # told by the section itself
        corpus = corpora.get(model.corpus, {})
        if not isinstance(corpus, Mapping):
            continue  # told by the section itself
        lacking = set(model.languages) - set(corpus.get("languages") or [])
        if lacking:
            yield (
                f"model_training.{name}: no run can train that model, because {model.corpus} of "
                f"corpora has no {' and no '.join(sorted(lacking))}; correct the name, or leave it "
                "out"
            )
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


def _same_variants(configuration: Configuration) -> Iterator[str]:
    """Variants of the same name that two studies ask for; one would replace the other."""
    owners: dict[str, str] = {}
    for study in configuration.studies:
        for variant in variants_of_study(study, configuration):
            other = owners.setdefault(variant.full_name, study)
            if other != study:
                yield (
                    f"{study}: it trains {variant.full_name}, and so does the study {other}; give "
                    f"{variant.name} another name, or take one of the two out of studies"
                )


def _broken_trainings(configuration: Configuration, models: list[Model]) -> Iterator[str]:
    """Overrides that contradict the other hyper-parameters of a model."""
    for names, mistake in together(_contradictions(configuration, models)):
        yield f"training of {names}: {mistake}"
    for names, mistake in together(_late_states(configuration, models)):
        yield mistake.format(names)


def _contradictions(configuration: Configuration, models: list[Model]) -> Iterator[tuple[str, str]]:
    """(model, what contradicts what in its training)."""
    workers = configuration.execution.processes
    for model in models:
        try:
            frequency = configuration.training_of(model).update_frequency
        except ValidationError as error:
            for line in describe(error.errors()):
                yield model.name, line.lstrip(": ")
            continue
        if frequency % workers:
            yield (
                model.name,
                f"update_frequency {frequency} does not divide among {workers} workers "
                "(execution.workers, or one per GPU); multiply update_frequency and divide "
                "max_tokens by the same number",
            )


def _late_states(configuration: Configuration, models: list[Model]) -> Iterator[tuple[str, str]]:
    """(model, line with a place for it) for states that are asked for after the last update.

    Those that a study asks for are its own to check.
    """
    for model in models:
        try:
            last = configuration.training_of(model).total_updates
        except ValidationError:
            continue  # told as a contradiction
        own = [] if model.variant else configuration.resume_points
        for key, updates in (
            ("snapshots", configuration.snapshots_of(model)),
            ("resume_points", own),
        ):
            late = [update for update in updates if update > last]
            if late:
                yield (
                    model.name,
                    f"{key}: found {late[0]}, but the updates of {{}} are {last}; allowed are 0 "
                    f"to {last}",
                )


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
            f"text for {some_of(without)}; turn it off with 0, or give the text another split"
        )
