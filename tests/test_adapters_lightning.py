"""The callback for Lightning's Trainer, in real trainings of a small Transformer."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from losschange.cube.format import open_cube
from losschange.errors import RecordingError
from losschange.schemas import transformer_encoder_schema

sys.modules.setdefault("torchaudio", None)
lightning = pytest.importorskip("lightning.pytorch")
from losschange.adapters.lightning import LossChangeCallback  # noqa: E402

# Lightning recommends loggers, more workers and other trainers than a test has.
pytestmark = pytest.mark.filterwarnings("ignore")

WORDS, LENGTH, WIDTH, HEADS, LAYERS = 13, 6, 8, 2, 2
BATCH, ACCUMULATED, RATE, CLIP = 2, 3, 0.01, 0.05
# Not tiny: the gradient of a key's bias is zero but for rounding, and Adam would follow it.
EPSILON = 1e-4


def batches(number=10):
    """10 batches: with 3 to an update, the last update of an epoch has one."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, WORDS, (BATCH, LENGTH), generator=generator) for _ in range(number)]


class Module(lightning.LightningModule):
    """A causal language model as a user of Lightning writes it."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.embedding = torch.nn.Embedding(WORDS, WIDTH)
        layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 12, dropout, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.output = torch.nn.Linear(WIDTH, WORDS)

    def loss(self, ids):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(LENGTH - 1)
        hidden = self.encoder(self.embedding(ids[:, :-1]), mask=mask, is_causal=True)
        logits = self.output(hidden)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def training_step(self, batch, batch_index):
        return self.loss(batch)

    def validation_step(self, batch, batch_index):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=0.1, eps=EPSILON)


def new_module(dropout=0.0):
    torch.manual_seed(2)
    return Module(dropout)


def train(folder, callbacks=(), module=None, valid=None, rows=None, resume=None, **changes):
    """A training of 8 updates in two epochs of 10 batches; returns the module."""
    module = module or new_module()
    options = {
        "max_epochs": 2, "accumulate_grad_batches": ACCUMULATED, "gradient_clip_val": CLIP,
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False,
        "use_distributed_sampler": False, **changes,
    }  # fmt: skip
    trainer = lightning.Trainer(default_root_dir=folder, callbacks=list(callbacks), **options)

    def loader(rows):
        return torch.utils.data.DataLoader(rows, batch_size=None)

    torch.manual_seed(3)
    trainer.fit(module, loader(rows or batches()), valid and loader(valid), ckpt_path=resume)
    return module


def callback(folder, **options):
    schema = transformer_encoder_schema(LAYERS, HEADS, causal=True)
    return LossChangeCallback(schema, folder / "parts", folder / "cube.nc", **options)


def loop(epochs=2):
    """The same training by hand, with g * step of every update in float64."""
    module, products, losses, norms = new_module(), [], [], []
    named = dict(module.named_parameters())
    optimizer = module.configure_optimizers()
    for _ in range(epochs):
        for start in range(0, 10, ACCUMULATED):
            here = batches()[start : start + ACCUMULATED]
            optimizer.zero_grad()
            # Lightning divides by 3 even where only one batch is left.
            parts = [module.loss(batch) for batch in here]
            torch.stack(parts).sum().div(ACCUMULATED).backward()
            full = ACCUMULATED / len(here)
            gradients = {name: p.grad.double() * full for name, p in named.items()}
            norms.append(float(torch.stack([g.square().sum() for g in gradients.values()]).sum()))
            torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
            before = {name: p.detach().double().clone() for name, p in named.items()}
            optimizer.step()
            products.append(
                {n: gradients[n] * (p.detach().double() - before[n]) for n, p in named.items()}
            )
            losses.append(torch.stack(parts).mean().item())
    return module, products, losses, np.sqrt(norms)


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters()))


def test_the_batch_estimator_equals_a_loop_by_hand_under_accumulation_and_clipping(tmp_path):
    module = train(tmp_path, [callback(tmp_path, tokens=lambda batch: batch[:, 1:].numel())])
    expected, products, losses, norms = loop()
    for trained, by_hand in zip(module.parameters(), expected.parameters()):
        torch.testing.assert_close(trained, by_hand, rtol=1e-3, atol=1e-4)
    assert min(norms) > 2 * CLIP, "clipping is part of what is tested"
    with open_cube(tmp_path / "cube.nc") as cube:
        np.testing.assert_allclose(cube["loss"], losses, rtol=1e-3)
        np.testing.assert_allclose(cube["grad_norm"], norms, rtol=5e-3)
        target = BATCH * (LENGTH - 1)
        assert cube["tokens"].values.tolist() == [3 * target, 3 * target, 3 * target, target] * 2
        lca = cube["lca"].load()
    for update, product in enumerate(products):
        found = lca.isel(step=update)
        total = sum(float(part.sum()) for part in product.values())
        assert float(found.sum()) == pytest.approx(total, rel=5e-3)
        fused = product["encoder.layers.1.self_attn.in_proj_weight"]
        for part, component in zip(fused.split(WIDTH), ("query", "key", "value")):
            for head, own in enumerate(part.chunk(HEADS)):
                cell = found.sel(component=component).isel(layer=2, head=head + 1)
                assert float(cell) == pytest.approx(
                    float(own.sum()), rel=2e-2, abs=2e-4 * abs(total)
                )


def test_recording_with_every_estimator_does_not_change_the_training(tmp_path):
    fixed = batches()
    recording = callback(
        tmp_path,
        estimators={"probe": 1, "simpson": 3, "probe_valid": 2, "fresh": 2},
        probes={"train": lambda m: m.loss(fixed[0]), "valid": lambda m: m.loss(fixed[1])},
        fresh=lambda module, update: module.loss(fixed[update]),
    )
    plain = train(tmp_path / "plain", module=new_module(dropout=0.2))
    recorded = train(tmp_path, [recording], module=new_module(dropout=0.2))
    assert same(plain, recorded)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["step_simpson"].values.tolist() == [3, 6, 8]
        measured = float(cube["probe_loss"][-1] - cube["probe_loss_before"][0])
        assert float(cube["lca_probe"].sum()) == pytest.approx(measured, rel=0.1)


class Stop(Exception):
    """An interrupted training."""


class StopAt(lightning.Callback):
    def __init__(self, update):
        self.update = update

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if trainer.global_step == self.update:
            raise Stop


def test_a_resumed_training_gives_the_cube_of_an_uninterrupted_one(tmp_path):
    def recording(folder):
        probes = {"train": lambda module: module.loss(batches()[0])}
        return callback(folder, estimators={"probe": 3, "simpson": 3}, probes=probes)

    def saving(folder):
        checkpoint = lightning.callbacks.ModelCheckpoint(
            folder, filename="{step}", every_n_train_steps=4, save_top_k=-1
        )
        return {"callbacks": [recording(folder), checkpoint], "enable_checkpointing": True}

    whole = train(tmp_path / "whole", **saving(tmp_path / "whole"))
    options = saving(tmp_path)
    with pytest.raises(Stop):
        train(tmp_path, **{**options, "callbacks": [*options["callbacks"], StopAt(6)]})
    again = train(tmp_path, resume=tmp_path / "step=4.ckpt", **saving(tmp_path))
    assert same(whole, again)
    with (
        open_cube(tmp_path / "whole" / "cube.nc") as left,
        open_cube(tmp_path / "cube.nc") as right,
    ):
        assert left["step_probe"].values.tolist() == [3, 6, 8]
        for name in left.data_vars:
            np.testing.assert_array_equal(left[name].values, right[name].values, name)


def test_validation_losses_stand_in_the_cube_without_the_trial_before_training(tmp_path):
    train(tmp_path, [callback(tmp_path)], valid=batches(3), val_check_interval=6)
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["valid_step"].values.tolist() == [2, 6]
        assert np.isfinite(cube["valid_loss"]).all()


def test_bf16_is_recorded(tmp_path):
    train(tmp_path, [callback(tmp_path)], precision="bf16-mixed")
    train(tmp_path / "float32", [callback(tmp_path / "float32")])
    with open_cube(tmp_path / "cube.nc") as low, open_cube(tmp_path / "float32/cube.nc") as full:
        assert float(low["lca"].sum()) == pytest.approx(float(full["lca"].sum()), rel=0.1)
        assert float(low["lca"].sum()) != float(full["lca"].sum())


class ByHand(Module):
    """Steps its optimizer itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


