"""Set up `.venv`: check what the machine offers, then install requirements.lock.

Run by `make`, with the standard library only and any Python from 3.7 on, so that a wrong Python
is told in a sentence. The stamp `.venv/.complete` is written last: a set-up that was interrupted
or whose lock changed starts again, and one that is complete costs nothing.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from machine_checks import SUPPORTED, SetUpError, check_machine

ROOT = Path(__file__).resolve().parents[1]
FREE_GIGABYTES = 6.0  # PyTorch and its CUDA libraries take most of it
# fairseq comes as source and imports these while it is built, so they are installed first.
BUILT_WITH = ("setuptools", "wheel", "cython", "numpy", "torch")
LAST_LINES = 8


def read_lock(path):
    """The pins of a lock file.

    Parameters
    ----------
    path : Path
        Lines of `name==version`; comments and empty lines are skipped.

    Returns
    -------
    dict of lower-case name to "name==version"

    Raises
    ------
    SetUpError
        If a line is not a pin.
    """
    pins = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._]+", line):
            raise SetUpError(f"{path.name}, line {number}: expected name==version, found {line!r}.")
        pins[line.partition("==")[0].lower()] = line
    return pins


def stamp_of(lock, environment):
    """What the stamp of a complete environment says: the lock's digest and where it lies."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    # A moved environment is set up again: its programs name the interpreter by an absolute path.
    return f"{digest}\n{environment}\n"


def is_complete(lock, environment):
    """Whether `environment` holds exactly this lock, installed to the end, in this place."""
    stamp = environment / ".complete"
    if not stamp.is_file() or not (environment / "bin" / "python").exists():
        return False
    return stamp.read_text(encoding="utf-8") == stamp_of(lock, environment)


def build_environment(environment):
    """The variables to install with: all of `environment` but CUDA_HOME.

    With CUDA_HOME set fairseq would build CUDA extensions whose source its archive lacks.
    """
    return {name: value for name, value in environment.items() if name != "CUDA_HOME"}


def run_stage(title, command, log, environment):
    """Run one command of the set-up, with one line on the screen and the rest in the log.

    Raises
    ------
    SetUpError
        If it fails: its last lines, where all of them are, and what to do.
    """
    print(f"{title} ...", end="", flush=True)
    started = time.monotonic()
    with log.open("ab") as out:
        out.write(f"\n== {title}\n".encode())
        out.flush()
        first = out.tell()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        try:
            status = process.wait()
        finally:
            process.terminate()
            process.wait()
    print(f" {time.monotonic() - started:.0f} s", flush=True)
    if status != 0:
        said = log.read_bytes()[first:].decode(errors="replace").splitlines()
        last = "\n".join(f"  {line}" for line in said[-LAST_LINES:])
        raise SetUpError(
            f"{title}: ended with status {status}. Its last lines:\n{last}\n"
            f"The whole output is in {log.relative_to(ROOT) if ROOT in log.parents else log}; if "
            "the network or the disk failed, run the same command again."
        )


@contextmanager
def only_one(lock):
    """Let one set-up at a time work in this folder; a second one waits."""
    import fcntl  # not at the top: the message for a wrong Python should come first everywhere

    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up runs in this folder; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            print("This file system has no locks: run one set-up at a time.", flush=True)
        yield


def make_empty(folder):
    """Make a folder, or remove all that is in it; a link to a larger disk stays a link."""
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(str(entry))
        else:
            entry.unlink()


def install(python, lock, environment):
    """Make the environment anew and install the lock in three stages.

    fairseq-fixed names torch among its build requirements, so under build isolation pip would
    fetch a second one; hence the order, and no isolation.

    Raises
    ------
    SetUpError
        If a stage fails; no stamp is left, so the next run starts again.
    """
    pins = read_lock(lock)
    missing = [name for name in BUILT_WITH if name not in pins]
    if missing:
        raise SetUpError(f"{lock.name} does not pin {', '.join(missing)}; add name==version.")
    variables = build_environment(os.environ)
    if len(variables) < len(os.environ):
        print("CUDA_HOME is set and is ignored here: fairseq's archive lacks its CUDA sources.")
    make_empty(environment)
    log = environment / "set-up.log"
    make = [python["executable"], "-m", "venv", str(environment)]
    run_stage("Set-up: making .venv", make, log, variables)
    # Whatever pip is configured to (a mirror, a cache, a certificate) holds here as well.
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    step = [*pip, "install", "--quiet", "--no-input"]
    first = [*step, "--constraint", str(lock), *(pins[name] for name in BUILT_WITH)]
    run_stage("Set-up 1 of 3: PyTorch and what fairseq is built with", first, log, variables)
    rest = [*step, "--no-build-isolation", "--no-deps", "--requirement", str(lock)]
    title = f"Set-up 2 of 3: {len(pins)} packages, fairseq compiled (some minutes)"
    run_stage(title, rest, log, variables)
    run_stage("Set-up 3 of 3: checking that they fit together", [*pip, "check"], log, variables)
    # pip was told to leave its cache alone, so a second clone takes a fraction of the time.
    stamp = environment / ".complete"
    temporary = environment / ".complete.part"
    temporary.write_text(stamp_of(lock, environment), encoding="utf-8")
    os.replace(str(temporary), str(stamp))


def main(arguments=None):
    """Set up `.venv` beside requirements.lock unless it is complete.

    Raises
    ------
    SetUpError
        If the machine lacks something or a stage fails.
    """
    parser = argparse.ArgumentParser(description="Install requirements.lock into .venv.")
    parser.add_argument(
        "--free-gigabytes",
        type=float,
        default=FREE_GIGABYTES,
        help="refuse to start with less free disk than this (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    lock, environment = ROOT / "requirements.lock", ROOT / ".venv"
    if is_complete(lock, environment):
        return
    candidates = [sys.executable, *("python{}.{}".format(*version) for version in SUPPORTED)]
    python = check_machine(candidates, os.environ, ROOT, options.free_gigabytes)
    with only_one(lock):
        if not is_complete(lock, environment):
            install(python, lock, environment)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        main()
    except (SetUpError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again", file=sys.stderr)
        sys.exit(130)
