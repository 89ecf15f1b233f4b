"""What would fail only after hours, or silently be another run, is refused with its key."""

import pytest
import yaml

from running.configuration_check import ConfigurationError, load_configuration
from running.configuration_plans import ARTIFICIAL_LANGUAGES
from running.typed_text import typed_text
from text.synthetic import LANGUAGES
from tiny_trainings import ROOT, values

TINY = ROOT / "tests" / "tiny.yaml"


def merged(base, changes):
    """Nested values replaced, as Snakemake does it with a second configuration file."""
    for key, value in changes.items():
        known = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merged(base[key], value) if known else value
    return base


def tiny(changes):
    """config.yaml, tests/tiny.yaml and these changes."""
    return merged(merged(values(), yaml.safe_load(TINY.read_text(encoding="utf-8"))), changes)


def mistakes(changes):
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(tiny(changes))
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def source(url="https://example.org/a.zip", **more):
    return {"mine": {"url": url, "members": {"en": "a.en", "de": "a.de"}, **more}}


MINE = {"sources": ["mine"]}
CORPUS = "europarl-en-de"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"recording": {"texts": {"mine": {"split": "dev"}}}},
            "recording.texts.mine.split: found 'dev'; allowed is 'train', 'valid', 'test' or",
        ),
        (
            {"recording": {"estimators": {"fresh": 1000}}},
            "recording.estimators.fresh: found 1000, but total_updates of clm-en, mlm-en, mt-en-de "
            "is 24",
        ),
        (
            {
                "model_training": {"mlm-en": {"total_updates": 4, "warmup_updates": 1}},
                "recording": {"estimators": {"simpson": 5}},
            },
            "recording.estimators.simpson: found 5, but total_updates of mlm-en is 4",
        ),
        (
            {"training": {"leave_unmasked_probability": 0.7, "random_token_probability": 0.7}},
            "training of mlm-en: leave_unmasked_probability 0.7 and random_token_probability 0.7",
        ),
        (
            {"objective_training": {"mlm": {"random_token_probability": 0.95}}},
            "training of mlm-en: leave_unmasked_probability 0.1 and random_token_probability 0.95",
        ),
        (
            {"corpora": {CORPUS: {"valid": 0}}},
            f"corpora.{CORPUS}.valid: found 0, but it validates clm-en, mlm-en, mt-en-de; take",
        ),
        (
            {"corpora": {CORPUS: {"train": 0}}},
            f"corpora.{CORPUS}.train: found 0, but it trains clm-en, mlm-en, mt-en-de; take",
        ),
        (
            {"corpora": {"newstest2018-en-de": {"test": 0, "train": 5, "valid": 2}}},
            "corpora.newstest2018-en-de.test: found 0, but it tests mt-en-de; take 1 or more",
        ),
        (
            {"corpora": {"newstest2018-en-de": {"test": 0}}},
            "corpora.newstest2018-en-de: train, valid and test are 0",
        ),
        (
            {"corpora": {CORPUS: {"test": "rest"}}},
            f"corpora.{CORPUS}.test: found 'rest'; that is for corpora with train: 0 and valid: 0",
        ),
        (
            {"corpora": {CORPUS: {"languages": ["en", "fr"]}}},
            f"corpora.{CORPUS}.languages: found ['en', 'fr']; de needed by mt-en-de",
        ),
        (
            {"corpora": {CORPUS: {"languages": ["en", "fr"]}}},
            f"corpora.{CORPUS}.languages: found fr; the artificial languages",
        ),
        (
            {"corpora": {CORPUS: {"languages": ["en", "en"]}}},
            f"corpora.{CORPUS}.languages: found ['en', 'en']; allowed are two different ones",
        ),
        (
            {"corpora": {CORPUS: {"languages": ["../en", "de"]}}},
            f"corpora.{CORPUS}.languages.0: found '../en'",
        ),
        (
            {"sources": source(members={"en": "a.en", "fr": "a.fr"}), "corpora": {CORPUS: MINE}},
            f"sources.mine.members: no member for de of {CORPUS}",
        ),
        (
            {"sources": source(), "corpora": {CORPUS: {"sources": ["mine", "mine"]}}},
            f"corpora.{CORPUS}.sources: mine is there twice",
        ),
        (
            {"corpora": {CORPUS: {"sources": ["synthetic:400", "synthetic:400"]}}},
            f"corpora.{CORPUS}.sources: synthetic:400 is there twice",
        ),
        (
            {"corpora": {CORPUS: {"valid": 1580, "test": 20}}},
            f"corpora.{CORPUS}: asks for 1600 pairs, but its sources generate 1600; none is left",
        ),
        (
            {
                "corpora": {
                    CORPUS: {"held_out_from": ["t"]},
                    "t": {
                        "languages": ["en", "de"],
                        "sources": ["synthetic:9"],
                        "train": 9,
                        "valid": 0,
                        "test": 0,
                    },
                }
            },
            f"corpora.{CORPUS}.held_out_from: t has no valid and no test pairs",
        ),
        (
            {"corpora": {CORPUS: {"held_out_from": ["newstest2018-en-fi"]}}},
            f"corpora.{CORPUS}.held_out_from: newstest2018-en-fi has the languages ['en', 'fi']",
        ),
        (
            {
                "corpora": {
                    CORPUS: {"held_out_from": ["newstest2018-en-de"]},
                    "newstest2018-en-de": {"held_out_from": [CORPUS]},
                }
            },
            f"corpora.{CORPUS}.held_out_from: the corpora hold out from each other in a circle",
        ),
        (
            {"main_models": {"clm": "clm-fi"}},
            "main_models.clm: found clm-fi, which models does not",
        ),
        ({"main_models": {"clm": "mlm-en"}}, "main_models.clm: found mlm-en, which has another"),
        ({"vocabulary": {"size": 32000}}, "vocabulary.size: found 32000, but the text of"),
        (
            {"training": {"layers": 3}},
            "training of mt-en-de: layers 3 is odd; a model with an encoder and a decoder has",
        ),
        (
            {"corpora": {"my corpus": {}}},
            "corpora.my corpus: found 'my corpus'; allowed is lower-case",
        ),
        ({"seeds": 2}, "seeds: found 2; allowed is a list, such as seeds: [1, 2]"),
        ({"run": "a/b"}, "run: found 'a/b'; allowed is the name of one folder under results/"),
        ({"run": 202401}, "run: found 202401; allowed is text"),
        ({"lengths": {"zh": "letters"}}, "lengths.zh: found 'letters'; allowed is 'words' or"),
        ({"vocabulary": {"normalisation": "nfd"}}, "vocabulary.normalisation: found 'nfd'"),
        (
            {"sources": source("https://example.org/europarl-v10.de-en.tsv.gz")},
            "sources.mine: europarl-v10.de-en.tsv.gz is no known kind of archive: its name should "
            "end in .zip",
        ),
        (
            {"sources": source("https://example.org/get?file=a.zip")},
            "sources.mine: get is no known kind of archive",
        ),
        (
            {"sources": source("ftp://example.org/a.zip")},
            "sources.mine: ftp://example.org/a.zip: addresses should start with",
        ),
        (
            {"sources": source("file://data/a.zip")},
            "sources.mine: file://data/a.zip: a file:// add",
        ),
        ({"sources": source(path="../a.zip")}, "sources.mine: path should be a relative path"),
        (
            {"sources": source(members={"en": "a.en", "de": "./a.en"})},
            "sources.mine: members: a.en is that of en and de",
        ),
        (
            {"sources": source(), "corpora": {CORPUS: MINE}, "mirror": "/no/such/folder"},
            "mirror: found '/no/such/folder', but there is no such folder",
        ),
        (
            {"sources": source(), "corpora": {CORPUS: MINE}, "mirror": "s3://bucket"},
            "mirror: found 's3://bucket'; allowed is a folder, file://, http://",
        ),
        (
            {"sources": source("file:///no/such/a.zip"), "corpora": {CORPUS: MINE}},
            "sources.mine.url: found 'file:///no/such/a.zip', but there is no such file",
        ),
    ],
)
def test_a_mistake_is_told_with_its_key(changes, line):
    found = mistakes(changes)
    assert any(one.startswith(line) for one in found), found


