"""A corpus of nothing, or of much less than was read, is said as such; counts always add up."""

import json
import zipfile

import pytest

import prepare_corpus as script
from common.files import UserError
from text import cleaning, preparation
from text.cleaning import clean_batch, clean_lines
from text.lengths import sentence_length, units_of
from text.lines import LineError
from text.preparation import prepare_corpus
from text.splitting import REST
from text.steps import change_text, check_steps

STEPS = [{"maximum_words": 250}, {"maximum_ratio": 9.0}]
ENGLISH = [
    "The library near the station opens at nine in the morning every day.",
    "We walked along the river until it was dark and cold outside.",
    "My sister bought three kilos of apples at the market on Saturday.",
    "Good morning.",
    "No.",
]
OTHERS = {
    "zh": [
        "车站附近的图书馆每天早上九点开门。",
        "我们沿着河边一直走到天黑变冷。",
        "我姐姐星期六在市场上买了三公斤苹果。",
        "早上好。",
        "不。",
    ],
    "ja": [
        "駅の近くの図書館は毎朝九時に開きます。",
        "私たちは暗く寒くなるまで川沿いを歩いた。",
        "姉は土曜日に市場でリンゴを三キロ買った。",
        "おはよう。",
        "いいえ。",
    ],
    "th": [
        "ห้องสมุดใกล้สถานีเปิดเวลาเก้าโมงเช้าทุกวัน",
        "เราเดินเลียบแม่น้ำจนมืดและหนาว",
        "พี่สาวของฉันซื้อแอปเปิลสามกิโลที่ตลาดในวันเสาร์",
        "อรุณสวัสดิ์",
        "ไม่",
    ],
    "ar": [
        "تفتح المكتبة القريبة من المحطة في التاسعة صباحا كل يوم.",
        "مشينا على طول النهر حتى حل الظلام والبرد.",
        "اشترت أختي ثلاثة كيلوغرامات من التفاح يوم السبت.",
        "صباح الخير.",
        "لا.",
    ],
}


def source(folder, first, second, languages=("en", "de"), name="tiny"):
    files = {}
    for language, lines in zip(languages, (first, second)):
        files[language] = str(folder / f"{name}.{language}")
        (folder / f"{name}.{language}").write_text("".join(f"{x}\n" for x in lines), "utf-8")
    return {"name": name, "kind": "text", "files": files}


def settings(*sources, splits=None, languages=("en", "de"), **more):
    found = {"languages": list(languages), "sources": list(sources), "seed": 1, "steps": STEPS}
    return {**found, "splits": splits or {"train": REST}, **more}


def numbered(number):
    return [[f"{word} {n} of a text." for n in range(number)] for word in ("Line", "Zeile")]


