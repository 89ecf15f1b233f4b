"""The right to write parts into a folder: one recording at a time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from .format import open_cube
from .layout import CubeError

LOCK_NAME = ".recording.lock"
_TRIAL_BYTES = 4096

# Recordings of this process by the folder they hold.
_HOLDERS: WeakValueDictionary[str, FolderClaim] = WeakValueDictionary()


class FolderClaim:
    """Holds a folder from `take` to `release`, or until the process ends.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.taken_over = False
        self._lock = FileLock(self.folder / LOCK_NAME, timeout=0, thread_local=False)

    @property
    def held(self) -> bool:
        """Whether the folder is this recording's now."""
        return self._lock.is_locked

    def take(self, resuming: bool) -> None:
        """Take the folder, and write to it to see whether that is possible.

        Parameters
        ----------
        resuming : bool
            Whether a training goes on. Then an earlier recording of this same process, which was
            interrupted and never ended, gives the folder up.

        Raises
        ------
        CubeError
            If another recording holds it, or nothing can be written there.
        """
        key = str(self.folder.absolute())
        earlier = _HOLDERS.get(key)
        if resuming and earlier is not None and earlier is not self:
            earlier.taken_over = True
            earlier.release()
        made = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._try_writing()
        except Timeout:
            raise CubeError(
                f"another recording writes to {self.folder}; finish or detach it, or give another "
                "folder"
            ) from None
        except OSError as error:
            self.release()
            if made:
                with suppress(OSError):
                    (self.folder / LOCK_NAME).unlink(missing_ok=True)
                    self.folder.rmdir()
            raise CubeError(
                f"nothing can be written to {self.folder} ({error.strerror or error}); make room "
                "there, or give another folder"
            ) from None
        self.taken_over = False
        _HOLDERS[key] = self

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Hold the folder while a part is written, also after it was released."""
        self.check()
        released = not self.held
        if released:
            self.take(resuming=False)
        try:
            yield
        finally:
            if released:
                self.release()

    def check(self) -> None:
        """Raise CubeError if a later recording of this process has taken the folder over."""
        if self.taken_over:
            raise CubeError(
                f"a later recording goes on in {self.folder}; this one has ended, and nothing "
                "more of it is written"
            )

    def release(self) -> None:
        """Release the folder."""
        if self.held:
            # Remove the file before unlocking: a waiting process then sees that it is gone, and
            # creates a new one.
            (self.folder / LOCK_NAME).unlink(missing_ok=True)
        self._lock.release()

    def _try_writing(self) -> None:
        trial = self.folder / f".trial.{os.getpid()}.tmp"
        try:
            with trial.open("wb") as file:
                file.write(bytes(_TRIAL_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            trial.unlink(missing_ok=True)


def marks_of_run(
    parts: Sequence[tuple[int, int, Path]], updates: int, run: str | None, parameters: str
) -> dict[str, str]:
    """The attribute "run" of the parts of a recording that begins or resumes.

    Parameters
    ----------
    parts : sequence of (first update, last update, path)
    updates : int
        Updates made before.
    run : str or None
        The recording's name, as its state in the checkpoint has it.
    parameters : str
        Fingerprint of the model as it is now.

    Raises
    ------
    CubeError
        If the parts are of another recording, or end with another state of the model.
    """
    marks: dict[str, str] = {}
    for _, last, path in [part for part in parts if part[1] <= updates][-1:]:
        with open_cube(path) as cube:
            marks = {name: str(cube.attrs.get(name, "")) for name in ("run", "parameters")}
        if run and marks["run"] and run != marks["run"]:
            raise CubeError(
                f"{path} is of another recording than the checkpoint's state; give the folder "
                "that the checkpoint was recorded into"
            )
        if last == updates and parameters and marks["parameters"] not in ("", parameters):
            raise CubeError(
                f"{path} ends with another model than the one given: its parameters after update "
                f"{updates} were different. Load the checkpoint before attaching the recorder, "
                "and give the folder that it was recorded into"
            )
    return {"run": marks.get("run") or run or secrets.token_hex(8)}
