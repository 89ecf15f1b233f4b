"""Series of checkpoints for tests: a short training of a small model, saved as it goes."""

from __future__ import annotations

from pathlib import Path

import torch

from losschange.recording.attachment import attach
from losschange.schemas import schema_for
from offline_transformers import import_transformers

WORDS = 40
STEPS = (0, 3, 10, 30, 60)


def make_ids(seed: int, length: int = 400) -> torch.Tensor:
    """Token ids (length,) of a language in which a word nearly says what follows."""
    generator = torch.Generator().manual_seed(seed)
    choices = torch.randint(0, 3, (length,), generator=generator).tolist()
    ids = [1]
    for choice in choices[1:]:
        ids.append((5 * ids[-1] + 7 * choice + 2) % WORDS)
    return torch.tensor(ids)


def pythia(**changes):
    """A GPT-NeoX as small as can be."""
    transformers = import_transformers()
    sizes = {
        "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 32, "bos_token_id": 0,
        "eos_token_id": 0, "tie_word_embeddings": False, **changes,
    }  # fmt: skip
    torch.manual_seed(1)
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**sizes))


def loss_of(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Mean nats per target token of rows (sequences, length)."""
    scores = model(rows).logits[:, :-1].flatten(0, 1)
    return torch.nn.functional.cross_entropy(scores, rows[:, 1:].flatten())


def train_series(folder: Path, save, steps=STEPS, model=None, parts: Path | None = None, text=None):
    """Train a model, and save it after the updates in `steps`.

    Parameters
    ----------
    folder : Path
    save : callable (model, update)
    steps : sequence of int
    model : torch.nn.Module, optional
    parts : Path, optional
        Record into this folder with Simpson's rule at every update on the text `text`.
    text : callable (model) -> loss, optional
    """
    model = model or pythia()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    recorder = None
    if parts is not None:
        recorder = attach(
            model, optimizer, schema_for(model), parts, {"batch": 1, "simpson": 1},
            {"train": text}, simpson_tolerance=1e-5,
        )  # fmt: skip
    rows = make_ids(2, 3200).view(-1, 20)
    for update in range(steps[-1] + 1):
        if update in steps:
            save(model, update)
        batch = rows[(16 * update) % len(rows) :][:16]
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        if update < steps[-1]:
            optimizer.step()
    if recorder is not None:
        recorder.finish(folder / "recorded.nc")
    return model


def save_pretrained(folder: Path):
    """How Pythia's checkpoints lie: a folder of Hugging Face named step<update> for each."""

    def save(model, update):
        model.save_pretrained(folder / f"step{update}")

    return save
