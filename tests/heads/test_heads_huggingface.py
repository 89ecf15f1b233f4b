"""Handles of Hugging Face models run as the models do and show the same heads."""

import numpy as np
import pytest
import torch

from attention_heads.ablation import ablate
from attention_heads.confidence import confidence
from attention_heads.errors import HeadsError, HiddenHeadsError
from attention_heads.gates import train_gates
from attention_heads.importance import importance, importance_from_gradient
from attention_heads.passes import attention_weights, mean_loss, open_gates, resume, states_of
from attention_heads.positional import positional
from attention_heads.relevance import conservation, relevance
from offline_transformers import import_transformers

transformers = import_transformers()
handle_of = pytest.importorskip("attention_heads.huggingface").handle_of
pytestmark = pytest.mark.usefixtures("one_thread")

WORDS, PAD, START, END = 17, 0, 1, 2


def make(kind, seed=0, **options):
    torch.manual_seed(seed)
    ids = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=WORDS, n_positions=12, n_embd=16, n_layer=2, n_head=4, **ids, **options
        )
        model = transformers.GPT2LMHeadModel(config)
    elif kind == "bert":
        config = transformers.BertConfig(
            vocab_size=WORDS, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=32, max_position_embeddings=12, **ids, **options,
        )  # fmt: skip
        model = transformers.BertForMaskedLM(config)
    else:
        name = {"marian": "Marian", "bart": "Bart"}[kind]
        config = getattr(transformers, f"{name}Config")(
            vocab_size=WORDS, d_model=16, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32,
            decoder_ffn_dim=32, max_position_embeddings=12, scale_embedding=True,
            decoder_start_token_id=PAD, forced_eos_token_id=None, **ids, **options,
        )  # fmt: skip
        head = {"marian": "MarianMTModel", "bart": "BartForConditionalGeneration"}[kind]
        model = getattr(transformers, head)(config)
    with torch.no_grad():  # the usual initialisation makes all heads look everywhere alike
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.set_attn_implementation("eager")
    return model


def make_batch(kind, sentences=3, seed=0):
    torch.manual_seed(seed)
    ids = torch.randint(3, WORDS, (sentences, 8))
    ids[:, 7] = END
    ids[1, 5], ids[1, 6:] = END, PAD
    batch = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    if kind == "gpt2":
        return {**batch, "labels": ids.where(ids != PAD, -100)}
    if kind == "bert":
        return {**batch, "labels": ids.where(torch.rand(ids.shape) < 0.4, -100)}
    labels = torch.randint(3, WORDS, (sentences, 6))
    labels[2, 4:] = -100
    return {**batch, "labels": labels}


