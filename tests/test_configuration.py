"""The configuration: valid as shipped, and every mistake in it told at once."""

import pytest
import yaml

from running.configuration import synthetic_pairs
from running.configuration_check import ConfigurationError, load_configuration
from running.models import parse_model
from tiny_trainings import ROOT, values


def mistakes(loaded):
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(loaded)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{len(lines)} mistake{'s' if len(lines) > 1 else ''} in the configuration:"
    return [line.strip() for line in lines]


def merged(base, changes):
    """Nested values replaced, as Snakemake does it with a second configuration file."""
    for key, value in changes.items():
        known = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merged(base[key], value) if known else value
    return base


def test_the_shipped_configuration_is_valid_and_the_papers():
    configuration = load_configuration(values())
    names = [model.name for model in configuration.trained_models()]
    assert names == [
        *(f"{kind}-{language}" for kind in ("clm", "mlm") for language in ("en", "de", "fi", "et")),
        *("mt-en-de", "mt-en-fi", "mt-en-et", "mt-de-en", "mt-fi-en", "mt-et-en", "mt-en-de-wmt"),
    ]
    for model in configuration.trained_models():
        training = configuration.training_of(model)
        # Table 2 of the paper.
        assert (training.layers, training.attention_heads) == (12, 8)
        assert (training.embedding_dimension, training.feed_forward_dimension) == (512, 2048)
        assert (training.activation, training.optimizer) == ("relu", "adam")
        assert (training.dropout, training.attention_dropout) == (0.1, 0.0)
        assert (training.adam_betas, training.adam_epsilon) == ([0.9, 0.98], 1e-6)
        assert (training.weight_decay, training.clip_norm) == (0.01, 0.0)
        assert (training.learning_rate, training.warmup_updates) == (5e-4, 8000)
        assert training.learning_rate_schedule == "polynomial_decay"
        assert (training.total_updates, training.update_frequency) == (125000, 16)
        assert (training.tokens_per_sample, training.max_tokens) == (512, 2048)
        assert training.precision == "fp16"
    assert configuration.vocabulary.size == 32000


# tests/test_zhu_presets.py has those of the study zhu2020, which train other models.
PRESETS = [path for path in sorted((ROOT / "presets").glob("*.yaml")) if "zhu" not in path.stem]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_presets_are_valid(path):
    preset = yaml.safe_load(path.read_text(encoding="utf-8"))
    configuration = load_configuration(merged(values(), preset))
    assert configuration.run == path.stem
    models = configuration.trained_models()
    matched = 3 if preset.get("matched_architecture") else 0
    stock = 17 if path.stem in ("demo", "sample") else 15
    assert [model.architecture for model in models] == ["stock"] * stock + ["matched"] * matched


def test_every_mistake_is_told_at_once():
    loaded = values(layers=-1, learing_rate=3, precision=False)
    del loaded["seed"]
    loaded["vocabulary"]["size"] = "big"
    loaded["models"] = ["clm-en", "xlm-en"]
    loaded["colour"] = 1
    loaded["corpora"]["europarl-en-de"]["train"] = "most"
    loaded["corpora"]["wmt-en-de"]["sources"] = ["nowhere", "synthetic:x"]
    loaded["model_training"] = {"mlm-en": {"dropuot": 1, "dropout": 3}}
    found = mistakes(loaded)
    expected = [
        ("training.layers: found -1;", "allowed is 1 or more"),
        ("training.learing_rate: unknown key;", "did you mean learning_rate?"),
        ("training.precision: found False;", "allowed is 'fp16', 'bf16' or 'fp32'"),
        ("seed: missing", ""),
        ("vocabulary.size: found 'big';", "allowed is a whole number"),
        ("models.1: found 'xlm-en';", "allowed are OBJECTIVE-LANGUAGE (clm, dae, mlm, plm)"),
        ("colour: unknown key; known here:", "vocabulary"),
        ("corpora.europarl-en-de.train: found 'most';", "allowed is a whole number, or 'rest'"),
        ("corpora.wmt-en-de.sources: found 'nowhere';", "synthetic:<pairs>"),
        ("corpora.wmt-en-de.sources: found 'synthetic:x';", "allowed is synthetic:<pairs>"),
        ("model_training.mlm-en.dropuot: unknown key;", "did you mean dropout?"),
        ("model_training.mlm-en.dropout: found 3;", "less than 1"),
    ]
    for start, part in expected:
        assert any(line.startswith(start) and part in line for line in found), (start, found)
    assert len(found) == len(expected), found


