"""Reading of sentence pairs out of archives made here."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from common.files import UserError
from text import lines as line_reading
from text.archive_kinds import ArchiveError
from text.archives import read_archive_pairs
from text.content import check_content
from text.lines import LineError, read_text_pairs, single_pairs

MEMBERS = 4_000  # of the archive with many; tried once with a million

ENGLISH, GERMAN = b"One.\nTwo.\n", b"Eins.\nZwei.\n"


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path, members, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def read(archive, kind, members=("text.en", "text.de"), languages=("en", "de")):
    path = f"upstream/archive{kind}"
    return list(single_pairs(read_archive_pairs(archive, path, members, languages)))


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_members_are_found_by_name_in_any_order(tmp_path, kind, make):
    archive = make(tmp_path / "archive", {"README": b"", "text.de": GERMAN, "text.en": ENGLISH})
    assert read(archive, kind) == [(b"One.", b"Eins."), (b"Two.", b"Zwei.")]


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tar.gz", make_tar)])
def test_members_in_a_folder_are_found_by_the_end_of_their_name(tmp_path, kind, make):
    members = {"training/text.en": ENGLISH, "training/text.de": GERMAN, "no-text.de": b"x\n"}
    archive = make(tmp_path / "archive", members)
    assert len(read(archive, kind)) == 2
    assert len(read(archive, kind, ("training/text.en", "text.de"))) == 2


def test_full_name_counts_before_the_end_of_a_name(tmp_path):
    members = {"old/text.en": b"x\n", "text.en": ENGLISH, "text.de": GERMAN}
    assert len(read(make_zip(tmp_path / "archive", members), ".zip")) == 2


def test_missing_member_lists_what_there_is(tmp_path):
    members = {f"other{number}.en": b"" for number in range(12)}
    archive = make_tar(tmp_path / "archive", members)
    with pytest.raises(ArchiveError, match=r"text\.en is not in .*12 members") as error:
        read(archive, ".tgz")
    assert "other9.en" in str(error.value) and "other10.en" not in str(error.value)


def test_two_members_of_that_name_are_refused(tmp_path):
    members = {"a/text.en": ENGLISH, "b/text.en": ENGLISH, "text.de": GERMAN}
    with pytest.raises(ArchiveError, match="2 times"):
        read(make_zip(tmp_path / "archive", members), ".zip")


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_names_in_an_archive_never_lead_to_files(tmp_path, kind, make):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    absolute = str(tmp_path / "absolute.en")
    members = {"../../evil.en": ENGLISH, absolute: ENGLISH, "text.en": ENGLISH, "text.de": GERMAN}
    archive = make(folder / "archive", members)
    assert len(read(archive, kind)) == 2
    assert len(read(archive, kind, ("../../evil.en", "text.de"))) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "archive", "b"]


def test_symbolic_link_in_a_tar_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(ENGLISH)
    links = [("text.en", str(tmp_path / "secret"))]
    archive = make_tar(tmp_path / "archive", {"text.de": GERMAN}, links)
    with pytest.raises(ArchiveError, match="is a link"):
        read(archive, ".tgz")


def test_symbolic_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("text.en")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "archive", {"text.de": GERMAN})
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "/etc/hostname")
    with pytest.raises(ArchiveError, match="is a link"):
        read(archive, ".zip")


def test_sides_of_unequal_length_are_refused_with_both_numbers(tmp_path):
    archive = make_zip(tmp_path / "archive", {"text.en": ENGLISH + b"More\n", "text.de": GERMAN})
    with pytest.raises(LineError, match=r"text\.en has 3 lines and text\.de has 2"):
        read(archive, ".zip")


@pytest.mark.parametrize("longer", [0, 1])
def test_lines_are_paired_whatever_the_sizes_of_the_blocks(tmp_path, monkeypatch, longer):
    monkeypatch.setattr(line_reading, "BLOCK", 64)
    monkeypatch.setattr(line_reading, "SMALLEST_BATCH", 5)
    sides = [[b"%d" % n for n in range(200)], [b"x" * (n % 90) for n in range(200)]]
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, side in zip(paths, sides):
        path.write_bytes(b"\n".join(side))  # the last line has no line feed
    batches = list(read_text_pairs(paths))
    assert list(single_pairs(iter(batches))) == list(zip(*sides))
    assert len(batches) > 10
    with open(paths[longer], "ab") as file:
        file.write(b"\nmore" * 300)
    numbers = {0: "500 lines and .* 200", 1: "200 lines and .* 500"}[longer]
    with pytest.raises(LineError, match=numbers):
        list(read_text_pairs(paths))


def test_a_text_without_lines_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(line_reading, "LONGEST_LINE", 1000)
    monkeypatch.setattr(line_reading, "BLOCK", 64)
    (tmp_path / "a").write_bytes(b"one\n" + b"\0" * 5000)
    (tmp_path / "b").write_bytes(GERMAN)
    with pytest.raises(LineError, match=r"a: line 2 has more than 1000 bytes"):
        list(read_text_pairs([tmp_path / "a", tmp_path / "b"]))


def test_only_line_feeds_end_a_line(tmp_path):
    (tmp_path / "a").write_bytes("one\u2028more\x0b\r\ntwo\x85".encode())
    (tmp_path / "b").write_bytes(b"eins\nzwei\n")
    pairs = list(single_pairs(read_text_pairs([tmp_path / "a", tmp_path / "b"])))
    assert len(pairs) == 2
    assert pairs[0][0] == "one\u2028more\x0b\r".encode()


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_damaged_archive_is_reported(tmp_path, kind, make):
    archive = make(tmp_path / "archive", {"text.en": ENGLISH * 5000, "text.de": GERMAN * 5000})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(ArchiveError, match="is damaged"):
        read(archive, kind)


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_a_side_that_is_missing_is_named(tmp_path, kind, make):
    archive = make(tmp_path / "archive", {"text.en": ENGLISH})
    with pytest.raises(ArchiveError, match=r"text\.de is not in .* 1 members: text\.en"):
        read(archive, kind)


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_very_many_small_members_are_no_trouble(tmp_path, kind, make):
    members = {f"m/{number}": b"" for number in range(MEMBERS)}
    archive = make(tmp_path / "archive", {**members, "text.en": ENGLISH, "text.de": GERMAN})
    check_content(archive, f"a{kind}", "somewhere", unpacked_limit=1)
    assert len(read(archive, kind)) == 2
    with pytest.raises(ArchiveError, match=rf"{MEMBERS + 2} members: m/0, .*, \.\.\.\. Correct"):
        read(archive, kind, ("text.en", "text.fi"))


@pytest.mark.parametrize(("kind", "make"), [(".zip", make_zip), (".tgz", make_tar)])
def test_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path, kind, make):
    (tmp_path / "archive").unlink(missing_ok=True)
    if make is make_zip:
        with zipfile.ZipFile(tmp_path / "archive", "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("text.en", b"\0" * 3_000_000)
    else:
        make(tmp_path / "archive", {"text.en": b"\0" * 3_000_000})
    assert (tmp_path / "archive").stat().st_size < 10_000
    check_content(tmp_path / "archive", f"a{kind}", "somewhere", unpacked_limit=0.01)
    with pytest.raises(ArchiveError, match=r"unpack to more than 0\.002 GB.*unpacked_limit"):
        check_content(tmp_path / "archive", f"a{kind}", "somewhere", unpacked_limit=0.002)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_endless_headers_of_a_tar_are_not_read(tmp_path, kind):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 2_000_000
    with gzip.open(tmp_path / "archive", "wb") as file:
        file.write(header.tobuf() + bytes(2_000_384))
    for use in (
        lambda: check_content(tmp_path / "archive", "a.tgz", "somewhere", unpacked_limit=1),
        lambda: read(tmp_path / "archive", ".tgz"),
    ):
        with pytest.raises(ArchiveError, match="a header of 2000000 bytes"):
            use()


def test_a_tar_that_is_not_packed_is_read(tmp_path):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        for name, content in (("text.de", GERMAN), ("text.en", ENGLISH)):
            entry = tarfile.TarInfo("long/" * 40 + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert read(tmp_path / "archive", ".tar") == [(b"One.", b"Eins."), (b"Two.", b"Zwei.")]
    whole = (tmp_path / "archive").read_bytes()
    (tmp_path / "archive").write_bytes(whole[: whole.rindex(b"Two.") + 2])
    with pytest.raises(ArchiveError, match="is damaged"):
        read(tmp_path / "archive", ".tar")


def test_unknown_kind_of_archive_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="no known kind"):
        read(tmp_path / "archive", ".rar")


def sgml(documents):
    """WMT's SGML from document to segment to text."""
    text = '<srcset setid="tiny" srclang="any">\n'
    for document, segments in documents.items():
        text += f'<doc sysid="ref" docid="{document}" origlang="en">\n<p>\n'
        text += "".join(f'<seg id="{key}">{value}</seg>\n' for key, value in segments.items())
        text += "</p>\n</doc>\n"
    return (text + "</srcset>\n").encode()


