"""The switch that leaves the objective as the only difference between models, built for real."""

import pytest
from fairseq.modules import LearnedPositionalEmbedding

from losschange.recording.partition import partition_parameters
from losschange_fairseq.building import build_trainer
from losschange_fairseq.settings import settings_as_run
from objectives import OBJECTIVES
from running.configuration_check import load_configuration
from running.models import parse_model
from tiny_trainings import TINY, values
from training.fairseq_arguments import fairseq_arguments

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = {"clm": "clm-en", "mlm": "mlm-en", "mt": "mt-en-de"}
# What Table 2 tells of the architecture.
ARCHITECTURE = ("norm", "positions", "embedding_norm", "layers", "attention_heads", "activation")


def build(name, tokens):
    """Model and settings as run of a tiny training that the configuration describes."""
    chosen = values(**TINY) | {"matched_architecture": True}
    model = parse_model(name)
    training = load_configuration(chosen).training_of(model).model_dump()
    arguments = fairseq_arguments(model, training, tokens[model.objective], 1, "cpu")
    cfg, _, trainer = build_trainer(arguments)
    return trainer.get_model(), settings_as_run(cfg, trainer.get_model())


def stacks_of(model):
    sides = [getattr(model, side, None) for side in ("encoder", "decoder")]
    return [getattr(side, "sentence_encoder", side) for side in sides if side is not None]


def test_matched_models_differ_in_nothing_that_can_be_shared(tokens):
    found = {objective: build(f"{name}.matched", tokens) for objective, name in NAMES.items()}
    settings = [{key: run[key] for key in ARCHITECTURE} for _, run in found.values()]
    assert settings[0] == settings[1] == settings[2]
    assert settings[0]["norm"] == "pre" and settings[0]["positions"] == "learned"
    for model, _ in found.values():
        for stack in stacks_of(model):
            assert stack.embed_scale == 1.0 and stack.layernorm_embedding is not None
            assert isinstance(stack.embed_positions, LearnedPositionalEmbedding)
            # All start as the sinusoids that stock models keep.
            spread = stack.embed_positions.weight[2:].std().item()
            assert spread == pytest.approx(TINY["embedding_dimension"] ** -0.5, rel=0.2)


def test_stock_models_are_left_as_fairseq_makes_them(tokens):
    positions = {o: build(name, tokens)[1]["positions"] for o, name in NAMES.items()}
    assert positions == {"clm": "sinusoidal", "mlm": "learned", "mt": "sinusoidal"}


@pytest.mark.parametrize("name", NAMES.values())
def test_every_parameter_of_a_matched_model_has_its_cell(name, tokens):
    model, _ = build(f"{name}.matched", tokens)
    shapes = [(name, p.shape) for name, p in model.named_parameters()]
    layout = partition_parameters(shapes, OBJECTIVES[name.partition("-")[0]].schema(model)).layout
    assert sum(layout.n_parameters) == sum(p.numel() for p in model.parameters())
    assert "position" in {cell.component for cell in layout.cells}
