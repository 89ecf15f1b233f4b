"""Fetch the archives of a source from the publisher or from a mirror."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from common.files import UserError, full_disk_explained, replace_when_complete
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
    """Fetch one archive, check it, and write its record.

    A file appears at `archive` only if it is complete, has the format that `path` says, and has
    the expected digest. An interrupted download, also of an earlier call, is resumed if the server
    supports it.

    Parameters
    ----------
    source
        Name of the source, for the record and messages.
    url, path, mirror
        See `locate`.
    archive, record
        Paths of the file and the record (JSON).
    sha256
        Expected digest, 64 hexadecimal digits; None accepts any and records "pinned": false.
    patience
        Limits on retries; see `transfer.Patience`.
    unpacked_limit
        Gigabytes that the archive may unpack to.
    lock
        The file of digests (see `corpora_lock`). If sha256 is None, its digest of `path` is
        expected; if it has none, the digest of the fetched archive is added.

    Returns
    -------
    dict
        The record: source, url, bytes, sha256, pinned.

    Raises
    ------
    UserError
        If the file cannot be fetched, is damaged, or has another digest.
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
                # The bytes of an earlier call may be wrong, for example after a power failure.
                partial.discard()
                _bring(place, partial, patience, advice)
                found = _check(partial.path, path, place, source, sha256, unpacked_limit)
        except (UserError, OSError) as error:
            if not isinstance(error, InterruptedDownload):
                partial.discard()
            raise
        entry = {
            "source": source,
            # The address of the mirror is not recorded: it differs between machines.
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
    """Fetch the file to `partial.path`; return whether bytes of an earlier call were used."""
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
    """Check the content and the digest of the fetched file; return the digest."""
    # Check the content first: the error "a web page came" is clearer than a wrong digest.
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