SOURCE = {"news.1": {1: "Salt &amp; pepper &lt; 3", 2: "AT&T"}, "news.2": {1: "Third"}}


def read_sgml(tmp_path, reference):
    members = {"test/src.en.sgm": sgml(SOURCE), "test/ref.de.sgm": sgml(reference)}
    archive = make_tar(tmp_path / "archive", members)
    return read(archive, ".tgz", ("test/src.en.sgm", "test/ref.de.sgm"))


def test_sgml_is_aligned_by_document_and_segment(tmp_path):
    reference = {"news.2": {1: "Dritter"}, "news.1": {2: "zwei", 1: "Salz &amp; Pfeffer"}}
    assert read_sgml(tmp_path, reference) == [
        (b"Salt & pepper < 3", b"Salz & Pfeffer"),
        (b"AT&T", b"zwei"),
        (b"Third", b"Dritter"),
    ]


def test_sgml_without_a_segment_is_refused(tmp_path):
    with pytest.raises(UserError, match="3 segments .* 1"):
        read_sgml(tmp_path, {"news.1": {1: "eins"}})
    with pytest.raises(UserError, match=r"segment 2 of document news\.1"):
        read_sgml(tmp_path, {"news.1": {1: "eins", 3: "drei"}, "news.2": {1: "x"}})


def test_plain_text_in_place_of_sgml_is_refused(tmp_path):
    archive = make_zip(tmp_path / "archive", {"a.sgm": ENGLISH, "b.sgm": GERMAN})
    with pytest.raises(UserError, match="no <seg> elements"):
        read(archive, ".zip", ("a.sgm", "b.sgm"))
