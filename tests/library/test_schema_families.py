"""The schema of every known family: complete, and its heads are those of the real model."""

import re

import pytest
import torch

from losschange.cube.layout import COMPONENTS, Cell
from losschange.recording.partition import PartitionError, Rule, Schema, partition_parameters
from losschange.schemas import check_heads, gpt2_schema, schema_for
from offline_transformers import import_transformers

SIZES = {
    "vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
EXPERTS = {
    "num_local_experts": 3, "num_experts": 3, "num_experts_per_tok": 3,
    "moe_intermediate_size": 12, "shared_expert_intermediate_size": 12,
}  # fmt: skip
SEQ2SEQ = {
    "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4, "encoder_layers": 2,
    "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "decoder_start_token_id": 0,
}  # fmt: skip
# model_type: what its model is for, and what its configuration needs beside SIZES
FAMILIES = {
    "gpt2": ("CausalLM", {}),
    "gpt_neox": ("CausalLM", {}),
    "opt": ("CausalLM", {"ffn_dim": 24, "word_embed_proj_dim": 16}),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "gemma", "gemma2", "olmo", "olmo2", "phi", "phi3"),
        ("CausalLM", {"head_dim": 4}),
    ),
    **dict.fromkeys(("qwen3", "gemma3_text"), ("CausalLM", {"head_dim": 4})),
    **dict.fromkeys(
        ("mixtral", "qwen2_moe", "qwen3_moe"), ("CausalLM", {**EXPERTS, "head_dim": 4})
    ),
    **dict.fromkeys(("bert", "roberta"), ("MaskedLM", {})),
    "modernbert": ("MaskedLM", {"global_attn_every_n_layers": 2}),
    **dict.fromkeys(("t5", "bart", "mbart", "marian"), ("Seq2SeqLM", SEQ2SEQ)),
    "vit": ("ImageClassification", {"image_size": 8, "patch_size": 4}),
}
# Families without grouped heads, for which num_key_value_heads means nothing
UNGROUPED = {
    "gpt2", "gpt_neox", "opt", "bert", "roberta", "modernbert", "t5", "bart", "mbart", "marian",
    "vit",
}  # fmt: skip
OUT = re.compile(
    r"(attn\.c_proj|self_attn\.(o_proj|out_proj|dense)|attention\.(o_proj|output\.dense|dense)"
    r"|attn\.Wo|encoder_attn\.out_proj|(SelfAttention|EncDecAttention)\.o)$"
)


def make_model(family, **changes):
    """A small model with random weights, made from its configuration alone."""
    transformers = import_transformers()
    kind, extras = FAMILIES[family]
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **extras, **changes})
    torch.manual_seed(0)
    model = getattr(transformers, f"AutoModelFor{kind}").from_config(config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def example_of(family):
    ids = torch.arange(12).reshape(2, 6) + 4
    if family == "vit":
        return {"pixel_values": torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))}
    if FAMILIES[family][0] == "Seq2SeqLM":
        return {"input_ids": ids, "decoder_input_ids": ids + 5}
    return {"input_ids": ids}


def partition_of(model, schema):
    return partition_parameters(
        ((name, p.shape) for name, p in model.named_parameters() if p.requires_grad), schema
    )


def gradients_per_cell(model, partition, example):
    """Largest absolute gradient of every cell, of a random sum of the logits."""
    logits = model(**example).logits
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad((logits * weights).sum(), parameters, allow_unused=True)
    owners = torch.from_numpy(partition.block_cells).repeat_interleave(partition.block)
    largest = torch.zeros(len(partition.layout.cells))
    for gradient, offset in zip(found, partition.offsets):
        if gradient is not None:
            owner = owners[offset : offset + gradient.numel()]
            largest.scatter_reduce_(0, owner, gradient.abs().flatten(), "amax")
    return dict(zip(partition.layout.cells, largest.tolist()))


