"""The location of a source's file: the publisher's server, a mirror, or a folder."""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from common.files import UserError


class DownloadError(UserError):
    """A file could not be fetched, or is not the expected one."""


def locate(url: str, path: str, mirror: str | None) -> str | Path:
    """The location of a file: its address at the publisher or on a mirror, or its local path.

    Parameters
    ----------
    url
        The address upstream.
    path
        The path on the mirror, the same as on the publisher's server.
    mirror
        None, a folder, or a file://, http:// or https:// address.

    Raises
    ------
    DownloadError
        If `path` leads out of the mirror, or the mirror is none of these kinds of address.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise DownloadError(f"path should be a relative path without '..', but is {path!r}.")
    address = url if mirror is None else f"{mirror.rstrip('/')}/{path}"
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        return address
    if scheme == "file":
        if urlsplit(address).netloc not in ("", "localhost"):
            raise DownloadError(
                f"{address}: a file:// address has three slashes and a whole path, such as "
                "file:///data/mirror/europarl.zip."
            )
        return Path(unquote(urlsplit(address).path))
    if mirror is None or "://" in mirror:
        raise DownloadError(f"{address}: addresses should start with http://, https:// or file://.")
    return Path(mirror) / path
