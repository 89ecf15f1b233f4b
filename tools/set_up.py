"""Set up `.venv`: check the machine, then install requirements.lock.

`make` runs it. It uses the standard library only and works with any Python from 3.7 on, so that a
wrong Python ends in a readable message. The stamp `.venv/.complete` is written last: a set-up that
was interrupted, or whose lock has changed, starts again; a complete one is left as it is.
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
from pip_settings import read_pip_settings, uv_settings

ROOT = Path(__file__).resolve().parents[1]
FAIRSEQ_BUILD = ROOT / "tools" / "fairseq_build"
FREE_GIGABYTES = 6.0  # PyTorch and its CUDA libraries take most of it
LAST_LINES = 8
# The user chooses the build of these (for CPUs or for CUDA), by the index or folder in pip's
# settings or by UV_TORCH_BACKEND. So their hashes are not checked.
ANY_BUILD = ("torch", "torchaudio")
# Installed in stages of their own.
APART = ("uv", *ANY_BUILD, "fairseq-fixed")
# Patterns in the output of a failed stage, and advice; the first pattern that matches is used.
CAUSES = (
    (
        r"No space left on device|os error 28|Disk quota exceeded",
        "The disk is full: free some space, or move the clone (or UV_CACHE_DIR) to another disk.",
    ),
    (
        r"(?i)hash mismatch|hashes? (do|does) not match|do not match the hashes",
        "The index has other files than the lock names. If it is a mirror that builds its packages "
        "itself, set UV_NO_VERIFY_HASHES=1.",
    ),
    (
        r"(?i)name resolution|name or service not known|dns error|connection refused|unreachable|"
        r"failed to establish|error sending request|timed out|from versions: none|no versions of",
        "The package index was not reached, or lacks a package: look at the network, and at what "
        "`pip config list` says of a mirror or a proxy.",
    ),
)


def read_lock(path):
    """The pins of a lock file.

    Parameters
    ----------
    path : Path
        Pins `name==version`, each followed by its hashes, as `make lock` writes them.

    Returns
    -------
    dict of name to (version, the pin's lines with its hashes)

    Raises
    ------
    SetUpError
        If a pin has no hash, or a package that is installed apart has no pin.
    """
    pins = {}
    for lines in re.split(r"^(?=[^\s#])", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        pin = re.match(r"([a-z0-9._-]+)==([^\s;]+)", lines)
        if pin is None or "--hash=sha256:" not in lines:
            raise SetUpError(
                f"{path.name}: expected name==version with hashes, found "
                f"{lines.splitlines()[0]!r}; run make lock."
            )
        pins[pin.group(1)] = pin.group(2), lines
    missing = [name for name in APART if name not in pins]
    if missing:
        raise SetUpError(f"{path.name} does not pin {', '.join(missing)}; run make lock.")
    return pins


def digest_of(path):
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stamp_of(lock, environment):
    """Text of the stamp: digests of the files that the environment is made from, and its path."""
    digests = [digest_of(lock), digest_of(FAIRSEQ_BUILD / "sitecustomize.py")]
    # A moved environment is set up again: its programs name the interpreter by an absolute path.
    return "\n".join([*digests, str(environment), ""])


def is_complete(lock, environment):
    """Whether `environment` was made completely, from this lock and at this path."""
    stamp = environment / ".complete"
    if not stamp.is_file() or not (environment / "bin" / "python").exists():
        return False
    return stamp.read_text(encoding="utf-8") == stamp_of(lock, environment)


def run_stage(title, command, log, environment):
    """Run one command of the set-up, with one line on the screen and the rest in the log.

    Raises
    ------
    SetUpError
        If it fails; with its last lines, the path of its whole output, and advice.
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
        said = log.read_bytes()[first:].decode(errors="replace")
        last = "\n".join(f"  {line}" for line in said.splitlines()[-LAST_LINES:])
        unknown = "It may have been the network or the disk."
        cause = next((advice for pattern, advice in CAUSES if re.search(pattern, said)), unknown)
        raise SetUpError(
            f"{title}: ended with status {status}. Its last lines:\n{last}\n"
            f"The whole output is in {log.relative_to(ROOT) if ROOT in log.parents else log}. "
            f"{cause} Then run the same command again."
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
    """Make a folder, or remove all that is in it; a link to a larger disk stays a link.

    Raises
    ------
    SetUpError
        If the folder is a link to the complete environment of another clone. Nothing is removed.
    """
    stamp = folder / ".complete"
    if folder.is_symlink() and stamp.is_file():
        owner = stamp.read_text(encoding="utf-8").splitlines()[-1:]
        if owner != [str(folder)]:
            raise SetUpError(
                f"{folder} is a link to {folder.resolve()}, the environment of another clone, and "
                "making it anew would empty that one. Nothing was changed. Remove the link and run "
                "the same command again, or set up the other clone."
            )
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(str(entry))
        else:
            entry.unlink()


def fairseq_variables(variables):
    """The variables to build fairseq with: see tools/fairseq_build/sitecustomize.py.

    With CUDA_HOME set fairseq would build CUDA extensions whose source its archive lacks.
    """
    kept = {name: value for name, value in variables.items() if name != "CUDA_HOME"}
    return {**kept, "PYTHONPATH": str(FAIRSEQ_BUILD)}


def write_requirements(path, pins, names):
    """Write some packages of the lock, with their hashes; the file's path as text."""
    path.write_text("".join(pins[name][1] for name in names), encoding="utf-8")
    return str(path)


def install_uv(environment, pins, log, variables):
    """Put uv into the environment, with pip.

    Returns
    -------
    command : list of str
        The start of a command that installs with uv.
    variables : dict
        Environment variables for this command, with pip's settings.
    """
    python = str(environment / "bin" / "python")
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-input", "--no-deps", "--require-hashes"]
    command += ["--requirement", write_requirements(environment / "uv.txt", pins, ["uv"])]
    run_stage("Set-up 1 of 5: uv, which installs the rest", command, log, variables)
    more, options = uv_settings(read_pip_settings(python, variables), variables)
    uv = [str(environment / "bin" / "uv"), "pip", "install", "--no-progress", "--python", python]
    return [*uv, *options], {**variables, **more}


def install_lock(environment, pins, log, uv, variables):
    """Install what the lock pins: most packages, then PyTorch, then fairseq.

    fairseq comes as source whose build needs PyTorch, so it comes last, and without build
    isolation, which would fetch a second PyTorch.
    """
    rest = [name for name in pins if name not in APART]
    file = write_requirements(environment / "rest.txt", pins, rest)
    command = [*uv, "--no-deps", "--requirements", file]
    # With this variable uv would take some of them from PyTorch's index, which has other files.
    without = {name: value for name, value in variables.items() if name != "UV_TORCH_BACKEND"}
    run_stage(f"Set-up 2 of 5: {len(rest)} packages", command, log, without)
    command = [*uv, *(f"{name}=={pins[name][0]}" for name in ANY_BUILD)]
    run_stage("Set-up 3 of 5: PyTorch", command, log, variables)
    # uv caches its builds under this key, so that it does not take another build of fairseq. It
    # takes no wheel from an index either, which would be compiled against another PyTorch.
    mark = f"fairseq-fixed:reduced-by={digest_of(FAIRSEQ_BUILD / 'sitecustomize.py')[:16]}"
    file = write_requirements(environment / "fairseq.txt", pins, ["fairseq-fixed"])
    command = [*uv, "--no-deps", "--no-build-isolation", "--no-binary", "fairseq-fixed"]
    command += ["--config-settings-package", mark, "--requirements", file]
    title = "Set-up 4 of 5: fairseq, without libbleu, libbase, libnat, alignment_train, classifiers"
    run_stage(title, command, log, fairseq_variables(variables))


def install(python, lock, environment):
    """Make the environment anew and install the lock into it.

    Raises
    ------
    SetUpError
        If a stage fails; no stamp is left, so the next run starts again.
    """
    pins = read_lock(lock)
    make_empty(environment)
    log = environment / "set-up.log"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    make = [python["executable"], "-m", "venv", str(environment)]
    run_stage("Set-up: making .venv", make, log, variables)
    uv, for_uv = install_uv(environment, pins, log, variables)
    install_lock(environment, pins, log, uv, for_uv)
    check = [str(environment / "bin" / "python"), "-m", "pip", "check"]
    run_stage("Set-up 5 of 5: checking that they fit together", check, log, variables)
    # Caches are kept: they make the set-up of a second clone much faster.
    temporary = environment / ".complete.part"
    temporary.write_text(stamp_of(lock, environment), encoding="utf-8")
    os.replace(str(temporary), str(environment / ".complete"))


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
    # Through a link it may be the complete environment of another clone, with the same lock.
    if is_complete(lock, environment) or is_complete(lock, environment.resolve()):
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
    except PermissionError as error:
        print(
            f"error: {error.filename} cannot be written ({error.strerror}); put the clone into a "
            "folder of your own, or correct its permissions.",
            file=sys.stderr,
        )
        sys.exit(1)
    except (SetUpError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again", file=sys.stderr)
        sys.exit(130)
