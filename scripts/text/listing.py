"""List the archives that a run would fetch, with sizes, licences and addresses."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from text.addresses import locate
from text.records import read_archive_record
from text.transfer import AS_IT_IS

TIMEOUT = 10.0  # seconds; the size of an archive is not needed, so a slow server is skipped
PARALLEL = 4


class Listed(NamedTuple):
    """One archive: its size, and whether it was fetched already.

    `size` is None if the server does not state it; `sha256` is None before the archive is fetched.
    """

    sources: list[str]
    path: str
    size: int | None
    is_here: bool
    sha256: str | None
    licence: str
    citation: str
    address: str


def list_archives(
    sources: Iterable[Mapping], folder: Path, mirror: str | None = None
) -> list[Listed]:
    """List the archives of sources; servers are asked only about archives not fetched yet.

    Parameters
    ----------
    sources
        With name, url, path, licence and citation. Several may share a path.
    folder
        Folder of the fetched archives; each is stored there under its `path`.
    mirror
        See `download.locate`.
    """
    by_path: dict[str, list[Mapping]] = {}
    for source in sources:
        by_path.setdefault(source["path"], []).append(source)

    def look(path: str) -> Listed:
        first = by_path[path][0]
        place = locate(first["url"], path, mirror)
        record = read_archive_record(folder / f"{path}.json") if (folder / path).exists() else None
        return Listed(
            sources=[source["name"] for source in by_path[path]],
            path=path,
            size=record["bytes"] if record else _ask_size(place),
            is_here=record is not None,
            sha256=record["sha256"] if record else None,
            licence=first["licence"],
            citation=first["citation"],
            address=str(place),
        )

    with ThreadPoolExecutor(PARALLEL) as executor:
        return list(executor.map(look, by_path))


def _ask_size(place: str | Path) -> int | None:
    if isinstance(place, Path):
        return place.stat().st_size if place.is_file() else None
    try:
        response = requests.head(place, headers=AS_IT_IS, timeout=TIMEOUT, allow_redirects=True)
        response.raise_for_status()
        return int(response.headers["Content-Length"])
    except (requests.RequestException, KeyError, ValueError):
        return None


def describe_archives(archives: Iterable[Listed]) -> Iterator[str]:
    """Yield the lines of a readable list; the last line is the sum of the sizes."""
    archives = list(archives)
    for archive in archives:
        yield ", ".join(archive.sources)
        size = "size unknown" if archive.size is None else f"{archive.size / 1e6:,.1f} MB"
        digest = f", sha256 {archive.sha256}" if archive.sha256 else ""
        yield f"  {size}, {'here' if archive.is_here else 'to fetch'}{digest}"
        yield f"  {archive.address}"
        yield f"  licence: {archive.licence}"
        yield f"  cite: {archive.citation}"
    missing = [archive for archive in archives if not archive.is_here]
    known = sum(archive.size or 0 for archive in missing)
    unknown = sum(archive.size is None for archive in missing)
    rest = f", and {unknown} of unknown size" if unknown else ""
    yield (
        f"{len(archives)} archives, {len(archives) - len(missing)} of them here; "
        f"to fetch: {known / 1e6:,.1f} MB{rest}"
    )
