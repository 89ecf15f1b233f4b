"""Where the file of a source is: upstream, on a mirror, or in a folder."""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from running.files import UserError


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
        if urlsplit(address).netloc not in ("", "localhost"):
            raise DownloadError(
                f"{address}: a file:// address has three slashes and a whole path, such as "
                "file:///data/mirror/europarl.zip."
            )
        return Path(unquote(urlsplit(address).path))
    if mirror is None or "://" in mirror:
        raise DownloadError(f"{address}: addresses should start with http://, https:// or file://.")
    return Path(mirror) / path
