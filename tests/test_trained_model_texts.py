"""Batches of a text, losses and snapshots of trained models."""

import shutil

import numpy as np
import pytest
import sentencepiece
import torch

from common.files import UserError
from tiny_trainings import write_tokens
from trained_models import is_close, train
from training.quality import TrainedModel
from training.sentence_batches import Row, batches_of
from training.snapshots import Snapshots, read_snapshot
from training.trained_model import TrainedModelHandle

# fairseq and hydra warn about their own use of torch and of each other.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]

BOS, PAD, EOS = 0, 1, 2
OBJECTIVES = ("clm", "mlm", "mt")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """(folders of token ids by objective, folder of the text)."""
    folder = tmp_path_factory.mktemp("texts")
    return write_tokens(folder, {"train": 60, "valid": 20}), folder / "text"


@pytest.fixture(scope="module")
def models(texts, tmp_path_factory):
    """Objective to (handle, folder of its checkpoint and its snapshots)."""
    found = {}
    for objective in OBJECTIVES:
        folder = tmp_path_factory.mktemp(objective)
        run = train(folder, objective, texts[0], layers=2, tokens_per_sample=16)
        for precision in ("float32", "float16"):
            Snapshots(folder / precision, precision=precision).keep_weights(5, run.model)
        handle = TrainedModelHandle(folder / "checkpoint.pt", texts[0][objective], device="cpu")
        found[objective] = handle, folder
    return found


def rows_of(batches, objective):
    """(number, source, predicted, what the decoder has read) of every row, without padding."""
    for batch in batches:
        inputs = batch["net_input"]
        previous = inputs.get("prev_output_tokens", torch.full_like(batch["target"], PAD))
        for number, *row in zip(batch["id"].tolist(), inputs["src_tokens"], batch["target"],
                                previous):  # fmt: skip
            yield number, *([i for i in one.tolist() if i != PAD] for one in row)


def encoded(texts, objective, language="en"):
    processor = sentencepiece.SentencePieceProcessor(
        model_file=str(texts[0][objective] / "vocabulary.model")
    )
    lines = (texts[1] / f"valid.{language}").read_text(encoding="utf-8").splitlines()
    return lines, [processor.encode(line) for line in lines]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_mean_of_a_split_is_the_loss_that_the_quality_of_the_model_reports(
    models, texts, objective
):
    handle, folder = models[objective]
    trained = TrainedModel(folder / "checkpoint.pt", texts[0][objective], max_tokens=200)
    expected = trained.loss("valid")
    loss, tokens = handle.mean_loss("valid", 300)
    if tokens != expected["tokens"]:
        # Where the quality leaves out a masked <s>, which its place gives away.
        outputs = [
            (handle.losses(batch), batch["target"] != BOS) for batch in handle.text("valid", 300)
        ]
        tokens = sum(int((output.predicted & kept).sum()) for output, kept in outputs)
        loss = sum(float(output.losses[kept].double().sum()) for output, kept in outputs) / tokens
    assert tokens == expected["tokens"]
    assert loss == pytest.approx(expected["loss"], rel=1e-5)


def test_a_causal_sentence_begins_behind_an_end_of_sentence_and_is_cut_as_a_block_is(models, texts):
    rows = list(rows_of(models["clm"][0].sentences("valid", 100), "clm"))
    ids = encoded(texts, "clm")[1]
    assert [row[0] for row in rows] == list(range(20))
    assert {len(one) < 16 for one in ids} == {True, False}, "some are cut, some are not"
    for (_, source, predicted, _), one in zip(rows, ids, strict=True):
        assert predicted == [*one, EOS][:16]
        assert source == [EOS, *predicted[:-1]]


