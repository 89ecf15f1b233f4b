"""Which spaces the study describes and compares, and the mistakes of its settings."""

import pytest

from running.configuration_check import ConfigurationError, load_configuration
from running.run_files import RunFiles
from running.studies import load_studies
from studies.representations.spaces import (
    described_models,
    models_by_language,
    pairs,
    piece_limit,
    sibling_models,
    text_corpora,
)
from tiny_trainings import values

MAIN = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
# So few words suffice for spaces as narrow as those of the tiny trainings.
SETTINGS = {"split": "train", "words": 2000, "held_out": 500}


def configuration(**changes):
    own = {
        "studies": ["representations"],
        "models": ["clm-en", "mlm-en", "mt-en-de", "mt-en-fi", "mt-de-en", "clm-de"],
        "main_models": MAIN,
        "representations": SETTINGS,
    }
    return load_configuration(values(embedding_dimension=64) | own | changes)


def test_main_models_and_their_matched_ones_are_described():
    found = configuration(matched_architecture=True)
    names = [model.name for model in described_models(found)]
    assert names == [*MAIN.values(), *(f"{name}.matched" for name in MAIN.values())]
    assert [model.name for model in sibling_models(found)] == ["mt-en-fi"]
    assert text_corpora(found) == {"europarl-en-de": "en"}
    assert list(models_by_language(found)) == ["en"]
    lengths = [found.training_of(model).tokens_per_sample for model in described_models(found)]
    assert piece_limit(found, "en") == min(lengths) - 2


def test_models_are_compared_within_language_and_architecture():
    found = list(pairs(RunFiles(configuration(matched_architecture=True, seeds=[1, 2]), "r")))
    names = {kind: [pair.name for pair in found if pair.kind == kind] for kind in
             ("objectives", "languages", "seeds")}  # fmt: skip
    assert names["languages"] == ["mt-en-de+mt-en-fi"]
    assert "clm-en+clm-en.seed2" in names["seeds"] and len(names["seeds"]) == 6
    assert "clm-en.seed2+mt-en-de.seed2" in names["objectives"]
    assert len(names["objectives"]) == 2 * 2 * 3
    mixed = [name for name in names["objectives"] if name.count(".matched") == 1]
    assert mixed == []


def test_main_models_of_other_languages_have_tables_of_their_own():
    found = configuration(main_models={"clm": "clm-de", "mt": "mt-en-de"})
    assert set(models_by_language(found)) == {"en", "de"}
    assert [pair.kind for pair in pairs(RunFiles(found, "r"))] == ["languages"]


def test_figures_read_files_that_the_rules_make():
    [study] = load_studies(["representations"])
    files = RunFiles(configuration(seeds=[1, 2]), "r")
    read = {figure.number: figure.inputs(files) for figure in study.figures}
    assert read["S7"]["snapshots"][0] == "r/over_training/clm-en.nc"
    assert read["S3"]["seeds"] and read["S3"]["languages"] == ["r/comparisons/mt-en-de+mt-en-fi.nc"]
    assert read["S8"]["seeds"] == read["S3"]["seeds"] == read["S7"]["seeds"]
    assert len(read["S1"]["spaces"]) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": 10}, r"representations\.words: found 10, .* need at least"),
        ({"held_out": 1900}, r"representations\.held_out: found 1900, at most half of the 2000"),
        (
            {"measures": {"samples": 50, "clusters": 60}},
            r"representations\.measures\.clusters: found 60, but there are only 50",
        ),
        ({"split": "trian"}, r"representations\.split: found 'trian'"),
        ({"wrods": 5}, r"representations\.wrods"),
    ],
)
def test_mistakes_are_told_before_anything_runs(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        configuration(representations=SETTINGS | changes)


def test_a_split_without_text_is_told():
    corpora = values()["corpora"]
    corpora["europarl-en-de"] = corpora["europarl-en-de"] | {"test": 0}
    with pytest.raises(ConfigurationError, match=r"representations\.split: found 'test', but"):
        configuration(corpora=corpora, representations=SETTINGS | {"split": "test"})