def test_keys_of_earlier_versions_say_where_they_are_now():
    found = mistakes(merged(values(), {"training": {"device": "cpu"}, "resources": {}}))
    assert "training.device: this key is now execution.device" in found
    assert "resources: this key is now execution, without training_ before its keys" in found


def test_numbers_that_yaml_reads_as_text():
    assert yaml.safe_load("rate: 5e-4") == {"rate": "5e-4"}, "YAML 1.1 asks for a dot"
    configuration = load_configuration(values(learning_rate="5e-4"))
    assert configuration.training.learning_rate == 5e-4
    assert mistakes(values(learning_rate="fast"))[0].startswith("training.learning_rate: found")
    steps = [{"maximum_words": "250"}, {"shuffle_words": "0.5"}]
    configuration = load_configuration({**values(), "cleaning": steps})
    assert configuration.cleaning == [{"maximum_words": 250}, {"shuffle_words": 0.5}]


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"training": {"norm": False}}, "training.norm: found False; allowed is 'stock', 'pre'"),
        ({"run": False}, "run: found False;"),
        ({"models": [False]}, "models.0: found False;"),
        ({"training": {"layers": False}}, "training.layers: found False;"),
    ],
)
def test_a_bare_no_is_no_value(change, start):
    assert yaml.safe_load("norm: no") == {"norm": False}, "YAML 1.1"
    found = mistakes(merged(values(), change))
    assert len(found) == 1 and found[0].startswith(start), found


def test_models_of_the_command_line():
    for given in ("[clm-en,mt-en-de]", "clm-en mt-en-de", "[clm-en, mt-en-de]"):
        configuration = load_configuration({**values(), "models": given})
        assert [m.name for m in configuration.trained_models()] == ["clm-en", "mt-en-de"]
    (line,) = mistakes({**values(), "models": "[clm-en,mt-en]"})
    assert line.startswith("models.1: found 'mt-en';")
    assert mistakes({**values(), "models": "[]"})[0].startswith("models: ")


def test_names_that_point_nowhere():
    loaded = values()
    loaded["models"] = ["clm-en", "mt-en-sv"]
    loaded["sources"]["europarl-v8-en-fi"]["members"].pop("fi")
    assert mistakes(loaded) == [
        "sources.europarl-v8-en-fi.members: no member for fi of europarl-en-fi",
        "models: mt-en-sv needs the corpus europarl-en-sv, which corpora does not have",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"cleaning": [{"maximum_wrods": 5}]},
            "'maximum_wrods' is no cleaning step; the steps are:",
        ),
        ({"cleaning": [{"shuffle_words": 2}]}, "a number, 0 to 1, not 2"),
        ({"cleaning": [{"maximum_words": "many"}]}, "cleaning.0.maximum_words: found 'many';"),
        ({"cleaning": [{"maximum_words": True}]}, "found True; allowed is a number"),
        ({"cleaning": {"maximum_words": 5}}, "cleaning: allowed is a list"),
        (
            {"corpora": {"wmt-en-de": {"held_out_from": ["newstest"]}}},
            "corpora.wmt-en-de.held_out_from: found 'newstest'; allowed are other corpora",
        ),
        (
            {"sources": {"newstest2018-en-et": {"sha256": "0" * 64}}},
            "sources.newstest2018-en-et: it has the path wmt18/translation-task/test.tgz of",
        ),
        (
            {"sources": {"commoncrawl-de-en": {"sha256": "0"}}},
            "sources.commoncrawl-de-en.sha256: found '0'; allowed is 64 digits of 0-9 and a-f",
        ),
        (
            {"corpora": {"europarl-en-de": {"sources": ["europarl-v8-de-eng"]}}},
            "allowed are the names under sources and synthetic:<pairs>; did you mean "
            "europarl-v8-de-en?",
        ),
    ],
)
def test_what_is_wrong_with_sources_and_cleaning_is_told(change, expected):
    found = mistakes(merged(values(), change))
    assert any(expected in line for line in found), found


