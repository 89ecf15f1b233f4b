"""Files that appear only when they are complete, and errors that the user can correct."""

import errno
import os
import re
import secrets
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# EFBIG is reported for a limit on file size, EDQUOT for a disk quota.
FULL_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UserError(Exception):
    """An error that the user can correct: bad input, a missing file, a failed download.

    The message says what is wrong, where, what was expected and found, and what to do next.
    Scripts print it without a traceback; see `run_script`.
    """


class FullDiskError(UserError):
    """A file could not be written because the disk is full or a quota or size limit is reached."""


@contextmanager
def full_disk_explained(path: str | os.PathLike) -> Iterator[None]:
    """Raise `FullDiskError` with the name `path` if the block fails because the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK_ERRORS:
            raise
        raise FullDiskError(
            f"{path} could not be written: {os.strerror(error.errno)}. Nothing was kept of it. "
            "Free some space, or put the results on a larger disk, and run the same again."
        ) from error


@contextmanager
def replace_when_complete(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path; when the block ends, its file replaces `path`.

    Until then an existing file at `path` is unchanged. If the block raises an error, the temporary
    file is removed and nothing else changes. Missing parent folders are created.

    Parameters
    ----------
    path
        Path of the complete file.

    Yields
    ------
    Path
        The temporary path to write to, in the folder of `path`.

    Raises
    ------
    FullDiskError
        When the block fails because the disk is full; the message names `path`.

    Examples
    --------
    >>> with replace_when_complete("results/counts.json") as temporary:
    ...     temporary.write_text("{}")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with full_disk_explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def run_script(main: Callable[[], object]) -> None:
    """Run the `main` of a script; an expected error ends it with one message and exit status 1.

    Expected are `UserError` and `OSError` (a missing file, a full disk). An `OSError`, or one that
    a `UserError` was raised from, may also be a bug of the program. Its traceback is printed before
    the message, unless it is about a full disk or a file that the command line names. Any other
    exception is a bug and keeps its traceback. SIGTERM ends the script like an exception, so that
    temporary files are removed.

    Raises
    ------
    SystemExit
        With status 1 after an expected error, 143 after SIGTERM.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        main()
    except (UserError, OSError) as error:
        if _may_be_a_bug(error):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _may_be_a_bug(error: BaseException) -> bool:
    """Whether an error is, or was raised from, an OSError that may be a bug of the program."""
    if not isinstance(error, OSError):
        cause = error.__cause__
        # An OSError without a number was raised by a library, not by the operating system.
        refusal = isinstance(cause, OSError) and cause.errno is None
        return cause is not None and not refusal and _may_be_a_bug(cause)
    if error.errno in FULL_DISK_ERRORS:
        return False
    if not isinstance(error.filename, str):
        return True
    # Match whole paths: neither --models nor results/models names the file "models".
    forms = {error.filename, os.path.relpath(error.filename), os.path.abspath(error.filename)}
    names = "|".join(map(re.escape, forms))
    return not re.search(rf"(?<![\w./-])({names})(?![\w./-])", " ".join(sys.argv[1:]))
