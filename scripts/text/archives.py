"""Read sentence pairs from downloaded archives as streams.

Nothing is unpacked to disk, so paths inside an archive cannot cause files to be written.
"""

import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from text.archive_kinds import (
    ArchiveError,
    archive_kind,
    holds_both_languages,
    unreadable_member,
    zip_obstacle,
)
from text.formats import read_pairs
from text.lines import ByteStream, LineBatch

DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)
NAMES_SHOWN = 10
LARGEST_HEADER = 1 << 20  # bytes
FURTHER_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Member(NamedTuple):
    """One entry of an archive.

    `name` is its name in the archive; its content are the `size` bytes from position `start` of
    the uncompressed tar archive.
    """

    name: str
    is_file: bool
    is_link: bool
    start: int = 0
    size: int = 0


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    """Convert all errors that decompressors raise on bad data into an `ArchiveError`."""
    try:
        yield
    # gzip.BadGzipFile is an OSError without errno; a real read error has one.
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(
            f"{archive} is damaged: {error}. Delete it, so that it is fetched again."
        ) from error


class TarEntry(tarfile.TarInfo):
    """An entry of a tar archive; an entry with an oversized header is refused before reading it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "TarEntry":
        """As in the base class, which reads long names and extended headers into memory."""
        entry = super().frombuf(buf, encoding, errors)
        if entry.type in FURTHER_HEADERS and entry.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"an entry has a header of {entry.size} bytes")
        return entry


def tar_entries(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar archive that is read as a stream, without storing them."""
    while (entry := opened.next()) is not None:
        # A million small members would fill the memory.
        opened.members.clear()  # type: ignore[attr-defined]  # the stubs leave it out
        yield entry


def _zip_member(information: zipfile.ZipInfo) -> Member:
    is_link = stat.S_ISLNK(information.external_attr >> 16)
    return Member(information.filename, not information.is_dir() and not is_link, is_link)


def _tar_member(entry: tarfile.TarInfo) -> Member:
    is_file = entry.isfile() and not entry.issparse()
    is_link = entry.issym() or entry.islnk()
    return Member(entry.name, is_file, is_link, entry.offset_data, entry.size)


def find_members(members: Iterable[Member], wanted: Sequence[str], archive: Path) -> list[Member]:
    """Find the files `wanted` among the members of an archive.

    A member matches if its full name is the wanted one. Otherwise the only member whose name ends
    in "/" + the wanted name matches.

    Raises
    ------
    ArchiveError
        If there is no such member or more than one, or if it is a link.
    """
    number, names = 0, []
    exact: dict[str, list[Member]] = {name: [] for name in wanted}
    ending: dict[str, list[Member]] = {name: [] for name in wanted}
    for member in members:
        number += 1
        names += [member.name] if number <= NAMES_SHOWN else []
        for name in exact:
            if member.name.removeprefix("./") == name:
                exact[name].append(member)
            elif member.name.endswith("/" + name):
                ending[name].append(member)
    found = []
    for name in wanted:
        candidates = exact[name] or ending[name]
        if len(candidates) != 1:
            shown = [member.name for member in candidates] or names
            raise _not_one(name, archive, len(candidates), number, shown)
        _check_ordinary(candidates[0], archive)
        found.append(candidates[0])
    return found


def _not_one(name: str, archive: Path, found: int, number: int, shown: list[str]) -> ArchiveError:
    problem = f"is {found} times in" if found else "is not in"
    more = ", ..." if (found or number) > NAMES_SHOWN else ""
    return ArchiveError(
        f"{name} {problem} {archive}. It holds {number} members: "
        f"{', '.join(shown[:NAMES_SHOWN]) or 'none'}{more}. "
        "Correct the member's name in the configuration of the source, or its address."
    )


def _check_ordinary(member: Member, archive: Path) -> None:
    if not member.is_file:
        what = "a link" if member.is_link else "no ordinary file"
        raise ArchiveError(
            f"{member.name} in {archive} is {what}; only ordinary files are read. "
            "Use another archive for this source."
        )


