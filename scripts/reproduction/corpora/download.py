"""Fetching of the archives of a source, from upstream or from a mirror of it."""

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pooch
import requests

from reproduction.corpora.archives import check_content
from reproduction.files import UserError, replace_when_complete

# The server asks for patience; any other 4xx will be answered the same the next time.
TEMPORARY_STATUS = {408, 425, 429}
LONGEST_DELAY = 60.0


class DownloadError(UserError):
    """A file that could not be fetched, or is not the one expected."""


def locate(url: str, path: str, mirror: str | None) -> str | Path:
    """Return where a file is: the address upstream or on a mirror, or its path in a folder.

    Parameters
    ----------
    url
        The address upstream.
    path
        The path on the mirror, the same as below the upstream host.
    mirror
        None, a folder, or a file://, http:// or https:// address.

    Raises
    ------
    DownloadError
        When `path` would lead out of the mirror, or the address is of another kind.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise DownloadError(f"path should be a relative path without '..', but is {path!r}.")
    address = url if mirror is None else f"{mirror.rstrip('/')}/{path}"
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        return address
    if scheme == "file":
        return Path(unquote(urlsplit(address).path))
    if mirror is None or "://" in mirror:
        raise DownloadError(f"{address}: addresses should start with http://, https:// or file://.")
    return Path(mirror) / path


def fetch_source(
    source: str,
    url: str,
    path: str,
    archive: Path,
    record: Path,
    sha256: str | None = None,
    mirror: str | None = None,
    tries: int = 5,
    first_delay: float = 1.0,
) -> dict:
    """Fetch one archive, check it, and record what came.

    Nothing is left at `archive` unless the content is complete, of the kind that `path` says,
    and has the expected digest.

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
    tries
        How often a download is tried in all.
    first_delay
        Seconds before the second try; doubled for each further one.

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
    with replace_when_complete(archive) as temporary:
        if isinstance(place, Path):
            _copy(place, temporary)
        else:
            _download(source, place, path, temporary, tries, first_delay)
        check_content(temporary, path, str(place))
        with open(temporary, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and found != sha256.strip().lower():
            raise DownloadError(
                f"{place}: the file is not the one expected for source {source}.\n"
                f"  expected sha256 {sha256}\n  found sha256    {found}\n"
                "It changed upstream, was damaged on the way, or the mirror holds another one. "
                "Use a mirror with the expected file or, if the new one is right, put its digest "
                "in the configuration of the source."
            )
        entry = {
            "source": source,
            # The place of a mirror differs between machines and does not matter.
            "url": url if mirror is None else f"mirror:{path}",
            "bytes": temporary.stat().st_size,
            "sha256": found,
            "pinned": sha256 is not None,
        }
        with replace_when_complete(record) as temporary_record:
            text = json.dumps(entry, indent=2, sort_keys=True) + "\n"
            temporary_record.write_text(text, encoding="utf-8")
    return entry


def _copy(place: Path, temporary: Path) -> None:
    if not place.is_file():
        raise DownloadError(
            f"{place} does not exist. A mirror should hold the files under the same paths as the "
            "upstream host: correct mirror in the configuration, or put the file there."
        )
    shutil.copyfile(place, temporary)


def _download(
    source: str, address: str, path: str, temporary: Path, tries: int, delay: float
) -> None:
    """Download one file, with new tries as long as the failure may pass."""
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 18,
        # Some servers call .tgz a content encoding, and requests would then unpack the file.
        headers={"Accept-Encoding": "identity"},
    )
    for attempt in range(1, max(tries, 1) + 1):
        try:
            downloader(address, str(temporary), None)
            return
        except requests.RequestException as error:
            if attempt >= tries or not _may_pass(error):
                raise DownloadError(_explain(source, address, path, error, attempt)) from error
            print(f"{address}: try {attempt} of {tries} failed: {error}", file=sys.stderr)
            time.sleep(min(delay, LONGEST_DELAY))
            delay *= 2


def _may_pass(error: requests.RequestException) -> bool:
    if error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in TEMPORARY_STATUS
    # Errors in the address itself are ValueErrors as well.
    return not isinstance(error, ValueError)


def _explain(source: str, address: str, path: str, error: Exception, attempts: int) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        what = f"the server answered {response.status_code} {response.reason}"
    else:
        what = f"the download failed: {error}"
    number = "" if attempts == 1 else f" ({attempts} tries)"
    return (
        f"{address}: {what}{number}. If the address is dead, replace that of source {source} in "
        f"the configuration, or set mirror to a folder or address that has {path}."
    )
