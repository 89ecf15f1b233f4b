"""Python programs in processes of their own that need not import what they use.

Importing PyTorch and fairseq takes about five seconds, and many tests start a training several
times. A server imports modules once; every program is then a fork of it. It is a process like any
other: it can be killed, has its own session if asked, and its own environment and outputs. (What
all of them share is the seed of Python's hashes. tests/test_workflow.py makes the same cubes in
processes that do not.) The workers that a training starts are forks as well; tests/test_workers.py
has a training that starts them as a user's does.
"""

from __future__ import annotations

import array
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import cache, partial
from pathlib import Path
from typing import IO

TRAINING = ("training.run", "training.workers", "netCDF4", "torch._dynamo", "fairseq_cli.train")
WORKFLOW = ("snakemake.cli", "snakemake.api", "pydantic", "yaml", "numpy", "psutil", "tabulate")


class PreparedProcess:
    """A running program; what it has of `subprocess.Popen` works as it does there.

    Parameters
    ----------
    command : list of str
        `[sys.executable, "-B", script, ...]`, `[sys.executable, "-m", module, ...]` or
        `[sys.executable, "-c", code, ...]`; "-B" may be missing.
    modules : tuple of str
        What the server has imported.
    cwd, env, start_new_session
        As those of `subprocess.Popen`.
    stderr : optional
        `subprocess.STDOUT` if both outputs are one.
    """

    def __init__(
        self,
        command: list[str],
        modules: tuple[str, ...] = TRAINING,
        *,
        cwd: str | Path | None = None,
        env: dict[str, str] | None = None,
        start_new_session: bool = False,
        stderr: int | None = None,
    ):
        written, self.stdout = _file()
        others, self.stderr = (written, self.stdout) if stderr == subprocess.STDOUT else _file()
        self.returncode: int | None = None
        request = {
            "arguments": [part for part in command[1:] if part != "-B"],
            "cwd": os.fspath(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(_server(modules)[0])
        files = array.array("i", [written.fileno(), others.fileno()])
        line = json.dumps(request).encode() + b"\n"
        sent = self._server.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        self._server.sendall(line[sent:])
        self._answers = self._server.makefile("r")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """The exit code; None while the program runs."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit code, which is negative after a signal."""
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._server.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; what was written to stdout and to stderr."""
        self.wait(timeout)
        return self.stdout.read(), "" if self.stderr is self.stdout else self.stderr.read()

    def kill(self) -> None:
        """Kill the program."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the program to end."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """Send a signal if the program still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def run_prepared(
    command: list[str], modules: tuple[str, ...] = TRAINING, **options
) -> subprocess.CompletedProcess:
    """Run a program to its end, as `subprocess.run` does with its outputs captured."""
    process = PreparedProcess(command, modules, **options)
    outputs = process.communicate()
    return subprocess.CompletedProcess(command, process.wait(), *outputs)


def _file() -> tuple[IO[str], IO[str]]:
    """A file without a name, opened for writing and, at a place of its own, for reading."""
    writing = tempfile.NamedTemporaryFile("a", encoding="utf-8")  # noqa: SIM115
    return writing, Path(writing.name).open(encoding="utf-8")


@cache
def _server(modules: tuple[str, ...]) -> tuple[str, subprocess.Popen]:
    """Start a server, which ends with this process; where it listens, and its process."""
    address = os.path.join(tempfile.mkdtemp(prefix="losschange-tests-"), "server")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    process = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno()), *modules],
        # It reads nothing; the end of its input tells it that this process has ended.
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    listener.close()
    return address, process


def _serve(listener: socket.socket) -> None:
    """Fork for every request until the process that started this one ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(client)
        client.close()
    os.unlink(listener.getsockname())
    os.rmdir(os.path.dirname(listener.getsockname()))


def _answer(client: socket.socket) -> None:
    """Fork the program, tell its process number, wait for it, tell its exit code; no return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size = array.array("i").itemsize * 2
    data, ancillary, *_ = client.recvmsg(1 << 16, socket.CMSG_LEN(size))
    files = array.array("i", ancillary[0][2][:size])
    while not data.endswith(b"\n"):
        data += client.recv(1 << 16)
    program = os.fork()
    if program == 0:
        client.close()
        _become(json.loads(data), *files)
    client.sendall(f"{program}\n".encode())
    _, status = os.waitpid(program, 0)
    client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict, stdout: int, stderr: int) -> None:
    """Run the program in this process and end it as Python does."""
    code = 1
    try:
        if request["session"]:
            os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        if processes := sys.modules.get("torch.multiprocessing"):
            started = partial(processes.start_processes, start_method="fork")
            processes.start_processes = started
        kind, *rest = request["arguments"]
        sys.path[0] = os.getcwd() if kind in ("-m", "-c") else os.path.dirname(kind)
        sys.argv = request["arguments"] if kind not in ("-m", "-c") else [kind, *rest[1:]]
        if kind == "-m":
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_path(kind, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        # Other ends of this process (atexit, joining threads) belong to the server.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        __import__(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
