"""The callback for Hugging Face's Trainer, in real trainings of a small GPT-2."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.schemas import gpt2_schema
from offline_transformers import HEADS, LENGTH, WIDTH, WORDS, import_transformers, make_gpt2

transformers = import_transformers()
pytest.importorskip("accelerate")
from losschange.adapters.huggingface import LossChangeCallback  # noqa: E402

LAYERS, BATCH, ACCUMULATED, RATE, DECAY, CLIP = 2, 2, 3, 0.02, 0.1, 0.05
# Not tiny: the gradient of a key's bias is zero but for rounding, and Adam would follow it.
EPSILON = 1e-4


def sentences(number=24):
    """Sequences of different numbers of target tokens: the first ones have no label."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for row in range(number):
        ids = torch.randint(0, WORDS, (LENGTH,), generator=generator)
        labels = ids.clone()
        labels[: row % 4] = -100
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def batch_of(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def new_model(dropout=0.0):
    torch.manual_seed(2)
    model = make_gpt2(LAYERS, dropout=dropout)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


def train(folder, callbacks=(), model=None, rows=None, resume=None, **changes):
    """A training of 8 updates in two epochs; returns the model."""
    model = model or new_model()
    options = {
        "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": ACCUMULATED,
        "num_train_epochs": 2, "learning_rate": RATE, "weight_decay": DECAY,
        "max_grad_norm": CLIP, "adam_epsilon": EPSILON, "lr_scheduler_type": "constant",
        "save_strategy": "no", "train_sampling_strategy": "sequential", "use_cpu": True,
        "report_to": "none", "disable_tqdm": True, "logging_strategy": "no", **changes,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(folder / "checkpoints", **options)
    trainer = transformers.Trainer(
        model, arguments, train_dataset=rows or sentences(), eval_dataset=sentences(6),
        callbacks=list(callbacks),
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return model


def callback(folder, **options):
    return LossChangeCallback(
        gpt2_schema(LAYERS, HEADS), folder / "parts", folder / "cube.nc", **options
    )


def loop(updates=8):
    """The same training by hand, and g * step of every update, in float64, of the mean loss."""
    model, rows = new_model(), sentences()
    named = dict(model.named_parameters())
    plain = [p for name, p in named.items() if name.endswith("bias") or "ln_" in name]
    groups = [
        {"params": [p for p in named.values() if not any(p is q for q in plain)]},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY, eps=EPSILON)
    size, products, losses, tokens, norms = BATCH * ACCUMULATED, [], [], [], []
    for update in range(updates):
        start = update * size % len(rows)
        batch = batch_of(rows[start : start + size])
        logits = model(input_ids=batch["input_ids"]).logits[:, :-1].reshape(-1, WORDS)
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"][:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: p.grad.double().clone() for name, p in named.items()}
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        before = {name: p.detach().double().clone() for name, p in named.items()}
        optimizer.step()
        products.append(
            {name: gradients[name] * (p.detach().double() - before[name]) for name, p in
             named.items()}
        )  # fmt: skip
        losses.append(loss.item())
        tokens.append(int((batch["labels"][:, 1:] != -100).sum()))
    return model, products, losses, tokens, norms


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters()))


def test_the_batch_estimator_equals_a_loop_by_hand_under_accumulation_and_clipping(tmp_path):
    model = train(tmp_path, [callback(tmp_path)])
    expected, products, losses, tokens, norms = loop()
    for trained, by_hand in zip(model.parameters(), expected.parameters()):
        torch.testing.assert_close(trained, by_hand, rtol=1e-3, atol=1e-4)
    assert min(norms) > 2 * CLIP, "clipping is part of what is tested"
    assert len(set(tokens)) > 1, "batches of different numbers of tokens, too"
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_allclose(cube["loss"], losses, rtol=1e-3)
        np.testing.assert_allclose(cube["grad_norm"], norms, rtol=5e-3)
        assert cube["tokens"].values.tolist() == cube["sample_size"].values.tolist() == tokens
        np.testing.assert_allclose(cube["lr"], RATE)
        lca = cube["lca"].load()
    for update, product in enumerate(products):
        found = lca.isel(step=update)
        total = sum(float(part.sum()) for part in product.values())
        assert float(found.sum()) == pytest.approx(total, rel=5e-3)
        for layer in range(LAYERS):
            block = f"transformer.h.{layer}."
            fused = product[block + "attn.c_attn.weight"]
            half = WIDTH // HEADS
            for head in range(HEADS):
                own = slice(head * half, (head + 1) * half)
                query, key, value = fused.split(WIDTH, dim=1)
                here = found.isel(layer=layer + 1, head=head + 1)
                for component, part in (
                    ("query", query[:, own]),
                    ("key", key[:, own]),
                    ("value", value[:, own]),
                    ("out", product[block + "attn.c_proj.weight"][own]),
                ):
                    assert float(here.sel(component=component)) == pytest.approx(
                        float(part.sum()), rel=2e-2, abs=2e-4 * abs(total)
                    )
            w1 = found.isel(layer=layer + 1, head=0).sel(component="W1")
            part = float(product[block + "mlp.c_fc.weight"].sum())
            assert float(w1) == pytest.approx(part, rel=2e-2, abs=2e-4 * abs(total))


def test_recording_with_every_estimator_does_not_change_the_training(tmp_path):
    rows = sentences(6)
    recording = callback(
        tmp_path,
        estimators={"probe": 1, "simpson": 3, "probe_valid": 2, "fresh": 2},
        probes={"train": batch_of(rows[:3]), "valid": lambda model: model(**batch_of(rows)).loss},
        fresh=lambda model, update: model(**batch_of(rows[:2])).loss,
    )
    small = {"learning_rate": RATE / 10}
    plain = train(tmp_path / "plain", model=new_model(dropout=0.2), **small)
    recorded = train(tmp_path, [recording], model=new_model(dropout=0.2), **small)
    assert same(plain, recorded)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_simpson"].values.tolist() == [3, 6, 8]
        assert np.isfinite(cube["loss"]).all(), "the fresh batch's loss is not counted"
        measured = float(cube["probe_loss"][-1] - cube["probe_loss_before"][0])
        assert float(cube["lca_probe"].sum()) == pytest.approx(measured, rel=0.1)


class Stop(Exception):
    """An interrupted training."""


class StopAt(transformers.TrainerCallback):
    def __init__(self, update):
        self.update = update

    def on_step_end(self, args, state, control, **others):
        if state.global_step == self.update:
            raise Stop


def test_a_resumed_training_gives_the_cube_of_an_uninterrupted_one(tmp_path):
    def recording(folder):
        probes = {"train": batch_of(sentences(3))}
        return callback(folder, estimators={"probe": 3, "simpson": 3}, probes=probes)

    saving = {"save_strategy": "steps", "save_steps": 4}
    whole = train(tmp_path / "whole", [recording(tmp_path / "whole")], **saving)
    with pytest.raises(Stop):
        train(tmp_path, [recording(tmp_path), StopAt(6)], **saving)
    checkpoint = tmp_path / "checkpoints" / "checkpoint-4"
    assert (checkpoint / "losschange.pt").is_file()
    again = train(tmp_path, [recording(tmp_path)], resume=str(checkpoint), **saving)
    assert same(whole, again)
    with (
        open_cube(tmp_path / "whole" / "cube.nc") as left,
        open_cube(tmp_path / "cube.nc") as right,
    ):
        assert left["step_probe"].values.tolist() == [3, 6, 8]
        for name in left.data_vars:
            np.testing.assert_array_equal(left[name].values, right[name].values, name)


def test_the_last_interval_ends_before_the_best_checkpoint_comes_back(tmp_path):
    cubes = []
    for best in (False, True):
        folder = tmp_path / str(best)
        recording = callback(
            folder, estimators={"simpson": 3}, probes={"train": batch_of(sentences(3))}
        )
        train(
            folder, [recording], save_strategy="best" if best else "no", eval_strategy="steps",
            eval_steps=2, load_best_model_at_end=best, metric_for_best_model="loss",
            greater_is_better=True,
        )  # fmt: skip
        with open_cube(folder / "cube.nc") as cube:
            cubes.append(cube.load())
    assert cubes[1]["step_simpson"].values.tolist() == [3, 6, 8]
    assert np.argmax(cubes[0]["valid_loss"].values) < 3, "the last model is not the best"
    np.testing.assert_array_equal(cubes[0]["simpson_loss"], cubes[1]["simpson_loss"])
    np.testing.assert_array_equal(cubes[0]["lca_simpson"], cubes[1]["lca_simpson"])


def test_validation_losses_stand_in_the_cube(tmp_path):
    train(tmp_path, [callback(tmp_path)], eval_strategy="steps", eval_steps=3, eval_on_start=True)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["valid_step"].values.tolist() == [0, 3, 6, 8]
        losses = cube["valid_loss"].values
    assert np.isfinite(losses).all() and losses[0] == pytest.approx(math.log(WORDS), abs=2)


def test_bf16_autocast_is_recorded(tmp_path):
    train(tmp_path, [callback(tmp_path)], bf16=True)
    train(tmp_path / "float32", [callback(tmp_path / "float32")])
    with open_cube(tmp_path / "cube.nc") as low, open_cube(tmp_path / "float32/cube.nc") as full:
        assert float(low["lca"].sum()) == pytest.approx(float(full["lca"].sum()), rel=0.1)
        assert float(low["lca"].sum()) != float(full["lca"].sum())


def test_fp16_is_refused_before_the_first_update(tmp_path):
    with pytest.raises(RecordingError, match="fp16 .* train with bf16=True or in float32"):
        train(tmp_path, [callback(tmp_path)], fp16=True)
    assert not (tmp_path / "parts").exists()


def test_a_second_training_into_the_same_folder_is_refused(tmp_path):
    train(tmp_path, [callback(tmp_path)])
    with pytest.raises(ValueError, match="parts of another training; give an empty folder"):
        train(tmp_path, [callback(tmp_path)])


@pytest.mark.slow
def test_two_processes_record_what_one_records_of_the_same_batches(tmp_path):
    train(tmp_path, [callback(tmp_path)], gradient_accumulation_steps=6, num_train_epochs=4)
    tests = Path(__file__).parent
    places = os.pathsep.join([str(tests), str(tests.parent / "scripts")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, __file__, str(tmp_path / "two")],
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with open_cube(tmp_path / "cube.nc") as one, open_cube(tmp_path / "two" / "cube.nc") as two:
        for name in ("loss", "tokens", "grad_norm"):
            np.testing.assert_allclose(two[name], one[name], rtol=5e-3)
        total = np.abs(one["lca"].sum(("layer", "component", "head"))).max().item()
        np.testing.assert_allclose(two["lca"], one["lca"], rtol=2e-2, atol=1e-3 * total)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    train(place, [callback(place)], num_train_epochs=4, ddp_backend="gloo")
