"""Check that a fetched file is complete and has the format that its name says."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from text.archive_kinds import (
    TAR_SUFFIXES,
    ZIP_SUFFIXES,
    ArchiveError,
    unreadable_member,
    zip_obstacle,
)
from text.archives import DAMAGE, open_unpacked, stream_tar, tar_entries
from text.formats import PACKED
from text.lines import ByteStream

WEB_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml")
BLOCK = 1 << 20
GIGABYTE = 10**9


def check_content(file: Path, path: str, address: str, unpacked_limit: float) -> None:
    """Check that a fetched file is complete and has the format that its upstream path says.

    Compressed files are read to the end, so that truncated files are detected.

    Parameters
    ----------
    file
        The file; its own name does not matter.
    path
        The upstream path; its ending gives the expected format.
    address
        The address that it was fetched from, for messages.
    unpacked_limit
        Largest uncompressed size in gigabytes; reading stops at this limit.

    Raises
    ------
    ArchiveError
        If the file is empty, a web page or damaged, or if it unpacks to more than the limit.
    """
    with open(file, "rb") as opened:
        head = opened.read(512).lstrip().lower()
    if not head:
        raise ArchiveError(f"{address}: an empty file came. Try again later, or use a mirror.")
    for start, kind in PACKED.items():
        if head.startswith(start.lower()) and path.lower().endswith(TAR_SUFFIXES):
            raise ArchiveError(
                f"{address}: what came is packed by {kind}, though {Path(path).name} says another "
                "kind. Pack it again as its name says, and put it on a mirror."
            )
    if head.startswith(WEB_PAGE_STARTS):
        raise ArchiveError(
            f"{address}: a web page came in place of {Path(path).name}. The address has moved or "
            "asks for a login: replace it in the configuration of the source, or use a mirror."
        )

    def check_size(unpacked: int) -> None:
        if unpacked > unpacked_limit * GIGABYTE:
            raise ArchiveError(
                f"{address}: the {file.stat().st_size} bytes that came unpack to more than "
                f"{unpacked_limit:g} GB. If that is right, raise unpacked_limit in the "
                "configuration; otherwise the file is not what it says: use a mirror."
            )

    try:
        _read_to_end(file, path.lower(), address, check_size)
    except NotImplementedError as error:
        raise unreadable_member(
            "a member", address, f"uses what Python does not support ({error})"
        ) from error
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(
            f"{address}: the {file.stat().st_size} bytes that came are no complete "
            f"{Path(path).suffix} file: {error}. Try again later, or use a mirror."
        ) from error


def _read_to_end(file: Path, path: str, address: str, check_size: Callable[[int], None]) -> None:
    if path.endswith(ZIP_SUFFIXES):
        with zipfile.ZipFile(file) as opened:
            _read_zip(opened, address, check_size)
    elif path.endswith((*TAR_SUFFIXES, ".gz")):
        with open_unpacked(file, path) as opened:
            counted = _Counted(opened, check_size)
            if path.endswith(TAR_SUFFIXES):
                with stream_tar(counted) as archive:
                    for _ in tar_entries(archive):
                        pass
            while counted.read(BLOCK):
                pass


def _read_zip(opened: zipfile.ZipFile, address: str, check_size: Callable[[int], None]) -> None:
    """Read every member to the end; fail for unreadable members only if all are unreadable."""
    members = [member for member in opened.infolist() if not member.is_dir()]
    # Reading a member stops at the size that its header states.
    check_size(sum(member.file_size for member in members))
    obstacles = [zip_obstacle(member) for member in members]
    if obstacles and obstacles[0] and all(obstacles):
        raise unreadable_member(members[0].filename, address, obstacles[0])
    for member, obstacle in zip(members, obstacles):
        if obstacle is None:
            with opened.open(member) as stream:
                while stream.read(BLOCK):
                    pass


class _Counted:
    """A stream that counts the bytes read from it."""

    def __init__(self, stream: ByteStream, check_size: Callable[[int], None]) -> None:
        self.stream, self.check_size, self.number = stream, check_size, 0

    def read(self, size: int) -> bytes:
        block = self.stream.read(size)
        self.number += len(block)
        self.check_size(self.number)
        return block
