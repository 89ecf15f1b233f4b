"""Texts in mark-up are read line for line, or refused with the line that cannot be read."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from common.files import UserError
from text import formats
from text.archive_kinds import ArchiveError
from text.archives import read_archive_pairs
from text.content import check_content
from text.lines import LineError, single_pairs

LANGUAGES = ("en", "de")


def make_archive(folder, members):
    """A .tgz with these members: name to bytes or text."""
    path = folder / "made.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def read(folder, members, names=None, languages=LANGUAGES):
    """The pairs of two members as text."""
    path = make_archive(folder, members)
    names = names or list(members)
    pairs = single_pairs(read_archive_pairs(path, "up/made.tgz", names, languages))
    return [tuple(side.decode() for side in pair) for pair in pairs]


def sgml(body, kind="refset"):
    return f'<{kind} setid="tiny">\n<doc docid="a.1">\n{body}\n</doc>\n</{kind}>\n'


THREE = "\n".join(f'<seg id="{n}">{word}.</seg>' for n, word in enumerate(("One", "Two", "Three")))


def read_sgml(folder, body, source=THREE):
    members = {"t/src.en.sgm": sgml(source, "srcset"), "t/ref.de.sgm": sgml(body)}
    return read(folder, members)


def test_a_line_feed_inside_a_segment_is_a_space_and_shifts_nothing(tmp_path):
    body = (
        '<seg id="0">\nEins.\n</seg>\n<seg id="1">Zwei\r\nund&#10;mehr.</seg>'
        '<seg id="2">Drei.</seg>'
    )
    assert read_sgml(tmp_path, body) == [
        ("One.", "Eins."),
        ("Two.", "Zwei und mehr."),
        ("Three.", "Drei."),
    ]


def test_a_test_set_that_is_longer_than_one_read_is_read_whole(tmp_path):
    """newstest2018 has 400 kB, six times what is read to recognise a format."""
    count = 3000
    sides = [
        sgml("".join(f'<seg id="{n}">{word} {n} {"x" * 60}</seg>\n' for n in range(count)), kind)
        for word, kind in (("One", "srcset"), ("Eins", "refset"))
    ]
    assert min(map(len, sides)) > 3 * formats.HEAD
    pairs = read(tmp_path, {"s.sgm": sides[0], "r.sgm": sides[1]})
    assert len(pairs) == count
    assert pairs[-1] == (f"One 2999 {'x' * 60}", f"Eins 2999 {'x' * 60}")


def test_only_what_ends_in_a_semicolon_is_an_entity(tmp_path):
    one = '<seg id="1">{}</seg>'
    raw = (
        "http://x.org/?a=1&copy=2&lang=en R&D AT&T &amp;quot; x &lt 3 &#0; &#xD800; &notit; &euro;"
    )
    expected = "http://x.org/?a=1&copy=2&lang=en R&D AT&T &quot; x &lt 3 \ufffd \ufffd &notit; €"
    assert read_sgml(tmp_path, one.format(raw), one.format("x < 3 <3")) == [("x < 3 <3", expected)]


def test_comments_and_several_segments_on_a_line_are_no_trouble(tmp_path):
    body = (
        '<!-- <seg id="9">old</seg> -->\n<seg id="0">Eins.<!-- or so --></seg><seg id="1">Zwei.'
        '</seg> <seg id="2"><![CDATA[Drei &amp; <b>]]></seg>'
    )
    assert [pair[1] for pair in read_sgml(tmp_path, body)] == ["Eins.", "Zwei.", "Drei &amp; <b>"]


@pytest.mark.parametrize(
    ("body", "line", "problem"),
    [
        ('<seg id="0">Eins.\n<seg id="1">Zwei.</seg>', 3, "segment 0 has no </seg>"),
        ('<p>\n<seg id="0">Eins.</seg>\n<seg id="1">Zwei.\n</p>', 5, "segment 1 has no </seg>"),
        ('<seg id="0">Eins.</seg>\nZwei.</seg>', 4, "</seg> without <seg>"),
        ('<seg id="0">Eins.</seg>\nZwei.', 4, "text outside the segments: 'Zwei.'"),
        ('Null.\n<seg id="0">Eins.</seg>', 3, "text outside the segments: 'Null.'"),
        ('<seg id="0">Eins.</seg>\n<seg>Zwei.</seg>', 4, "an element has no id"),
        ('<seg id="0">Eins.</seg>\n<seg id="0">Zwei.</seg>', 4, "occurs twice"),
        ('<seg id="0">Eins <b>fett</b>.</seg>', 3, "<b> inside a segment"),
    ],
)
def test_markup_that_cannot_be_read_is_refused_with_its_line(tmp_path, body, line, problem):
    with pytest.raises(UserError) as error:
        read_sgml(tmp_path, body)
    assert f"t/ref.de.sgm, line {line}: " in str(error.value) and problem in str(error.value)


def test_a_file_that_ends_inside_a_segment_is_refused(tmp_path):
    members = {"a.sgm": sgml(THREE), "b.sgm": sgml(THREE).partition("Three")[0]}
    with pytest.raises(UserError, match=r"b\.sgm, line 5: segment 2 has no </seg>"):
        read(tmp_path, members)


WMT = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="newstest2021.en-de">
  <doc origlang="en" id="a.1" testsuite="None">
    <src lang="en"><p><seg id="1">One &amp; only.</seg><seg id="2">Two.</seg></p></src>
    <ref lang="de" translator="A"><p><seg id="1">Eins.</seg><seg id="2">Zwei.</seg></p></ref>
    <ref lang="de_DE" translator="B"><p><seg id="1">Eins!</seg><seg id="2">Zwei!</seg></p></ref>
    <hyp lang="de" system="X"><p><seg id="1">Uns.</seg><seg id="2">Zwo.</seg></p></hyp>
  </doc>
</dataset>
"""


