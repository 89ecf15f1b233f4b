"""Resumable downloads.

The bytes received so far are stored beside the target file, with a note that identifies the
content. A download is resumed only if the server confirms that its content is the same, by a
validator (a strong ETag, or else Last-Modified); otherwise the download starts again.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock
import requests
import urllib3
from tqdm import tqdm

from common.files import replace_when_complete
from text.addresses import DownloadError

# With these statuses the server asks clients to retry; other 4xx errors are permanent.
TEMPORARY_STATUS = {408, 425, 429}
LONGEST_DELAY = 60.0
BLOCK = 1 << 18
AS_IT_IS = {"Accept-Encoding": "identity"}


class InterruptedDownload(DownloadError):
    """A download was interrupted and can be resumed."""


class Patience(NamedTuple):
    """Limits on the retries of a download.

    `tries` is the number of failed tries in a row; a try that gets further than all tries before
    does not count as failed. A try fails after `timeout` seconds without a byte. `first_delay` is
    the number of seconds before the second try; it doubles with every further try.
    """

    tries: int = 5
    timeout: float = 60.0
    first_delay: float = 1.0


class Partial:
    """The bytes of a file received so far, and a note that identifies the file's content.

    Both are hidden files in the folder of `target`, the complete file. `restarted` says whether
    bytes received earlier were dropped.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.partial")
        self.note = target.with_name(f".{target.name}.partial.json")
        self._lock = target.with_name(f".{target.name}.partial.lock")
        self.restarted = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock out other processes; DownloadError if another process has the lock."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self._lock, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise DownloadError(
                f"{self.path}: another process is fetching this file now. Wait until it ends, or "
                "stop it."
            ) from None
        try:
            yield
        finally:
            self._lock.unlink(missing_ok=True)
            lock.release()

    def size(self) -> int:
        """Number of bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def known(self, address: str) -> dict:
        """The "validator" and "size" of the content that the bytes belong to; empty if unknown."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            trusted = note["address"] == address and note["validator"] and self.path.exists()
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return note if trusted else {}

    def start(self, address: str, validator: str | None, size: int | None) -> None:
        """Drop the bytes received so far, and write the note of the new content."""
        self.discard()
        with replace_when_complete(self.note) as temporary:
            note = {"address": address, "validator": validator, "size": size}
            temporary.write_text(json.dumps(note), encoding="utf-8")
        self.path.touch()

    def discard(self) -> None:
        """Drop the note and then the bytes: bytes without a note are never used."""
        self.restarted = True
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def download(address: str, partial: Partial, patience: Patience, advice: str) -> bool:
    """Download one file to `partial.path`; temporary failures are retried.

    Parameters
    ----------
    address
        Address of the file, http:// or https://.
    partial
        Destination of the bytes; the caller has its lock.
    patience
        See `Patience`.
    advice
        Advice in the message of the error if all tries fail.

    Returns
    -------
    bool
        Whether bytes of an earlier call were used.

    Raises
    ------
    DownloadError
        If the file cannot be fetched.
    """
    resumed = bool(partial.known(address)) and partial.size() > 0
    partial.restarted = False
    failures, furthest, delay = 0, partial.size() if resumed else 0, patience.first_delay
    while True:
        try:
            _bring_rest(address, partial, patience.timeout)
            return resumed and not partial.restarted
        except requests.RequestException as error:
            if partial.size() > furthest:
                failures, furthest, delay = 0, partial.size(), patience.first_delay
            failures += 1
            if failures >= patience.tries or not _may_pass(error):
                can_go_on = partial.size() > 0 and bool(partial.known(address))
                kind = InterruptedDownload if can_go_on else DownloadError
                raise kind(_explain(address, error, failures, advice)) from error
            came = f" after {partial.size()} bytes" if partial.size() else ""
            print(f"{address}: try {failures} failed{came}: {error}", file=sys.stderr)
        time.sleep(min(delay, LONGEST_DELAY))
        delay *= 2


def _bring_rest(address: str, partial: Partial, timeout: float) -> None:
    known, size = partial.known(address), partial.size()
    if known and size == known["size"]:
        return
    headers = dict(AS_IT_IS)
    if known and size:
        headers |= {"Range": f"bytes={size}-", "If-Range": known["validator"]}
    with requests.get(address, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and size:
            partial.discard()
            raise requests.ConnectionError("the server has fewer bytes than were received")
        response.raise_for_status()
        total = known.get("size")
        if response.status_code != requests.codes.partial_content:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            partial.start(address, _validator(response), total)
        elif not _is_rest(response, known, size):
            partial.discard()
            raise requests.ConnectionError("the server sent another part than was asked for")
        _append(response, partial.path, total)


def _is_rest(response: requests.Response, known: dict, size: int) -> bool:
    """Whether a response is the rest of the known content, starting at byte `size`."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    return (
        found is not None
        and int(found[1]) == size
        and (found[2] == "*" or known["size"] in (None, int(found[2])))
        and _validator(response) in (known["validator"], None)
    )


def _validator(response: requests.Response) -> str | None:
    """Identifier of the content of an address: a strong ETag, else Last-Modified."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _append(response: requests.Response, path: Path, total: int | None) -> None:
    name, came = path.name.strip(".").removesuffix(".partial"), path.stat().st_size
    bar = tqdm(total=total, initial=came, unit="B", unit_scale=True, desc=name, disable=None)
    with open(path, "ab") as file, bar as progress:
        try:
            # Some servers call .tgz a content encoding. Do not gunzip: the file itself is
            # compressed. read1 returns the available bytes, so none are lost at a timeout.
            while block := response.raw.read1(BLOCK, decode_content=False):
                file.write(block)
                progress.update(len(block))
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        file.flush()
        os.fsync(file.fileno())
    if total is not None and path.stat().st_size != total:
        raise requests.ConnectionError(f"{path.stat().st_size} bytes came of {total}")


def _may_pass(error: requests.RequestException) -> bool:
    if isinstance(error, requests.TooManyRedirects):
        return False
    if error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in TEMPORARY_STATUS
    # Invalid addresses also raise ValueError.
    return not isinstance(error, ValueError)


def _explain(address: str, error: requests.RequestException, tries: int, advice: str) -> str:
    what = f"the download failed: {error}"
    if error.response is not None:
        what = f"the server answered {error.response.status_code} {error.response.reason}"
    number = "" if tries == 1 else f" ({tries} tries)"
    return f"{address}: {what}{number}. {advice}"
