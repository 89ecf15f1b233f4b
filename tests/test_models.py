"""Names of models, and what they say about text and languages."""

from dataclasses import replace

import pytest

from running.configuration_check import load_configuration
from running.models import parse_model
from running.variants import Variant
from tiny_trainings import values


@pytest.mark.parametrize(
    ("name", "objective", "source", "target", "corpus", "tokens"),
    [
        ("clm-en", "clm", "en", "en", "europarl-en-de", "europarl-en-de.en"),
        ("mlm-fi", "mlm", "fi", "fi", "europarl-en-fi", "europarl-en-fi.fi"),
        ("mt-en-de", "mt", "en", "de", "europarl-en-de", "europarl-en-de.en-de"),
        ("mt-et-en", "mt", "et", "en", "europarl-en-et", "europarl-en-et.en-et"),
        ("mt-en-de-wmt", "mt", "en", "de", "wmt-en-de", "wmt-en-de.en-de"),
        ("clm-en-wmt", "clm", "en", "en", "wmt-en-de", "wmt-en-de.en"),
        ("mt-de-en-iwslt14", "mt", "de", "en", "iwslt14-en-de", "iwslt14-en-de.en-de"),
        ("mt-en-de-wmt14", "mt", "en", "de", "wmt14-en-de", "wmt14-en-de.en-de"),
    ],
)
def test_a_name_says_it_all(name, objective, source, target, corpus, tokens):
    model = parse_model(name)
    assert (model.name, model.objective) == (name, objective)
    assert (model.source, model.target) == (source, target)
    assert (model.corpus, model.tokens) == (corpus, tokens)


def test_a_matched_model_is_a_model_of_its_own_on_the_same_text():
    stock, matched = parse_model("mt-en-de"), parse_model("mt-en-de.matched")
    assert (stock.architecture, matched.architecture) == ("stock", "matched")
    assert matched.name == "mt-en-de.matched" and matched.tokens == stock.tokens


def test_the_two_directions_of_a_pair_share_their_tokens():
    assert parse_model("mt-en-fi").tokens == parse_model("mt-fi-en").tokens
    assert parse_model("mt-fi-en").languages == ("en", "fi")


@pytest.mark.parametrize(
    "name", ["", "clm", "clm-", "CLM-en", "clm-en-de", "mt-en", "mt-en-wmt", "nmt-en-de", "clm-en "]
)
def test_other_names_are_refused_with_what_is_allowed(name):
    with pytest.raises(ValueError, match=r"is not the name of a model; allowed are OBJECTIVE-LANG"):
        parse_model(name)


@pytest.mark.parametrize("name", ["mt-de-fi", "mt-en-en"])
def test_translation_is_from_or_into_english(name):
    with pytest.raises(ValueError, match=f"'{name}' does not translate from or into English"):
        parse_model(name)


def test_a_variant_has_the_text_of_its_parent():
    parent, variant = (
        parse_model("mt-en-de-wmt.matched"),
        parse_model("mt-en-de-wmt.matched.frozen"),
    )
    assert (variant.variant, variant.parent) == ("frozen", parent.name)
    assert replace(variant, name=parent.name, variant="") == parent
    assert (parent.variant, parent.parent) == ("", parent.name)
    assert parse_model("clm-en.half-batch").parent == "clm-en"


@pytest.mark.parametrize("name", ["Half", "half_batch", "matched", "seed2", "", "a--b"])
def test_a_name_that_is_no_variants_is_refused(name):
    with pytest.raises(ValueError, match="is not the name of a variant; allowed are lower-case"):
        Variant("clm-en", name, {"total_updates": 3})


def test_a_variant_differs_and_its_files_are_those_of_its_training():
    with pytest.raises(ValueError, match="clm-en.same: nothing differs from clm-en"):
        Variant("clm-en", "same")
    variant = Variant("clm-en", "cut", files={"heads": "gates/clm-en{seed}.json"})
    assert variant.files_of("clm-en.cut") == {"heads": "gates/clm-en.json"}
    assert variant.files_of("clm-en.cut.seed2") == {"heads": "gates/clm-en.seed2.json"}


def test_main_models_keep_ten_snapshots_and_the_others_their_last():
    configuration = load_configuration(values())
    total = configuration.training.total_updates
    kept = configuration.snapshots_of(parse_model("clm-en"))
    assert len(kept) == 10 and (kept[0], kept[-1]) == (0, total)
    ratios = [later / earlier for earlier, later in zip(kept[1:], kept[2:], strict=False)]
    assert max(ratios) == pytest.approx(min(ratios), rel=0.02), "spaced logarithmically"
    assert configuration.snapshots_of(parse_model("clm-de")) == [total]
