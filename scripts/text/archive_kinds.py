"""Kinds of archives, recognised by file name, and members of zip archives that are unreadable."""

import zipfile
from pathlib import Path

from common.files import UserError

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tgz", ".tar.gz", ".tar")
# Compression methods of zip that Python does not support, by their numbers.
ZIP_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
READABLE_METHODS = {
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
}
ENCRYPTED = 0x1 | 0x40  # flags of a member


class ArchiveError(UserError):
    """An archive is damaged, or lacks an expected member."""


def archive_kind(path: str) -> str:
    """Return "zip" or "tar" for the upstream file name `path`.

    Raises
    ------
    ArchiveError
        If the name has none of the known endings.
    """
    name = path.lower()
    if name.endswith(ZIP_SUFFIXES):
        return "zip"
    if name.endswith(TAR_SUFFIXES):
        return "tar"
    known = ", ".join(ZIP_SUFFIXES + TAR_SUFFIXES)
    raise ArchiveError(f"{path} is no known kind of archive: its name should end in {known}.")


def zip_obstacle(member: zipfile.ZipInfo) -> str | None:
    """The reason why a member of a zip archive cannot be read; None if it can."""
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in READABLE_METHODS:
        number = member.compress_type
        return f"is compressed by {ZIP_METHODS.get(number, f'method {number}')}"
    return None


def unreadable_member(name: str, archive: str | Path, obstacle: str) -> ArchiveError:
    """The error for a member of a zip archive that cannot be read; tells how to repack it."""
    return ArchiveError(
        f"{name} in {archive} {obstacle}, which is not read. Unpack the archive with a program "
        "that can, pack it again as .zip (Deflate, without a password) or .tgz, and put it on a "
        "mirror or under another address."
    )


def holds_both_languages(member: str) -> bool:
    """Whether a member may contain both sides of a text: WMT's XML holds source and references."""
    return member.lower().removesuffix(".gz").endswith(".xml")
