"""Schemas read from modules alone: torch.nn.Transformer, models of one's own, any network."""

from dataclasses import astuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from losschange.cube.layout import Cell
from losschange.recording.partition import PartitionError, partition_parameters
from losschange.schemas import check_heads, schema_for
from offline_transformers import import_transformers

WIDTH, WORDS = 16, 11
IDS = torch.arange(12).reshape(2, 6) % WORDS


def cells_of(model, schema):
    named = [(name, p.shape) for name, p in model.named_parameters() if p.requires_grad]
    layout = partition_parameters(named, schema).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters())
    return layout, dict(zip(layout.cells, layout.n_parameters))


class CausalSelfAttention(nn.Module):
    """Attention as nanoGPT writes it; `order` says how the fused rows are meant."""

    def __init__(self, heads, order="components"):
        super().__init__()
        self.n_head, self.order = heads, order
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        if self.order == "components":
            parts = self.c_attn(x).view(batch, length, 3, self.n_head, -1).unbind(2)
        else:
            parts = self.c_attn(x).view(batch, length, self.n_head, 3, -1).unbind(3)
        query, key, value = (part.transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    def __init__(self, heads, order):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = CausalSelfAttention(heads, order)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)}
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))


class NanoGPT(nn.Module):
    def __init__(self, heads=4, order="components"):
        super().__init__()
        # Written in another order than it is used: the output first.
        self.lm_head = nn.Linear(WIDTH, WORDS, bias=False)
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(WORDS, WIDTH),
                "wpe": nn.Embedding(6, WIDTH),
                "h": nn.ModuleList([Block(heads, order) for _ in range(2)]),
                "ln_f": nn.LayerNorm(WIDTH),
            }
        )

    def forward(self, ids):
        parts = self.transformer
        x = parts["wte"](ids) + parts["wpe"](torch.arange(ids.shape[1]))
        for block in parts["h"]:
            x = block(x)
        return self.lm_head(parts["ln_f"](x))


def test_a_model_like_nanogpt_is_read_by_its_modules():
    torch.manual_seed(0)
    model = NanoGPT()
    schema = schema_for(model, example=(IDS,))
    layout, sizes = cells_of(model, schema)
    assert layout.labels == ["embedding", "dec.1", "dec.2", "output"] and layout.heads == 4
    assert sizes[Cell(0, "embedding")] == WORDS * WIDTH
    assert sizes[Cell(0, "position")] == 6 * WIDTH
    for head in range(4):
        for part in ("query", "key", "value", "out"):
            assert sizes[Cell(2, part, head)] == WIDTH * WIDTH // 4
        assert sizes[Cell(2, "bias", head)] == 3 * WIDTH // 4
    assert sizes[Cell(1, "W1")] == sizes[Cell(1, "W2")] == 4 * WIDTH * WIDTH
    assert sizes[Cell(1, "norm")] == 4 * WIDTH
    assert sizes[Cell(3, "output")] == WORDS * WIDTH
    assert sizes[Cell(3, "norm")] == 2 * WIDTH
    assert check_heads(model, schema, (IDS,)) == 8


def test_the_order_of_a_fused_tensor_is_that_which_an_example_shows():
    torch.manual_seed(0)
    model = NanoGPT(order="heads")
    schema = schema_for(model, example=(IDS,))
    assert check_heads(model, schema, (IDS,)) == 8
    with pytest.raises(PartitionError, match="order of fused tensors"):
        check_heads(model, schema_for(model), (IDS,))


