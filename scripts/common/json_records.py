"""Read the JSON records that earlier steps wrote, and check their keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .files import UserError


def read_record(path: Path, keys: Sequence[str]) -> dict:
    """Read a JSON object that must have `keys`.

    Raises
    ------
    UserError
        If the file is missing, no JSON object, or lacks a key.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no file at {path}; run the step that makes it first") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); make it again") from None
    missing = [key for key in keys if not isinstance(record, dict) or key not in record]
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}; expected an object with {', '.join(keys)}: "
            "make it again"
        )
    return record
