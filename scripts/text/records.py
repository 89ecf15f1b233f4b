"""The records beside fetched archives: size, digest and address of each."""

import json
from pathlib import Path

from common.files import UserError


def read_archive_record(path: Path) -> dict | None:
    """Read the record of an archive; None if it was not fetched yet.

    Raises
    ------
    UserError
        If the record is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"bytes": int(record["bytes"]), "sha256": str(record["sha256"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Delete it, so that its archive is fetched again."
        ) from error


def check_digest(source: str, sha256: str | None, archive: Path, record: Path) -> None:
    """Check that a fetched archive has the digest in the configuration.

    If a digest is added to the configuration later, the archive is not fetched again.

    Raises
    ------
    UserError
        If the archive has another digest.
    """
    found = read_archive_record(record) if sha256 and archive.exists() else None
    if found and found["sha256"] != sha256:
        raise UserError(
            f"{archive} is not the one expected for source {source}.\n"
            f"  expected sha256 {sha256}\n  found sha256    {found['sha256']}\n"
            "Delete it, so that it is fetched again, or correct the digest: in the configuration "
            "of the source, or else the line in corpora.lock."
        )