# Models of Hugging Face that are known by no configuration, with the heads of all their layers.
OTHERS = {
    "bloom": ({"hidden_size": 16, "n_head": 4, "n_layer": 2}, 8),
    "electra": ({"embedding_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}, 8),
    "distilbert": ({"dim": 16, "hidden_dim": 24, "n_heads": 4, "n_layers": 2}, 8),
    "gptj": ({"n_embd": 16, "n_head": 4, "n_layer": 2, "rotary_dim": 2}, 8),
}


@pytest.mark.parametrize("family", OTHERS)
def test_models_of_families_that_are_not_known_are_read_by_their_modules(family):
    transformers = import_transformers()
    sizes, heads = OTHERS[family]
    general = {"vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 24}
    config = transformers.AutoConfig.for_model(family, **general | sizes)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    example = {"input_ids": IDS}
    schema = schema_for(model, example=example)
    layout, sizes = cells_of(model, schema)
    assert check_heads(model, schema, example) == heads
    for component in ("query", "key", "value", "out"):
        assert sizes[Cell(1, component, 0)] == 16 * 16 / 4
    inner = {component for layer, component, _ in map(astuple, sizes) if layer == 1}
    assert inner >= {"W1", "W2", "norm"}
    if family == "bloom":
        with pytest.raises(PartitionError, match="does not tell which of its rows are queries"):
            schema_for(model)
    else:
        assert set(schema_for(model).rules) == set(schema.rules)


def test_a_known_encoder_beside_a_decoder_does_not_count_that_to_the_output():
    transformers = import_transformers()
    sizes = {
        "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 8,
    }  # fmt: skip
    encoder, decoder = (
        transformers.BertConfig(**sizes, is_decoder=cross, add_cross_attention=cross)
        for cross in (False, True)
    )
    model = transformers.EncoderDecoderModel(
        encoder=transformers.BertModel(encoder), decoder=transformers.BertLMHeadModel(decoder)
    )
    layout, cells = cells_of(model, schema_for(model))
    assert layout.labels == ["embedding", "enc.1", "enc.2", "dec.3", "dec.4", "output"]
    for component in ("query", "out", "cross_key", "cross_out"):
        assert cells[Cell(3, component, 3)] == 16 * 16 / 4
    assert cells[Cell(4, "W1")] == cells[Cell(4, "W2")] == 24 * 16


class GroupedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.n_heads, self.n_kv_heads = 4, 2
        self.wq = nn.Linear(WIDTH, WIDTH, bias=False)
        self.wk = nn.Linear(WIDTH, WIDTH // 2, bias=False)
        self.wv = nn.Linear(WIDTH, WIDTH // 2, bias=False)
        self.wo = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        batch, length, _ = x.shape
        query, key, value = (
            part(x).view(batch, length, -1, WIDTH // 4).transpose(1, 2)
            for part in (self.wq, self.wk, self.wv)
        )
        key, value = (part.repeat_interleave(2, dim=1) for part in (key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.wo(mixed.transpose(1, 2).reshape(batch, length, -1))


class MixedLayer(nn.Module):
    """Llama's names as its authors write them, with experts in a list."""

    def __init__(self):
        super().__init__()
        self.attention = GroupedAttention()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.moe = nn.ModuleDict(
            {
                "gate": nn.Linear(WIDTH, 3, bias=False),
                "experts": nn.ModuleList(
                    nn.ModuleDict(
                        {name: nn.Linear(*size, bias=False) for name, size in (
                            ("w1", (WIDTH, 24)), ("w2", (24, WIDTH)), ("w3", (WIDTH, 24)))}
                    ) for _ in range(3)
                ),
            }
        )  # fmt: skip

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        weights = self.moe["gate"](x).softmax(-1)
        parts = [e["w2"](functional.silu(e["w1"](x)) * e["w3"](x)) for e in self.moe["experts"]]
        return x + sum(w[..., None] * part for w, part in zip(weights.unbind(-1), parts))


def test_grouped_heads_and_experts_of_ones_own_have_cells_of_their_own():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(WORDS, WIDTH), nn.Sequential(MixedLayer(), MixedLayer()), nn.Linear(WIDTH, 3)
    )
    layout, sizes = cells_of(model, schema_for(model, example=(IDS,)))
    assert layout.labels == ["embedding", "enc.1", "enc.2", "output"]
    assert {c.head for c in sizes if c.component == "key"} == {0, 1}
    assert {c.head for c in sizes if c.component == "query"} == {0, 1, 2, 3}
    for expert in range(3):
        assert sizes[Cell(1, "W1", expert)] == 2 * 24 * WIDTH
        assert sizes[Cell(2, "W2", expert)] == 24 * WIDTH
    assert sizes[Cell(1, "router")] == 3 * WIDTH
    assert layout.components[-1] == "router"


def test_torch_transformer_with_its_cross_attention():
    torch.manual_seed(0)

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(WORDS, WIDTH)
            self.net = nn.Transformer(WIDTH, 4, 2, 3, 24, batch_first=True)
            self.output = nn.Linear(WIDTH, WORDS)

        def forward(self, source, target):
            return self.output(self.net(self.words(source), self.words(target)))

    model = Translator().eval()
    schema = schema_for(model, example={"source": IDS, "target": IDS + 0})
    layout, sizes = cells_of(model, schema)
    assert layout.labels == ["embedding", "enc.1", "enc.2", "dec.3", "dec.4", "dec.5", "output"]
    for layer, cross in ((1, False), (3, True)):
        assert (Cell(layer, "cross_query", 0) in sizes) == cross
        assert sizes[Cell(layer, "query", 3)] == WIDTH * WIDTH // 4
        assert sizes[Cell(layer, "W1")] == sizes[Cell(layer, "W2")] == 24 * WIDTH
    assert sizes[Cell(2, "norm")] == 6 * WIDTH  # its own two and the encoder's last
    assert check_heads(model, schema, (IDS, IDS)) == 4 * (2 + 3 + 3)


@pytest.mark.parametrize("causal", [True, False])
def test_an_encoder_layer_is_a_decoders_where_one_says_that_it_is_causal(causal):
    layer = nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    layout, sizes = cells_of(model, schema_for(model, causal=causal))
    assert layout.labels[1] == ("dec.1" if causal else "enc.1")
    # Width and inner width are the same here: names tell which matrix is which.
    assert sizes[Cell(1, "W1")] == sizes[Cell(1, "W2")] == WIDTH * WIDTH


class Network(nn.Module):
    """Modules registered in the reverse of the order in which they are used."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8)
        self.first = nn.Linear(5, 8)
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return self.last(self.norm(self.first(x * self.scale)).relu())


class Untraceable(Network):
    def forward(self, x):
        return super().forward(x) if x.sum() > -1e9 else x


class Remembers(nn.Module):
    """Goes on where the last pass ended."""

    def __init__(self):
        super().__init__()
        self.net, self.output, self.state = nn.LSTM(WIDTH, WIDTH), nn.Linear(WIDTH, 2), None

    def forward(self, inputs):
        hidden, self.state = self.net(inputs, self.state)
        return self.output(hidden)


def test_to_look_for_the_order_leaves_a_model_as_it_was():
    model = Remembers()
    assert schema_for(model).stacks == ("net", "output")
    assert model.state is None and model.training


def test_any_network_has_a_layer_per_module_in_the_order_of_the_forward_pass():
    layout, sizes = cells_of(Network(), schema_for(Network()))
    assert layout.labels == ["Network", "first", "norm", "last"]
    assert sizes == {
        Cell(0, "weight"): 5, Cell(1, "weight"): 40, Cell(1, "bias"): 8, Cell(2, "norm"): 16,
        Cell(3, "weight"): 24, Cell(3, "bias"): 3,
    }  # fmt: skip
    assert layout.components == ("weight", "bias", "norm") and layout.heads == 0


def test_a_network_that_cannot_be_traced_needs_an_example_for_its_order():
    model = Untraceable()
    assert [*schema_for(model).stacks] == ["Untraceable", "last", "norm", "first"]
    before = [b.clone() for b in model.buffers()]
    order = schema_for(model, example=(torch.ones(2, 5),)).stacks
    assert order[-3:] == ("first", "norm", "last")
    assert model.training and all(torch.equal(a, b) for a, b in zip(before, model.buffers()))


def test_a_convolutional_and_a_recurrent_network():
    cnn = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 10)
    )
    layout, sizes = cells_of(cnn, schema_for(cnn))
    assert layout.labels == ["0", "2", "4"]
    assert sizes[Cell(1, "weight")] == 4 * 2 * 9

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.net = nn.Embedding(WORDS, 6), nn.LSTM(6, 8, 2)
            self.output = nn.Linear(8, WORDS)

        def forward(self, ids):
            return self.output(self.net(self.words(ids))[0])

    layout, sizes = cells_of(Recurrent(), schema_for(Recurrent()))
    assert layout.labels == ["words", "net", "output"]
    assert sizes[Cell(1, "weight")] == 4 * 8 * (6 + 8)
    assert sizes[Cell(1, "recurrent")] == 2 * 4 * 8 * 8
    assert sizes[Cell(0, "embedding")] == WORDS * 6
