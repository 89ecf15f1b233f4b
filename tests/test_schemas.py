"""Schemas outside fairseq, held against what the real models do with their parameters."""

import pytest
import torch

from losschange.cube.layout import Cell
from losschange.recording.partition import partition_parameters
from losschange.schemas import gpt2_schema, llama_schema, transformer_encoder_schema
from offline_transformers import HEADS, LENGTH, WIDTH, WORDS, import_transformers, make_gpt2

IDS = torch.arange(2 * LENGTH).reshape(2, LENGTH) % WORDS


def llama(layers=1, key_value_heads=HEADS, kind="Llama"):
    transformers = import_transformers()
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=12, num_hidden_layers=layers,
        num_attention_heads=HEADS, num_key_value_heads=key_value_heads, head_dim=WIDTH // HEADS,
        bos_token_id=0, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(config)


class Encoder(torch.nn.Module):
    """A language model as a user of plain PyTorch writes it."""

    def __init__(self, layers=1):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, WIDTH)
        self.position = torch.nn.Parameter(torch.randn(LENGTH, WIDTH))
        layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 12, 0.0, batch_first=True)
        norm = torch.nn.LayerNorm(WIDTH)
        self.encoder = torch.nn.TransformerEncoder(layer, layers, norm)
        self.output = torch.nn.Linear(WIDTH, WORDS)

    def forward(self, ids):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(LENGTH)
        hidden = self.encoder(self.embedding(ids) + self.position, mask=mask, is_causal=True)
        return self.output(hidden)


MODELS = {
    "gpt2": (make_gpt2, gpt2_schema),
    "llama": (llama, llama_schema),
    "encoder": (Encoder, transformer_encoder_schema),
}


def partition_of(model, schema):
    return partition_parameters(((n, p.shape) for n, p in model.named_parameters()), schema)


def change(model, partition, cells, function):
    """Apply a function to all scalars of some cells."""
    chosen = {partition.layout.cells.index(cell) for cell in cells}
    owners = torch.from_numpy(partition.block_cells).repeat_interleave(partition.block)
    with torch.no_grad():
        for parameter, offset in zip(model.parameters(), partition.offsets):
            owner = owners[offset : offset + parameter.numel()].view_as(parameter)
            mask = torch.isin(owner, torch.tensor(sorted(chosen)))
            parameter[mask] = function(parameter[mask])


def output_of(model):
    with torch.no_grad():
        found = model(IDS)
    return found if torch.is_tensor(found) else found.logits


@pytest.mark.parametrize(
    ("name", "component"),
    [
        *[(name, part) for name in MODELS for part in ("query", "key", "value")],
        ("gpt2", "bias"),
        ("encoder", "bias"),
    ],
)
def test_a_head_acts_through_its_own_cells_of_the_output_projection_only(name, component):
    make, schema = MODELS[name]
    torch.manual_seed(3)
    model = make().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    partition = partition_of(model, schema(1, HEADS))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for heard in range(HEADS):
        for moved in range(HEADS):
            model.load_state_dict(state)
            others = [Cell(1, "out", head) for head in range(HEADS) if head != heard]
            change(model, partition, others, torch.zeros_like)
            before = output_of(model)
            torch.manual_seed(4)
            cell = Cell(1, component, moved)
            change(model, partition, [cell], lambda old: old + torch.randn_like(old))
            same = torch.allclose(output_of(model), before, atol=1e-5)
            assert same == (heard != moved), f"{cell}, heard head {heard}"


@pytest.mark.parametrize("name", MODELS)
def test_every_scalar_of_a_deeper_model_is_in_a_cell(name):
    make, schema = MODELS[name]
    model = make(layers=3)
    layout = partition_of(model, schema(3, HEADS)).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters())
    counts = dict(zip(layout.cells, layout.n_parameters))
    for layer in (1, 2, 3):
        for component in ("query", "key", "value", "out"):
            for head in range(HEADS):
                assert counts[Cell(layer, component, head)] == WIDTH * WIDTH // HEADS
        assert counts[Cell(layer, "W2")] == WIDTH * (12 if name != "gpt2" else 4 * WIDTH)
    assert counts[Cell(0, "embedding")] == WORDS * WIDTH


def test_a_tied_gpt2_has_no_output_cell_and_an_untied_one_has():
    for tied, expected in ((True, 0), (False, WORDS * WIDTH)):
        layout = partition_of(make_gpt2(tied=tied), gpt2_schema(1, HEADS)).layout
        counts = dict(zip(layout.cells, layout.n_parameters))
        assert counts.get(Cell(2, "output"), 0) == expected


def test_a_bare_or_wrapped_gpt2_fills_the_same_cells():
    counts = [
        partition_of(model, schema).layout
        for model, schema in (
            (make_gpt2(), gpt2_schema(1, HEADS)),
            (make_gpt2(bare=True), gpt2_schema(1, HEADS)),
            (torch.nn.ModuleDict({"model": make_gpt2()}), gpt2_schema(1, HEADS, prefix="model.")),
        )
    ]
    assert counts[0] == counts[1] == counts[2]


def test_a_key_and_value_head_that_query_heads_share_has_cells_of_its_own():
    layout = partition_of(llama(key_value_heads=1), llama_schema(1, HEADS, 1)).layout
    counts = dict(zip(layout.cells, layout.n_parameters))
    assert counts[Cell(1, "key", 0)] == counts[Cell(1, "value", 0)] == WIDTH * WIDTH // 2
    assert counts[Cell(1, "query", 1)] == WIDTH * WIDTH // HEADS
    assert Cell(1, "key", 1) not in counts and Cell(1, "key") not in counts


@pytest.mark.parametrize("kind", ["Mistral", "Qwen2", "Qwen3"])
def test_models_with_the_names_of_llama(kind):
    model = llama(layers=2, kind=kind)
    layout = partition_of(model, llama_schema(2, HEADS)).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters())


def test_an_encoder_on_its_own():
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 12, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2)
    layout = partition_of(model, transformer_encoder_schema(2, HEADS, encoder="")).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters())
    assert layout.labels == ["embedding", "enc.1", "enc.2", "output"]
