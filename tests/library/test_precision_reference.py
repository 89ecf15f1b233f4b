"""GradScaler and torch.autocast around a training: the right cells, and no trace."""

import pytest
import torch

from library_reference import Reference, batch_loss, gradients_in_float64, values_in_float64
from losschange.cube.format import open_cube
from small_models import PROBES, attach_to, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")

SCALED = {
    "AdamW": lambda p: torch.optim.AdamW(p, lr=3e-3),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, lr=3e-3, fused=True),
    "SGD, fused": lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
}


@pytest.mark.parametrize("unscaled", [False, True], ids=["scaled", "unscaled first"])
@pytest.mark.parametrize("kind", SCALED)
def test_an_overflow_under_grad_scaler_is_no_update(tmp_path, kind, unscaled):
    model = make_transformer()
    optimizer = SCALED[kind](model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"])
    reference = Reference(model)
    for update in range(1, 7):
        loss = batch_loss(update)
        optimizer.zero_grad()
        scaler.scale(loss(model)).backward()
        if update in (1, 4):
            model.layers[0].query.weight.grad[0, 0] = float("inf")
        else:
            reference.before(gradients_in_float64(model, loss))
        before = values_in_float64(model)
        recorder.describe(loss=update)
        if unscaled:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if update in (1, 4):
            after = values_in_float64(model)
            assert all(torch.equal(before[name], after[name]) for name in before)
        else:
            reference.after()
    assert recorder.recorder.updates == 4
    recorder.finish(tmp_path / "cube.nc")
    reference.check(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["loss"].values.tolist() == [2, 3, 5, 6]


def train_inside_autocast(model, updates, whole, recorder=None):
    """Forward, backward and step inside of one block per update, or of one block for all."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    recorder = recorder and recorder(optimizer)
    steps = []
    outer = torch.autocast("cpu", dtype=torch.bfloat16, enabled=whole)
    with outer:
        for update in range(1, updates + 1):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                optimizer.zero_grad()
                batch_loss(update)(model).backward()
                before = values_in_float64(model)
                optimizer.step()
            steps.append((before, values_in_float64(model)))
    return recorder, steps


# Made once and entered again and again, as in many a training script.
KEPT = torch.autocast("cpu", dtype=torch.bfloat16)


def probe_in_kept_block(model):
    with KEPT:
        return PROBES["train"](model)


@pytest.mark.parametrize("whole", [False, True], ids=["block per update", "block around all"])
@pytest.mark.parametrize("probe", [PROBES["train"], probe_in_kept_block], ids=["bare", "kept"])
def test_probes_inside_autocast_see_the_parameters_as_they_are(tmp_path, whole, probe):
    model = make_transformer()
    recorder, steps = train_inside_autocast(
        model,
        4,
        whole,
        lambda optimizer: attach_to(
            model, optimizer, tmp_path / "parts", estimators=["probe"], probes={"train": probe}
        ),
    )
    recorder.finish(tmp_path / "cube.nc")
    twin = make_transformer().double()
    with open_cube(tmp_path / "cube.nc") as cube:
        for step, ends in enumerate(steps):
            gradients = []
            for values in ends:
                with torch.no_grad():
                    for name, parameter in twin.named_parameters():
                        parameter.copy_(values[name])
                gradients.append(gradients_in_float64(twin, PROBES["train"]))
            expected = sum(
                float(((a + b) / 2 * (after - before)).sum())
                for a, b, before, after in zip(
                    *(list(g.values()) for g in gradients), *(list(v.values()) for v in ends)
                )
            )
            found = float(cube["lca_probe"].isel(step=step).sum())
            # bfloat16 keeps 8 bits; a lag of one update is off by a quarter.
            assert found == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("whole", [False, True], ids=["block per update", "block around all"])
def test_recording_inside_autocast_does_not_change_the_training(tmp_path, whole):
    plain, recorded = make_transformer(dropout=0.2), make_transformer(dropout=0.2)
    torch.manual_seed(5)
    train_inside_autocast(plain, 4, whole)
    torch.manual_seed(5)
    train_inside_autocast(
        recorded,
        4,
        whole,
        lambda optimizer: attach_to(
            recorded, optimizer, tmp_path / "parts", estimators=["probe", "simpson", "fresh"]
        ),
    )
    for one, other in zip(plain.parameters(), recorded.parameters()):
        assert torch.equal(one, other)


def test_probes_inside_cached_parametrizations_see_the_parameters_as_they_are(tmp_path):
    model = make_transformer()
    torch.nn.utils.parametrizations.weight_norm(model.layers[0].first)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    from losschange.recording.partition import Rule
    from small_models import transformer_schema

    schema = transformer_schema()
    rule = Rule(r"layers\.0\.first\.parametrizations\.weight\.original\d", "W1", 1)
    schema = type(schema)(schema.stacks, schema.heads, (*schema.rules, rule))
    recorder = attach_to(model, optimizer, tmp_path / "parts", estimators=["probe"], schema=schema)
    losses = [PROBES["train"](model).item()]
    for update in range(1, 4):
        with torch.nn.utils.parametrize.cached():
            optimizer.zero_grad()
            batch_loss(update)(model).backward()
            optimizer.step()
        losses.append(PROBES["train"](model).item())
    recorder.finish(tmp_path / "cube.nc")
    with open_cube(tmp_path / "cube.nc") as cube:
        assert cube["probe_loss"].values == pytest.approx(losses[1:], rel=1e-6)
