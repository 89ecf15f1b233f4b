"""Every trainable scalar in exactly one cell, for made-up and for fairseq's real models."""

from collections import Counter

import numpy as np
import pytest
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

import losschange_fairseq  # noqa: F401  (registers the tasks)
from losschange.cube.layout import Cell
from losschange.recording.partition import PartitionError, Rule, Schema, partition_parameters
from objectives import OBJECTIVES
from running.models import parse_model
from small_models import transformer_schema
from tiny_trainings import tiny_training
from training.fairseq_arguments import fairseq_arguments

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = pytest.mark.filterwarnings("ignore")

SCHEMA = transformer_schema(layers=2, heads=3)


def counts(partition):
    return dict(zip(partition.layout.cells, partition.layout.n_parameters))


def owners(partition, name):
    """The cell of every scalar of one parameter, in order."""
    position = partition.names.index(name)
    size = 1
    for length in partition.shapes[position]:
        size *= length
    start = partition.offsets[position]
    return [
        partition.layout.cells[partition.block_cells[(start + i) // partition.block]]
        for i in range(size)
    ]


def test_heads_own_rows_columns_and_bias_entries():
    shapes = {"key.weight": (6, 6), "key.bias": (6,), "out.weight": (6, 6)}
    named = [(f"layers.1.{name}", shape) for name, shape in shapes.items()]
    partition = partition_parameters(named, SCHEMA)
    keys = owners(partition, "layers.1.key.weight")
    assert keys == [Cell(2, "key", row // 2) for row in range(6) for _ in range(6)]
    assert owners(partition, "layers.1.key.bias") == [Cell(2, "bias", i // 2) for i in range(6)]
    outputs = owners(partition, "layers.1.out.weight")
    assert outputs == [Cell(2, "out", column // 2) for _ in range(6) for column in range(6)]


def test_split_and_unsplit_biases_lie_in_different_cells_of_one_component():
    shapes = {"layers.0.key.bias": (6,), "layers.0.out.bias": (5,)}
    partition = partition_parameters(shapes.items(), SCHEMA)
    assert counts(partition) == {
        Cell(1, "bias"): 5, Cell(1, "bias", 0): 2, Cell(1, "bias", 1): 2, Cell(1, "bias", 2): 2
    }  # fmt: skip


@pytest.mark.parametrize("width", [3, 6, 96, 192 * 3])
def test_blocks_straddle_neither_heads_nor_tensors(width):
    shapes = {
        "embedding.weight": (7, width),
        "layers.0.key.weight": (width, width),
        "layers.0.out.weight": (width, width),
        "layers.0.out.bias": (width,),
        "layers.1.key.bias": (width,),
    }
    partition = partition_parameters(shapes.items(), SCHEMA)
    assert 64 % partition.block == 0 and partition.length == partition.block * len(
        partition.block_cells
    )
    ends = [*partition.offsets[1:], partition.length]
    for (name, shape), start, end in zip(shapes.items(), partition.offsets, ends):
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        assert 0 <= end - start - size < partition.block, name
    found = counts(partition)
    for name in shapes:
        for cell in set(owners(partition, name)):
            found[cell] -= owners(partition, name).count(cell)
    assert set(found.values()) == {0}


def test_a_parameter_that_no_rule_claims_is_named():
    with pytest.raises(PartitionError, match=r"no rule .* claims the parameter 'layers\.0\.gate'"):
        partition_parameters([("embedding.weight", (3, 3)), ("layers.0.gate", (3,))], SCHEMA)
    # A pattern must match the whole name.
    with pytest.raises(PartitionError, match=r"'embedding\.weight\.scale'"):
        partition_parameters([("embedding.weight.scale", (3,))], SCHEMA)


def test_a_parameter_that_two_rules_claim_is_named_with_the_rules():
    schema = Schema(SCHEMA.stacks, 3, (*SCHEMA.rules, Rule(r"emb.*", "output", 3)))
    with pytest.raises(
        PartitionError, match=r"'embedding\.weight': 'embedding.*weight', 'emb\.\*'"
    ):
        partition_parameters([("embedding.weight", (3, 3))], schema)


@pytest.mark.parametrize(
    ("name", "shape", "what"),
    [
        ("layers.0.key.weight", (8, 9), "8 rows"),
        ("layers.0.key.bias", (8,), "8 rows"),
        ("layers.0.out.weight", (9, 8), "8 columns"),
    ],
)
def test_heads_that_do_not_divide_are_refused(name, shape, what):
    with pytest.raises(PartitionError, match=f"'{name}' .*{what} do not divide into 3"):
        partition_parameters([(name, shape)], SCHEMA)


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(PartitionError, match="no trainable parameters"):
        partition_parameters([], SCHEMA)


FUSED = ("query", "key", "value")


@pytest.mark.parametrize(("heads", "width"), [(3, 6), (4, 128), (1, 5)])
@pytest.mark.parametrize("way", ["rows", "columns"])
def test_components_of_a_fused_tensor_own_what_slicing_gives_them(way, heads, width):
    shape = (3 * width, width) if way == "rows" else (width, 3 * width)
    rules = (
        Rule(r"h\.(?P<layer>\d+)\.in\.weight", FUSED, 1, way),
        Rule(r"h\.(?P<layer>\d+)\.in\.bias", ("bias",) * 3, 1, way),
    )
    schema = Schema(("embedding", "decoder", "decoder", "output"), heads, rules)
    shapes = [("h.1.in.bias", (3 * width,)), ("h.1.in.weight", shape)]
    partition = partition_parameters(shapes, schema)
    expected = np.empty(shape, dtype=object)
    biases = np.empty(3 * width, dtype=object)
    own = width // heads
    for position, component in enumerate(FUSED):
        for head in range(heads):
            start = position * width + head * own
            part = slice(start, start + own)
            expected[part if way == "rows" else (slice(None), part)] = Cell(2, component, head)
            biases[part] = Cell(2, "bias", head)
    assert owners(partition, "h.1.in.weight") == expected.ravel().tolist()
    assert owners(partition, "h.1.in.bias") == biases.tolist()
    assert counts(partition) == Counter([*expected.flat, *biases])


@pytest.mark.parametrize(
    ("rule", "shape", "message"),
    [
        (Rule("in", FUSED, 1), (9, 4), '\'in\' names 3 components .* "rows" or "columns"'),
        (
            Rule("in", FUSED, 1, "rows"),
            (12, 9),
            "12 rows do not divide into 3 attention",
        ),
        (Rule("in", FUSED, 1, "columns"), (9, 12), r"'in' of shape \(9, 12\): 12 columns do not"),
    ],
)
def test_a_fused_tensor_that_does_not_divide_is_refused(rule, shape, message):
    with pytest.raises(PartitionError, match=message):
        partition_parameters([("in", shape)], Schema(SCHEMA.stacks, 3, (rule,)))


@pytest.fixture(scope="module")
def dictionaries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    for name in ("dict.txt", "dict.en.txt", "dict.de.txt"):
        (folder / name).write_text("".join(f"piece{i} 1\n" for i in range(36)))
    return folder


def build(name, data, **changes):
    """A real fairseq model, as a training of this project builds it."""
    model = parse_model(name)
    training = tiny_training(model, **changes)
    arguments = fairseq_arguments(model, training, data, seed=1, device="cpu")
    parser = options.get_training_parser()
    parsed = options.parse_args_and_arch(parser, arguments)
    cfg = convert_namespace_to_omegaconf(parsed)
    return tasks.setup_task(cfg.task).build_model(cfg.model)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("norm", ["stock", "pre", "post"])
@pytest.mark.parametrize("name", ["clm-en", "mlm-en", "mt-en-de"])
def test_the_schemas_claim_every_parameter_of_fairseqs_models(dictionaries, name, norm, tied):
    model = build(name, dictionaries, norm=norm, tied_embeddings=tied, layers=4)
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    schema = OBJECTIVES[name.partition("-")[0]].schema(model)
    partition = partition_parameters(((n, p.shape) for n, p in trainable), schema)
    layout, found = partition.layout, counts(partition)
    assert sum(found.values()) == sum(p.numel() for p in model.parameters())
    assert layout.heads == 2 and len(layout.stacks) == 6

    d, ffn, vocabulary = 16, 32, 40 + (name == "mlm-en")
    matrices = {"clm-en": 1, "mlm-en": 1, "mt-en-de": 2}[name]
    untied_output = 0 if name == "mlm-en" else vocabulary * d
    assert found[Cell(0, "embedding")] == vocabulary * d
    own = 0 if tied else (matrices - 1) * vocabulary * d
    assert found.get(Cell(0, "decoder_embedding"), 0) == own
    # The head of a masked model has a dense layer beside its output matrix.
    dense = d * d if name == "mlm-en" else 0
    expected = dense + (0 if tied else untied_output + (vocabulary * d if dense else 0))
    assert found.get(Cell(5, "output"), 0) == expected
    for layer in range(1, 5):
        for head in range(2):
            for component in ("key", "query", "value", "out"):
                assert found[Cell(layer, component, head)] == d * d // 2
            assert (Cell(layer, "cross_key", head) in found) == (name == "mt-en-de" and layer > 2)
        assert found[Cell(layer, "W1")] == found[Cell(layer, "W2")] == d * ffn
        blocks = 2 if Cell(layer, "cross_key", 0) in found else 1
        assert found[Cell(layer, "bias", 0)] == found[Cell(layer, "bias", 1)] == blocks * 3 * d // 2
        assert found[Cell(layer, "bias")] == blocks * d + ffn + d
        # The encoder's final norm counts to its last layer.
        final = name == "mt-en-de" and norm == "pre" and layer == 2
        assert found[Cell(layer, "norm")] == 2 * d * (blocks + 1 + final)
    # A pre-norm stack ends in a norm of its own; fairseq's stock models are post-norm.
    final_norms = (norm == "pre") + (name == "mlm-en")
    assert found.get(Cell(5, "norm"), 0) == 2 * d * final_norms
    stacks = {"clm-en": ["decoder"] * 4, "mlm-en": ["encoder"] * 4}
    inner = stacks.get(name, ["encoder"] * 2 + ["decoder"] * 2)
    assert list(layout.stacks) == ["embedding", *inner, "output"]


def test_the_decoders_matrices_can_be_tied_to_each_other_alone(dictionaries):
    """Values true and false of older configurations are all and none."""
    cells = {}
    for tied in ("none", "decoder", "all", True, False):
        model = build("mt-en-de", dictionaries, tied_embeddings=tied, layers=2)
        schema = OBJECTIVES["mt"].schema(model)
        named = [(n, p.shape) for n, p in model.named_parameters() if p.requires_grad]
        cells[tied] = counts(partition_parameters(named, schema))
    matrix = 40 * 16
    words = [Cell(0, "embedding"), Cell(0, "decoder_embedding"), Cell(3, "output")]
    sizes = {tied: [found.get(cell, 0) for cell in words] for tied, found in cells.items()}
    assert sizes["none"] == sizes[False] == [matrix, matrix, matrix]
    assert sizes["decoder"] == [matrix, matrix, 0]
    assert sizes["all"] == sizes[True] == [matrix, 0, 0]


def test_a_tied_matrix_is_counted_once(dictionaries):
    tied = build("mt-en-de", dictionaries)
    untied = build("mt-en-de", dictionaries, tied_embeddings=False)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (tied, untied)]
    assert sizes[1] - sizes[0] == 2 * 40 * 16
    names = [name for name, _ in tied.named_parameters()]
    assert sum("embed_tokens" in name or "output_projection" in name for name in names) == 1
