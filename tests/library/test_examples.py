"""The notebooks in examples/ run from the first cell to the last, and each ends in a figure."""

import json
from pathlib import Path

import pytest

from offline_transformers import import_transformers

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run(path, folder, monkeypatch):
    """The names that a notebook leaves behind, run in an empty folder."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(folder)
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.gcf().axes)))
    names = {"__name__": "notebook"}
    for number, cell in enumerate(code_cells(path)):
        code = compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec")
        exec(code, names)
        last = len(shown)
    plt.close("all")
    assert last == len(shown) > 0 and shown[-1] > 0
    assert "plt.show()" in "".join(code_cells(path)[-1]["source"])
    return names


def test_there_are_four_notebooks_without_outputs():
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS:
        for cell in code_cells(path):
            assert cell["outputs"] == [] and cell["execution_count"] is None, path.name
        assert path.stat().st_size < 20_000


@pytest.mark.slow
def test_plain_pytorch(tmp_path, monkeypatch, capsys):
    names = run(ROOT / "examples" / "plain_pytorch.ipynb", tmp_path, monkeypatch)
    cube = names["cube"]
    assert names["change"] < -1
    assert float(cube.lca_simpson.sum()) == pytest.approx(names["change"], rel=0.01)
    assert cube.label.values.astype(str).tolist() == ["words", "lstm", "output"]


@pytest.mark.slow
def test_huggingface(tmp_path, monkeypatch, capsys):
    import_transformers()
    pytest.importorskip("accelerate")
    names = run(ROOT / "examples" / "huggingface.ipynb", tmp_path, monkeypatch)
    assert "8 heads are where" in capsys.readouterr().out
    total = float(names["cube"].lca_simpson.sum())
    assert names["change"] < -0.1 and total == pytest.approx(names["change"], rel=0.1)


@pytest.mark.slow
def test_from_checkpoints(tmp_path, monkeypatch, capsys):
    import_transformers()
    names = run(ROOT / "examples" / "from_checkpoints.ipynb", tmp_path, monkeypatch)
    cube = names["xr"].open_dataset(names["cubes"]["text"])
    assert cube.step.values.tolist() == [2, 5, 10, 20, 40, 80]
    change = float(cube.simpson_loss[-1] - cube.simpson_loss_before[0])
    assert change < -0.5
    assert float(cube.lca_simpson.sum()) == pytest.approx(change, abs=1e-3)


@pytest.mark.slow
def test_the_questions_of_lan_et_al(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    names = run(ROOT / "examples" / "lan2019_digits.ipynb", tmp_path, monkeypatch)
    for run_, cube in names["runs"].items():
        change = float(cube.simpson_loss[-1] - cube.simpson_loss_before[0])
        assert change < -1, run_
        assert float(cube.lca_simpson.sum()) == pytest.approx(change, rel=0.02)
        # The answers that the notebook gives in words.
        assert 0.5 < names["helped"][run_].mean() < 0.62 < names["helped"][run_][2:20].mean()
        assert (names["intervals"][run_][0] < 0).all()
        found, (_, _, by_chance) = names["meetings"][run_]
        assert found > by_chance