def test_a_masked_sentence_stands_between_its_symbols_and_predicts_what_its_seed_masks(
    models, texts
):
    handle = models["mlm"][0]
    ids = encoded(texts, "mlm")[1]
    plain = list(rows_of(handle.sentences("valid", 100), "mlm"))
    for (_, source, predicted, _), one in zip(plain, ids, strict=True):
        assert source == [BOS, *one, EOS][:16] and predicted == []
    drawn = [
        {row[0]: row for row in rows_of(handle.sentences("valid", *options), "mlm")}
        for options in ((100, None, 1), (300, None, 1, range(5, 20)), (100, None, 2))
    ]
    assert drawn[1] == {number: drawn[0][number] for number in range(5, 20)}
    assert drawn[2] != drawn[0]
    changed = 0
    for batch in handle.sentences("valid", 100, mask_seed=1):
        target, source = batch["target"], batch["net_input"]["src_tokens"]
        for number, row, hidden in zip(batch["id"].tolist(), source, target):
            words = plain[number][1]
            shown = row[: len(words)].tolist()
            places = (hidden != PAD).nonzero().flatten().tolist()
            assert [hidden[i].item() for i in places] == [words[i] for i in places]
            assert all(a == b for i, (a, b) in enumerate(zip(shown, words)) if i not in places)
            changed += sum(shown[i] != words[i] for i in places)
    assert changed > 5