def test_all_pairs_in_valid_and_test_leave_none_for_train(tmp_path):
    chosen = settings(
        source(tmp_path, *numbered(400)), splits={"train": REST, "valid": 380, "test": 20}
    )
    with pytest.raises(UserError, match="no pair is left for train. Of 400 .* 380 valid, 20 test"):
        prepare_corpus("tiny", chosen, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_source_of_which_nothing_is_left_names_the_step_with_an_example(tmp_path):
    chosen = settings(
        source(tmp_path, ["one two three four five six seven eight nine ten"] * 3, ["x"] * 3)
    )
    with pytest.raises(UserError) as error:
        prepare_corpus("tiny", chosen, tmp_path / "out")
    assert "none of its 3 pairs is left after cleaning: maximum_ratio (unbalanced)" in str(
        error.value
    )
    assert "'one two three" in str(error.value) and "'x'" in str(error.value)


@pytest.mark.parametrize("splits", [{"train": REST}, {"test": REST}])
def test_an_empty_source_is_refused(tmp_path, splits):
    with pytest.raises(UserError, match="source tiny holds no sentence pairs"):
        prepare_corpus("tiny", settings(source(tmp_path, [], []), splits=splits), tmp_path / "out")


def test_everything_held_out_elsewhere_leaves_none_for_train(tmp_path):
    lines = numbered(9)
    prepare_corpus(
        "news", settings(source(tmp_path, *lines), splits={"test": REST}), tmp_path / "news"
    )
    chosen = settings(source(tmp_path, *lines), held_out_from=[str(tmp_path / "news")])
    with pytest.raises(UserError, match="no pair is left for train. .* 9 held_out"):
        prepare_corpus("tiny", chosen, tmp_path / "out")


def test_a_step_that_leaves_out_most_of_a_source_is_said(tmp_path, capsys, monkeypatch):
    long = ["one two three four five six seven eight nine ten eleven"] * 4
    chosen = settings(source(tmp_path, [*long, "Yes.", "No."], ["x"] * 4 + ["Ja.", "Nein."]))
    command = ["prepare_corpus.py", "--corpus", "tiny", "--output-folder", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", [*command, "--settings", json.dumps(chosen)])
    script.main()
    said = capsys.readouterr().err
    assert "maximum_ratio (unbalanced) leaves out 4 of 6 pairs, for example 'one two" in said
    assert json.loads((tmp_path / "out/counts.json").read_text())["remarks"][0] in said


def test_the_counts_of_every_source_and_split_add_up(tmp_path):
    first, second = numbered(60)
    sources = [
        source(tmp_path, [*first, "", *first[:5]], [*second, "leer", *second[:5]], name="a"),
        source(tmp_path, ["x y"] * 3, ["z"] * 3, name="b"),
    ]
    chosen = settings(*sources, splits={"train": 20, "valid": 10, "test": 5})
    counts = prepare_corpus("tiny", chosen, tmp_path / "out")
    assert counts["read"] == {"a": 66, "b": 3} and counts["kept"] == 61
    assert counts["unused"] == 61 - 35 and sum(counts["dropped"].values()) == 8
    for name, found in counts["sources"].items():
        parts = [*found["dropped"].values(), *found["splits"].values(), found["unused"]]
        assert sum(parts) == counts["read"][name]
    for split, number in counts["splits"].items():
        for language in ("en", "de"):
            text = (tmp_path / "out" / f"{split}.{language}").read_text()
            assert text.count("\n") == number


def test_counts_that_do_not_add_up_write_nothing(tmp_path, monkeypatch):
    def miscounting(batch, **options):
        return clean_batch(batch, **options)._replace(read=len(batch[0]) + 1)

    monkeypatch.setattr(preparation, "clean_batch", miscounting)
    with pytest.raises(UserError, match="nothing was written"):
        prepare_corpus("tiny", settings(source(tmp_path, *numbered(9))), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_sentence_with_a_line_feed_is_refused():
    with pytest.raises(LineError, match="holds a line feed"):
        clean_lines([b"One\ntwo.", b"Three."])


@pytest.mark.parametrize("language", OTHERS)
def test_languages_without_spaces_keep_their_pairs_with_no_setting(tmp_path, language):
    languages = ("en", language)
    chosen = settings(source(tmp_path, ENGLISH, OTHERS[language], languages), languages=languages)
    counts = prepare_corpus("tiny", chosen, tmp_path / "out")
    assert (counts["kept"], counts["dropped"]) == (5, {})
    kept = (tmp_path / f"out/train.{language}").read_text("utf-8").splitlines()
    assert kept == OTHERS[language], "no character is changed, whatever its direction"


def test_a_key_overrides_the_script(tmp_path):
    chosen = settings(source(tmp_path, ENGLISH, OTHERS["zh"], ("en", "zh")), languages=("en", "zh"))
    counts = prepare_corpus("tiny", {**chosen, "lengths": {"zh": "words"}}, tmp_path / "out")
    assert counts["dropped"] == {"unbalanced": 3} and counts["lengths"] == {"zh": "words"}
    with pytest.raises(UserError, match="lengths: that of zh is 'letters'"):
        prepare_corpus("tiny", {**chosen, "lengths": {"zh": "letters"}}, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "unit", "length"),
    [
        ("One, two - three!", "script", 4),
        ("“Ça va?” – 5 %", "script", 5),
        ("我爱 Python 3。", "script", 4),
        ("不。", "script", 1),
        ("。", "script", 1),
        ("コーヒーを飲む", "script", 7),
        ("ไม่", "script", 2),
        ("한국어 문장 하나", "script", 3),
        ("我爱 你", "words", 2),
        ("ab cd", "characters", 4),
    ],
)
def test_lengths_count_words_or_letters_of_scripts_without_spaces(text, unit, length):
    assert sentence_length(text, unit) == length


def test_units_are_those_of_the_languages():
    assert units_of({"zh": "characters"}, ("en", "zh")) == ("script", "characters")


def test_lower_case_is_for_every_split_and_knows_the_turkish_i(tmp_path):
    steps = check_steps([{"lowercase": 1}])
    batch = ([b"The I and THE I."], ["İstanbul ILIK, ığdır".encode()])
    first, second = clean_batch(batch, [], steps, ("en", "tr")).texts
    assert (first.decode(), second.decode()) == ("the i and the i.\n", "istanbul ılık, ığdır\n")
    assert clean_batch(batch, None, steps, ("en", "de")).texts[0] == first, "test sets too"
    chosen = settings(
        source(tmp_path, *numbered(30)),
        splits={"train": REST, "valid": 5, "test": 5},
        steps=[{"lowercase": 1}],
    )
    prepare_corpus("tiny", chosen, tmp_path / "out")
    for path in (tmp_path / "out").glob("*.en"):
        assert path.read_text() == path.read_text().lower() != ""


def test_shuffling_keeps_the_letters_of_right_to_left_text():
    text = OTHERS["ar"][0]
    assert sorted(change_text(text, check_steps([{"shuffle_words": 1}])[0], 1).split()) == sorted(
        text.split()
    )
    assert cleaning.normalise_text(f"\u200f{text}\u200f") == f"\u200f{text}\u200f"


def test_a_corpus_of_segments_with_line_feeds_adds_up(tmp_path):
    """Twenty segments, each on three lines: they were once read as three lines each."""
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, word in (("s.sgm", "Line number"), ("r.sgm", "Zeile Nummer")):
            body = "".join(f'<seg id="{n}">\n{word} {n}.\n</seg>\n' for n in range(20))
            opened.writestr(name, f'<srcset setid="s"><doc docid="a">{body}</doc></srcset>')
    made = {"name": "made", "kind": "archive", "archive": str(archive), "path": "up/made.zip"}
    chosen = settings(
        {**made, "members": {"en": "s.sgm", "de": "r.sgm"}},
        splits={"train": REST, "valid": 3, "test": 3},
    )
    counts = prepare_corpus("tiny", chosen, tmp_path / "out")
    assert (counts["read"], counts["kept"]) == ({"made": 20}, 20)
    assert counts["splits"] == {"train": 14, "valid": 3, "test": 3}
    for split in counts["splits"]:
        sides = [(tmp_path / f"out/{split}.{x}").read_text().splitlines() for x in ("en", "de")]
        assert [one.split()[-1] for one in sides[0]] == [one.split()[-1] for one in sides[1]]