def test_a_model_overrides_its_objective_and_both_override_the_rest():
    loaded = values()
    loaded["objective_training"]["mlm"] = {"learning_rate": "2e-3", "dropout": 0.2}
    loaded["model_training"]["mlm-en"] = {"dropout": 0.3}
    configuration = load_configuration(loaded)
    found = {
        name: (training.learning_rate, training.dropout)
        for name in ("clm-en", "mlm-de", "mlm-en")
        for training in [configuration.training_of(parse_model(name))]
    }
    assert found == {"clm-en": (5e-4, 0.1), "mlm-de": (2e-3, 0.2), "mlm-en": (2e-3, 0.3)}


def test_overrides_must_fit_together_with_the_rest():
    loaded = values()
    loaded["models"] = ["clm-en", "mt-en-de", "mt-de-en"]
    loaded["objective_training"]["mt"] = {"attention_heads": 7}
    found = mistakes(loaded)
    assert len(found) == 1 and "512 does not divide into 7 attention_heads" in found[0]
    assert found[0].startswith("training of mt-en-de, mt-de-en: ")
    problems = mistakes(values(warmup_updates=125000, tokens_per_sample=4096))
    assert all(part in problems[0] for part in ("warmup_updates 125000", "tokens_per_sample 4096"))
    assert "set it to false for optimizer sgd" in mistakes(values(optimizer="sgd"))[0]
    assert "momentum 0.9 is that of sgd" in mistakes(values(momentum=0.9))[0]


def test_synthetic_sources():
    assert synthetic_pairs("synthetic:12") == (12, "parliament")
    assert synthetic_pairs("synthetic:12:news") == (12, "news")
    assert synthetic_pairs("europarl") is None
    for name in ("synthetic:", "synthetic:0", "synthetic:-3", "synthetic:5:web"):
        with pytest.raises(ValueError, match="allowed is synthetic:<pairs>"):
            synthetic_pairs(name)


def recording(**changes):
    """config.yaml with other keys under `recording`."""
    loaded = values()
    loaded["recording"] |= changes
    return loaded


RARE = {"split": "train", "tokens": {"frequency": [0, 0.25]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"estimators": {"simpson_rare": 5}},
            "simpson_rare looks at the text rare, which texts does not have; known: train, valid",
        ),
        ({"details": {"probe_rare": ["helped"]}}, "probe_rare looks at the text rare"),
        ({"estimators": {"simpsn": 5}}, "recording.estimators.simpsn: found 'simpsn'; unknown"),
        ({"estimators": {"batch": 2}}, "batch is always recorded at every update"),
        (
            {"texts": {"valid": RARE}},
            "valid exists by itself",
        ),
        ({"texts": {"a b": RARE}}, "a text cannot be named 'a b'"),
        (
            {"texts": {"a": {"split": "train", "tokens": {}}}},
            "texts.a.tokens: found nothing; give one",
        ),
        (
            {"texts": {"a": {"split": "train", "tokens": {"frequency": [1, 0]}}}},
            "from a lower share of the text to a higher one",
        ),
        (
            {"texts": {"news": {"split": "newstest2018"}}, "estimators": {"probe_news": 5}},
            "recording.estimators.probe_news: it looks at the split newstest2018, of which there "
            "is no text for clm-en",
        ),
    ],
)
def test_texts_that_cannot_be_recorded_are_refused_with_their_key(changes, message):
    assert message in "\n".join(mistakes(recording(**changes)))


