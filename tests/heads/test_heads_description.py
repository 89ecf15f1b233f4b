"""All measures at once: a planted head is found by each, and nothing is found where nothing is."""

import numpy as np
import pytest
import torch
from head_models import USEFUL_HEAD, USEFUL_LAYER, planted, random_batch, with_identical_heads

from attention_heads.ablation import ablation_cost
from attention_heads.description import Texts, describe
from attention_heads.functions import GoldSentences, count_syntax
from attention_heads.quantities import Blocks, Fixed, Sentences
from attention_heads.relations import rank_agreement, rank_agreements
from attention_heads.series import make_series
from attention_heads.storage import open_heads, write_heads
from attention_heads.treebank import Relation, Sentence, read_conllu


def texts_of(handle, sentences=6, words=8, translation=False):
    batches = [
        random_batch(sentences, 7, words, translation=translation, seed=seed) for seed in range(4)
    ]
    sides = ("source", "target") if translation else ("target",)
    ranks = {side: torch.arange(words) for side in sides}
    return Texts(batches, [batches[:2], batches[2:]], ranks, frequent=2)


def copying(handle):
    """Text in which the planted model is right: the previous word is the next one."""
    texts = texts_of(handle)
    for batch in texts.predicted:
        batch["targets"][:, 1:] = batch["target"][:, :-1]
        batch["targets"][:, 0] = -1
        batch["targets"][batch["target"] == 0] = -1
    return texts


def test_every_measure_finds_the_planted_head():
    handle = planted()
    found = describe(handle, copying(handle), seed=1)
    for name in ("ablation", "importance", "relevance", "confidence"):
        values = found.values[name]["decoder"][USEFUL_LAYER]
        assert values.argmax() == USEFUL_HEAD, name
    offsets = found.values["positional"]["decoder"][USEFUL_LAYER, USEFUL_HEAD]
    assert np.nanargmax(offsets) == 2 and offsets[2] > 0.9  # -3, -2, -1


def test_groups_of_sentences_add_up_to_the_whole():
    handle = planted()
    texts = texts_of(handle)
    one = describe(handle, texts, seed=1, ablation=False)
    joined = Texts(texts.predicted, [texts.predicted], texts.ranks, texts.frequent)
    whole = describe(handle, joined, seed=1, ablation=False)
    for kind in ("positional", "rare"):
        counts = one.counts[kind]["decoder"]
        assert counts.hits.shape[0] == 2
        assert counts.chances.sum() == whole.counts[kind]["decoder"].chances.sum()
        # Of the others the largest weights are nearly ties, broken at random.
        rates = counts.rates[USEFUL_LAYER, USEFUL_HEAD]
        expected = whole.values[kind]["decoder"][USEFUL_LAYER, USEFUL_HEAD]
        np.testing.assert_allclose(rates, expected, atol=0.02)


def test_snapshots_are_written_and_read_and_what_was_not_measured_is_missing(tmp_path):
    handle = planted()
    texts = texts_of(handle)
    found = [describe(handle, texts, 1, ablation=last) for last in (False, True)]
    shapes = {name: (each.layers, each.heads) for name, each in handle.attentions.items()}
    write_heads(tmp_path / "m.nc", make_series([0, 9], shapes, found, {"model": "clm-en"}))
    with open_heads(tmp_path / "m.nc") as opened:
        assert np.isnan(opened["ablation"].sel(snapshot=0)).all()
        last = opened["ablation"].sel(snapshot=9, attention="decoder").values
        np.testing.assert_allclose(last, found[1].values["ablation"]["decoder"], rtol=1e-5)
        assert opened["positional_hits"].dims == ("group", "attention", "layer", "head", "offset")
        assert opened["relevance_by_sentence"].sizes["sentence"] == 24


def test_a_translation_model_has_all_measures_of_all_types():
    from head_models import TinyHandle

    handle = TinyHandle(words=8, encoder=2)
    found = describe(handle, texts_of(handle, translation=True), seed=1, alpha_beta=True)
    for values in (*found.values.values(), *found.by_sentence.values()):
        assert set(values) == {"encoder", "decoder", "cross"}


def test_heads_that_are_all_alike_are_never_significant():
    handle = with_identical_heads()
    found = describe(handle, texts_of(handle, words=11), seed=1)
    random = np.random.default_rng(0)
    blocks = Blocks(random.standard_normal((6, *found.values["ablation"]["decoder"].shape)))
    for name in ("ablation", "importance", "confidence", "relevance"):
        y = Fixed(found.values[name]["decoder"])
        agreement = rank_agreements({"x": blocks}, y, seed=1, draws=200)["x"]
        assert np.isnan(agreement.value) and "all alike" in agreement.reason


def test_agreements_of_many_are_those_of_each():
    random = np.random.default_rng(1)
    y = Sentences(random.standard_normal((30, 4, 8)), np.ones(30))
    values = random.standard_normal((5, 4, 8))
    values[:, 2] = 0.0  # a layer that does not count
    xs = {"a": Blocks(values), "b": Blocks(random.standard_normal((5, 4, 8)) + y.value)}
    together = rank_agreements(xs, y, seed=3, draws=4000)
    for name, x in xs.items():
        alone = rank_agreement(x, y, seed=3, draws=4000)
        assert together[name].value == pytest.approx(alone.value)
        assert together[name].interval == pytest.approx(alone.interval)
        assert together[name].layers == alone.layers
        assert together[name].null == pytest.approx(alone.null, abs=0.03)
        assert together[name].p_value == pytest.approx(alone.p_value, abs=0.03)


def gold(handle, relation, sentences=4):
    """Sentences of six words, one word per token, with one relation each."""
    batch = random_batch(sentences, 7, 8, seed=1, padded=False)
    words = [[*range(6), -1]] * sentences
    known = [Sentence([str(n) for n in range(6)], [relation])] * sentences
    return GoldSentences([batch], [{"target": words}], [{"target": known}])


def test_a_head_that_looks_one_back_follows_relations_to_the_word_before_and_no_others():
    handle = planted()
    near = gold(handle, Relation("nsubj", 3, 2))
    counts, results = count_syntax(handle, [near], seed=1)
    rates = counts["decoder"].rates[USEFUL_LAYER, USEFUL_HEAD]
    assert rates[0, 0] == 1.0 and np.isnan(rates[2]).all()
    # The best fixed offset does as well, so the head is not syntactic.
    assert not results["decoder"]["nsubj", "dependent to head"].is_syntactic.any()
    assert "never occurs" in results["decoder"]["amod", "dependent to head"].reason
    far, _ = count_syntax(handle, [gold(handle, Relation("nsubj", 4, 1))], seed=1)
    assert far["decoder"].rates[USEFUL_LAYER, USEFUL_HEAD, 0, 0] == 0.0


def test_a_treebank_keeps_the_running_text(tmp_path):
    path = tmp_path / "a.conllu"
    row = "\t_\t_\t_\t_\t0\troot\t_\t_\n"
    path.write_text(f"# text = Go!\n1\tGo{row}2\t!{row}\n1\tGo{row}2\ton{row}\n", encoding="utf-8")
    assert [each.text for each in read_conllu(path)] == ["Go!", "Go on"]


def test_resuming_at_a_heads_layer_halves_the_layers_that_run():
    """Of a translation model of 6 + 6 layers of 8 heads: the speed-up in layers run."""
    from head_models import TinyHandle

    cost = ablation_cost(TinyHandle(encoder=6, layers=6, heads=8))
    assert cost.heads == 144 and cost.naive / cost.resumed > 2