@contextmanager
def open_members(
    archive: Path, path: str, wanted: Sequence[str]
) -> Iterator[tuple[list[str], list[ByteStream]]]:
    """Open some members of an archive as streams of bytes.

    Parameters
    ----------
    archive
        The file; its own name does not matter.
    path
        The upstream path; its ending gives the kind of archive.
    wanted
        See `find_members`.

    Yields
    ------
    names, streams
        The exact name of each member, and its content.

    Raises
    ------
    ArchiveError
        When the archive is damaged, or a member is missing, a link, encrypted, or compressed
        by an unknown method.
    """
    with _damage_reported(archive), ExitStack() as stack:
        if archive_kind(path) == "zip":
            opened = stack.enter_context(zipfile.ZipFile(archive))
            found = find_members(map(_zip_member, opened.infolist()), wanted, archive)
            names = [member.name for member in found]
            for name in names:
                if obstacle := zip_obstacle(opened.getinfo(name)):
                    raise unreadable_member(name, archive, obstacle)
            yield names, [stack.enter_context(opened.open(name)) for name in names]
        else:
            with open_tar(archive, path) as listed:
                found = find_members(map(_tar_member, tar_entries(listed)), wanted, archive)
            # Skip to the member's position instead of reading the entries before it again.
            yield (
                [member.name for member in found],
                [stack.enter_context(_tar_stream(archive, path, member)) for member in found],
            )


def open_unpacked(archive: Path, path: str) -> gzip.GzipFile | io.BufferedReader:
    """Open a file as a stream; decompress it if its upstream name is that of a gzip file."""
    return gzip.open(archive) if path.lower().endswith("gz") else open(archive, "rb")


@contextmanager
def open_tar(archive: Path, path: str) -> Iterator[tarfile.TarFile]:
    """Open a tar archive for `tar_entries`."""
    with open_unpacked(archive, path) as unpacked, stream_tar(unpacked) as tar:
        yield tar


def stream_tar(unpacked: ByteStream) -> tarfile.TarFile:
    """Read a stream as a tar archive, for `tar_entries`."""
    # In this mode a stream is only read.
    return tarfile.open(fileobj=cast(BinaryIO, unpacked), mode="r|", tarinfo=TarEntry)


@contextmanager
def _tar_stream(archive: Path, path: str, member: Member) -> Iterator[ByteStream]:
    with open_unpacked(archive, path) as unpacked:
        unpacked.seek(member.start)
        yield _Section(unpacked, member.size)


class _Section:
    """The next `size` bytes of a stream."""

    def __init__(self, stream: ByteStream, size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        block = self.stream.read(min(size, self.left))
        if self.left and not block:
            raise EOFError("it ends in the middle of a member")
        self.left -= len(block)
        return block


def read_archive_pairs(
    archive: Path, path: str, members: Sequence[str], languages: Sequence[str]
) -> Iterator[LineBatch]:
    """Read the aligned sentences of two members of an archive.

    Parameters
    ----------
    archive
        The file; its own name does not matter.
    path
        The upstream path; its ending gives the kind of archive.
    members
        The two members, one for each language, in any format of `formats`. They may be the same
        only for a file that holds both languages, WMT's XML.
    languages
        The languages of the two members.

    Yields
    ------
    tuple of two lists of bytes
        The same number of lines of each member, without their line feeds.

    Raises
    ------
    UserError
        When the archive is damaged, a member is missing or a link, one member is given for both
        languages but holds only one, or the numbers of sentences differ.
    """
    with open_members(Path(archive), path, members) as (names, streams):
        if names[0] == names[1] and not holds_both_languages(names[0]):
            raise ArchiveError(
                f"{names[0]} in {archive} is the member of both {languages[0]} and {languages[1]}: "
                "a text cannot be its own translation. Correct the members of the source."
            )
        yield from read_pairs(streams, names, languages)
