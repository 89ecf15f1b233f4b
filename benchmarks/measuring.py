"""Seconds, memory and disk of commands, with all the processes that they start."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil


class Measured(NamedTuple):
    """Time, memory and disk that a command needed.

    Attributes
    ----------
    seconds, cpu : float
        Wall time; time on all processors together.
    memory : int
        Bytes, most at any moment, of all its processes together.
    disk : int
        Bytes, most at any moment, of all files in the folder that was watched.
    """

    seconds: float
    cpu: float
    memory: int
    disk: int

    def told(self, raw: int) -> str:
        """The measured numbers in words, disk in units of `raw` bytes."""
        return (
            f"{self.seconds:.1f} s, CPU {self.cpu:.1f} s, memory {self.memory / 1e6:,.0f} MB,"
            f" disk {self.disk / raw:.2f} x raw"
        )


def print_slopes(measured: Mapping[int, Measured]) -> None:
    """Print the time of a million further pairs, from every number of pairs to the next."""
    for (few, before), (many, after) in pairwise(measured.items()):
        for name, least, most in zip(("seconds", "CPU seconds"), before, after):
            slope = (most - least) / (many - few) * 1e6
            print(f"{few:,} to {many:,} pairs: {slope:.1f} {name} a million pairs")


def measure(command: Sequence, folder: Path, **options) -> Measured:
    """Run a command to its end; `folder` is where it writes, `options` are those of Popen.

    Raises
    ------
    SystemExit
        If it fails.
    """
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], **options)
    most = {"memory": 0, "disk": 0}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, folder, most, ended))
    watcher.start()
    # wait4 returns the processor time of this process and of all children that it waited for.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{command[:3]} failed with status {process.returncode}")
    # The peak of this process alone may have been between two measurements of the watcher.
    most["memory"] = max(most["memory"], usage.ru_maxrss * 1024)
    return Measured(seconds, usage.ru_utime + usage.ru_stime, **most)


def _watch(pid: int, folder: Path, most: dict, ended: threading.Event) -> None:
    while not ended.wait(0.05):
        try:
            watched = psutil.Process(pid)
            family = [watched, *watched.children(recursive=True)]
            memory = sum(each.memory_info().rss for each in family)
            disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        except (psutil.Error, FileNotFoundError):
            continue
        most["memory"] = max(most["memory"], memory)
        most["disk"] = max(most["disk"], disk)
