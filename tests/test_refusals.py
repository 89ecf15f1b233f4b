"""What cannot be recorded is a clear error that names it, and parts already written stay."""

from dataclasses import replace

import pytest
import torch

from losschange.cube.folder_claim import LOCK_NAME
from losschange.cube.layout import CubeError
from losschange.errors import RecordingError
from losschange.recording.attachment import attach
from losschange.recording.partition import PartitionError, Rule, Schema
from small_models import (
    PROBES as PROBE_LOSSES,
)
from small_models import (
    attach_to,
    make_optimizer,
    make_transformer,
    train,
    transformer_schema,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def add_group(model, optimizer):
    model.extra = torch.nn.Parameter(torch.ones(3, 5))
    optimizer.add_param_group({"params": [model.extra]})


def freeze(model, optimizer):
    model.layers[0].query.weight.requires_grad_(False)


def thaw(model, optimizer):
    model.position.weight.requires_grad_(True)


def spoil_gradient(model, optimizer):
    model.layers[0].query.weight.grad[1, 2] = float("nan")


def explode(model, optimizer):
    for group in optimizer.param_groups:
        group["lr"] = float("inf")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (add_group, r"update 7: .* given a parameter of shape \(3, 5\) .* in mid-training"),
        (freeze, r"update 7: 'layers\.0\.query\.weight' was frozen in mid-training"),
        (thaw, r"update 7: a parameter of shape \(10, 12\) .*, frozen before, is trained now"),
        (spoil_gradient, "update 7: .* of dec.1 query head 0 under 'batch' is nan"),
        (explode, r"update 7: the loss change of [\w. ]+ under '\w+' is (nan|-?inf)"),
    ],
)
def test_what_goes_wrong_in_mid_training_is_named_and_parts_stay(tmp_path, harm, message):
    model = make_transformer(layers=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.position.weight.requires_grad_(False)
    folder = tmp_path / "parts"
    recorder = attach_to(model, optimizer, folder, estimators={"probe": 4, "fresh": 1})
    train(model, optimizer, 5, recorder)
    recorder.save()
    (part,) = folder.glob("part-*")
    before = part.read_bytes()
    with pytest.raises(RecordingError, match=message):
        train(
            model,
            optimizer,
            range(6, 9),
            recorder,
            change=lambda update: harm(model, optimizer) if update == 7 else None,
        )
        recorder.finish(tmp_path / "cube.nc")
    assert set(tmp_path.rglob("*")) == {folder, part, folder / LOCK_NAME}
    assert part.read_bytes() == before


def without_output(model):
    return [p for name, p in model.named_parameters() if name != "output.weight"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"estimators": ["simpsons"]}, RecordingError, "'simpsons'; allowed: batch, "),
        ({"estimators": {"probe": 0}}, RecordingError, "stride of the estimator 'probe' is 0"),
        ({"estimators": {"probe": 1.5}}, RecordingError, "is 1.5; it must be a number of updates"),
        (
            {"estimators": ["probe_valid"], "probes": {"train": PROBE_LOSSES["train"]}},
            RecordingError,
            "'probe_valid' needs a probe of valid text",
        ),
        (
            {"estimators": ["simpson"], "probes": None},
            RecordingError,
            "'simpson' needs a probe of train text",
        ),
        ({"estimators": ["fresh"], "fresh": None}, RecordingError, "'fresh' needs a function"),
        ({"estimators": "batch"}, RecordingError, r"estimators is the text 'batch'; give a list"),
        (
            {"estimators": {"batch": 5}},
            RecordingError,
            "recorded at every update; give 1, or leave",
        ),
        ({"schema": "gpt2"}, RecordingError, "the schema is of type str; give a Schema, such as"),
        (
            {"estimators": ["probe"], "probes": {"train": 3.0}},
            RecordingError,
            r"probes\['train'\] is of type float; give a function of the model",
        ),
        (
            {"details": {"batch": ["helpful"]}},
            RecordingError,
            "unknown detail of 'batch' 'helpful'; allowed: positive, helped, vocabulary",
        ),
        ({"details": {"bach": ["helped"]}}, RecordingError, "unknown estimator 'bach'"),
        (
            {"schema": Schema(("embedding",), 1, (Rule("embedding.*", "embedding", 0),))},
            PartitionError,
            r"no rule of the schema claims \d+ parameters: 'position\.weight'",
        ),
        (
            {"schema": transformer_schema(layers=1, heads=5)},
            PartitionError,
            r"'layers\.0\.query\.weight' .*12 rows do not divide into 5 attention heads",
        ),
        (
            {"schema": transformer_schema(layers=1, heads=2)},
            PartitionError,
            r"query of 'layers\.0\.query\.weight' into 2 heads, but .* says that it has 3",
        ),
        (
            {"schema": replace(transformer_schema(1), stacks=("embedding", "encoder", "output"))},
            CubeError,
            "another model or under another schema: stacks embedding, decoder, output instead of",
        ),
        ({"updates": 0}, CubeError, "parts holds the parts of another training"),
        ({"updates": 9}, CubeError, "holds the updates up to 5, but 9 were made"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_a_part_is_touched(
    tmp_path, options, error, message
):
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path / "parts")
    train(model, optimizer, 3, recorder)
    recorder.save()
    train(model, optimizer, range(4, 6), recorder)
    recorder.save()
    recorder.detach()
    before = {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert len(before) == 2
    with pytest.raises(error, match=message):
        attach_to(model, optimizer, tmp_path / "parts", **{"updates": 3, **options})
    assert {path: path.read_bytes() for path in (tmp_path / "parts").iterdir()} == before


def test_parts_of_another_model_are_refused_and_stay(tmp_path):
    model = make_transformer(layers=1)
    optimizer = make_optimizer(model)
    recorder = attach_to(model, optimizer, tmp_path)
    train(model, optimizer, 3, recorder)
    recorder.save()
    (part,) = tmp_path.glob("part-*")
    before = part.read_bytes()
    other = make_transformer(layers=1, unused=True)
    message = r"part-000000001-000000003\.nc was recorded of another model .*'norm'.* has 0 param"
    with pytest.raises(CubeError, match=message):
        attach_to(other, make_optimizer(other), tmp_path, updates=3)
    assert part.read_bytes() == before


def test_the_optimizer_must_hold_what_is_trained_and_nothing_else(tmp_path):
    model = make_transformer()
    options = {"schema": transformer_schema(), "folder": tmp_path}
    message = r"does not hold the trainable parameter 'output\.weight'; .*requires_grad_\(False\)"
    with pytest.raises(RecordingError, match=message):
        attach(model, torch.optim.SGD(without_output(model), lr=0.1), **options)
    foreign = torch.nn.Parameter(torch.ones(2, 7))
    message = r"moves a parameter of shape \(2, 7\) that the model does not have"
    with pytest.raises(RecordingError, match=message):
        attach(model, torch.optim.SGD([*model.parameters(), foreign], lr=0.1), **options)
    half = make_transformer()
    half.layers[1].key.to(torch.bfloat16)
    message = r"'layers\.1\.key\.weight' is torch\.bfloat16, whose steps are rounded away"
    with pytest.raises(RecordingError, match=message):
        attach(half, torch.optim.SGD(half.parameters(), lr=0.1), **options)
    # A frozen parameter may be left out.
    model.output.weight.requires_grad_(False)
    attach(model, torch.optim.SGD(without_output(model), lr=0.1), **options)
    assert list(tmp_path.glob("part-*")) == []
