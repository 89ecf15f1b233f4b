"""A results folder of an earlier version is told what has to be made again."""

from running.earlier_runs import trained_again


def test_finished_trainings_that_lack_weights_are_named(tmp_path):
    results = tmp_path / "results"
    outputs = {
        name: [str(results / f"models/{name}/snapshots/{update}.pt") for update in (0, 10)]
        for name in ("clm-en", "mlm-en", "mt-en-de")
    }
    assert trained_again(results, outputs) is None, "nothing was trained yet"
    for name in ("clm-en", "mlm-en"):
        (results / "cubes").mkdir(parents=True, exist_ok=True)
        (results / f"cubes/{name}.nc").touch()
    first = results / "models/mlm-en/snapshots/0.pt"
    first.parent.mkdir(parents=True)
    first.touch()
    text = trained_again(results, outputs)
    assert f"  clm-en: {outputs['clm-en'][0]} and 1 more" in text
    assert f"  mlm-en: {outputs['mlm-en'][1]}\n" in text
    assert "mt-en-de" not in text and "give this run another name" in text


def test_a_folder_with_every_file_is_not_mentioned(tmp_path):
    (tmp_path / "cubes").mkdir()
    for name in ("cubes/clm-en.nc", "last.pt"):
        (tmp_path / name).touch()
    assert trained_again(tmp_path, {"clm-en": [str(tmp_path / "last.pt")]}) is None
