"""LoRA: the adapters of PEFT stand in the cells of the weights that they change."""

import numpy as np
import pytest
import torch
from test_schema_families import example_of, gradients_per_cell, make_model, partition_of

from library_reference import values_in_float64
from losschange.command import main
from losschange.cube.format import open_cube
from losschange.cube.layout import Cell
from losschange.recording.attachment import attach
from losschange.schemas import schema_for
from offline_transformers import import_transformers

import_transformers()  # before PEFT imports it
peft = pytest.importorskip("peft")

TARGETS = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "embed_tokens"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "bert": ["query", "value", "dense"],
    "gpt_neox": ["query_key_value", "dense"],
}


def adapted(family, **options):
    """A model with adapters, all of whose matrices are random: PEFT makes B zero."""
    config = peft.LoraConfig(r=3, target_modules=TARGETS[family], lora_dropout=0.2, **options)
    model = peft.get_peft_model(make_model(family), config)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    return model.eval()


def test_matrices_of_adapters_are_divided_like_the_weights_that_they_change():
    layout = partition_of(model := adapted("llama"), schema_for(model)).layout
    sizes = dict(zip(layout.cells, layout.n_parameters))
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sizes[Cell(0, "embedding")] == 3 * (48 + 16)
    for layer in (1, 2):
        for component, heads in (("query", 4), ("key", 2), ("value", 2)):
            assert sizes[Cell(layer, component)] == 3 * 16  # A, which all heads share
            assert [sizes[Cell(layer, component, h)] for h in range(heads)] == [4 * 3] * heads
        assert sizes[Cell(layer, "out")] == 16 * 3
        assert [sizes[Cell(layer, "out", head)] for head in range(4)] == [3 * 4] * 4
        assert sizes[Cell(layer, "W1")] == sizes[Cell(layer, "W2")] == 3 * (16 + 24)
    assert {c.component for c in layout.cells if c.layer == 3} == set()


def test_the_first_matrix_of_a_fused_weight_is_a_component_of_its_own():
    schema = schema_for(model := adapted("gpt2"))
    layout = partition_of(model, schema).layout
    sizes = dict(zip(layout.cells, layout.n_parameters))
    assert sizes[Cell(1, "query+key+value")] == 3 * 16
    for component in ("query", "key", "value"):
        assert sizes[Cell(1, component, 3)] == 4 * 3 and Cell(1, component) not in sizes
    assert sizes[Cell(1, "out", 3)] == 3 * 4 and sizes[Cell(1, "out")] == 16 * 3
    assert schema.components[-1] == "query+key+value"


@pytest.mark.parametrize(
    ("family", "out"), [("llama", "self_attn.o_proj"), ("gpt2", "attn.c_proj"),
                        ("gpt_neox", "attention.dense")],
)  # fmt: skip
def test_a_silent_head_takes_the_gradients_of_its_own_cells_alone(family, out):
    model = adapted(family)
    partition = partition_of(model, schema_for(model))
    before = gradients_per_cell(model, partition, example_of(family))
    (module,) = (m for n, m in model.named_modules() if n.endswith(f"0.{out}"))

    def silence(module, inputs):
        return (inputs[0] * torch.tensor([1.0, 0.0, 1.0, 1.0]).repeat_interleave(4), *inputs[1:])

    module.register_forward_pre_hook(silence)
    after = gradients_per_cell(model, partition, example_of(family))
    silent = {c for c in partition.layout.cells if before[c] > 0 and after[c] == 0}
    grouped = family == "llama"  # two query heads share a key head, which stays in use
    alone = ("query", "out") if grouped else ("query", "key", "value", "out")
    assert silent == {Cell(1, component, 1) for component in alone}


def test_biases_magnitudes_and_a_trained_top_have_cells():
    model = adapted("bert", bias="lora_only", use_dora=True, modules_to_save=["decoder"])
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert any("magnitude" in n for n in names) and any(
        n.endswith("base_layer.bias") for n in names
    )
    layout = partition_of(model, schema_for(model)).layout
    sizes = dict(zip(layout.cells, layout.n_parameters))
    assert sizes[Cell(1, "query", 0)] == 4 * 3 + 4  # rows of B, and of the magnitudes
    assert sizes[Cell(1, "bias", 0)] == 2 * 4  # of query and value
    assert Cell(3, "output") in sizes and Cell(1, "norm") not in sizes


def test_a_training_of_adapters_is_recorded_as_the_reference_says(tmp_path):
    """Sums over the tensors of a component, by autograd in float32 and float64 products."""
    model = adapted("llama")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    recorder = attach(model, optimizer, folder=tmp_path / "parts")
    batch, expected = example_of("llama"), []
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch, labels=batch["input_ids"]).loss.backward()
        before, gradients = values_in_float64(model), {
            n: p.grad.double() for n, p in model.named_parameters() if p.requires_grad
        }  # fmt: skip
        optimizer.step()
        after = values_in_float64(model)
        expected.append({n: gradients[n] * (after[n] - before[n]) for n in before})
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        for step, products in enumerate(expected):
            cells = cube["lca"].isel(step=step)
            largest = float(abs(cells).max())
            place = "base_model.model.model.layers.1.self_attn."
            rows = products[place + "k_proj.lora_B.default.weight"].reshape(2, 12).sum(1)
            columns = products[place + "o_proj.lora_A.default.weight"].reshape(3, 4, 4).sum((0, 2))
            for component, parts in (("key", rows), ("out", columns)):
                for head, part in enumerate(parts.tolist()):
                    found = float(cells.sel(layer=2, component=component, head=str(head)))
                    assert abs(found - part) <= 1e-5 * largest
            total = sum(float(p.sum()) for p in products.values())
            assert np.isclose(float(cells.sum()), total, rtol=0, atol=1e-5 * largest)


def test_the_command_schema_prints_the_cells_of_a_folder_of_adapters(tmp_path, capsys):
    base, model = tmp_path / "base", adapted("gpt2")
    model.get_base_model().config.architectures = ["GPT2LMHeadModel"]
    model.get_base_model().config.save_pretrained(base)
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(tmp_path / "adapters")
    assert main(["schema", str(tmp_path / "adapters")]) == 0
    table = capsys.readouterr().out
    assert "query+key+value" in table and "out by head" in table and "norm" not in table
    (base / "config.json").unlink()
    assert main(["schema", str(tmp_path / "adapters")]) == 1
    assert "no model can be made from" in capsys.readouterr().err
