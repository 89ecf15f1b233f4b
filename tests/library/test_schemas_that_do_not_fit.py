"""A schema that does not fit the model is refused before anything is recorded."""

import dataclasses

import pytest
import torch

from losschange.recording.heads import check_declared_heads
from losschange.recording.partition import PartitionError, Rule, Schema
from losschange.schemas import gpt2_schema, llama_schema, transformer_encoder_schema
from offline_transformers import HEADS, WIDTH, WORDS, import_transformers, make_gpt2
from small_models import attach_to, make_optimizer, make_transformer, partition_of
from small_models import transformer_schema as small_schema

transformers = import_transformers()


def make_llama(key_value_heads):
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=key_value_heads,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def refuse(model, schema, message):
    with pytest.raises(PartitionError, match=message):
        check_declared_heads(model, partition_of(model, schema))


def test_schemas_that_fit_are_taken():
    for model, schema in (
        (make_transformer(), small_schema()),
        (make_gpt2(2), gpt2_schema(2, HEADS)),
        (make_llama(4), llama_schema(2, 4)),
        (make_llama(2), llama_schema(2, 4, 2)),
        (make_llama(1), llama_schema(2, 4, 1)),
    ):
        check_declared_heads(model, partition_of(model, schema))


@pytest.mark.parametrize(
    ("make", "schema"),
    [
        (lambda: make_transformer(layers=3), small_schema(layers=2)),
        (lambda: make_transformer(layers=4), small_schema(layers=2)),
        (lambda: make_gpt2(3), gpt2_schema(2, HEADS)),
        (lambda: make_llama(4), llama_schema(1, 4)),
    ],
)
def test_a_layer_beyond_the_schemas_is_not_counted_to_the_output(make, schema):
    with pytest.raises(PartitionError, match=r"layer [123] \(counted from 0\), but the schema has"):
        partition_of(make(), schema)


def test_a_layer_of_the_encoder_is_not_counted_to_the_decoder():
    schema = Schema(
        ("embedding", "encoder", "decoder", "output"),
        1,
        (Rule(r"encoder\.(?P<layer>\d)\.\w+", "W1", 1), Rule(r"decoder\.0\.\w+", "W1", 2)),
    )
    layers = [torch.nn.Linear(2, 2) for _ in range(3)]
    model = torch.nn.ModuleDict(
        {"encoder": torch.nn.ModuleList(layers[:2]), "decoder": torch.nn.ModuleList(layers[2:])}
    )
    with pytest.raises(PartitionError, match="layer 1"):
        partition_of(model, schema)


def test_key_heads_that_the_model_does_not_have_are_refused():
    message = r"a head 4 numbers of the query \(.*q_proj\.weight', 4 heads\), but 2 of the key"
    refuse(make_llama(2), llama_schema(2, 4), message)


def test_key_heads_are_held_against_the_querys_where_no_module_says_their_number():
    model = torch.nn.ModuleDict(
        {name: torch.nn.Linear(16, rows, bias=False) for name, rows in (("q", 16), ("k", 8))}
    )
    rules = (Rule("q.weight", "query", 1, "rows"), Rule("k.weight", "key", 1, "rows"))
    schema = Schema(("embedding", "decoder", "output"), 4, rules)
    refuse(
        model, schema, r"a head 4 numbers of the query \('q.weight', 4 heads\), but 2 of the key"
    )


def test_values_are_held_against_the_output_projection():
    model = torch.nn.ModuleDict(
        {"v": torch.nn.Linear(16, 8, bias=False), "o": torch.nn.Linear(16, 16, bias=False)}
    )
    rules = (Rule("v.weight", "value", 1, "rows"), Rule("o.weight", "out", 1, "columns"))
    schema = Schema(("embedding", "decoder", "output"), 4, rules)
    refuse(
        model, schema, r"a head 4 numbers of the out \('o.weight', 4 heads\), but 2 of the value"
    )


@pytest.mark.parametrize(
    ("make", "schema", "found", "has"),
    [
        (make_transformer, small_schema(heads=2), 2, 3),
        (make_transformer, small_schema(heads=6), 6, 3),
        (lambda: make_gpt2(2), gpt2_schema(2, 4), 4, HEADS),
        (lambda: make_llama(4), llama_schema(2, 8), 8, 4),
        (
            lambda: torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(WIDTH, HEADS), 1),
            transformer_encoder_schema(1, 4, encoder=""),
            4,
            HEADS,
        ),
    ],
)
def test_a_number_of_heads_that_happens_to_divide_is_refused(make, schema, found, has):
    refuse(make(), schema, f"into {found} heads, but the model's module says that it has {has}")


@pytest.mark.parametrize("heads", ["row", "column", "Rows", "", True])
def test_a_misspelt_axis_of_heads_is_refused(heads):
    with pytest.raises(PartitionError, match='"rows", "columns" or None'):
        Rule(r"query\.weight", "query", 1, heads)


def test_nothing_is_written_when_the_schema_does_not_fit(tmp_path):
    model = make_transformer()
    schema = dataclasses.replace(small_schema(), heads=2)
    with pytest.raises(PartitionError, match="into 2 heads"):
        attach_to(model, make_optimizer(model), tmp_path / "parts", schema=schema)
    assert not (tmp_path / "parts").exists()
