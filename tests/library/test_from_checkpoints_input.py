"""Texts of every kind, and what is refused: in a sentence, and nothing is lost."""

import json
import shutil

import numpy as np
import pytest
import torch

from checkpoint_series import WORDS, loss_of, make_ids, pythia, save_pretrained, train_series
from losschange import record_checkpoints
from losschange.checkpoints.series import update_of
from losschange.command import main
from losschange.cube.format import open_cube
from losschange.errors import CheckpointError
from offline_transformers import import_transformers

TEXT = make_ids(5)
SETTINGS = {"context": 20, "batch_tokens": 200}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train_series(folder, save_pretrained(folder), (1, 2, 4))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of three checkpoints, to be spoiled."""
    return shutil.copytree(trained, tmp_path / "run")


def refused(capsys, run, what, *options, text=None):
    """The command says why it stops, in one line, and leaves neither cubes nor traces."""
    out = run.parent / "out"
    np.save(run.parent / "ids.npy", TEXT if text is None else text)
    paths = options or [str(run)]
    arguments = ["--text", f"t={run.parent / 'ids.npy'}", "--output", str(out), "--context", "20"]
    assert main(["from-checkpoints", *map(str, paths), *arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    for part in [what] if isinstance(what, str) else what:
        assert part in error, error
    assert not list(out.rglob("*.nc"))


def test_another_architecture_in_the_middle_of_the_series(run, capsys):
    shutil.rmtree(run / "step2")
    pythia(num_hidden_layers=3).save_pretrained(run / "step2")
    refused(capsys, run, ["step2 (update 2)", "another architecture", "num_hidden_layers is 3"])


def test_other_heads_of_the_same_shapes(run, capsys):
    shutil.rmtree(run / "step2")
    pythia(num_attention_heads=2).save_pretrained(run / "step2")
    refused(capsys, run, ["num_attention_heads is 2 instead of 4"])


def test_another_architecture_among_plain_files(run, trained, tmp_path):
    for update, layers in ((1, 2), (2, 3), (3, 2)):
        torch.save(pythia(num_hidden_layers=layers).state_dict(), tmp_path / f"step{update}.pt")
    files = [tmp_path / f"step{update}.pt" for update in (1, 2, 3)]
    with pytest.raises(CheckpointError, match=r"step2.pt .* it has gpt_neox.layers.2.* and 9 more"):
        record_checkpoints(files, TEXT, tmp_path / "out", model=trained / "step1", **SETTINGS)


@pytest.mark.parametrize("damage", ["torn", "empty", "no tensors", "config"])
def test_a_torn_checkpoint(run, capsys, damage):
    file = run / "step2" / "model.safetensors"
    if damage == "config":
        (run / "step2" / "config.json").write_text('{"model_type": "gpt_n')
    elif damage == "no tensors":
        file.rename(run / "step2" / "pytorch_model.bin")
        torch.save({"step": 3}, run / "step2" / "pytorch_model.bin")
    else:
        file.write_bytes(file.read_bytes()[: 0 if damage == "empty" else 9000])
    what = "holds no tensors" if damage == "no tensors" else "fetch it again"
    refused(capsys, run, ["step2", what])


def test_a_torn_file_of_torch_save(run, capsys, trained):
    file = run / "step2.pt"
    torch.save(pythia().state_dict(), file)
    file.write_bytes(file.read_bytes()[:20000])
    paths = [run / "step1", file, run / "step4"]
    refused(capsys, run, ["step2.pt is damaged or cut off"], *paths)


def test_a_missing_checkpoint_and_a_missing_shard(run, capsys, tmp_path):
    refused(capsys, run, ["there is no checkpoint", "step3"], run / "step1", run / "step3")
    pythia().save_pretrained(run / "step5", max_shard_size="5KB")
    shard = sorted((run / "step5").glob("model-0000*.safetensors"))[1]
    shard.unlink()
    refused(capsys, run, ["step5 (update 5)", shard.name, "is missing"])
    (run / "empty").mkdir()
    refused(capsys, run, ["empty is no checkpoint"], run / "step1", run / "empty")


def test_update_numbers_that_do_not_rise(run, capsys):
    paths = [run / "step1", run / "step4", run / "step2"]
    refused(capsys, run, ["have to rise", "step2 (update 2) comes after"], *paths)
    refused(capsys, run, ["have to rise"], *paths, "--updates", "1,2,2")
    refused(capsys, run, ["3 checkpoints, but 2 update numbers"], *paths, "--updates", "1,2")
    shutil.copytree(run / "step1", run.parent / "other" / "final")
    refused(capsys, run, ["holds no update number"], run / "step1", run.parent / "other" / "final")
    refused(capsys, run, ["1 checkpoints; a loss change needs two"], run / "step1")


def test_given_numbers_stand_in_the_cube(run):
    paths = [run / f"step{step}" for step in (1, 2, 4)]
    cube = record_checkpoints(
        paths, TEXT, run.parent / "out", updates=[100, 1000, 5000], **SETTINGS
    )
    with open_cube(cube["text"]) as found:
        assert found["step"].values.tolist() == [1000, 5000]
        assert found.attrs["start_update"] == 100


@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("step1000", 1000), ("checkpoint-500", 500), ("global_step20", 20), ("12", 12),
        ("multiberts-seed_0-step_40k", 40_000), ("step1000-tokens4B", 1000),
        ("model.ckpt-7", 7), ("epoch3-iter250", 250), ("stage1-step0-tokens0B", 0),
    ],
)  # fmt: skip
def test_update_numbers_are_read_from_names(tmp_path, name, update):
    (tmp_path / name).mkdir()
    assert update_of(tmp_path / name) == update


def test_tied_and_untied_words_mixed(run, capsys, tmp_path):
    shutil.rmtree(run / "step2")
    pythia(tie_word_embeddings=True).save_pretrained(run / "step2")
    refused(capsys, run, ["tie_word_embeddings is True instead of False"])
    # without configurations, by the tensors alone
    tied = pythia(tie_word_embeddings=True)
    states = [dict(tied.state_dict()), dict(tied.state_dict()), dict(pythia().state_dict())]
    states[1].pop("lm_head.weight")
    for name, order, what in (
        ("lacks", (0, 1), "lacks lm_head.weight; tied and untied words cannot be mixed"),
        ("differ", (0, 2), "differ, but the model ties them"),
    ):
        (tmp_path / name).mkdir()
        for update, state in enumerate(order):
            torch.save(states[state], tmp_path / name / f"step{update}.pt")
        model = pythia(tie_word_embeddings=True)
        with pytest.raises(CheckpointError, match=what):
            record_checkpoints(tmp_path / name, TEXT, tmp_path / "o", model=model, **SETTINGS)


def test_checkpoints_that_do_not_fit_the_model_that_is_given(run):
    with pytest.raises(CheckpointError, match=r"step1 .*does not fit the model: it lacks"):
        record_checkpoints(
            run, TEXT, run.parent / "out", model=torch.nn.Linear(3, 3), schema=None, **SETTINGS
        )


def test_a_checkpoint_that_is_not_a_number(run, capsys):
    model = type(pythia()).from_pretrained(run / "step4")
    with torch.no_grad():
        model.gpt_neox.layers[0].attention.dense.weight[0, 0] = float("nan")
    model.save_pretrained(run / "step4")
    np.save(run.parent / "ids.npy", TEXT)
    lines = ["--text", str(run.parent / "ids.npy"), "--output", str(run.parent / "out")]
    assert main(["from-checkpoints", str(run), *lines, "--context", "20"]) == 1
    assert "loss of the text 'ids' is nan at or just before" in capsys.readouterr().err
    # The interval before it is kept.
    assert len(list((run.parent / "out").rglob("part-*.nc"))) == 1


def test_a_text_of_another_vocabulary(run, capsys):
    refused(capsys, run, ["another vocabulary", f"token {WORDS + 3}", f"has {WORDS} words"],
            text=np.array([1, 2, WORDS + 3]))  # fmt: skip
    refused(capsys, run, ["another vocabulary", "token -1"], text=np.array([1, -1]))
    refused(capsys, run, ["expected token ids"], text=np.array([0.5, 0.1]))
    refused(capsys, run, ["it needs two at least"], text=np.array([1]))


def words_tokenizer(words):
    transformers = import_transformers()
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[UNK]": 0, "[MASK]": 1} | {word: n + 2 for n, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", mask_token="[MASK]"
    )


def test_a_file_of_text_is_divided_by_the_tokenizer_in_the_first_checkpoint(run):
    words = [f"w{n}" for n in range(WORDS - 2)]
    tokenizer = words_tokenizer(words)
    ids = TEXT.clamp(min=2)
    (run.parent / "text.txt").write_text(" ".join(words[i - 2] for i in ids))
    tokenizer.save_pretrained(run / "step1")
    texts = {"file": run.parent / "text.txt", "ids": ids}
    cubes = record_checkpoints(run, texts, run.parent / "out", **SETTINGS)
    with open_cube(cubes["file"]) as file, open_cube(cubes["ids"]) as numbers:
        assert np.array_equal(file["lca_simpson"], numbers["lca_simpson"], equal_nan=True)
    (run.parent / "text.txt").write_text("other words alone " * 20)
    with pytest.raises(CheckpointError, match="another vocabulary: .* does not know 100% of it"):
        record_checkpoints(run, texts, run.parent / "out2", **SETTINGS)
    large = words_tokenizer([f"w{n}" for n in range(2 * WORDS)])
    with pytest.raises(CheckpointError, match=f"knows {2 * WORDS + 2} tokens, .* has {WORDS}"):
        record_checkpoints(run, texts, run.parent / "out3", tokenizer=large, **SETTINGS)


def test_a_text_without_a_tokenizer_or_without_a_file(run):
    (run.parent / "text.txt").write_text("a b c")
    with pytest.raises(CheckpointError, match="there is no tokenizer; give one, or ids"):
        record_checkpoints(run, run.parent / "text.txt", run.parent / "out", **SETTINGS)
    with pytest.raises(CheckpointError, match=r"'text': there is no file .*absent.txt"):
        record_checkpoints(run, run.parent / "absent.txt", run.parent / "out", **SETTINGS)
    with pytest.raises(CheckpointError, match="names a file; use letters"):
        record_checkpoints(run, {"../a": TEXT}, run.parent / "out", **SETTINGS)


def test_parts_of_other_settings_are_refused_and_those_of_a_longer_series_are_used(run):
    out = run.parent / "out"
    record_checkpoints(run, TEXT, out, **SETTINGS)
    for changes, what in (
        ({"tolerance": 1e-3}, "the files, the text or settings differ"),
        ({"context": 10}, "settings differ"),
    ):
        with pytest.raises(CheckpointError, match=what):
            record_checkpoints(run, TEXT, out, **{**SETTINGS, **changes})
    with pytest.raises(CheckpointError, match="no such checkpoints in the series"):
        record_checkpoints([run / "step1", run / "step4"], TEXT, out, **SETTINGS)
    shutil.copytree(run / "step4", run / "step6")
    lines = []
    cube = record_checkpoints(run, TEXT, out, progress=lines.append, **SETTINGS)["text"]
    assert lines[0] == "3 intervals, 2 of them recorded before"
    with open_cube(cube) as found:
        assert found["step"].values.tolist() == [2, 4, 6]


def test_checkpoints_of_another_training_under_the_same_names_are_not_taken_for_recorded(run):
    out = run.parent / "out"
    record_checkpoints(run, TEXT, out, **SETTINGS)
    model = type(pythia()).from_pretrained(run / "step2")
    size = (run / "step2" / "model.safetensors").stat().st_size
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    model.save_pretrained(run / "step2")
    assert (run / "step2" / "model.safetensors").stat().st_size == size
    with pytest.raises(CheckpointError, match="the files, the text or settings differ"):
        record_checkpoints(run, TEXT, out, **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"context": 1}, "context is 1; it must be 2 or more"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"most_evaluations": 0}, "most_evaluations is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"tolerance": float("nan")}, "the tolerance is nan"),
        ({"device": "abacus"}, "cannot be put on the device abacus"),
    ],
)
def test_settings_that_make_no_sense_are_refused(run, settings, what):
    with pytest.raises(CheckpointError, match=what):
        record_checkpoints(run, TEXT, run.parent / "out", **{**SETTINGS, **settings})
    assert not (run.parent / "out").exists()


def test_a_damaged_part_is_recorded_again(run):
    out = run.parent / "out"
    cube = record_checkpoints(run, TEXT, out, **SETTINGS)["text"]
    expected = cube.read_bytes()
    part = sorted(out.rglob("part-*.nc"))[0]
    part.write_bytes(part.read_bytes()[:500])
    assert record_checkpoints(run, TEXT, out, **SETTINGS)["text"].read_bytes() == expected


def test_a_second_recording_into_the_same_folder_is_refused(run):
    out, seen = run.parent / "out", []

    def again(line):
        if not seen:
            seen.append(line)
            with pytest.raises(CheckpointError, match="another process is recording into"):
                record_checkpoints(run, TEXT, out, **SETTINGS)

    record_checkpoints(run, TEXT, out, progress=again, **SETTINGS)
    assert seen


def test_hidden_words_are_the_same_for_every_checkpoint_and_seed(tmp_path):
    transformers = import_transformers()
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    train_series(
        tmp_path, save_pretrained(tmp_path / "run"), (0, 5), transformers.BertForMaskedLM(config)
    )
    tokenizer = words_tokenizer([f"w{n}" for n in range(WORDS - 2)])
    cubes = [
        record_checkpoints(
            tmp_path / "run", TEXT, tmp_path / name, tokenizer=tokenizer, seed=seed, **SETTINGS
        )["text"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]  # fmt: skip
    assert cubes[0].read_bytes() == cubes[1].read_bytes()
    with open_cube(cubes[0]) as one, open_cube(cubes[2]) as other:
        assert abs(float(one["simpson_error"][0])) < 1.1e-4
        assert float(one["simpson_loss"][0]) != float(other["simpson_loss"][0])
        assert 30 < one.attrs["text_tokens"] < 90  # 15 % of 400
    with pytest.raises(CheckpointError, match="the tokenizer has no mask token"):
        record_checkpoints(tmp_path / "run", TEXT, tmp_path / "d", **SETTINGS)


def test_a_loss_of_ones_own_for_a_model_that_reads_pairs(tmp_path):
    transformers = import_transformers()
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=2,
        decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(config)
    rows = TEXT.view(-1, 20)
    (tmp_path / "run").mkdir()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def loss(net):
        return net(input_ids=rows, labels=rows).loss

    for update in range(3):
        model.save_pretrained(tmp_path / "run" / f"step{update}")
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    cube = record_checkpoints(tmp_path / "run", {"pairs": loss}, tmp_path / "out")["pairs"]
    with open_cube(cube) as found:
        assert np.abs(found["simpson_error"].values).max() < 1.1e-4
        assert float(found["lca_simpson"].sel(component="cross_value").sum()) != 0
    with pytest.raises(CheckpointError, match="reads pairs of texts"):
        record_checkpoints(tmp_path / "run", TEXT, tmp_path / "o2", **SETTINGS)


def test_statistics_that_are_no_parameters_but_change_are_refused(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    for update in range(2):
        net(inputs)  # moves the running means
        torch.save(net.state_dict(), tmp_path / f"step{update}.pt")
    with pytest.raises(CheckpointError, match=r"1\.running_mean is no trained parameter"):
        record_checkpoints(
            tmp_path, lambda model: model(inputs).square().mean(), tmp_path / "out", model=net
        )


def test_any_network_of_plain_pytorch(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    inputs = torch.randn(32, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)

    def loss(model):
        return torch.nn.functional.cross_entropy(model(inputs), (inputs[:, 0] > 0).long())

    for update in range(21):
        if update % 10 == 0:
            torch.save(net.state_dict(), tmp_path / f"step{update}.pt")
        optimizer.zero_grad()
        loss(net).backward()
        optimizer.step()
    cube = record_checkpoints(tmp_path, loss, tmp_path / "out", model=net, tolerance=1e-4)["text"]
    with open_cube(cube) as found:
        assert found["label"].values.tolist() == ["0", "2"]
        assert found["component"].values.tolist() == ["weight", "bias"]
        assert np.abs(found["simpson_error"].values).max() < 1.1e-4
        assert json.loads(json.dumps(found.attrs["model"])) == "Sequential"


def test_the_loss_of_the_texts_is_that_of_the_model(run):
    cube = record_checkpoints(run, TEXT, run.parent / "out", **SETTINGS)["text"]
    model = type(pythia()).from_pretrained(run / "step2")
    with open_cube(cube) as found, torch.no_grad():
        expected = float(loss_of(model, TEXT.view(-1, 20)))
        assert float(found["simpson_loss"][0]) == pytest.approx(expected, abs=1e-5)
