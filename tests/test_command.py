"""The command `losschange show`: what it says of parts on disk, and what it does without them."""

import re
import shutil
import warnings

import numpy as np
import pytest
import torch

from losschange.command import main
from losschange.cube import run_status
from losschange.cube.format import open_cube
from losschange.cube.run_status import read_status
from losschange.recording.attachment import attach
from losschange.recording.partition import Rule, Schema

SCHEMA = Schema(
    ("embedding", "decoder", "decoder", "output"),
    2,
    (
        Rule(r"0\.weight", "embedding", 0),
        Rule(r"1\.weight", ("query", "key", "value"), 1, "rows"),
        Rule(r"2\.weight", "W1", 2),
        Rule(r"[12]\.bias", "bias", 1),
        Rule(r"3\.weight", "output", 3),
    ),
)
UPDATES, PART = 40, 10


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A model's folder with state/parts of ten updates each, and its cube."""
    folder = tmp_path_factory.mktemp("models") / "clm-xx"
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Embedding(11, 6), torch.nn.Linear(6, 12), torch.nn.Linear(12, 6),
        torch.nn.Linear(6, 11, bias=False),
    )  # fmt: skip
    inputs = torch.randint(0, 11, (64,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)

    def loss_on(rows):
        return lambda model: torch.nn.functional.cross_entropy(
            model(inputs[rows]), (inputs[rows] * 3 + 1) % 11
        )

    recorder = attach(
        model,
        optimizer,
        SCHEMA,
        folder / "state" / "parts",
        estimators={"probe": 3, "simpson_valid": 1},
        probes={"train": loss_on(slice(0, 32)), "valid": loss_on(slice(32, 64))},
    )
    for update in range(1, UPDATES + 1):
        loss = loss_on(slice(0, 32))(model)
        optimizer.zero_grad()
        loss.backward()
        recorder.describe(loss=loss)
        optimizer.step()
        if update % PART == 0:
            recorder.add_valid_loss(5 - update / 10)
            recorder.save()
    shutil.copytree(folder / "state" / "parts", folder.parent / "kept")
    recorder.finish(folder.parent / "clm-xx.nc", {"model": "clm-xx", "objective": "clm"})
    shutil.rmtree(folder / "state" / "parts")
    shutil.copytree(folder.parent / "kept", folder / "state" / "parts")
    return folder


def show(capsys, *arguments):
    status = main(["show", *map(str, arguments)])
    return status, *capsys.readouterr()


def part_of(text, title):
    """The lines of a table under a title, without the title."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title)) + 1
    rest = lines[start:]
    end = next((i for i, line in enumerate(rest) if not line.startswith("  ")), len(rest))
    return [line.split() for line in rest[:end]]


def test_the_cells_and_their_shares_are_those_of_the_cube(recorded, capsys):
    status, text, errors = show(capsys, recorded, "--top", "3")
    assert (status, errors) == (0, "")
    with open_cube(recorded.parent / "clm-xx.nc") as cube:
        totals = cube["lca"].astype(np.float64).sum("step", min_count=1).to_series().dropna()
        labels = dict(zip(cube["layer"].values, cube["label"].values))
    ordered = totals.sort_values()
    for title, expected in (
        ("the 3 most helpful cells", ordered.iloc[:3]),
        ("the 3 least helpful cells", ordered.iloc[:-4:-1]),
    ):
        rows = part_of(text, title)
        assert len(rows) == 3
        for row, ((layer, component, head), nats) in zip(rows, expected.items()):
            where = [labels[layer], component] + (["head", head] if head != "none" else [])
            assert row[: len(where)] == where
            assert float(row[-3]) == pytest.approx(nats, rel=1e-3)
            assert float(row[-1].rstrip("%")) / 100 == pytest.approx(nats / totals.sum(), abs=1e-3)


def test_update_losses_and_learning_rate(recorded, capsys):
    _, text, _ = show(capsys, recorded)
    with open_cube(recorded.parent / "clm-xx.nc") as cube:
        loss = cube["loss"].values
    assert re.search(r"^update +40$", text, re.MULTILINE)
    expected = f"{loss[20:].mean():.4f} nats per token (mean of the last 20 updates; "
    assert expected + f"{loss[:20].mean() - loss[20:].mean():.4f} lower" in text
    assert re.search(r"^validation +1\.0000 nats per token after update 40$", text, re.MULTILINE)
    assert re.search(r"^learning rate +0\.003$", text, re.MULTILINE)
    assert re.search(r"^model +clm-xx$", text, re.MULTILINE)


def test_conservation_holds_each_probe_against_its_own_loss(recorded, capsys):
    _, text, _ = show(capsys, recorded)
    header, *rows = part_of(text, "conservation")
    assert " ".join(header) == ("sum of LCA measured error error, % batch / measured after update")
    rows = {row[0]: row[1:] for row in rows}
    with open_cube(recorded.parent / "clm-xx.nc") as cube:
        cube = cube.astype(np.float64)
        # the parts before the training ended: the probe of stride 3 last looked at update 39
        for name, last, axis in (("probe", 39, "step_probe"), ("simpson_valid", 40, "step")):
            part = cube.sel({axis: slice(None, last)})
            total = float(part[f"lca_{name}"].sum())
            change = float(part[f"{name}_loss"][-1] - part[f"{name}_loss_before"][0])
            batch = float(cube["lca"].sel(step=slice(None, last)).sum())
            found = rows[name]
            assert [float(found[0]), float(found[1])] == pytest.approx([total, change], abs=1e-4)
            assert float(found[2]) == pytest.approx(total - change, rel=1e-2, abs=1e-6)
            assert float(found[3]) == pytest.approx(100 * abs(total / change - 1), abs=0.01)
            assert float(found[4]) == pytest.approx(batch / change, abs=0.01)
            assert int(found[5]) == last
            assert abs(total - change) < 0.02 * abs(change)


def test_every_way_to_name_a_training_reads_the_same(recorded, capsys):
    names = [recorded, recorded / "state", recorded / "state" / "parts"]
    texts = {show(capsys, name)[1] for name in names}
    assert len(texts) == 1
    status, text, _ = show(capsys, recorded.parent / "clm-xx.nc")
    assert status == 0 and "clm-xx" in text and "40" in text


def test_the_cells_of_another_estimator(recorded, capsys):
    _, text, _ = show(capsys, recorded, "--estimator", "simpson_valid", "--top", "1")
    total = float(re.search(r"estimator simpson_valid: (-[\d.]+) nats", text)[1])
    assert total == pytest.approx(float(part_of(text, "conservation")[2][1]), abs=1e-4)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_live_figure_is_drawn_the_same_each_time(recorded, tmp_path, capsys, suffix):
    figures = [tmp_path / "new" / f"{name}{suffix}" for name in "ab"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            assert show(capsys, recorded, "--figure", figure)[0] == 0
    assert figures[0].read_bytes() == figures[1].read_bytes()
    assert sorted((tmp_path / "new").iterdir()) == figures


def test_what_is_not_there_is_told_in_a_sentence(recorded, tmp_path, capsys):
    (tmp_path / "text.nc").write_text("no cube")
    for arguments, what in (
        ([tmp_path / "absent"], "there is no file or folder .*absent"),
        (
            [tmp_path],
            "no parts in .*: a training writes .*; a training that is over .* that .nc file",
        ),
        ([tmp_path / "text.nc"], "text.nc is not a readable NetCDF-4 file"),
        ([recorded, "--estimator", "fresh"], "'fresh' was not recorded; recorded: batch, probe"),
        ([recorded, "--figure", tmp_path / "a.bmp"], "should end in one of .png, .pdf, .svg"),
    ):
        status, text, error = show(capsys, *arguments)
        assert (status, text) == (1, "")
        assert re.fullmatch(f"error: .*{what}.*\n", error)


def test_a_damaged_part_is_named(recorded, tmp_path, capsys):
    shutil.copytree(recorded / "state" / "parts", tmp_path / "parts")
    *_, last = sorted((tmp_path / "parts").glob("part-*"))
    last.write_bytes(last.read_bytes()[:2000])
    status, _, error = show(capsys, tmp_path)
    assert status == 1 and last.name in error and "Traceback" not in error


def test_parts_that_vanish_and_appear_while_they_are_read(recorded, tmp_path, monkeypatch):
    folder = tmp_path / "parts"
    shutil.copytree(recorded / "state" / "parts", folder)
    parts, opened = sorted(folder.glob("part-*")), []

    def open_and_train_on(path):
        # The training is started again from update 20 as soon as the first part is read.
        if not opened:
            for part in parts[2:]:
                part.unlink()
            shutil.copy(parts[0], folder / "part-000000021-000000030.nc.tmp")
        opened.append(path)
        return open_cube(path)

    open_cube = run_status.open_cube
    monkeypatch.setattr(run_status, "open_cube", open_and_train_on)
    status = read_status(tmp_path)
    assert status.updates == 20 and len(status.loss) == 20
    assert status.probes["probe"].updates == 18


def test_a_hole_in_the_parts_ends_the_reading(recorded, tmp_path):
    shutil.copytree(recorded / "state" / "parts", tmp_path / "parts")
    sorted((tmp_path / "parts").glob("part-*"))[1].unlink()
    assert read_status(tmp_path).updates == 10


def test_a_training_without_probes_or_losses_says_so(tmp_path, capsys):
    model = torch.nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schema = Schema(("embedding", "output"), 1, (Rule("weight", "output", 1),))
    recorder = attach(model, optimizer, schema, tmp_path / "parts")
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    recorder.save()
    status, text, _ = show(capsys, tmp_path)
    assert status == 0
    assert "not measured: no probe was recorded" in text
    assert re.search(r"^training loss +not recorded$", text, re.MULTILINE)
    assert re.search(r"^validation +not measured yet$", text, re.MULTILINE)
    status, _, error = show(capsys, tmp_path, "--figure", tmp_path / "live.png")
    assert status == 1 and "no Transformer layers" in error