@pytest.mark.parametrize("languages", [("en", "de"), ("de", "en")])
def test_wmt_xml_gives_the_source_and_the_first_reference(tmp_path, languages):
    name = "test/newstest2021.en-de.xml"
    pairs = read(tmp_path, {name: WMT}, [name, name], languages)
    expected = [("One & only.", "Eins."), ("Two.", "Zwei.")]
    assert pairs == [pair if languages[0] == "en" else pair[::-1] for pair in expected]


def test_wmt_xml_without_the_language_is_refused_with_those_it_has(tmp_path):
    with pytest.raises(UserError, match="no text in the language fr; it has: src en, ref de"):
        read(tmp_path, {"a.xml": WMT}, ["a.xml", "a.xml"], ("en", "fr"))


def test_a_document_that_one_translator_left_out_is_refused(tmp_path):
    text = WMT.replace(
        '<ref lang="de" translator="A"><p><seg id="1">Eins.</seg>', '<ref lang="de"><p>'
    )
    with pytest.raises(UserError, match="has 2 segments and .* has 1"):
        read(tmp_path, {"a.xml": text}, ["a.xml", "a.xml"])


def test_the_xml_of_iwslt_is_read_as_the_segments_of_talks(tmp_path):
    members = {}
    for language, (title, *words) in {
        "en": ("Thing", "One.", "Two."),
        "de": ("Ding", "Eins.", "Zwei."),
    }.items():
        talk = "".join(f'<seg id="{n}"> {word} </seg>\n' for n, word in enumerate(words, 1))
        members[f"t.en-de.{language}.xml"] = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n<srcset srclang="{language}">\n'
            f'<doc docid="0" genre="lectures">\n<talkid>0</talkid>\n<title>{title}</title>\n'
            f"{talk}</doc>\n</srcset>\n</mteval>\n"
        )
    assert read(tmp_path, members) == [("One.", "Eins."), ("Two.", "Zwei.")]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16"])
