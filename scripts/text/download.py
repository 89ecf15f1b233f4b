"""Fetching of the archives of a source, from upstream or from a mirror of it."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from running.files import UserError, full_disk_explained, replace_when_complete
from text.addresses import DownloadError, locate
from text.content import check_content
from text.corpora_lock import add_to_lock, read_lock
from text.transfer import InterruptedDownload, Partial, Patience, download

UNPACKED_LIMIT = 50.0  # gigabytes
USUAL_PATIENCE = Patience()


def fetch_source(
    source: str,
    url: str,
    path: str,
    archive: Path,
    record: Path,
    sha256: str | None = None,
    mirror: str | None = None,
    patience: Patience = USUAL_PATIENCE,
    unpacked_limit: float = UNPACKED_LIMIT,
    lock: Path | None = None,
) -> dict:
    """Fetch one archive, check it, and record what came.

    Nothing is left at `archive` unless the content is complete, of the kind that `path` says,
    and has the expected digest. A download that was cut off, even in an earlier call, goes on
    where the server allows it.

    Parameters
    ----------
    source
        Name of the source, for the record and messages.
    url, path, mirror
        See `locate`.
    archive, record
        Where the file and the record (JSON) go.
    sha256
        Expected digest, 64 hexadecimal digits; None accepts any and records "pinned": false.
    patience
        How long a download is tried.
    unpacked_limit
        Gigabytes that the archive may unpack to.
    lock
        The file of digests (see `corpora_lock`): what it says of `path` is expected where sha256
        is None; where it says nothing, the digest of what came is added.

    Returns
    -------
    dict
        The record: source, url, bytes, sha256, pinned.

    Raises
    ------
    UserError
        When the file cannot be had, is damaged, or has another digest.
    """
    place = locate(url, path, mirror)
    sha256 = sha256 or (read_lock(lock).get(path) if lock else None)
    partial = Partial(archive)
    advice = (
        f"If the address is dead, replace that of source {source} in the configuration, or set "
        f"mirror to a folder or address that has {path}."
    )
    with full_disk_explained(archive), partial.held():
        try:
            resumed = _bring(place, partial, patience, advice)
            try:
                found = _check(partial.path, path, place, source, sha256, unpacked_limit)
            except UserError:
                if not resumed:
                    raise
                # Bytes of an earlier call may be to blame, after a loss of power for example.
                partial.discard()
                _bring(place, partial, patience, advice)
                found = _check(partial.path, path, place, source, sha256, unpacked_limit)
        except (UserError, OSError) as error:
            if not isinstance(error, InterruptedDownload):
                partial.discard()
            raise
        entry = {
            "source": source,
            # The place of a mirror differs between machines and does not matter.
            "url": url if mirror is None else f"mirror:{path}",
            "bytes": partial.size(),
            "sha256": found,
            "pinned": sha256 is not None,
        }
        if lock:
            add_to_lock(lock, {path: found})
        with replace_when_complete(record) as temporary_record:
            text = json.dumps(entry, indent=2, sort_keys=True) + "\n"
            temporary_record.write_text(text, encoding="utf-8")
        os.replace(partial.path, archive)
        partial.discard()
    return entry


def _bring(place: str | Path, partial: Partial, patience: Patience, advice: str) -> bool:
    """Put the bytes at `partial.path`; returns whether some came in an earlier call."""
    if not isinstance(place, Path):
        return download(place, partial, patience, advice)
    if not place.is_file():
        raise DownloadError(
            f"{place} does not exist. A mirror should hold the files under the same paths as the "
            "upstream host: correct mirror in the configuration, or put the file there."
        )
    partial.discard()
    shutil.copyfile(place, partial.path)
    return False


def _check(
    file: Path, path: str, place: str | Path, source: str, sha256: str | None, limit: float
) -> str:
    """Check the content and the digest of what came; returns the digest."""
    # The content first: "a web page came" says more than another digest.
    check_content(file, path, str(place), limit)
    with open(file, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if sha256 is None or found == sha256.strip().lower():
        return found
    raise DownloadError(
        f"{place}: the file is not the one expected for source {source}.\n"
        f"  expected sha256 {sha256}\n  found sha256    {found}\n"
        "It changed upstream, was damaged on the way, or the mirror holds another one. "
        "Use a mirror with the expected file or, if the new one is right, put its digest in the "
        "configuration of the source and delete its line in corpora.lock."
    )
