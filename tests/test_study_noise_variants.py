"""The further trainings of the study of noise: batches, optimizers, recordings, mistakes."""

import pytest
import yaml

from running.configuration_check import ConfigurationError, load_configuration
from running.models import parse_model
from running.run_files import RunFiles
from running.studies import load_studies
from studies.noise.batch_sizes import BatchSizeError, name_of_size, with_batch_size
from studies.noise.variants import targets_per_update, variants
from tiny_trainings import ROOT, values


def configured(training=(), **noise):
    loaded = values(**dict(training))
    loaded["studies"] = ["vazquez2022", "noise"]
    loaded["noise"] |= noise
    return load_configuration(loaded)


def test_every_batch_size_and_optimizer_is_a_variant():
    names = list(configured().variants())
    clm = [name.removeprefix("clm-en.") for name in names if name.startswith("clm-en.")]
    assert clm == [
        *("batch-1-4", "batch-4", "sgd-batch-1-4", "sgd-batch-1", "sgd-batch-4"),
        *("sgd-momentum", "equal-targets"),
    ]
    for model in ("mlm-en", "mt-en-de"):
        others = [name for name in names if name.startswith(model)]
        assert others == [f"{model}.batch-1-4", f"{model}.batch-4"]
    fewest = configured(optimizers=["adam"], equal_targets=False, momentum=0)
    models = ("clm-en", "mlm-en", "mt-en-de")
    assert list(fewest.variants()) == [f"{m}.batch-{size}" for m in models for size in ("1-4", "4")]


def test_shorter_trainings_are_compared_with_one_as_short():
    names = configured(share_of_updates=0.5, optimizers=["adam"], trained_again=["mlm-en"])
    found = names.variants()
    assert list(found) == ["mlm-en.batch-1-4", "mlm-en.batch-1", "mlm-en.batch-4"]
    model = parse_model("mlm-en.batch-1")
    whole = names.training_of(parse_model("mlm-en")).total_updates
    assert names.training_of(model).total_updates == whole // 2


def test_only_some_of_the_models_are_trained_again():
    names = list(configured(trained_again=["mlm-en"], optimizers=["adam"]).variants())
    assert names == ["mlm-en.batch-1-4", "mlm-en.batch-4"]
    assert "clm-en.equal-targets" in configured(trained_again=["clm-en"]).variants()
    with pytest.raises(
        ConfigurationError, match="noise.trained_again: found 'clm-fi', which is not"
    ):
        configured(trained_again=["clm-fi"])


def test_a_variant_differs_in_what_its_name_says():
    run = configured(momentum=0.8, sgd_learning_rate=0.3)
    own = run.training_of(parse_model("clm-en")).model_dump()

    def changes(name):
        found = run.training_of(parse_model(f"clm-en.{name}")).model_dump()
        return {key: value for key, value in found.items() if value != own[key]}

    assert changes("batch-1-4") == {"update_frequency": 4}
    assert changes("batch-4") == {"update_frequency": 64}
    sgd = {"optimizer": "sgd", "fast_optimizer": False, "learning_rate": 0.3}
    assert changes("sgd-batch-1") == sgd
    heavy = changes("sgd-momentum")
    assert heavy.pop("learning_rate") == pytest.approx(0.06)
    assert heavy == {"optimizer": "sgd", "fast_optimizer": False, "momentum": 0.8}


def test_equal_targets_are_equal():
    run = configured(training={"update_frequency": 20, "max_tokens": 2048})
    model = parse_model("clm-en.equal-targets")
    targets = [
        targets_per_update(one, run.training_of(one)) for one in (model, parse_model("mlm-en"))
    ]
    assert targets[0] == pytest.approx(targets[1])
    same = {"mask_probability": 0.999}  # nothing to be made equal
    assert "equal-targets" not in " ".join(configured(training=same, models=["clm-en"]).variants())


def test_all_of_them_record_what_the_parts_need_and_one_at_every_update():
    run = configured(stride=20)
    strides = {name: run.recording_of(parse_model(name)).strides for name in run.variants()}
    assert strides.pop("clm-en.batch-1-4") == {"batch": 1, "fresh": 1, "simpson": 1}
    assert {str(found) for found in strides.values()} == {
        str({"batch": 1, "fresh": 20, "simpson": 20})
    }
    assert "clm-en.batch-1-4" in configured(every_update=False, stride=20).variants()


def test_shorter_variants_have_a_shorter_warm_up():
    run = configured(share_of_updates=0.5)
    training = run.training_of(parse_model("mlm-en.batch-4"))
    assert (training.total_updates, training.warmup_updates) == (62_500, 4000)


def test_sizes_of_a_batch():
    assert [name_of_size(size) for size in (0.25, 4, 1.5)] == ["batch-1-4", "batch-4", "batch-3-2"]
    training = configured(training={"update_frequency": 1}).training_of(parse_model("clm-en"))
    assert with_batch_size(training, 1, 1) == {}
    assert with_batch_size(training, 0.25, 1) == {"max_tokens": 512}
    # As many micro-batches as there are workers cannot become fewer.
    assert with_batch_size(training, 4, 8) == {"max_tokens": 8192}
    with pytest.raises(BatchSizeError, match="256 tokens are fewer than a sample of 512"):
        with_batch_size(training, 0.125, 1)


def test_mistakes_are_told_with_their_key():
    with pytest.raises(ConfigurationError) as caught:
        configured(training={"update_frequency": 1}, batch_sizes=[0.01, 1])
    assert "noise.batch_sizes: found 0.01 (batch-1-100); clm-en" in str(caught.value)
    with pytest.raises(ConfigurationError, match="noise.models: 'xlm-en' is not the name of a"):
        configured(models=["xlm-en"])
    assert configured(models=["clm-fi.matched"]).variants() == {}, "not trained in this run"
    with pytest.raises(ConfigurationError, match=r"noise.colour: unknown key"):
        configured(colour=1)


def test_figures_show_the_models_and_their_variants():
    [study] = load_studies(["noise"])
    run = RunFiles(configured(), "results/x")
    read = {one.number: one.inputs(run)["records"] for one in study.figures}
    assert read["N1"] == [f"results/x/noise/{m}.nc" for m in ("clm-en", "mlm-en", "mt-en-de")]
    assert "results/x/noise/clm-en.batch-4.nc" in read["N2"] and len(read["N2"]) == 3 + 11
    assert study.order < load_studies(["vazquez2022"])[0].order


@pytest.mark.parametrize("name", ["demo", "sample"])
def test_the_presets_record_parts_in_windows_that_fit(name):
    """Where fresh and Simpson's rule both end, and as often as the variants' records do."""
    preset = yaml.safe_load((ROOT / "presets" / f"{name}.yaml").read_text(encoding="utf-8"))
    estimators = preset["recording"]["estimators"]
    assert estimators["fresh"] % estimators["simpson"] == 0
    assert estimators["fresh"] % preset["noise"]["stride"] == 0
    assert "noise" in preset["studies"]


def test_a_run_without_the_study_trains_no_variants():
    assert load_configuration(values()).variants() == {}
    assert len(variants(configured())) == 11