def test_a_stated_encoding_is_honoured(tmp_path, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + sgml('<seg id="1">Käse</seg>')
    members = {"a.xml": sgml('<seg id="1">Cheese</seg>'), "b.xml": text.encode(encoding)}
    assert read(tmp_path, members) == [("Cheese", "Käse")]


def tagged(title, *sentences, more=""):
    lines = "".join(f" {sentence}\n" for sentence in sentences)
    return (
        '<doc docid="1">\n<url>http://x.org/1</url>\n<keywords>a > b, x < 3</keywords>\n'
        f"{more}<speaker>N N</speaker>\n<talkid>1</talkid>\n<title>{title}</title>\n{lines}</doc>\n"
    )


def read_tagged(folder, english, german):
    names = [f"en-de/train.tags.en-de.{language}" for language in LANGUAGES]
    return read(folder, dict(zip(names, (english, german))))


def test_train_tags_lose_their_tags_and_stay_aligned(tmp_path):
    more = '<reviewer href="http://x.org/r">R</reviewer>\n<translator href="t">T</translator>\n'
    english = tagged("Thing", "One &amp; only.", "", "x < 3") * 2
    german = tagged("Ding", "Eins.", "Zwei.", "x < 3", more=more) * 2
    talk = [("Thing", "Ding"), ("One & only.", "Eins."), ("", "Zwei."), ("x < 3", "x < 3")]
    assert read_tagged(tmp_path, english, german) == talk * 2


def test_train_tags_with_everything_at_once_stay_aligned_and_shifts_are_told(tmp_path):
    """Entities, empty lines, a talk without a title, and CR LF on one side only."""
    english = tagged("A &lt;b&gt;", "One &amp; two.", "", "R&amp;D", "") + tagged("B", "Last.")
    german = tagged("A &lt;b&gt;", "Eins &amp; zwei.", "Nur hier.", "F&amp;E", "")
    german += tagged("B", "Ende.")
    without = ("<title>B</title>\n", "")
    crlf = german.replace(*without).replace("\n", "\r\n")
    pairs = [
        ("A <b>", "A <b>"),
        ("One & two.", "Eins & zwei."),
        ("", "Nur hier."),
        ("R&D", "F&E"),
        ("", ""),
        ("Last.", "Ende."),
    ]
    assert read_tagged(tmp_path, english.replace(*without), crlf) == pairs
    # A title that only one side has would shift all lines after it.
    with pytest.raises(LineError, match=r"<title> at different places \(.*en, line 17, before"):
        read_tagged(tmp_path, english, crlf.replace(" Ende.", " Ende.\r\n Mehr."))


def test_sides_of_train_tags_that_shift_are_refused_where_they_part(tmp_path):
    english = tagged("A", "1", "2") + tagged("B", "3", "4")
    german = tagged("A", "1") + tagged("B", "2", "3", "4")
    with pytest.raises(LineError, match=r"<doc> at different places .*en, line 10.*de, line 9"):
        read_tagged(tmp_path, english, german)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("More <title>x</title>", "mark-up in the middle of a line"),
        ("<chapter>Two</chapter>", "unknown mark-up"),
        ("<chapter id='1'>", "unknown mark-up"),
        ("<title>Two", "<title> is not closed on its line"),
        ("<url>a</url><keywords>b</keywords>", "<url> is not the only element of its line"),
        ('<seg id="1">One</seg>', "unknown mark-up"),
    ],
)
def test_train_tags_that_cannot_be_read_are_refused_with_the_line(tmp_path, line, problem):
    with pytest.raises(UserError, match=rf"\.en, line 8: .*{problem}"):
        read_tagged(
            tmp_path, tagged("A", "1").replace("</doc>", f"{line}\n</doc>")[:-1], tagged("A", "1")
        )


TEXTS = {"data/train.en": "One.\nTwo.\n", "data/train.de": "Eins.\nZwei.\n"}
PAIRS = [("One.", "Eins."), ("Two.", "Zwei.")]


