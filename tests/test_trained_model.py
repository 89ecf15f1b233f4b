"""The layers, heads and states of trained models, against fairseq's own passes."""

import pytest
import torch

from attention_heads.importance import importance_from_gradient
from attention_heads.passes import attention_weights, open_gates, resume, states_of
from attention_heads.relevance import conservation
from trained_models import VARIANTS, is_close, row_of_each_length, train
from training.layer_states import layer_states
from training.quality import TrainedModel
from training.trained_model import TrainedModelHandle

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


MADE = [(o, v) for v in ("stock-post", "fast-pre") for o in ("clm", "mlm", "mt")]
MADE += [("clm", "matched"), ("plm", "fast-pre"), ("dae", "stock-post")]


@pytest.fixture(scope="module", params=MADE, ids="-".join)
def made(request, tokens, tmp_path_factory):
    """(variant, checkpoint, folder of token ids, handle)."""
    objective, variant = request.param
    folder = tmp_path_factory.mktemp(f"{objective}-{variant}")
    train(folder, objective, tokens, variant)
    checkpoint, data = folder / "checkpoint.pt", tokens[objective]
    return variant, checkpoint, data, TrainedModelHandle(checkpoint, data, device="cpu")


@pytest.fixture
def handle(made):
    return made[3]


@pytest.fixture
def batch(handle):
    return row_of_each_length(handle)


def seen(batch):
    """Positions of the predicted side that are not padding."""
    inputs = batch["net_input"]
    return inputs.get("prev_output_tokens", inputs["src_tokens"]) != 1


@torch.no_grad()
def test_the_stages_are_the_models_own_pass_also_where_it_was_trained_with_fast_layers(made, batch):
    variant, checkpoint, data, handle = made
    found = resume(handle, handle.start(batch))
    is_close(found.logits, handle.module(**batch["net_input"])[0], 1e-6)
    trained = TrainedModel(checkpoint, data, max_tokens=500)
    assert trained.task.options.fast_layers == VARIANTS[variant]["fast_layers"]
    assert not handle.task.options.fast_layers
    expected = trained.model.cpu()(**batch["net_input"])[0]
    is_close(found.logits[seen(batch)], expected[seen(batch)])
    loss, size, _ = trained.criterion(trained.model, batch)
    assert int(found.predicted.sum()) == int(size) > 0
    assert found.losses.sum().item() == pytest.approx(float(loss), rel=1e-5)
    assert not found.losses[~found.predicted].any()
    alone = handle.finish_losses(states_of(handle, batch)[-1])
    is_close(alone, found.losses, 1e-5)


@torch.no_grad()
def test_resuming_at_any_layer_gives_the_whole_pass(handle, batch):
    states = states_of(handle, batch)
    whole = handle.finish(states[-1]).logits
    for first, state in enumerate(states[:-1]):
        assert torch.equal(resume(handle, state, first).logits, whole)


@torch.no_grad()
def test_open_gates_and_looking_change_nothing(handle, batch):
    expected = resume(handle, handle.start(batch)).logits
    weights = {}
    found = resume(handle, handle.start(batch), gates=open_gates(handle), weights=weights).logits
    is_close(found, expected, 1e-6)
    assert set(weights) == set(handle.attentions)


@torch.no_grad()
def test_a_closed_gate_is_a_head_whose_columns_of_the_out_projection_are_zero(handle, batch):
    for name, about in handle.attentions.items():
        layer, head = about.layers - 1, 1
        gates = open_gates(handle, len(batch["id"]))
        gates[name][:, layer, head] = 0.0
        found = resume(handle, handle.start(batch), gates=gates).logits
        out = handle.out_projection(name, layer).parameter
        kept, width = out.clone(), out.shape[1] // about.heads
        out[:, head * width : (head + 1) * width] = 0.0
        expected = handle.module(**batch["net_input"])[0]
        out.copy_(kept)
        is_close(found, expected, 1e-6)
        assert (found - handle.module(**batch["net_input"])[0]).abs().max() > 1e-4