def test_a_pair_keeps_its_ends_also_where_it_is_cut(models, texts):
    handle = models["mt"][0]
    sides = [encoded(texts, "mt", language)[1] for language in ("en", "de")]
    for positions in (None, 7):
        rows = list(rows_of(handle.sentences("valid", 150, positions), "mt"))
        last = None if positions is None else positions - 1
        for number, source, predicted, previous in rows:
            assert source == [*sides[0][number][:last], EOS]
            assert predicted == [*sides[1][number][:last], EOS]
            assert previous == [EOS, *predicted[:-1]]
        assert [row[0] for row in rows] == list(range(20))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_plain_text_gives_the_batches_of_its_token_ids(models, texts, objective):
    handle = models[objective][0]
    lines = encoded(texts, objective)[0]
    target = encoded(texts, objective, "de")[0] if objective == "mt" else None
    vocabulary = texts[0][objective] / "vocabulary.model"
    found = handle.plain_sentences(vocabulary, lines, target, 150, mask_seed=1)
    expected = handle.sentences("valid", 150, mask_seed=1)
    for one, other in zip(found, expected, strict=True):
        for name, tensor in other["net_input"].items():
            assert torch.equal(one["net_input"][name], tensor)
        assert torch.equal(one["target"], other["target"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_pieces_stand_where_their_states_do(models, texts, objective):
    handle, lines = models[objective][0], encoded(texts, objective)[0]
    compared = 0
    for batch in handle.sentences("valid", 150):
        for side, rows in handle.pieces(batch).items():
            for row, content in zip(rows, handle.tokens(batch)[side].content, strict=True):
                places = [i for i, piece in enumerate(row) if piece not in ("<s>", "</s>")]
                assert places == content.nonzero().flatten().tolist()
        sides = handle.pieces(batch)
        for number, row in zip(batch["id"].tolist(), sides.get("source", sides.get("target"))):
            text = "".join(piece for piece in row if piece not in ("<s>", "</s>"))
            if "<unk>" not in row:
                assert lines[number].startswith(text.replace("▁", " ").strip())
                compared += 1
    assert compared > 5


def test_a_source_without_its_translation_is_read_and_predicts_nothing(models, texts):
    handle = models["mt"][0]
    vocabulary = texts[0]["mt"] / "vocabulary.model"
    (alone,) = handle.plain_sentences(vocabulary, ["the house is small ."])
    output = handle.losses(alone)
    assert not output.predicted.any() and not output.losses.any()


def test_unfitting_texts_are_refused(models, texts):
    handle = models["mt"][0]
    vocabulary, other = (texts[0][name] / "vocabulary.model" for name in ("mt", "clm"))
    with pytest.raises(UserError, match="another vocabulary"):
        handle.plain_sentences(other, ["a"])
    with pytest.raises(UserError, match="2 sentences have 1 translations"):
        handle.plain_sentences(vocabulary, ["a", "b"], ["a"])
    with pytest.raises(UserError, match="leave the translations out"):
        models["clm"][0].plain_sentences(other, ["a"], ["a"])
    with pytest.raises(UserError, match="valid has sentences 0 to 19, there is no 20"):
        handle.sentences("valid", 100, chosen=[3, 20])
    with pytest.raises(UserError, match="cut to 1 tokens hold no text"):
        handle.sentences("valid", 100, positions=1)
    (padded, *_) = handle.text("valid", 200)
    with pytest.raises(ValueError, match="in front of a sentence"):
        handle.pieces(padded)
    for objective in OBJECTIVES:
        with pytest.raises(UserError, match="no token ids of a split news"):
            models[objective][0].sentences("news", 100)


def test_batches_hold_no_more_than_asked_and_a_long_row_stands_alone():
    lengths = [3, 5, 2, 9, 30, 1, 1, 4]
    rows = [Row(i, torch.ones(n).long(), torch.ones(n).long()) for i, n in enumerate(lengths)]
    found = list(batches_of(rows, 20))
    assert [batch["id"].tolist() for batch in found] == [[0, 1, 2], [3], [4], [5, 6, 7]]
    assert [tuple(b["net_input"]["src_tokens"].shape) for b in found] == [
        (3, 5), (1, 9), (1, 30), (3, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_snapshot_replaces_the_weights_and_half_precision_costs_little(
    models, texts, objective, tmp_path
):
    handle, folder = models[objective]
    expected, _ = handle.mean_loss("valid", 300)
    options = folder / "checkpoint.pt", texts[0][objective]
    for precision, tolerance in (("float32", 1e-6), ("float16", 1e-2)):
        path = folder / precision / "snapshots" / "5.pt"
        same = TrainedModelHandle(*options, path, device="cpu")
        assert same.update == 5 and handle.update is None
        assert next(same.module.parameters()).dtype == torch.float32
        for batch in same.sentences("valid", 300, mask_seed=1):
            is_close(same.losses(batch).losses, handle.losses(batch).losses, tolerance)
    update, weights = read_snapshot(path)
    other = {name: torch.zeros_like(each) for name, each in weights.items()}
    torch.save({"update": 0, "weights": other}, tmp_path / "zero.pt")
    zero = TrainedModelHandle(*options, tmp_path / "zero.pt", device="cpu")
    words = len(zero.task.source_dictionary)
    assert zero.mean_loss("valid", 300)[0] == pytest.approx(np.log(words), rel=1e-5)
    assert abs(expected - np.log(words)) > 0.01


def test_a_snapshot_of_another_model_is_refused_in_a_sentence(models, texts, tmp_path):
    clm, mt = models["clm"][1], models["mt"][1]
    options = clm / "checkpoint.pt", texts[0]["clm"]
    with pytest.raises(UserError, match="snapshot of another model: it (lacks|has) "):
        TrainedModelHandle(*options, mt / "float16" / "snapshots" / "5.pt", device="cpu")
    update, weights = read_snapshot(clm / "float16" / "snapshots" / "5.pt")
    name = next(name for name, each in weights.items() if each.dim() == 2)
    weights[name] = weights[name][:, :-1].clone()
    torch.save({"update": update, "weights": weights}, tmp_path / "narrow.pt")
    with pytest.raises(UserError, match=r"its .* is \(.*\), the model's \("):
        TrainedModelHandle(*options, tmp_path / "narrow.pt", device="cpu")
    (tmp_path / "broken.pt").write_bytes(b"")
    with pytest.raises(UserError, match="is no snapshot"):
        TrainedModelHandle(*options, tmp_path / "broken.pt", device="cpu")


def test_what_was_saved_can_be_put_in_place_again_after_a_later_step_failed(tmp_path):
    saved = Snapshots(tmp_path / "state", updates=[0, 4], resume_points=[2])
    for name in ("snapshots/0", "snapshots/4", "resume_points/2"):
        path = tmp_path / "state" / f"{name}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for _ in range(2):
        saved.put_in_place(tmp_path / "model")
        saved.put_in_place(tmp_path / "model")
        assert (tmp_path / "model/snapshots/4.pt").read_text() == "snapshots/4"
        assert sorted(path.name for path in (tmp_path / "model").rglob("*.pt")) == [
            "0.pt",
            "2.pt",
            "4.pt",
        ]
        assert not saved.missing(5)
        # As Snakemake does when the cube could not be written.
        shutil.rmtree(tmp_path / "model")
