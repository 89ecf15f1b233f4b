"""Sentence pairs out of downloaded archives, read as streams.

Nothing is unpacked to disk, so no path inside an archive can decide where a file goes.
"""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple

from reproduction.corpora.sgml import pair_segments, read_segments
from reproduction.files import UserError

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tgz", ".tar.gz", ".tar")
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)
WEB_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml")


class ArchiveError(UserError):
    """An archive that is damaged, or does not hold what it should."""


def check_content(file: Path, path: str, address: str) -> None:
    """Check that a fetched file is complete and of the kind that its upstream path says.

    Compressed files are read to their end, so that a file that was cut off is noticed.

    Parameters
    ----------
    file
        The file, under whatever name it was saved.
    path
        The upstream path; its ending tells what to expect.
    address
        Where it came from, for messages.

    Raises
    ------
    ArchiveError
        When the file is empty, a web page, or damaged.
    """
    with open(file, "rb") as opened:
        head = opened.read(512).lstrip().lower()
    if not head:
        raise ArchiveError(f"{address}: an empty file came. Try again later, or use a mirror.")
    if head.startswith(WEB_PAGE_STARTS):
        raise ArchiveError(
            f"{address}: a web page came in place of {Path(path).name}. The address has moved or "
            "asks for a login: replace it in the configuration of the source, or use a mirror."
        )
    try:
        _read_to_end(file, path)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(
            f"{address}: the {file.stat().st_size} bytes that came are no complete "
            f"{Path(path).suffix} file: {error}. Try again later, or use a mirror."
        ) from error


def _read_to_end(file: Path, path: str) -> None:
    if path.endswith(ZIP_SUFFIXES):
        with zipfile.ZipFile(file) as opened:
            damaged = opened.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} in it is damaged")
    elif path.endswith((*TAR_SUFFIXES, ".gz")):
        with gzip.open(file) if path.endswith("gz") else open(file, "rb") as opened:
            if path.endswith(TAR_SUFFIXES):
                with tarfile.open(fileobj=opened, mode="r|") as archive:
                    for _ in archive:
                        pass
            while opened.read(1 << 20):
                pass


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


def list_members(archive: Path, kind: str) -> list[Member]:
    """List what an archive holds, in its order.

    Parameters
    ----------
    archive
        The file, under whatever name it was saved.
    kind
        "zip" or "tar", see `archive_kind`.

    Raises
    ------
    ArchiveError
        When the archive cannot be read to its end.
    """
    with _damage_reported(archive):
        if kind == "zip":
            with zipfile.ZipFile(archive) as opened:
                return [_zip_member(information) for information in opened.infolist()]
        with tarfile.open(archive, "r|*") as opened:
            return [
                Member(entry.name, entry.isfile(), entry.issym() or entry.islnk())
                for entry in opened
            ]


def _zip_member(information: zipfile.ZipInfo) -> Member:
    is_link = stat.S_ISLNK(information.external_attr >> 16)
    return Member(information.filename, not information.is_dir() and not is_link, is_link)


def find_member(members: Sequence[Member], wanted: str, archive: Path) -> str:
    """Find the name in the archive of the file `wanted`.

    The full name counts first; otherwise the one member whose name ends in "/" + `wanted`.

    Raises
    ------
    ArchiveError
        When there is no such member, more than one, or it is a link.
    """
    found = [member for member in members if member.name.removeprefix("./") == wanted]
    found = found or [member for member in members if member.name.endswith("/" + wanted)]
    if len(found) != 1:
        problem = "is not in" if not found else f"is {len(found)} times in"
        names = [member.name for member in (found or members)]
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise ArchiveError(
            f"{wanted} {problem} {archive}. It holds {len(names)} members: {shown or 'none'}. "
            "Correct the member's name in the configuration of the source, or its address."
        )
    if not found[0].is_file:
        what = "a link" if found[0].is_link else "no ordinary file"
        raise ArchiveError(
            f"{found[0].name} in {archive} is {what}; only ordinary files are read. "
            "Use another archive for this source."
        )
    return found[0].name


@contextmanager
def open_member(archive: Path, kind: str, name: str) -> Iterator[BinaryIO]:
    """Open one member, by its exact name in the archive, as a stream of bytes."""
    with ExitStack() as stack:
        if kind == "zip":
            opened = stack.enter_context(zipfile.ZipFile(archive))
            if opened.getinfo(name).flag_bits & 0x1:
                raise ArchiveError(f"{name} in {archive} is encrypted and cannot be read.")
            yield stack.enter_context(opened.open(name))
            return
        opened = stack.enter_context(tarfile.open(archive, "r|*"))
        entry = next(entry for entry in opened if entry.name == name)
        yield stack.enter_context(opened.extractfile(entry))


def read_archive_pairs(
    archive: Path, path: str, members: Sequence[str]
) -> Iterator[tuple[bytes, bytes]]:
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
    tuple of bytes
        A line of each member, without the line feed.

    Raises
    ------
    ArchiveError
        When the archive is damaged, a member is missing or a link, or the numbers of lines
        differ.
    """
    archive = Path(archive)
    kind = archive_kind(path)
    listed = list_members(archive, kind)
    names = [find_member(listed, wanted, archive) for wanted in members]
    with _damage_reported(archive), ExitStack() as stack:
        streams = [stack.enter_context(open_member(archive, kind, name)) for name in names]
        if all(name.endswith(".sgm") for name in names):
            yield from pair_segments(*(read_segments(s, n) for s, n in zip(streams, names)), names)
        else:
            yield from pair_lines(*streams, names)


def read_text_pairs(paths: Sequence[Path]) -> Iterator[tuple[bytes, bytes]]:
    """Read the aligned lines of two text files; yields and raises as `read_archive_pairs`."""
    with ExitStack() as stack:
        streams = [stack.enter_context(open(path, "rb")) for path in paths]
        yield from pair_lines(*streams, [str(path) for path in paths])


def pair_lines(
    first: BinaryIO, second: BinaryIO, names: Sequence[str]
) -> Iterator[tuple[bytes, bytes]]:
    """Pair the lines of two streams, split at line feeds only.

    Raises
    ------
    ArchiveError
        At the end, when one stream has more lines than the other.
    """
    lines = [0, 0]
    for pair in zip_longest(first, second):
        for side, line in enumerate(pair):
            lines[side] += line is not None
        if None not in pair:
            yield pair[0].removesuffix(b"\n"), pair[1].removesuffix(b"\n")
    if lines[0] != lines[1]:
        raise ArchiveError(
            f"{names[0]} has {lines[0]} lines and {names[1]} has {lines[1]}, but the two sides "
            "should be aligned line by line. The files do not belong together, or one was cut off."
        )
