"""Hugging Face's Trainer with models and losses of many kinds: cells of the mean loss.

The reference is a float64 copy of the model: the summed nats of all target tokens by hand, and
the steps that the Trainer really made.
"""

import copy
import re

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.recording.partition import Rule, Schema
from losschange.schemas import gpt2_schema
from offline_transformers import HEADS, WORDS, import_transformers, make_gpt2

transformers = import_transformers()
pytest.importorskip("accelerate")
from losschange.adapters.huggingface import LossChangeCallback  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, ACCUMULATED, UPDATES = 2, 3, 4


def make_marian(dropout):
    config = transformers.MarianConfig(
        vocab_size=WORDS, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, dropout=dropout,
        max_position_embeddings=16, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
        forced_eos_token_id=None, bos_token_id=2,
    )  # fmt: skip
    return transformers.MarianMTModel(config)


def make_bart(dropout):
    config = transformers.BartConfig(
        vocab_size=WORDS, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, dropout=dropout,
        max_position_embeddings=16, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
        bos_token_id=2,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config)


def make_t5(dropout):
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2,
        dropout_rate=dropout, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


MODELS = {
    "Marian": make_marian,
    "BART": make_bart,
    "T5": make_t5,
    "GPT-2": lambda dropout: make_gpt2(1, dropout=dropout),
}


def schema_of(model):
    """One cell for each kind of module: what is tested is the scale, not the partition."""
    rules = (
        Rule(r".*(k_proj|\.k)\.(weight|bias)", "key", 1),
        Rule(r".*(q_proj|\.q)\.(weight|bias)", "query", 1),
        Rule(r".*norm.*", "norm", 1),
        Rule(r"(?!.*(k_proj|q_proj|\.k\.|\.q\.|norm)).*", "W1", 1),
    )
    if type(model).__name__.startswith("GPT2"):
        return gpt2_schema(1, HEADS)
    return Schema(("embedding", "encoder", "output"), 1, rules)


def rows(number=BATCH * ACCUMULATED * UPDATES, seq2seq=True):
    generator = torch.Generator().manual_seed(1)
    found = []
    for row in range(number):
        ids = torch.randint(3, WORDS, (6,), generator=generator)
        labels = torch.randint(3, WORDS, (6,), generator=generator) if seq2seq else ids.clone()
        labels[: row % 4] = -100
        found.append({"input_ids": ids, "labels": labels})
    return found


def collate(model):
    def batch_of(rows):
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        if model.config.is_encoder_decoder:
            batch["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(
                labels=batch["labels"]
            )
        return batch

    return batch_of


class Steps(transformers.TrainerCallback):
    """Keeps the parameters around every update."""

    def __init__(self):
        self.before, self.after = [], []

    def keep(self, model):
        return {name: p.detach().double().clone() for name, p in model.named_parameters()}

    def on_pre_optimizer_step(self, args, state, control, model=None, **others):
        self.before.append(self.keep(model))

    def on_optimizer_step(self, args, state, control, model=None, **others):
        self.after.append(self.keep(model))


def train(folder, model, callbacks=(), **changes):
    special = {n: changes.pop(n) for n in ("compute_loss_func", "trainer") if n in changes}
    kind = special.pop("trainer", transformers.Trainer)
    options = {
        "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": ACCUMULATED,
        "num_train_epochs": 1, "learning_rate": 1e-2, "max_grad_norm": 0.05, "adam_epsilon": 1e-4,
        "lr_scheduler_type": "constant", "save_strategy": "no",
        "train_sampling_strategy": "sequential", "use_cpu": True, "report_to": "none",
        "disable_tqdm": True, "logging_strategy": "no", **changes,
    }  # fmt: skip
    data = rows(seq2seq=model.config.is_encoder_decoder)
    trainer = kind(
        model, transformers.TrainingArguments(folder / "checkpoints", **options),
        train_dataset=data, eval_dataset=data[:4], data_collator=collate(model),
        callbacks=list(callbacks), **special,
    )  # fmt: skip
    trainer.train()
    return data


