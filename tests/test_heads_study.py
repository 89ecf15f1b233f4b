"""The study of attention heads on small files whose answers are known."""

import re

import numpy as np
import pytest
import sacrebleu
import xarray as xr

from attention_heads.syntactic import RELATIONS
from heads_cases import (
    HEADS,
    LAYERS,
    SENTENCES,
    TYPES,
    bleu_rows,
    description,
    pruning_arm,
    training,
)
from losschange.claims import FAILS, HOLDS, UNKNOWN
from losschange.claims.judging import LEARNED
from running.configuration_check import ConfigurationError, load_configuration
from running.cost_table import cost_table
from studies.attention_heads.cost import cost_lines, passes_of
from studies.attention_heads.figure_data import Panel, functions_of, timing
from studies.attention_heads.inputs import COLUMN
from studies.attention_heads.judging import judge_heads
from studies.attention_heads.relating import relate
from studies.attention_heads.resampling import HeadResample
from tiny_trainings import values


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Fewer resamplings: these answers are far from the criteria."""
    monkeypatch.setattr("studies.attention_heads.judging.DRAWS", 15)


def measures(top=0.4):
    """Two heads with most relevance; the first is the most confident except in layer 1."""
    relevance = np.full((LAYERS, HEADS), (1 - 2 * top) / (HEADS - 2))
    relevance[:, :2] = [top * 1.2, top * 0.8]
    relevance[0, :2] = [0.6, 0.2]
    confidence = np.full((LAYERS, HEADS), 0.3)
    confidence[1:, 0] = 0.95
    confidence[0, 2] = 0.9
    return relevance, confidence


def useful():
    """Rates of a model in which every claim about functions holds."""
    positional, rare, gain = (np.full((LAYERS, HEADS), value) for value in (0.1, 0.1, 0.0))
    positional[1, 0], rare[0, 0], gain[2, 1] = 0.97, 0.8, 0.3
    return {"positional": positional, "rare": rare, "gain": gain}


def masks(shares):
    """The first heads of every layer are kept, by attention type."""
    return {
        name: np.broadcast_to(np.arange(HEADS) < round(share * HEADS), (LAYERS, HEADS))
        for name, share in shares.items()
    }


def arms(folder, **changes):
    """A control arm and two prices of all types, and the same of the encoder alone."""
    all_open = dict.fromkeys(TYPES, 1.0)
    half = {"encoder": 0.25, "decoder": 0.5, "cross": 0.75}
    quarter = {"encoder": 0.0, "decoder": 0.25, "cross": 0.5}
    functional = {"encoder": np.zeros((LAYERS, HEADS), bool)}
    functional["encoder"][[1, 0, 2], [0, 0, 1]] = True
    return [
        pruning_arm(folder, "control", masks(all_open), **changes),
        pruning_arm(folder, "price1", masks(half), **changes),
        pruning_arm(folder, "price2", masks(quarter), **changes),
        pruning_arm(folder, "encoder-control", masks({"encoder": 1.0}), **changes),
        pruning_arm(folder, "encoder-price1", functional, **changes),
    ]


def scratch(loss):
    variables = {
        "sentence_loss": ("sentence", np.full(SENTENCES, 5 * loss)),
        "targets": ("sentence", np.full(SENTENCES, 5)),
        "bleu_statistics": (("translation", "statistic"), bleu_rows(0.4)),
    }
    return xr.Dataset(variables, attrs={"model": "mt-en-de.pruned"})


def results(found, scores=(), learned=LEARNED):
    record = judge_heads([found], list(scores), ["mt-en-de"], {"mt-en-de": [learned]}, 1)
    return {claim["number"]: claim["results"][COLUMN] for claim in record["claims"]}


def test_every_claim_holds_of_a_model_that_is_as_the_claims_say(tmp_path):
    found = training(tmp_path, description(*measures(), **useful()), arms(tmp_path))
    judged = results(found, [scratch(2.5)])
    # 1 and 2 speak of all objectives, and this run has one.
    assert {n: r["verdict"] for n, r in judged.items() if n > 2} == dict.fromkeys(
        range(3, 10), HOLDS
    )
    assert all("no main model of the objective clm" in judged[n]["reason"] for n in (1, 2))


def test_no_claim_holds_of_a_model_whose_heads_are_alike(tmp_path):
    alike = np.full((LAYERS, HEADS), 1 / HEADS)
    found = training(tmp_path, description(alike, alike), arms(tmp_path))
    judged = results(found, [scratch(2.0)])
    assert HOLDS not in {judged[number]["verdict"] for number in (3, 4, 7)}
    assert judged[3]["verdict"] == judged[4]["verdict"] == FAILS
    assert "no head of the encoder has a function" in judged[7]["reason"]


def test_worse_translations_and_scratch_as_good_are_told(tmp_path):
    made = arms(tmp_path)
    made[1] = pruning_arm(tmp_path, "price1", masks(dict.fromkeys(TYPES, 0.5)), bleu=0.3)
    found = training(tmp_path, description(*measures(), **useful()), made)
    judged = results(found, [scratch(1.5)])
    assert judged[6]["verdict"] == FAILS and judged[9]["verdict"] == FAILS
    # All types keep the same share, so no type survives above another.
    assert judged[8]["verdict"] != HOLDS


@pytest.mark.parametrize(
    ("changes", "numbers", "reason"),
    [
        ({"worth": 0.0}, range(3, 10), "they do nothing"),
        ({"decided": False}, (5, 6, 7, 8, 9), "not converged"),
        ({"bleu": 0.01}, (5, 6), "translates no better"),
    ],
)
def test_nothing_is_told_of_prunings_that_say_nothing(tmp_path, changes, numbers, reason):
    found = training(tmp_path, description(*measures(), **useful()), arms(tmp_path, **changes))
    judged = results(found, [scratch(2.5)])
    for number in numbers:
        assert judged[number]["verdict"] == UNKNOWN and reason in judged[number]["reason"], number


def test_missing_texts_models_and_heads_are_a_sentence_each(tmp_path):
    found = description(*measures(), **useful())
    del found.counts["syntactic"], found.values["syntactic"]
    found.counts["rare"]["encoder"].chances[:] = 0.0
    made = training(tmp_path, found, no_syntax="there is no treebank of the language")
    judged = results(made)
    assert {result["verdict"] for result in judged.values()} == {UNKNOWN}
    assert "no sentence holds a rare token" in judged[3]["reason"]
    assert "no treebank" in judged[4]["reason"]
    assert "no price" in judged[5]["reason"] and "from scratch" in judged[9]["reason"]
    never = description(*measures(), **useful())
    for kind in ("hits", "chances"):
        counted = getattr(never.counts["syntactic"]["encoder"], kind)
        counted[..., list(RELATIONS).index("obj"), :] = 0.0
    rarely = results(training(tmp_path, never, arms(tmp_path)))[4]
    assert rarely["verdict"] == UNKNOWN
    assert "the relation of the object occurs too rarely" in rarely["reason"]
    alone = np.ones((LAYERS, 1))
    single = training(tmp_path, description(alone, alone, heads=1), heads=1)
    assert "one head per layer" in results(single)[3]["reason"]
    doubted = results(training(tmp_path, description(*measures(), **useful())), (), "did not learn")
    assert "did not learn" in doubted[3]["reason"]


def test_bleu_from_statistics_is_that_of_the_whole_text(tmp_path):
    """Also where no four words are right, so that the score is smoothed."""
    said, wanted = ["a b c x", "d e y f"], ["a b z c", "d e f g"]
    metric = sacrebleu.BLEU()
    each = [metric.corpus_score([one], [[other]]) for one, other in zip(said, wanted)]
    rows = np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in each], dtype=float)
    scores = xr.Dataset({"bleu_statistics": (("translation", "statistic"), rows)})
    found = HeadResample(training(tmp_path, description(*measures()))).bleu(scores)
    assert found == pytest.approx(metric.corpus_score(said, [wanted]).score) and found > 0


def test_functions_are_found_where_they_are_and_nowhere_else(tmp_path):
    found = training(tmp_path, description(*measures(), **useful()))
    have = functions_of(Panel(found, "encoder"))
    places = {"positional": (1, 0), "rare": (0, 0), "syntactic": (2, 1)}
    for kind, place in places.items():
        assert np.argwhere(have[kind]).tolist() == [list(place)]


def test_heads_that_look_at_rare_tokens_as_often_as_chance_have_no_function(tmp_path):
    by_chance = description(*measures(), rare=0.58)
    for each in by_chance.counts["rare"].values():
        each.baseline[:] = 0.52 * each.chances
    have = functions_of(Panel(training(tmp_path, by_chance), "encoder"))
    assert not have["rare"].any()


def test_onset_and_peak_agree_if_heads_contribute_when_they_get_their_function(tmp_path):
    random = np.random.default_rng(1)
    onset = random.integers(0, 3, (LAYERS, HEADS))
    relevance, confidence = measures()
    series = [
        description(relevance, confidence, positional=np.where(onset < at, 0.9, 0.1))
        for at in range(4)
    ]
    found = training(tmp_path, series)
    peaks = np.stack([(onset == at).astype(float) for at in range(3)])
    same = timing(Panel(found, "encoder"), peaks)
    assert same.value == pytest.approx(1.0) and same.null[1] < 0.6
    other = timing(Panel(found, "encoder"), random.random((3, LAYERS, HEADS)))
    assert other.null[0] - 0.15 < other.value < other.null[1] + 0.15
    assert "fewer than three" in timing(Panel(found, "encoder"), peaks[:1]).reason


def cube_of(contributions, estimators="batch"):
    """A cube of 8 updates whose heads contribute evenly; one encoder of the given size."""
    layers, heads = contributions.shape
    random = np.random.default_rng(3)
    lca = np.zeros((8, layers, 4, heads + 1), dtype=np.float32)
    lca[..., 1:] = -contributions[None, :, None] / 32
    lca[..., 1:] += 1e-6 * random.standard_normal((8, layers, 4, heads)).astype(np.float32)
    return xr.Dataset(
        {"lca": (("step", "layer", "component", "head"), lca)},
        {
            "step": np.arange(1, 9),
            "stack": ("layer", ["encoder"] * layers),
            "component": ["key", "query", "value", "out"],
            "head": ["none", *map(str, range(heads))],
        },
        {"estimators": estimators},
    )


def test_lca_that_is_the_relevance_agrees_with_it_and_random_lca_with_nothing(tmp_path):
    relevance = np.random.default_rng(1).random((LAYERS, HEADS))
    confidence = np.random.default_rng(2).random((LAYERS, HEADS))
    found = training(tmp_path, [description(relevance, confidence)] * 2, arms(tmp_path))
    record = relate(found, cube_of(relevance), "batch", 2000, 1)
    tests = {(t["snapshot"], t["measure"]): t for t in record["tests"] if t["component"] == "all"}
    assert tests["last", "relevance"]["value"] > 0.9
    assert tests["last", "relevance"]["p_holm"] < 0.05
    assert tests["last", "signed_importance"]["value"] != tests["last", "relevance"]["value"]
    assert abs(tests["last", "confidence"]["value"]) < 0.4
    assert tests["last", "confidence"]["p_holm"] > 0.05
    assert tests["first", "relevance"]["value"] is not None
    # The weights' norms are all alike, so nothing is left to compare when they are taken out.
    assert {each["measure"] for each in record["partial"]} >= {"relevance", "ablation"}
    assert set(record["lca"]) == {"encoder"} and record["missing"]
    assert record["rules"] == {}
    rules = [(relevance, relevance), (relevance, -relevance), (relevance, confidence)]
    for (first, second), low, high in zip(rules, (0.99, -1.01, -0.4), (1.01, -0.99, 0.4)):
        both = description(first, confidence)
        both.values["alpha_beta_relevance"] = dict.fromkeys(TYPES, second)
        checked = relate(training(tmp_path, both), cube_of(relevance), "batch", 100, 1)["rules"]
        assert all(low < checked[name] < high for name in TYPES)


def test_the_cost_counts_the_passes_of_ablation_as_it_runs_them():
    loaded = values()
    loaded["treebanks"] = dict.fromkeys(loaded["treebanks"])
    configuration = load_configuration(loaded)
    models = {model.name: model for model in configuration.trained_models()}

    class Handle:
        stages = [{"encoder": n} for n in range(6)] + [{"decoder": n, "cross": n} for n in range(6)]
        attentions = {name: type("A", (), {"heads": 8}) for name in TYPES}

    from attention_heads.ablation import ablation_cost

    counted, found = ablation_cost(Handle()), passes_of(configuration, models["mt-en-de"])
    snapshots = len(configuration.snapshots_of(models["mt-en-de"]))
    assert found.ablation == pytest.approx(snapshots * counted.resumed / 12)
    assert found.naive == snapshots * counted.naive / 12
    assert found.naive / found.ablation > 2
    assert found.updates == 12 * 10_000
    # Confidence, positions and rare tokens; relevance and importance, forward and backward; the
    # alpha-beta rule once; 12 prunings scored, the whole model, and two with all heads closed.
    assert found.forward == pytest.approx(snapshots * 5 + 2 + found.ablation + 12 + 3)
    assert found.backward == snapshots * 2 + 1
    # A masked language model has no decoder, and no syntax is known without a treebank.
    masked = passes_of(configuration, models["mlm-en"])
    assert masked.backward == snapshots * 2 and masked.syntax == found.syntax == 0
    text = "\n".join(cost_lines(configuration))
    assert "mt-en-de" in text and "120,000 updates" in text and "clm-de" not in text
    assert "known syntax" not in text


def test_the_table_of_costs_states_the_passes_before_anything_starts():
    loaded = values() | {"studies": ["attention_heads"]}
    loaded["treebanks"] = {"en": {"url": "https://example.org/en.conllu"}}
    table = cost_table(load_configuration(loaded))
    for model in ("clm-en", "mlm-en", "mt-en-de"):
        assert re.search(rf"  {model}: [\d,]+ forward passes .*, \d+ backward passes; ", table)
    assert "10 forward passes over at most 1,000 sentences with known syntax" in table


def test_mistakes_in_the_settings_are_told_before_anything_runs():
    loaded = values()
    loaded["studies"] = ["attention_heads"]
    loaded["attention_heads"] = {"frequent": 32000, "groups": 3000, "prices": 1}
    with pytest.raises(ConfigurationError, match="attention_heads.prices"):
        load_configuration(loaded)
    loaded["attention_heads"]["prices"] = 5
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(loaded)
    assert "attention_heads.frequent: found 32000" in str(caught.value)
    assert "attention_heads.groups: found 3000" in str(caught.value)
    loaded["treebanks"] = {"en": {"url": "https://example.org/en.txt"}}
    with pytest.raises(ConfigurationError, match="ends in .conllu"):
        load_configuration(loaded)


def test_from_scratch_is_a_variant_of_translation_with_the_mask_as_a_file():
    loaded = values()
    loaded["studies"] = ["attention_heads"]
    loaded["attention_heads"] = {"from_scratch": True}
    configuration = load_configuration(loaded)
    (variant,) = configuration.variants().values()
    assert variant.full_name == "mt-en-de.pruned"
    assert variant.files_of("mt-en-de.pruned.seed2") == {
        "head_mask": "results/paper/gates/mt-en-de.seed2.mask.json"
    }
    loaded["attention_heads"] = {"from_scratch": False}
    assert not load_configuration(loaded).variants()