def test_texts_of_the_main_models_are_left_out_of_the_others():
    """And without texts, what is recorded is told in the words of before."""
    texts = {"rare": {**RARE, "models": "main"}, "news": {"split": "test"}}
    estimators = {"probe": 10, "simpson_rare": 20, "fresh_news": 5}
    loaded = recording(texts=texts, estimators=estimators, details={"simpson_rare": ["helped"]})
    for corpus in loaded["corpora"].values():
        corpus["test"] = corpus["test"] or 10
    configuration = load_configuration(loaded)
    main, other = (configuration.recording_of(parse_model(n)) for n in ("clm-en", "clm-fi"))
    assert main.strides == {"batch": 1, **estimators}
    assert other.strides == {"batch": 1, "probe": 10, "fresh_news": 5} and other.details == {}
    assert main.settings()["texts"] == {
        "rare": {"split": "train", "tokens": {"frequency": (0, 0.25)}}, "news": {"split": "test"}
    }  # fmt: skip
    assert main.other_splits() == ["test"]
    plain = load_configuration(values())
    assert "texts" not in plain.recording_of(parse_model("clm-en")).settings()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"training": {"layers": 1.5}}, "training.layers: found 1.5; allowed is a whole number"),
        ({"training": {"dropout": "10%"}}, "training.dropout: found '10%'; allowed is a number"),
        ({"training": {"dropout": 1}}, "training.dropout: found 1; allowed is less than 1"),
        ({"training": 5}, "training: found 5; allowed is keys with values, one a line"),
        (
            {"training": {"adam_betas": [0.9]}},
            "training.adam_betas: found [0.9]; allowed is a list of at least 2, not of 1",
        ),
        (
            {"training": {"tied_embeddings": "yess"}},
            "training.tied_embeddings: found 'yess'; allowed is true or false, or 'none', "
            "'decoder' or 'all'",
        ),
        (
            {"snapshots": {"main": 0}},
            "snapshots.main: found 0; allowed is 1 or more, or a list, such as [a, b]",
        ),
    ],
)
def test_a_value_of_a_wrong_kind_is_told_in_one_line_without_terms_of_python(change, line):
    assert mistakes(merged(values(), change)) == [line]


def test_a_mistake_that_many_models_share_is_told_once():
    found = mistakes(values(layers=7))
    assert len(found) == 1
    assert found[0].startswith("training of mt-en-de, mt-en-fi, mt-en-et, mt-de-en and 3 more: ")
    late = mistakes({**values(), "resume_points": [200000]})
    assert late == [
        "resume_points: found 200000, but the updates of clm-en, clm-de, clm-fi, clm-et and 11 "
        "more are 125000; allowed are 0 to 125000"
    ]


def test_the_estimator_of_the_figures_must_be_recorded():
    found = mistakes({**values(), "figures": {"estimator": "probes"}})
    assert found == [
        "figures.estimator: found 'probes'; batch, fresh, probe, simpson, probe_valid, "
        "simpson_valid are recorded"
    ]
    change = {
        "recording": {
            "texts": {"rare": {"split": "train", "models": "main"}},
            "estimators": {"probe_rare": 10},
        },
        "figures": {"estimator": "probe_rare"},
    }
    (line,) = mistakes(merged(values(), change))
    assert "clm-de, clm-fi, clm-et, mlm-de and 8 more do not record it" in line


def test_settings_of_a_model_that_no_run_can_train_are_refused():
    (line,) = mistakes({**values(), "model_training": {"clm-em": {"dropout": 0.2}}})
    assert line.startswith("model_training.clm-em: no run can train that model")
    # A model that this run leaves out is none of them: a preset may have settings for it.
    loaded = {**values(), "models": ["clm-en"], "model_training": {"mt-en-de": {"dropout": 0.2}}}
    load_configuration(loaded)


def test_a_treebank_of_this_machine_must_exist(tmp_path):
    place = tmp_path / "mine.conllu"
    loaded = merged(values(), {"treebanks": {"en": {"url": place.as_uri()}}})
    (line,) = mistakes(loaded)
    assert line.startswith("treebanks.en.url: found ") and "there is no such file" in line
    load_configuration(loaded, places=False)
    place.touch()
    load_configuration(loaded)