def nats(model, batch, smoothing, shift):
    """(summed nats of a batch's targets, their number), by hand."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits, batch["labels"]
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    logits, labels = logits.reshape(-1, WORDS), labels.reshape(-1)
    kept = labels != -100
    logs = log_softmax(logits[kept], dim=-1)
    wanted = cross_entropy(logits[kept], labels[kept], reduction="sum")
    return (1 - smoothing) * wanted - smoothing * logs.sum() / WORDS, int(kept.sum())


def expected(model, steps, data, smoothing, per_batch):
    """Per update: products g * step of all parameters, the mean loss, the number of targets."""
    twin, found = copy.deepcopy(model).double().eval(), []
    batch_of, shift = collate(model), not model.config.is_encoder_decoder
    for update, (before, after) in enumerate(zip(steps.before, steps.after)):
        with torch.no_grad():
            for name, parameter in twin.named_parameters():
                parameter.copy_(before[name])
        twin.zero_grad()
        start = update * BATCH * ACCUMULATED
        batches = [
            batch_of(data[start + part * BATCH : start + (part + 1) * BATCH])
            for part in range(ACCUMULATED)
        ]
        sums = [nats(twin, batch, smoothing, shift) for batch in batches]
        targets = sum(number for _, number in sums)
        if per_batch:
            loss = sum(total / number for total, number in sums) / len(sums)
        else:
            loss = sum(total for total, _ in sums) / targets
        loss.backward()
        products = {
            name: p.grad * (after[name] - before[name])
            for name, p in twin.named_parameters()
            if p.requires_grad
        }
        found.append((products, float(loss.detach()), targets))
    return found


def compare(cube_path, model, found, loss=True):
    schema = schema_of(model)
    with open_cube(cube_path) as cube:
        assert cube.sizes["step"] == len(found)
        for step, (products, mean, targets) in enumerate(found):
            whole = sum(float(part.sum()) for part in products.values())
            cells = cube["lca"].isel(step=step)
            largest = float(abs(cells).max())
            assert largest > 0
            assert abs(float(cells.sum()) - whole) <= 1e-5 * largest
            if schema.heads == 1:
                for component in ("key", "query", "norm", "W1"):
                    part = sum(
                        float(products[name].sum())
                        for name in products
                        if any(
                            rule.component == component and re.fullmatch(rule.pattern, name)
                            for rule in schema.rules
                        )
                    )
                    cell = float(cells.sel(component=component).sum())
                    assert abs(cell - part) <= 1e-5 * largest, component
            if loss:
                assert float(cube["loss"][step]) == pytest.approx(mean, rel=1e-5)
            assert float(cube["tokens"][step]) == targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", MODELS)
def test_cells_are_of_the_mean_loss_under_accumulation_and_smoothing(tmp_path, kind, smoothing):
    torch.manual_seed(2)
    model, steps = MODELS[kind](0.0), Steps()
    recording = LossChangeCallback(schema_of(model), tmp_path / "parts", tmp_path / "cube.nc")
    data = train(tmp_path, model, [steps, recording], label_smoothing_factor=smoothing)
    per_batch = model.config.is_encoder_decoder and not smoothing
    found = expected(model, steps, data, smoothing, per_batch)
    assert len({targets for _, _, targets in found}) >= 1
    compare(tmp_path / "cube.nc", model, found, loss=not smoothing)


@pytest.mark.parametrize("kind", MODELS)
def test_recording_does_not_change_a_bit_of_the_training(tmp_path, kind):
    trained = []
    for recording in (False, True):
        torch.manual_seed(2)
        model = MODELS[kind](0.3)
        callbacks = [
            LossChangeCallback(
                schema_of(model), tmp_path / "parts", tmp_path / "cube.nc", estimators=["simpson"],
                probes={"train": collate(model)(rows(3, model.config.is_encoder_decoder))},
            )
        ] if recording else []  # fmt: skip
        train(tmp_path, model, callbacks)
        trained.append(model)
    for one, other in zip(*(model.parameters() for model in trained)):
        assert torch.equal(one, other)


def test_schedule_free_adamw_changes_gradients_and_is_recorded_all_the_same(tmp_path):
    pytest.importorskip("schedulefree")
    torch.manual_seed(2)
    model, steps = MODELS["GPT-2"](0.0), Steps()
    recording = LossChangeCallback(
        schema_of(model), tmp_path / "parts", tmp_path / "cube.nc", estimators={"simpson": 3},
        probes={"train": collate(model)(rows(3, False))},
    )  # fmt: skip
    data = train(
        tmp_path, model, [steps, recording], optim="schedule_free_adamw", eval_strategy="steps",
        eval_steps=2, lr_scheduler_type="constant",
    )  # fmt: skip
    compare(tmp_path / "cube.nc", model, expected(model, steps, data, 0.0, False))
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_simpson"].values.tolist() == [3, 4]
        measured = float(cube["simpson_loss"][-1] - cube["simpson_loss_before"][0])
        assert float(cube["lca_simpson"].sum()) == pytest.approx(measured, rel=0.02)


def own_loss(outputs, labels, num_items_in_batch=None):
    """A cross entropy that is computed outside of the model, with a factor of its own."""
    logits, labels = outputs.logits[:, :-1], labels[:, 1:]
    total = cross_entropy(logits.reshape(-1, WORDS), labels.reshape(-1), reduction="sum")
    return 1.7 * total / num_items_in_batch


def squares(outputs, labels, num_items_in_batch=None):
    return outputs.logits.square().sum() / num_items_in_batch


def test_the_factor_of_a_loss_of_ones_own_is_measured(tmp_path):
    torch.manual_seed(2)
    model, steps = MODELS["GPT-2"](0.0), Steps()
    recording = LossChangeCallback(schema_of(model), tmp_path / "parts", tmp_path / "cube.nc")
    data = train(tmp_path, model, [steps, recording], compute_loss_func=own_loss)
    compare(tmp_path / "cube.nc", model, expected(model, steps, data, 0.0, False), loss=False)


class OwnTrainer(transformers.Trainer):
    """Trains on another loss than the model's."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs).logits.square().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compute_loss_func": squares}, "not a cross entropy of the model's logits .* give the"),
        ({"trainer": OwnTrainer}, "not the one that the model returns, .* give the callback"),
    ],
)
def test_a_loss_whose_scale_cannot_be_seen_is_refused_unless_it_is_given(
    tmp_path, options, message
):
    model = MODELS["GPT-2"](0.0)
    recording = LossChangeCallback(schema_of(model), tmp_path / "parts", tmp_path / "cube.nc")
    with pytest.raises(RecordingError, match=message):
        train(tmp_path, model, [recording], **options)
    model = MODELS["GPT-2"](0.0)
    recording = LossChangeCallback(
        schema_of(model), tmp_path / "mine", tmp_path / "cube.nc", gradient_scale=2.0
    )
    train(tmp_path, model, [recording], **options)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert np.isfinite(cube["lca"].sum()) and cube.sizes["step"] == UPDATES


def test_a_probe_batch_that_is_written_to_again_stays_what_it_was(tmp_path):
    torch.manual_seed(2)
    model = MODELS["GPT-2"](0.0)
    batch = collate(model)(rows(3, False))

    class Refill(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **others):
            batch["input_ids"].fill_(3)

    recording = LossChangeCallback(
        schema_of(model), tmp_path / "parts", tmp_path / "cube.nc", estimators=["simpson"],
        probes={"train": batch},
    )  # fmt: skip
    with torch.no_grad():
        first = float(model(**batch).loss)
    train(tmp_path, model, [recording, Refill()])
    with open_cube(tmp_path / "cube.nc") as cube:
        assert float(cube["simpson_loss_before"][0]) == pytest.approx(first, rel=1e-5)