def test_members_that_are_gzip_files_themselves_are_unpacked(tmp_path):
    members = {f"{name}.gz": gzip.compress(text.encode()) for name, text in TEXTS.items()}
    assert read(tmp_path, members) == PAIRS


def test_a_gzip_member_that_is_cut_off_or_too_large_is_refused(tmp_path, monkeypatch):
    members = {f"{name}.gz": gzip.compress(text.encode() * 999) for name, text in TEXTS.items()}
    with monkeypatch.context() as patch, pytest.raises(UserError, match="unpacks to more than"):
        patch.setattr(formats, "UNPACKED_LIMIT", 1000)
        read(tmp_path, members)
    members["data/train.de.gz"] = members["data/train.de.gz"][:-12]
    with pytest.raises(ArchiveError, match="is damaged"):
        read(tmp_path, members)


@pytest.mark.parametrize(("pack", "kind"), [(bz2.compress, "bzip2"), (lzma.compress, "xz")])
def test_members_packed_in_another_way_are_refused_by_name(tmp_path, pack, kind):
    members = {name: pack(text.encode()) for name, text in TEXTS.items()}
    with pytest.raises(UserError, match=rf"data/train\.en is itself packed, by {kind}"):
        read(tmp_path, members)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<?xml version="1.0"?>\n<tmx version="1.4"><body></body></tmx>', "is TMX"),
        ("<!DOCTYPE html>\n<html>x</html>", "is a web page"),
        ("One.\nTwo.\n".encode("utf-16"), "is in UTF-16"),
        ("One.\rTwo.\rThree.\r", "end as on old Macintoshes"),
        (sgml(THREE), r"a\.en holds segments in mark-up, but a\.de holds a sentence on every"),
    ],
)
def test_other_kinds_of_text_are_refused_by_name(tmp_path, text, problem):
    with pytest.raises(UserError, match=problem):
        read(tmp_path, {"a.en": text, "a.de": "Eins."})


def test_markup_under_a_name_of_plain_text_is_still_read_as_markup(tmp_path):
    assert read(tmp_path, {"a.en": sgml(THREE), "a.de": sgml(THREE)})[2] == ("Three.", "Three.")


def test_one_member_for_both_sides_is_refused(tmp_path):
    for names in (["a.en", "a.en"], ["x/a.en", "a.en"]):
        with pytest.raises(ArchiveError, match=r"x/a\.en in .* is the member of both en and de"):
            read(tmp_path, {"x/a.en": "One.\n"}, names)


def change_zip(path, offset_local, offset_central, value):
    """Write a number of two bytes into the local and central header of every member."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", offset_local), (b"PK\x01\x02", offset_central)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset : start + offset + 2] = value.to_bytes(2, "little")
            start = content.find(signature, start + 1)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("offsets", "value", "problem"),
    [
        ((8, 10), 9, "compressed by Deflate64"),
        ((8, 10), 98, "compressed by PPMd"),
        ((8, 10), 77, "compressed by method 77"),
        ((6, 8), 1, "is encrypted"),
    ],
)
def test_a_zip_that_cannot_be_read_says_why_and_to_pack_it_again(tmp_path, offsets, value, problem):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("a.en", "One.\n" * 99), ("a.de", "Eins.\n" * 99)):
            archive.writestr(name, text)
    change_zip(path, *offsets, value)
    for use in (
        lambda: check_content(path, "up/a.zip", "https://example.org/a.zip", 1),
        lambda: list(read_archive_pairs(path, "up/a.zip", ["a.en", "a.de"], LANGUAGES)),
    ):
        with pytest.raises(ArchiveError, match=rf"a\.en in .* {problem}.*pack it again as \.zip"):
            use()


def test_a_tar_in_another_packing_than_its_name_says_is_named(tmp_path):
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo("a.en"))
    with pytest.raises(ArchiveError, match=r"is packed by xz, though a\.tgz says another kind"):
        check_content(path, "up/a.tgz", "https://example.org/a.tgz", 1)
