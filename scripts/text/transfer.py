"""Downloads that go on where they were cut off.

What came so far lies beside the file it will become, with a note of which content it is the
start of. Only a server that confirms this very content by its validator (a strong ETag, or else
Last-Modified) may add to it; otherwise the download starts again.
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

from running.files import replace_when_complete
from text.addresses import DownloadError

# The server asks for patience; any other 4xx will be answered the same the next time.
TEMPORARY_STATUS = {408, 425, 429}
LONGEST_DELAY = 60.0
BLOCK = 1 << 18
AS_IT_IS = {"Accept-Encoding": "identity"}


class InterruptedDownload(DownloadError):
    """A download that can go on where it was cut off."""


class Patience(NamedTuple):
    """How long a download is tried.

    Attributes
    ----------
    tries : int
        Failed tries in a row; one that brings more than any before it does not count.
    timeout : float
        Seconds without a byte, after which a try has failed.
    first_delay : float
        Seconds before the second try; doubled for each further one.
    """

    tries: int = 5
    timeout: float = 60.0
    first_delay: float = 1.0


class Partial:
    """The bytes of a file that came so far, and what they are the start of.

    Parameters
    ----------
    target : path
        The complete file. The partial one and its note lie in the same folder, hidden.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.partial")
        self.note = target.with_name(f".{target.name}.partial.json")
        self.lock = target.with_name(f".{target.name}.partial.lock")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes away.

        Raises
        ------
        DownloadError
            When another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise DownloadError(
                f"{self.path}: another process is fetching this file now. Wait until it ends, or "
                "stop it."
            ) from None
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)
            lock.release()

    def size(self) -> int:
        """Number of bytes that came so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def known(self, address: str) -> dict:
        """What the bytes are the start of: "validator" and "size"; empty if nobody can say."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            trusted = note["address"] == address and note["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return note if trusted and self.path.exists() else {}

    def start(self, address: str, validator: str | None, size: int | None) -> None:
        """Drop what there is, and note what comes now."""
        self.discard()
        with replace_when_complete(self.note) as temporary:
            note = {"address": address, "validator": validator, "size": size}
            temporary.write_text(json.dumps(note), encoding="utf-8")
        self.path.touch()

    def discard(self) -> None:
        """Drop what there is."""
        # The note first: bytes without a note are never trusted.
        self.note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def download(address: str, partial: Partial, patience: Patience, advice: str) -> bool:
    """Download one file to `partial.path`, with new tries as long as the failure may pass.

    Parameters
    ----------
    address
        Of the file, http:// or https://.
    partial
        Where the bytes go; held by the caller.
    patience
        See `Patience`.
    advice
        What to do when it fails in the end, for the message.

    Returns
    -------
    bool
        Whether bytes of an earlier call were used.

    Raises
    ------
    DownloadError
        When the file cannot be had.
    """
    resumed = bool(partial.known(address)) and partial.size() > 0
    failures, furthest, delay = 0, partial.size() if resumed else 0, patience.first_delay
    while True:
        try:
            return not _try_once(address, partial, patience.timeout) and resumed
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


def _try_once(address: str, partial: Partial, timeout: float) -> bool:
    """Bring the rest of the file, or all of it; returns whether it started again."""
    known, size = partial.known(address), partial.size()
    if known and known["size"] is not None and size == known["size"]:
        return False
    headers = dict(AS_IT_IS)
    if known and size:
        headers |= {"Range": f"bytes={size}-", "If-Range": known["validator"]}
    with requests.get(address, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and size:
            partial.discard()
            return _try_once(address, partial, timeout)
        response.raise_for_status()
        try:
            restarted = not _continues(response, known, size)
        except requests.ConnectionError:
            partial.discard()
            raise
        if restarted:
            size = 0
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            partial.start(address, _validator(response), total)
        else:
            total = known["size"]
        _append(response, partial.path, size, total)
    return restarted


def _continues(response: requests.Response, known: dict, size: int) -> bool:
    """Whether an answer is the rest of the content that was asked for."""
    if response.status_code != requests.codes.partial_content:
        return False
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    fits = found is not None and int(found[1]) == size
    if fits and found[3] != "*" and known["size"] is not None:
        fits = int(found[3]) == known["size"]
    if not fits or _validator(response) not in (known["validator"], None):
        raise requests.ConnectionError("the server sent another part than was asked for")
    return True


def _validator(response: requests.Response) -> str | None:
    """What tells one content of an address from another: a strong ETag, else Last-Modified."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return response.headers.get("Last-Modified")


def _append(response: requests.Response, path: Path, size: int, total: int | None) -> None:
    with (
        open(path, "ab") as file,
        tqdm(
            total=total,
            initial=size,
            unit="B",
            unit_scale=True,
            desc=path.name.strip(".").removesuffix(".partial"),
            disable=None,
        ) as progress,
    ):
        try:
            # Some servers call .tgz a content encoding; it is the file, so it is not undone.
            # read1 gives what there is, so nothing that came is lost where the rest stalls.
            while block := response.raw.read1(BLOCK, decode_content=False):
                file.write(block)
                progress.update(len(block))
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        file.flush()
        os.fsync(file.fileno())
    came = path.stat().st_size
    if total is not None and came != total:
        raise requests.ConnectionError(f"{came} bytes came of {total}")


def _may_pass(error: requests.RequestException) -> bool:
    if isinstance(error, requests.TooManyRedirects):
        return False
    if error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in TEMPORARY_STATUS
    # Errors in the address itself are ValueErrors as well.
    return not isinstance(error, ValueError)


def _explain(address: str, error: Exception, tries: int, advice: str) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        what = f"the server answered {response.status_code} {response.reason}"
    else:
        what = f"the download failed: {error}"
    number = "" if tries == 1 else f" ({tries} tries)"
    return f"{address}: {what}{number}. {advice}"