def silencing(heads, silent):
    """A hook that multiplies some heads' part of what a projection is given by 0."""

    def hook(module, inputs):
        (hidden,) = inputs
        kept = torch.ones(heads)
        kept[list(silent)] = 0.0
        return (hidden * kept.repeat_interleave(hidden.shape[-1] // heads),)

    return hook


@pytest.mark.parametrize("family", FAMILIES)
def test_a_silent_head_takes_the_gradients_of_exactly_its_own_cells(family):
    model = make_model(family)
    partition = partition_of(model, schema_for(model))
    cells = partition.layout.cells
    before = gradients_per_cell(model, partition, example_of(family))
    outs = [(name, module) for name, module in model.named_modules() if OUT.search(name)]
    places = sorted({(c.layer, c.component) for c in cells if c.component.endswith("out")})
    assert len(outs) == len(places) >= 2
    # Modules come in the order of layers, self-attention before cross-attention.
    places.sort(key=lambda place: (place[0], place[1].startswith("cross")))
    for (_, module), (layer, kind) in zip(outs, places):
        own = {
            part: [c for c in cells if (c.layer, c.component) == (layer, kind.replace("out", part))]
            for part in ("query", "key", "value", "out")
        }
        heads, shared = len(own["query"]), len(own["key"])
        assert len(own["out"]) == heads and len(own["value"]) == shared
        if family not in UNGROUPED:
            assert (heads, shared) == (4, 2)
        for first in range(0, heads, heads // shared):
            for silent in [{first}, set(range(first, first + heads // shared))]:
                hook = module.register_forward_pre_hook(silencing(heads, silent))
                after = gradients_per_cell(model, partition, example_of(family))
                hook.remove()
                expected = {
                    cell
                    for part, group in (("query", 1), ("out", 1), ("key", heads // shared),
                                        ("value", heads // shared))
                    for cell in own[part]
                    if set(range(cell.head * group, (cell.head + 1) * group)) <= silent
                }  # fmt: skip
                if family == "olmo2":  # its norm over all queries and keys couples the heads
                    expected = {c for c in expected if c.component not in ("query", "key")}
                biases = {Cell(layer, "bias", head) for head in silent} & set(cells)
                if kind == "out" and Cell(layer, "cross_out", 0) not in cells:
                    expected |= biases
                vanished = {c for c in cells if before[c] > 0 and after[c] == 0}
                assert vanished == expected, f"{family}, layer {layer}, silent {silent}"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_scalar_is_in_one_cell_and_the_matrices_where_they_belong(family):
    model = make_model(family)
    layout = partition_of(model, schema_for(model)).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    sizes = dict(zip(layout.cells, layout.n_parameters))
    inner = [depth for depth, stack in enumerate(layout.stacks) if stack in ("encoder", "decoder")]
    assert inner == list(range(1, 5 if FAMILIES[family][0] == "Seq2SeqLM" else 3))
    for layer in inner:
        for component in ("query", "out"):
            assert (
                sum(n for c, n in sizes.items() if (c.layer, c.component) == (layer, component))
                == 256
            )
        here = {c.component for c in layout.cells if c.layer == layer}
        assert {"key", "value", "W1", "W2"} <= here
    assert sizes[Cell(0, "embedding")] >= (48 * 16 if family != "vit" else 16 * 48)


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_an_expert_has_cells_of_its_own_and_the_router_is_a_component(family):
    model = make_model(family)
    schema = schema_for(model)
    partition = partition_of(model, schema)
    assert schema.components == (*COMPONENTS, "router")
    sizes = dict(zip(partition.layout.cells, partition.layout.n_parameters))
    width = 24 if family == "mixtral" else 12
    for expert in range(3):
        assert sizes[Cell(1, "W1", expert)] == 2 * width * 16
        assert sizes[Cell(1, "W2", expert)] == width * 16
    assert Cell(1, "W1", 3) not in sizes
    shared = family == "qwen2_moe"
    assert (Cell(1, "W1") in sizes) == shared
    assert sizes[Cell(1, "router")] == 3 * 16 + 16 * shared
    # Without expert 1 exactly its own cells have no gradient.
    before = gradients_per_cell(model, partition, example_of(family))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("layers.0.mlp.experts.down_proj"):
                parameter[1] = 0.0
    after = gradients_per_cell(model, partition, example_of(family))
    silent = {c for c in partition.layout.cells if before[c] > 0 and after[c] == 0}
    assert silent == {Cell(1, "W1", 1)}


def test_the_obvious_rule_for_gpt_neox_is_found_out():
    """Query, key and value of GPT-NeoX stand together per head; equal thirds mix them up."""
    model = make_model("gpt_neox")
    right = schema_for(model)
    thirds = [
        Rule(r.pattern, r.component, r.depth, r.heads, r.n_heads) if r.order == "heads" else r
        for r in right.rules
    ]
    example = example_of("gpt_neox")
    assert check_heads(model, right, example) == 8
    with pytest.raises(PartitionError, match="layer 1.*not those of the model"):
        check_heads(model, Schema(right.stacks, right.heads, tuple(thirds)), example)


@pytest.mark.parametrize("heads", [2, 8])
def test_a_wrong_number_of_heads_that_happens_to_divide_is_found_out(heads):
    with pytest.raises(PartitionError, match="number of heads"):
        check_heads(make_model("gpt2"), gpt2_schema(2, heads), example_of("gpt2"))


@pytest.mark.parametrize("family", ["llama", "qwen2", "mixtral", "olmo2", "t5", "bart"])
def test_the_check_of_heads_passes_and_leaves_the_model_as_it_was(family):
    model = make_model(family)
    before = [p.clone() for p in model.parameters()]
    assert check_heads(model, schema_for(model), example_of(family)) >= 8
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_models_with_another_top_inside_of_others_and_bare_ones():
    transformers = import_transformers()
    config = make_model("llama").config
    config.num_labels = 3
    bare = transformers.LlamaModel(config)
    classifier = transformers.LlamaForSequenceClassification(config)
    wrapped = torch.nn.ModuleDict({"net": make_model("llama"), "extra": torch.nn.Linear(16, 5)})
    for model, outputs in ((bare, 0), (classifier, 3 * 16), (wrapped, 48 * 16 + 5 * 16)):
        layout = partition_of(model, schema_for(model)).layout
        sizes = dict(zip(layout.cells, layout.n_parameters))
        assert sizes.get(Cell(3, "output"), 0) == outputs
        assert sizes[Cell(1, "key", 1)] == 4 * 16
    compiled = torch.compile(make_model("gpt2"), backend="eager")
    assert partition_of(compiled, schema_for(compiled)).layout.heads == 4


def test_tied_words_count_once_and_frozen_parameters_not_at_all():
    tied = make_model("gpt2", tie_word_embeddings=True)
    untied = make_model("gpt2", tie_word_embeddings=False)
    for model, there in ((tied, False), (untied, True)):
        assert (Cell(3, "output") in partition_of(model, schema_for(model)).layout.cells) == there
    tied.transformer.wte.requires_grad_(False)
    assert Cell(0, "embedding") not in partition_of(tied, schema_for(tied)).layout.cells


def test_a_schema_of_too_few_layers_is_refused_instead_of_counting_a_layer_as_output():
    with pytest.raises(PartitionError, match=r"h\.1\..* in layer 1 .* has only 1 layers"):
        partition_of(make_model("gpt2"), gpt2_schema(1, 4))


def test_unclaimed_parameters_are_told_all_at_once_with_a_rule_for_each():
    schema = gpt2_schema(2, 4)
    some = [r for r in schema.rules if not re.search("wpe|ln_|c_fc", r.pattern)]
    model = make_model("gpt2")
    with pytest.raises(PartitionError) as caught:
        partition_of(model, Schema(schema.stacks, 4, tuple(some)))
    text = str(caught.value)
    for name, _ in model.named_parameters():
        assert (repr(name) in text) == bool(re.search(r"wpe|ln_|c_fc|mlp\.c_proj\.bias", name)), (
            name
        )
    # The proposed rules are Python, and the schema is complete with them.
    proposed = [eval(line) for line in text.splitlines() if line.strip().startswith("Rule(")]
    assert len(proposed) == 10  # layers share a rule
    layout = partition_of(model, Schema(schema.stacks, 4, (*some, *proposed))).layout
    sizes = dict(zip(layout.cells, layout.n_parameters))
    assert sizes[Cell(0, "position")] == 32 * 16
    assert sizes[Cell(2, "W1")] == 16 * 64
    assert sizes[Cell(2, "norm")] == 4 * 16


def test_a_schema_prints_itself_as_a_table():
    lines = str(schema_for(make_model("llama"))).splitlines()
    assert re.fullmatch(r"component +layer +heads +parameters", lines[0])
    (key,) = [line for line in lines if line.startswith("key")]
    assert re.fullmatch(r"key +1\+ +2 in rows +model.*k_proj.*weight", key)


@pytest.mark.parametrize("family", ["umt5", "longt5"])
def test_layers_that_attend_to_an_encoder_are_a_decoders_in_models_without_a_family(family):
    transformers = import_transformers()
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **SEQ2SEQ})
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    schema = schema_for(model)
    assert schema.stacks == ("embedding", "encoder", "encoder", "decoder", "decoder", "output")
    cells = partition_of(model, schema).layout.cells
    assert {c.layer for c in cells if c.component.startswith("cross_")} == {3, 4}