KINDS = ["gpt2", "bert", "marian", "bart"]
OUTPUTS = {
    "gpt2": {"decoder": "attentions"},
    "bert": {"encoder": "attentions"},
    "marian": {
        "encoder": "encoder_attentions",
        "decoder": "decoder_attentions",
        "cross": "cross_attentions",
    },
}
OUTPUTS["bart"] = OUTPUTS["marian"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def handle(kind):
    return handle_of(make(kind))


@pytest.fixture
def batch(kind):
    return make_batch(kind)


def test_loss_and_weights_are_the_models_own(kind, handle, batch):
    model = handle.module.eval()
    with torch.no_grad():
        expected = model(**batch, output_attentions=True)
    assert mean_loss(handle, [batch]) == pytest.approx(expected.loss.item(), rel=1e-5)
    present = handle.tokens(batch)
    found = attention_weights(handle, batch)
    assert set(found) == set(OUTPUTS[kind])
    for name, attribute in OUTPUTS[kind].items():
        asked = present[handle.attentions[name].query].present[:, None, :, None]
        for own, theirs in zip(found[name], getattr(expected, attribute), strict=True):
            torch.testing.assert_close(own * asked, theirs * asked)


def test_losses_alone_are_those_of_the_logits(handle, batch):
    with torch.no_grad():
        state = states_of(handle, batch)[-1]
        torch.testing.assert_close(handle.finish_losses(state), handle.finish(state).losses)


def test_freezing_changes_no_value_and_every_hook_is_taken_away(handle, batch):
    handle.module.eval()
    plain = resume(handle, handle.start(batch))
    frozen = resume(handle, handle.start(batch), gates=open_gates(handle), frozen=True, weights={})
    torch.testing.assert_close(frozen.logits, plain.logits)
    for module in handle.module.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_attention_weights_are_constants_when_frozen(handle, batch):
    output = resume(handle, handle.start(batch), frozen=True)
    name = next(iter(handle.attentions))
    modules = handle._modules(0, name)
    for projection, rest in modules.queries_and_keys:
        (gradient,) = torch.autograd.grad(
            output.logits.sum(), projection.bias, retain_graph=True, allow_unused=True
        )
        own = 0 if gradient is None else gradient[: len(gradient) - rest].abs().sum()
        assert own == 0


def test_without_biases_the_logit_arrives_at_every_layer(handle, batch):
    with torch.no_grad():
        for name, parameter in handle.module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    found = conservation(handle, batch, seed=0)
    np.testing.assert_allclose(found.arrived, found.logits[None].repeat(len(found.arrived), 0),
                               rtol=1e-4, atol=2e-5)  # fmt: skip


def test_the_path_identity_holds(handle, batch):
    model = handle.module.eval()
    model(**batch).loss.backward()
    for name, about in handle.attentions.items():
        signed = importance(handle, [batch])[name].signed
        for layer in range(about.layers):
            projection = handle.out_projection(name, layer)
            found = importance_from_gradient(projection, projection.parameter.grad, about.heads)
            np.testing.assert_allclose(found.numpy(), signed[layer], atol=2e-7)


def test_ablation_equals_removing_the_heads_part_of_the_out_projection(handle, batch):
    found = ablate(handle, [batch])
    base = mean_loss(handle, [batch])
    for name, about in handle.attentions.items():
        projection = handle.out_projection(name, 1)
        kept = projection.parameter.detach().clone()
        with torch.no_grad():
            projection.by_head(projection.parameter, about.heads)[2] = 0.0
        handle.module.eval()
        with torch.no_grad():
            rise = handle.module(**batch).loss.item() - base
            projection.parameter.copy_(kept)
        assert found[name].rise[1, 2] == pytest.approx(rise, abs=2e-6)


def test_head_weights_are_the_rows_and_columns_that_make_the_scores(kind, handle, batch):
    for name, about in handle.attentions.items():
        matrices = handle.head_weights(name, 1)
        assert set(matrices) == {"query", "key", "value", "out"}
        assert {tuple(each.shape) for each in matrices.values()} == {(about.heads, 4, 16)}
    # Query and key of a first layer give the attention weights of its head.
    if kind == "bert":
        state = handle.module.eval() and handle.start(batch)
        x, parts = state["source"][0], handle.head_weights("encoder", 0)
        block = handle.module.bert.encoder.layer[0].attention.self
        query = x @ parts["query"][1].T + block.query.bias[4:8]
        key = x @ parts["key"][1].T + block.key.bias[4:8]
        found = attention_weights(handle, batch)["encoder"][0][0, 1]
        torch.testing.assert_close((query @ key.T / 2).softmax(-1).detach(), found)
    if kind == "gpt2":
        fused = handle.module.transformer.h[1].attn.c_attn.weight
        torch.testing.assert_close(
            handle.head_weights("decoder", 1)["value"][2], fused[:, 32 + 8 : 32 + 12].T
        )


def test_special_symbols_and_padding_are_no_text(kind, handle, batch):
    first = handle.tokens(batch)[next(iter(handle.attentions.values())).key]
    assert first.content.sum() == 8 + 8 + 6 - 3 and first.present.sum() == 22
    found = confidence(handle, [batch])
    assert all((each.mean > 0).all() and (each.mean < 1).all() for each in found.values())
    assert positional(handle, [batch], seed=0).keys() == relevance(handle, [batch], 0).keys()


def test_gates_can_be_trained(handle, batch):
    found = train_gates(handle, [batch], price=0.5, updates=30, seed=0)
    assert found.open_heads[-1] < found.open_heads[0]


def test_fused_attention_is_refused():
    model = make("gpt2")
    model.set_attn_implementation("sdpa")
    with pytest.raises(HiddenHeadsError, match="'sdpa', which shows no weights: call model.set_"):
        handle_of(model)


def test_models_without_a_handle_are_refused():
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=16, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=32,
    )  # fmt: skip
    with pytest.raises(HeadsError, match="no handle for BertModel; there are handles for GPT2LM"):
        handle_of(transformers.BertModel(config))


def test_alpha_beta_runs_on_marian_and_ranks_like_gradient_times_activation():
    from attention_heads.alpha_beta import alpha_beta_relevance
    from attention_heads.rank_statistics import within_layer_spearman

    handle = handle_of(make("marian"))
    handle.module.final_logits_bias.normal_()
    batches = [make_batch("marian", 8, seed) for seed in range(3)]
    rule = alpha_beta_relevance(handle, batches, seed=0)
    plain = relevance(handle, batches, seed=0)
    agreement = [within_layer_spearman(rule[n].share, plain[n].share) for n in rule]
    assert np.mean(agreement) > 0
