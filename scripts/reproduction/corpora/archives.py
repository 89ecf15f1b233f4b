"""Sentence pairs out of downloaded archives, read as streams.

Nothing is unpacked to disk, so no path inside an archive can decide where a file goes.
"""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from reproduction.corpora.lines import LineBatch, pair_lines
from reproduction.corpora.sgml import pair_segments, read_segments
from reproduction.files import UserError

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tgz", ".tar.gz", ".tar")
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)
NAMES_SHOWN = 10


class ArchiveError(UserError):
    """An archive that is damaged, or does not hold what it should."""


class Member(NamedTuple):
    """One entry of an archive: its name in the archive, and whether it is an ordinary file."""

    name: str
    is_file: bool
    is_link: bool


def archive_kind(path: str) -> str:
    """Return "zip" or "tar" for the upstream file name `path`.

    Raises
    ------
    ArchiveError
        When the name ends in neither of the known ways.
    """
    if path.endswith(ZIP_SUFFIXES):
        return "zip"
    if path.endswith(TAR_SUFFIXES):
        return "tar"
    known = ", ".join(ZIP_SUFFIXES + TAR_SUFFIXES)
    raise ArchiveError(f"{path} is no known kind of archive: its name should end in {known}.")


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    """Turn whatever the decompressors raise on bad data into an `ArchiveError`."""
    try:
        yield
    # gzip.BadGzipFile is an OSError without a number; a true read error has one.
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(
            f"{archive} is damaged: {error}. Delete it, so that it is fetched again."
        ) from error


def tar_entries(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of a tar archive that is read as a stream, without keeping them."""
    while (entry := opened.next()) is not None:
        opened.members.clear()  # a million small members would fill the memory
        yield entry


def _zip_member(information: zipfile.ZipInfo) -> Member:
    is_link = stat.S_ISLNK(information.external_attr >> 16)
    return Member(information.filename, not information.is_dir() and not is_link, is_link)


def _tar_member(entry: tarfile.TarInfo) -> Member:
    return Member(entry.name, entry.isfile(), entry.issym() or entry.islnk())


def find_members(members: Iterable[Member], wanted: Sequence[str], archive: Path) -> list[str]:
    """Find the names in the archive of the files `wanted`.

    The full name counts first; otherwise the one member whose name ends in "/" + the wanted one.

    Raises
    ------
    ArchiveError
        When there is no such member, more than one, or it is a link.
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
        found.append(_check_ordinary(candidates[0], archive))
    return found


def _not_one(name: str, archive: Path, found: int, number: int, shown: list[str]) -> ArchiveError:
    problem = f"is {found} times in" if found else "is not in"
    more = ", ..." if (found or number) > NAMES_SHOWN else ""
    return ArchiveError(
        f"{name} {problem} {archive}. It holds {number} members: "
        f"{', '.join(shown[:NAMES_SHOWN]) or 'none'}{more}. "
        "Correct the member's name in the configuration of the source, or its address."
    )


def _check_ordinary(member: Member, archive: Path) -> str:
    if not member.is_file:
        what = "a link" if member.is_link else "no ordinary file"
        raise ArchiveError(
            f"{member.name} in {archive} is {what}; only ordinary files are read. "
            "Use another archive for this source."
        )
    return member.name


@contextmanager
def open_members(
    archive: Path, path: str, wanted: Sequence[str]
) -> Iterator[tuple[list[str], list[BinaryIO]]]:
    """Open some members of an archive as streams of bytes.

    Parameters
    ----------
    archive
        The file, under whatever name it was saved.
    path
        The upstream path; its ending tells the kind of archive.
    wanted
        See `find_members`.

    Yields
    ------
    names, streams
        The exact name of each member, and its content.

    Raises
    ------
    ArchiveError
        When the archive is damaged, or a member is missing, a link or encrypted.
    """
    with _damage_reported(archive), ExitStack() as stack:
        if archive_kind(path) == "zip":
            opened = stack.enter_context(zipfile.ZipFile(archive))
            names = find_members(map(_zip_member, opened.infolist()), wanted, archive)
            for name in names:
                if opened.getinfo(name).flag_bits & 0x1:
                    raise ArchiveError(f"{name} in {archive} is encrypted and cannot be read.")
            yield names, [stack.enter_context(opened.open(name)) for name in names]
        else:
            with tarfile.open(archive, "r|*") as listed:
                names = find_members(map(_tar_member, tar_entries(listed)), wanted, archive)
            # A stream of its own for each member: in one stream they come one after the other.
            tars = [stack.enter_context(tarfile.open(archive, "r|*")) for _ in names]
            yield names, [_tar_stream(tar, name) for tar, name in zip(tars, names)]


def _tar_stream(tar: tarfile.TarFile, name: str) -> BinaryIO:
    return tar.extractfile(next(entry for entry in tar_entries(tar) if entry.name == name))


def read_archive_pairs(archive: Path, path: str, members: Sequence[str]) -> Iterator[LineBatch]:
    """Read the aligned lines of two members of an archive.

    Parameters
    ----------
    archive
        The file, under whatever name it was saved.
    path
        The upstream path; its ending tells the kind of archive.
    members
        The two members, one for each language. Names in .sgm are read as WMT's SGML, where
        the segments are aligned by document and segment; all others as a sentence a line.

    Yields
    ------
    tuple of two lists of bytes
        As many lines of each member, without their line feeds.

    Raises
    ------
    UserError
        When the archive is damaged, a member is missing or a link, or the numbers of lines
        differ.
    """
    with open_members(Path(archive), path, members) as (names, streams):
        if all(name.endswith(".sgm") for name in names):
            pairs = pair_segments(*(read_segments(s, n) for s, n in zip(streams, names)), names)
            yield tuple(map(list, zip(*pairs)))
        else:
            yield from pair_lines(*streams, names)
