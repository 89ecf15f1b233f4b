"""Small models of plain PyTorch with their schemas, and trainings on data drawn by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from losschange.recording.attachment import attach
from losschange.recording.following import AttachedRecorder
from losschange.recording.partition import Partition, Rule, Schema, partition_parameters

VOCABULARY = 23
WIDTH = 12


class Mlp(torch.nn.Module):
    """Two matrices and a scale that the loss does not always use."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(5, 7)
        self.second = torch.nn.Linear(7, 3)
        self.scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, inputs, scaled=True):
        hidden = self.second(torch.tanh(self.first(inputs)))
        return hidden * self.scale if scaled else hidden


MLP_SCHEMA = Schema(
    ("embedding", "encoder", "output"),
    2,
    (
        Rule(r"first\.weight", "W1", 1),
        Rule(r"second\.weight", "W2", 1),
        Rule(r"(first|second)\.bias", "bias", 1),
        Rule(r"scale", "norm", 2),
    ),
)


def trainable(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and parameters that are trained."""
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def partition_of(model: torch.nn.Module, schema: Schema) -> Partition:
    """The cells of a model's trainable parameters."""
    return partition_parameters(((name, p.shape) for name, p in trainable(model)), schema)


class Layer(torch.nn.Module):
    """A pre-norm Transformer layer with causal attention."""

    def __init__(self, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        for name in ("query", "key", "value", "out"):
            setattr(self, name, torch.nn.Linear(WIDTH, WIDTH))
        self.first = torch.nn.Linear(WIDTH, 2 * WIDTH)
        self.second = torch.nn.Linear(2 * WIDTH, WIDTH)
        self.attention_norm = torch.nn.LayerNorm(WIDTH)
        self.forward_norm = torch.nn.LayerNorm(WIDTH)

    def forward(self, inputs):
        batch, length, _ = inputs.shape
        normed = self.attention_norm(inputs)
        # (batch, heads, length, width of a head)
        query, key, value = (
            project(normed).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
        weights = functional.dropout(weights, self.dropout, self.training)
        mixed = self.out((weights @ value).transpose(1, 2).reshape(batch, length, -1))
        hidden = inputs + mixed
        inner = functional.relu(self.first(self.forward_norm(hidden)))
        return hidden + self.second(functional.dropout(inner, self.dropout, self.training))


class CausalTransformer(torch.nn.Module):
    """A causal language model of 23 words; `unused` is a parameter outside of the loss."""

    def __init__(self, layers=2, heads=3, length=10, dropout=0.0, tied=False, unused=False):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.position = torch.nn.Embedding(length, WIDTH)
        self.layers = torch.nn.ModuleList(Layer(heads, dropout) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.output = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
        torch.nn.init.normal_(self.embedding.weight, std=0.1)
        torch.nn.init.normal_(self.position.weight, std=0.1)
        if tied:
            self.output.weight = self.embedding.weight
        if unused:
            self.unused_norm = torch.nn.LayerNorm(WIDTH)

    def forward(self, words):
        """Scores (batch, length, vocabulary) of the next word."""
        hidden = self.embedding(words) + self.position.weight[: words.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        return self.output(self.norm(hidden))


def transformer_schema(layers: int = 2, heads: int = 3) -> Schema:
    """The cells of a CausalTransformer."""
    here = r"layers\.(?P<layer>\d+)\."
    attention = [
        rule
        for name in ("query", "key", "value")
        for rule in (
            Rule(rf"{here}{name}\.weight", name, 1, "rows"),
            Rule(rf"{here}{name}\.bias", "bias", 1, "rows"),
        )
    ]
    rules = (
        Rule(r"embedding\.weight", "embedding", 0),
        Rule(r"position\.weight", "position", 0),
        *attention,
        Rule(here + r"out\.weight", "out", 1, "columns"),
        Rule(here + r"first\.weight", "W1", 1),
        Rule(here + r"second\.weight", "W2", 1),
        Rule(here + r"(out|first|second)\.bias", "bias", 1),
        Rule(here + r"\w+_norm\.(weight|bias)", "norm", 1),
        Rule(r"norm\.(weight|bias)", "norm", layers + 1),
        Rule(r"unused_norm\.(weight|bias)", "norm", 0),
        Rule(r"output\.weight", "output", layers + 1),
    )
    return Schema(("embedding", *["decoder"] * layers, "output"), heads, rules)


def make_words(sentences: int, seed: int, length: int = 11) -> torch.Tensor:
    """Sentences (sentences, length) of a language in which a word nearly says what follows."""
    generator = torch.Generator().manual_seed(seed)
    words = [torch.randint(0, VOCABULARY, (sentences,), generator=generator)]
    for _ in range(length - 1):
        choice = torch.randint(0, 3, (sentences,), generator=generator)
        words.append((5 * words[-1] + 7 * choice + 2) % VOCABULARY)
    return torch.stack(words, dim=1)


def word_loss(model: torch.nn.Module, words: torch.Tensor) -> torch.Tensor:
    """Mean nats per target word."""
    scores = model(words[:, :-1])
    return functional.cross_entropy(scores.flatten(0, 1), words[:, 1:].flatten())


_PROBE_WORDS = {"train": make_words(32, seed=1), "valid": make_words(32, seed=2)}
PROBES = {
    "train": lambda model: word_loss(model, _PROBE_WORDS["train"]),
    "valid": lambda model: word_loss(model, _PROBE_WORDS["valid"]),
}


def fresh_loss(model: torch.nn.Module, update: int) -> torch.Tensor:
    """Loss of a batch newly drawn for an update."""
    return word_loss(model, make_words(8, seed=5000 + update))


def make_transformer(seed: int = 0, **options) -> CausalTransformer:
    """A model that depends on the seed alone."""
    torch.manual_seed(seed)
    return CausalTransformer(**options)


def make_optimizer(model: torch.nn.Module, rate: float = 3e-3) -> torch.optim.Optimizer:
    """AdamW with weight decay."""
    return torch.optim.AdamW([p for _, p in trainable(model)], lr=rate, weight_decay=0.05)


def attach_to(
    model: CausalTransformer, optimizer: torch.optim.Optimizer, folder: Path, **options
) -> AttachedRecorder:
    """A recorder of a CausalTransformer, with probes and fresh batches at hand."""
    bare = getattr(model, "module", model)
    schema = transformer_schema(len(bare.layers), bare.layers[0].heads)
    options = {"schema": schema, "probes": PROBES, "fresh": fresh_loss, **options}
    return attach(model, optimizer, folder=folder, **options)


def train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    updates: range | int,
    recorder: AttachedRecorder | None = None,
    sentences: int = 16,
    change: Callable[[int], None] = lambda update: None,
) -> None:
    """Train on a batch per update, drawn by its number; `change` is called before each step."""
    updates = range(1, updates + 1) if isinstance(updates, int) else updates
    for update in updates:
        loss = word_loss(model, make_words(sentences, seed=1000 + update))
        optimizer.zero_grad()
        loss.backward()
        change(update)
        if recorder is not None:
            recorder.describe(loss=loss, tokens=sentences * 10)
        optimizer.step()
