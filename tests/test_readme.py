"""The examples of the documentation run as they stand there; the README stays short."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from losschange.command import main
from offline_transformers import import_transformers

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs/how-to/own-training.md").read_text(encoding="utf-8")
LOOP, TRAINER = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which the example of a loop ran."""
    folder = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(1)
        exec(compile(LOOP, "own-training.md", "exec"), {"__name__": "example"})
    return folder


def test_the_loop_writes_a_cube_whose_probe_adds_up(trained, capsys):
    with xr.open_dataset(trained / "cube.nc") as cube:
        measured = float(cube["probe_loss"][-1] - cube["probe_loss_before"][0])
        assert cube.sizes["step"] == 200 and np.isfinite(cube["loss"]).all()
        assert cube.attrs["model"] == "counter"
        assert measured < -1
        assert float(cube["lca_probe"].sum()) == pytest.approx(measured, rel=0.02)


def test_the_loop_needs_about_ten_lines_more_than_without_recording():
    ours = [
        line for line in LOOP.splitlines() if re.search(r"recorder|schema|attach|probes=", line)
    ]
    assert 5 < len(ours) <= 10
    assert LOOP.count("losschange") == 1


def test_the_command_shows_the_parts_of_the_loop(trained, capsys, monkeypatch):
    monkeypatch.chdir(trained)
    command = re.search(r"^losschange (.*)$", SECTION, flags=re.MULTILINE)[1]
    assert main(command.split()) == 0
    assert "update         200" in capsys.readouterr().out
    assert (trained / "live.png").stat().st_size > 0


def test_the_callback_records_a_gpt2(tmp_path, monkeypatch):
    transformers = import_transformers()
    pytest.importorskip("accelerate")
    monkeypatch.chdir(tmp_path)
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=4, n_embd=24, n_layer=12, n_head=12, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    rows = [torch.randint(11, (4,)) for _ in range(8)]
    names = {
        "Trainer": transformers.Trainer,
        "model": transformers.GPT2LMHeadModel(config),
        "arguments": transformers.TrainingArguments(
            "out", max_steps=12, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True,
        ),
        "dataset": [{"input_ids": row, "labels": row} for row in rows],
        "batch": {"input_ids": torch.stack(rows), "labels": torch.stack(rows)},
    }  # fmt: skip
    exec(compile(TRAINER, "own-training.md", "exec"), names)
    with xr.open_dataset("gpt2/cube.nc") as cube:
        assert cube["step_probe"].values.tolist() == [10, 12]
        assert cube.sizes["head"] == 13 and cube.sizes["layer"] == 14


def test_a_newcomer_gets_from_a_figure_to_its_sum_in_six_files():
    """A page lists the way; every file names the next one, as a path or as an import."""
    page = (ROOT / "docs/explanation/code.md").read_text(encoding="utf-8")
    tour = page.partition("The rooms")[0]
    files = re.findall(r"^\d\. `([^`]+)`", tour, flags=re.MULTILINE)
    assert 2 < len(files) <= 6
    for here, following in zip(files, files[1:], strict=False):
        text = (ROOT / here).read_text(encoding="utf-8")
        name = Path(following).stem
        named = {
            "study": "scripts/studies/<study>/study.py",
            "figure3": "figures/figure3.py",
        }.get(name, name)
        assert re.search(rf"{re.escape(named)}\b", text), f"{here} does not name {following}"
    last = (ROOT / files[-1]).read_text(encoding="utf-8")
    assert "total" in last and "+=" in last


def test_the_readme_is_short_and_shows_one_picture():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert len(re.findall(r"^!\[", readme, flags=re.MULTILINE)) == 1