@pytest.mark.parametrize(
    ("module", "changes", "what"),
    [
        (Module, {"precision": "16-true"}, 'train with "bf16-mixed" or "32-true"'),
        (Module, {"gradient_clip_algorithm": "value"}, 'clip by "norm"'),
        (ByHand, {"gradient_clip_val": None, "accumulate_grad_batches": 1}, "losschange.attach"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_the_first_update(
    tmp_path, module, changes, what
):
    with pytest.raises(RecordingError, match=what):
        train(tmp_path, [callback(tmp_path)], module=module(), **changes)
    assert not (tmp_path / "parts").exists()


@pytest.mark.slow
def test_two_processes_record_what_one_records_of_the_same_batches(tmp_path):
    counted = {"tokens": lambda batch: batch[:, 1:].numel()}
    train(tmp_path, [callback(tmp_path, **counted)], accumulate_grad_batches=2)
    places = os.pathsep.join(
        [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scripts")]
    )
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "two")],
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with open_cube(tmp_path / "cube.nc") as one, open_cube(tmp_path / "two" / "cube.nc") as two:
        assert one.sizes["step"] == 10
        for name in ("loss", "grad_norm", "tokens"):
            np.testing.assert_allclose(two[name], one[name], rtol=5e-3)
        total = np.abs(one["lca"].sum(("layer", "component", "head"))).max().item()
        np.testing.assert_allclose(two["lca"], one["lca"], rtol=2e-2, atol=1e-3 * total)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    # Lightning starts the second process itself.
    rows = batches()[int(os.environ.get("LOCAL_RANK", 0)) :: 2]
    counted = callback(place, tokens=lambda batch: batch[:, 1:].numel())
    train(place, [counted], rows=rows, accumulate_grad_batches=1, strategy="ddp", devices=2)