def test_the_gradient_of_a_gate_is_that_of_the_out_projection_projected_on_itself(handle, batch):
    gates = open_gates(handle)
    places = [(name, layer) for name in gates for layer in range(handle.attentions[name].layers)]
    projections = [handle.out_projection(*place) for place in places]
    for gate in gates.values():
        gate.requires_grad_()
    loss = resume(handle, handle.start(batch), gates=gates).losses.sum()
    leaves = [*gates.values(), *(one.parameter for one in projections)]
    gradients = torch.autograd.grad(loss, leaves)
    of_gates = dict(zip(gates, gradients))
    assert max(float(one.abs().max()) for one in of_gates.values()) > 1e-3
    for (name, layer), one, gradient in zip(places, projections, gradients[len(gates) :]):
        heads = handle.attentions[name].heads
        is_close(of_gates[name][layer], importance_from_gradient(one, gradient, heads), 1e-4)


def test_attention_weights_are_distributions_over_the_keys_that_may_be_seen(handle, batch):
    sides = handle.tokens(batch)
    for name, layers in attention_weights(handle, batch).items():
        about = handle.attentions[name]
        queries, keys = sides[about.query], sides[about.key]
        assert len(layers) == about.layers
        for weights in layers:
            shape = (len(batch["id"]), about.heads, queries.ids.shape[1], keys.ids.shape[1])
            assert weights.shape == shape
            is_close(weights.sum(-1), torch.ones(shape[:-1]), 1e-5)
            assert not weights.masked_select(~keys.present[:, None, None]).any()
            future = torch.ones(shape[-2:], dtype=torch.bool).triu(1)
            assert bool(weights[..., future].any()) != about.causal if name != "cross" else True


@torch.no_grad()
def attend(handle, stage, state, weights):
    """What the self-attention of a layer gives, from weights (sentences, heads, queries, keys)."""
    (name, layer), *_ = handle.stages[stage].items()
    module = handle.layer(stage)
    x = state[handle.side(stage)]
    if module.normalize_before:
        x = module.self_attn_layer_norm(x)
    values = module.self_attn.v_proj(x).unflatten(-1, (handle.attentions[name].heads, -1))
    mixed = torch.einsum("bhqk,bkhd->bqhd", weights, values)
    out = handle.head_weights(name, layer)["out"]
    return torch.einsum("bqhd,hde->bqe", mixed, out) + module.self_attn.out_proj.bias


@torch.no_grad()
def layer_by_hand(handle, stage, state, weights):
    """A layer without cross-attention, from its attention weights."""
    module, side = handle.layer(stage), handle.side(stage)
    before = module.normalize_before
    x = state[side] + attend(handle, stage, state, weights)
    x = x if before else module.self_attn_layer_norm(x)
    y = module.final_layer_norm(x) if before else x
    x = x + module.fc2(module.activation_fn(module.fc1(y)))
    return x if before else module.final_layer_norm(x)


@torch.no_grad()
def test_weights_and_head_matrices_are_those_that_the_layer_computes_with(handle, batch):
    states = states_of(handle, batch)
    weights = attention_weights(handle, batch)
    for stage in range(len(handle.stages)):
        if "cross" in handle.stages[stage]:
            continue
        ((name, layer),) = handle.stages[stage].items()
        found = layer_by_hand(handle, stage, states[stage], weights[name][layer])
        is_close(found, handle.run_layer(stage, states[stage])[handle.side(stage)])


