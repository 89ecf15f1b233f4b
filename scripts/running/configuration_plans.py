"""Mistakes in a configuration that would otherwise appear only when text is read or models train.

Every function yields one line per mistake: the key, the value found, and what is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from objectives import OBJECTIVES
from text.addresses import locate

from .configuration import Configuration, generated_pairs, synthetic_pairs
from .configuration_corpora import Corpus
from .configuration_words import some_of, together
from .models import Model
from .studies import variants_of_study

# A copy of the value in text.synthetic, which takes long to import.
ARTIFICIAL_LANGUAGES = ("en", "de", "fi", "et")
# Largest vocabulary that N sentences of an artificial language can give. Measured: 211 to 262
# symbols for 10 sentences, 700 to 1,050 for 400, 790 to 1,280 for 6,400, hardly more for longer
# texts.
SYMBOLS_OF_ONE_SENTENCE, SYMBOLS_EXPONENT, MOST_SYMBOLS = 150, 0.4, 2000


def broken_plans(
    configuration: Configuration, models: Sequence[Model], places: bool = True
) -> Iterator[str]:
    """All mistakes found by the functions of this module.

    Parameters
    ----------
    configuration
        A configuration that passed the other checks.
    models
        The models that it trains, with the variants if the sections of all studies are valid.
    places
        Whether the folders in it must exist on this machine.
    """
    yield from _corpora(configuration)
    for names, mistake in together(_texts_of_models(configuration)):
        yield mistake.format(names)
    yield from _strides(configuration, models)
    for names, mistake in together(_hyper_parameters(configuration, models)):
        yield f"training of {names}: {mistake}"
    yield from _shown_estimator(configuration)
    yield from _main_models(configuration)
    yield from _vocabularies(configuration)
    if places:
        yield from _mirror(configuration)
        yield from _treebanks(configuration)


def _corpora(configuration: Configuration) -> Iterator[str]:
    for name in configuration.used_corpora():
        corpus, key = configuration.corpora[name], f"corpora.{name}"
        sizes = {split: getattr(corpus, split) for split in ("train", "valid", "test")}
        if not any(sizes.values()):
            yield f"{key}: train, valid and test are 0, so it holds no text"
        if sizes["test"] == "rest" and (sizes["train"] or sizes["valid"]):
            yield f"{key}.test: found 'rest'; that is for corpora with train: 0 and valid: 0"
        twice = {source for source in corpus.sources if corpus.sources.count(source) > 1}
        for source in sorted(twice):
            yield f"{key}.sources: {source} is there twice; every pair of it would be a duplicate"
        yield from _generated(key, corpus, sizes)
        if corpus.test_from:
            yield from _tested(key, corpus, configuration.corpora[corpus.test_from])
        for other in corpus.held_out_from:
            held_out = configuration.corpora[other]
            if not (held_out.valid or held_out.test):
                yield f"{key}.held_out_from: {other} has no valid and no test pairs to hold out"
            elif set(held_out.languages) != set(corpus.languages):
                yield (
                    f"{key}.held_out_from: {other} has the languages "
                    f"{held_out.languages}, not {corpus.languages}"
                )
        if name in _reached(configuration, corpus.held_out_from):
            yield f"{key}.held_out_from: the corpora hold out from each other in a circle"


def _tested(key: str, corpus: Corpus, other: Corpus) -> Iterator[str]:
    """Mistakes in the corpus named by test_from."""
    if not other.test:
        yield f"{key}.test_from: {corpus.test_from} has no test pairs"
    elif other.languages != corpus.languages:
        yield (
            f"{key}.test_from: {corpus.test_from} has the languages {other.languages}, not "
            f"{corpus.languages}"
        )


def _generated(key: str, corpus: Corpus, sizes: dict) -> Iterator[str]:
    """Mistakes in corpora of artificial text: wrong languages, or too few sentence pairs."""
    unknown = sorted(set(corpus.languages) - set(ARTIFICIAL_LANGUAGES))
    if any(map(synthetic_pairs, corpus.sources)) and unknown:
        yield (
            f"{key}.languages: found {', '.join(unknown)}; the artificial languages of "
            f"synthetic:<pairs> are {', '.join(ARTIFICIAL_LANGUAGES)}"
        )
    asked = sum(size for size in sizes.values() if isinstance(size, int))
    pairs = generated_pairs(corpus.sources)
    if pairs is not None and (asked > pairs or (asked == pairs and "rest" in sizes.values())):
        yield f"{key}: asks for {asked} pairs, but its sources generate {pairs}; none is left"


def _reached(configuration: Configuration, start: list[str]) -> set[str]:
    """Corpora that are held out from the given corpora, directly or through other corpora."""
    reached, waiting = set(), list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += configuration.corpora[name].held_out_from
    return reached


def _texts_of_models(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """(model, line with a place for it) for texts that models need and corpora do not have."""
    for model in configuration.trained_models():
        corpus, key = configuration.corpora[model.corpus], f"corpora.{model.corpus}"
        lacking = sorted(set(model.languages) - set(corpus.languages))
        if lacking:
            yield (
                model.name,
                f"{key}.languages: found {corpus.languages}; {', '.join(lacking)} needed by {{}}",
            )
        for split, use in (("train", "trains"), ("valid", "validates")):
            if not getattr(corpus, split):
                yield model.name, f"{key}.{split}: found 0, but it {use} {{}}; take 1 or more"
        news = configuration.news_corpus(model)
        if news and not configuration.corpora[news].test:
            yield model.name, f"corpora.{news}.test: found 0, but it tests {{}}; take 1 or more"
        elif news and set(configuration.corpora[news].languages) != set(model.languages):
            yield (
                model.name,
                f"corpora.{news}.languages: found {configuration.corpora[news].languages}; "
                f"{' and '.join(sorted(model.languages))} are needed by {{}}",
            )
        elif model.translates and not news and not corpus.test and not corpus.test_from:
            yield model.name, f"{key}.test: found 0; there is no other text to translate for {{}}"


def _strides(configuration: Configuration, models: Sequence[Model]) -> Iterator[str]:
    shorter: dict[tuple[str, int, int], list[str]] = {}
    for model, updates in _updates(configuration, models):
        for name, stride in configuration.recording_of(model).estimators.items():
            if stride > updates:
                shorter.setdefault((name, stride, updates), []).append(model.name)
    variants = {model.name for model in models if model.variant}
    for (name, stride, updates), trained in shorter.items():
        own = [model for model in trained if model not in variants]
        if own:
            yield (
                f"recording.estimators.{name}: found {stride}, but total_updates of "
                f"{some_of(own)} is {updates}; take at most that, or 0 to turn it off"
            )
            continue  # variants follow the models
        of_studies = {
            variant.full_name: study
            for study in configuration.studies
            for variant in variants_of_study(study, configuration)
        }
        for names, study in together((model, of_studies[model]) for model in trained):
            yield (
                f"{study}: {names} would record {name} every {stride} updates, but training has "
                f"{updates}; take at most that"
            )


def _updates(configuration: Configuration, models: Sequence[Model]) -> Iterator[tuple[Model, int]]:
    for model in models:
        try:
            yield model, configuration.training_of(model).total_updates
        except ValidationError:
            continue  # reported by another check


def _hyper_parameters(
    configuration: Configuration, models: Sequence[Model]
) -> Iterator[tuple[str, str]]:
    for model in models:
        try:
            training = configuration.training_of(model)
        except ValidationError:
            continue
        for mistake in OBJECTIVES[model.objective].mistakes(training.model_dump()):
            yield model.name, mistake


def _shown_estimator(configuration: Configuration) -> Iterator[str]:
    """An estimator for the figures that some model which they show does not record."""
    shown = configuration.figures.estimator
    without = [
        model.name
        for model in configuration.trained_models()
        if shown not in configuration.recording_of(model).strides
    ]
    if without:
        recorded = configuration.recording.strides
        hint = f"{', '.join(recorded)} are recorded"
        if shown in recorded:
            hint = f"{some_of(without)} do not record it, and figures show them too"
        yield f"figures.estimator: found {shown!r}; {hint}"


def _main_models(configuration: Configuration) -> Iterator[str]:
    """Wrong main models; an objective without any model in this run needs no main model."""
    models = {model.name: model for model in configuration.trained_models()}
    for objective, name in configuration.main_models.items():
        others = [model.name for model in models.values() if model.objective == objective]
        if name.partition("-")[0] != objective:
            yield f"main_models.{objective}: found {name}, which has another objective"
        elif name not in models and others:
            yield (
                f"main_models.{objective}: found {name}, which models does not train; allowed "
                f"here: {', '.join(others)}"
            )


def _vocabularies(configuration: Configuration) -> Iterator[str]:
    """Vocabularies larger than artificial text supports; the limit of other text is not known."""
    sentences = configuration.vocabulary.sentences
    told = set()
    for model in configuration.trained_models():
        corpus = configuration.corpora[model.corpus]
        generated = generated_pairs(corpus.sources)
        if generated is None or model.tokens in told:
            continue
        told.add(model.tokens)
        size = configuration.vocabulary_size_of(model)
        pairs = float(generated if corpus.train == "rest" else min(generated, corpus.train))
        sides = len(model.languages)
        if sentences:
            pairs = min(pairs, sentences / sides)
        most = SYMBOLS_OF_ONE_SENTENCE * pairs**SYMBOLS_EXPONENT
        most = sides * round(min(most, MOST_SYMBOLS))
        if size > most:
            yield (
                f"vocabulary.size: found {size}, but the text of {model.corpus} gives less than "
                f"{most} symbols to {model.name}; lower it, or generate more text"
            )


def _mirror(configuration: Configuration) -> Iterator[str]:
    mirror, missing = configuration.mirror, _to_fetch(configuration)
    if not missing:
        return
    if mirror:
        scheme = urlsplit(mirror).scheme if "://" in mirror else ""
        folder = Path(unquote(urlsplit(mirror).path) if scheme else mirror)
        if scheme not in ("", "file", "http", "https"):
            yield f"mirror: found {mirror!r}; allowed is a folder, file://, http:// or https://"
        elif scheme in ("", "file") and not folder.is_dir():
            yield (
                f"mirror: found {mirror!r}, but there is no such folder; correct it, or set it to "
                "null to fetch from the addresses of the sources"
            )
        return
    for name in missing:
        source = configuration.sources[name]
        place = locate(source.url, source.mirror_path(), None)
        if isinstance(place, Path) and not place.is_file():
            yield f"sources.{name}.url: found {source.url!r}, but there is no such file"


def _treebanks(configuration: Configuration) -> Iterator[str]:
    """Treebanks of this machine that are not where the configuration says."""
    archives = Path("results") / configuration.run / "corpora" / "archives"
    told = set()
    for model in configuration.trained_models():
        for language, treebank in configuration.treebanks_of(model).items():
            place = locate(treebank.url, treebank.mirror_path(), None)
            here = isinstance(place, Path) and not place.is_file()
            if here and language not in told and not (archives / treebank.mirror_path()).exists():
                told.add(language)
                yield (
                    f"treebanks.{language}.url: found {treebank.url!r}, but there is no such file; "
                    "correct it, or set the treebank to null"
                )


def _to_fetch(configuration: Configuration) -> list[str]:
    """Sources of this run whose archives are not on this machine yet."""
    archives = Path("results") / configuration.run / "corpora" / "archives"
    corpora = map(configuration.corpora.__getitem__, configuration.used_corpora())
    used = {name for corpus in corpora for name in corpus.sources}
    return sorted(
        name
        for name in used & set(configuration.sources)
        if not (archives / configuration.sources[name].mirror_path()).exists()
    )