def test_mistakes_of_plans_come_all_at_once():
    found = mistakes(
        {
            "recording": {"estimators": {"fresh": 99, "probe": 99}},
            "corpora": {CORPUS: {"valid": 0}},
            "main_models": {"clm": "clm-de"},
            "mirror": "/no/such/folder",
            "training": {"layers": 3},
        }
    )
    keys = {line.split(":")[0] for line in found}
    assert "mirror" not in keys, "no archive is to be fetched here, so none is needed"
    assert keys >= {
        "recording.estimators.fresh",
        "recording.estimators.probe",
        f"corpora.{CORPUS}.valid",
        "main_models.clm",
        "training of mt-en-de",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"models": ["clm-en", "mlm-en"], "training": {"layers": 3}},
        {"models": ["clm-en"], "training": {"leave_unmasked_probability": 0.99}},
        {"models": ["clm-en", "mt-en-de"]},
        {"recording": {"estimators": {"fresh": 24}}},
        {"corpora": {CORPUS: {"test": 0}}},
        {
            "sources": source(path="x/a.ZIP", members={"en": "a.xml", "de": "a.xml"}),
            "lengths": {"zh": "words"},
            "vocabulary": {"normalisation": "identity"},
        },
        {"run": "2024_01"},
        {"seeds": [2]},
    ],
)
def test_what_is_right_is_not_refused(changes):
    assert load_configuration(tiny(changes))


def test_the_example_of_another_language_in_the_documentation_is_right():
    page = (ROOT / "docs/how-to/own-text.md").read_text(encoding="utf-8")
    section = page.partition("**A language**")[2]
    example = yaml.safe_load(section.split("```")[1].removeprefix("yaml"))
    models = load_configuration(merged(values(), example)).trained_models()
    assert [model.name for model in models] == ["clm-sv", "mlm-sv", "mt-en-sv", "mt-sv-en"]


def test_the_artificial_languages_are_those_that_are_generated():
    assert set(ARTIFICIAL_LANGUAGES) == set(LANGUAGES)


def test_the_nodes_of_a_cluster_need_no_mirror():
    chosen = {"sources": source(), "corpora": {CORPUS: MINE}, "mirror": "/no/such/folder"}
    assert load_configuration(tiny(chosen), places=False)


@pytest.mark.parametrize("text", ["2024_01", "1e3", "no", "0x10", "1.10"])
def test_a_name_stays_the_text_it_was_typed_as(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"run: {text}\n")
    read = yaml.safe_load(file.read_text())["run"]
    assert typed_text("run", read, [file]) == text
    assert typed_text("run", 1, [file], ["seeds=[1]", f"run='{text}x'"]) == f"{text}x"
    assert typed_text("run", "kept", [tmp_path / "none.yaml"], ["runs=other"]) == "kept"