@torch.no_grad()
def test_a_hidden_key_leaves_its_weight_to_the_others(handle, batch):
    states, weights = states_of(handle, batch), attention_weights(handle, batch)
    ((name, layer),) = handle.stages[1].items()
    side = handle.side(1)
    hidden = torch.zeros_like(handle.tokens(batch)[side].present)
    hidden[:, 1] = True
    found = handle.step_without_keys(1, states[1], {name: hidden})[side]
    left = weights[name][layer].masked_fill(hidden[:, None, None], 0.0)
    expected = layer_by_hand(handle, 1, states[1], left / left.sum(-1, keepdim=True))
    assert found[:, 1].isnan().all()
    others = handle.tokens(batch)[side].present & ~hidden
    is_close(found[others], expected[others])
    nothing = handle.step_without_keys(1, states[1], {name: hidden & False})[side]
    assert torch.equal(nothing, handle.run_layer(1, states[1])[side])
    assert (nothing - found)[others].abs().max() > 1e-4


@torch.no_grad()
def test_keys_are_hidden_only_where_there_are_some(handle, batch):
    states = states_of(handle, batch)
    last = len(handle.stages) - 1
    with pytest.raises(ValueError, match="stage .* has no attention other"):
        handle.step_without_keys(last, states[last], {"other": torch.ones(1, 1)})
    if "cross" not in handle.attentions:
        return
    source = handle.tokens(batch)["source"]
    hidden = torch.zeros_like(source.present)
    hidden[:, 0] = True
    found = handle.step_without_keys(last, states[last], {"cross": hidden})["target"]
    assert found.isfinite().all()
    shown = handle.run_layer(last, states[last])["target"]
    assert (found - shown).abs().max() > 1e-4
    with pytest.raises(ValueError, match="all its source tokens hidden"):
        handle.step_without_keys(last, states[last], {"cross": source.present})


@torch.no_grad()
def test_states_are_those_between_fairseqs_layers_and_the_norm_stands_apart(handle, batch):
    found, inputs, model = layer_states(handle, batch), batch["net_input"], handle.module
    expected = {}
    if "encoder" in handle.stacks:
        stack = handle.stacks["encoder"]
        states = stack(inputs["src_tokens"], return_all_hiddens=True)
        expected["source"] = states["encoder_states"], states["encoder_out"][0]
    if "decoder" in handle.stacks:
        features, extra = (
            model.extract_features(**inputs)
            if len(handle.stacks) == 2
            else model(**inputs, features_only=True)
        )
        expected["target"] = extra["inner_states"], features.transpose(0, 1)
    assert set(found) == set(expected)
    for side, (layers, last) in expected.items():
        states = [found[side][str(number)] for number in range(len(layers))]
        for one, other in zip(states, layers):
            is_close(one, other.transpose(0, 1), 1e-6)
        is_close(found[side].get("norm", states[-1]), last.transpose(0, 1), 1e-6)
        assert ("norm" in found[side]) == handle.layer(0).normalize_before
        assert len(found[side]) == len(layers) + 1 + ("norm" in found[side])


@torch.no_grad()
def test_without_positions_equal_tokens_begin_equal(handle, batch):
    for side, states in layer_states(handle, batch).items():
        tokens = handle.tokens(batch)[side]
        ids = tokens.ids[tokens.content]
        same = ids[:, None] == ids[None]
        assert same.sum() > len(ids), "no word occurs twice"
        rows = states["0 without positions"][tokens.content]
        assert torch.equal(rows[same.int().argmax(0)], rows), "like the first of their kind"
        assert (distances(rows)[~same] > 1e-3).all()
        assert distances(states["0"][tokens.content])[same].max() > 0.1


def distances(rows):
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def test_a_frozen_pass_without_biases_hands_all_of_a_prediction_to_every_layer(made, batch):
    """Known answer of relevance: it adds up to the logit where nothing else feeds it."""
    _, checkpoint, data, _ = made
    handle = TrainedModelHandle(checkpoint, data, device="cpu")
    with torch.no_grad():
        for name, parameter in handle.module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    found = conservation(handle, batch, seed=1)
    assert abs(found.arrived - found.logits).max() < 1e-4 * max(1.0, abs(found.logits).max())
