"""A Slurm of one machine: two slots, two GPUs that are none. Started and stopped by process id."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "squeue", "munged")
CONFIGURATION = Path("/etc/slurm")  # steps of jobs look nowhere else
MARK = "# Written by make test-slurm and removed when it ends.\n"
MUNGE = Path("/run/munge")
# Seconds: what takes so long on no machine, however busy, has gone wrong.
LONG = 300
# What is made in the queue and compared. Text, trainings and evaluations go through sbatch;
# figures, tables and claims are made where Snakemake itself runs.
TARGETS = ("cubes", "tables", "claims", "figure3")
# A machine without a network is told apart from a slow one.
APT = ["apt-get", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=30"]

SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=20
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """Why a Slurm cannot be started here."""


def install():
    """Install Slurm and munge with apt where they are missing.

    Raises
    ------
    NoSlurm
        If this is not possible here, or the machine has a Slurm of its own.
    """
    # Where Debian keeps daemons; not on everybody's path.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    if os.geteuid() != 0:
        raise NoSlurm("only root can start Slurm's daemons")
    written = CONFIGURATION / "slurm.conf"
    if written.exists() and not written.read_text().startswith(MARK):
        raise NoSlurm(f"{written} belongs to a Slurm of this machine, which is left alone")
    if written.exists() and " is UP" in ask("scontrol", "ping"):
        raise NoSlurm("another make test-slurm runs on this machine")
    if all(map(shutil.which, PROGRAMS)):
        return
    if shutil.which("apt-get") is None:
        raise NoSlurm(f"{', '.join(PROGRAMS)} are not installed, and there is no apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        [*APT, "update"],
        [*APT, "install", "-y", "--no-install-recommends", *PACKAGES],
    ):
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=2 * LONG
            )
        except subprocess.TimeoutExpired:
            raise NoSlurm(f"{' '.join(command)} did not end in {2 * LONG} s") from None
        if done.returncode != 0:
            raise NoSlurm(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
    if not all(map(shutil.which, PROGRAMS)):
        raise NoSlurm(f"apt installed {', '.join(PACKAGES)}, and not all of {', '.join(PROGRAMS)}")


class Cluster:
    """The daemons; `start` and `stop` are for the whole session, the others for single tests."""

    def __init__(self, folder, partition):
        self.folder, self.partition = folder, partition
        self.munged = None
        self.made_configuration = False

    def start(self):
        """Write the configuration, start munged, slurmctld and slurmd, wait for the node."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        CONFIGURATION.mkdir(exist_ok=True)
        settings = SETTINGS.format(
            host=socket.gethostname().partition(".")[0],
            folder=self.folder,
            partition=self.partition,
        )
        (CONFIGURATION / "slurm.conf").write_text(MARK + settings)
        (CONFIGURATION / "gres.conf").write_text(
            MARK + "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
        )
        self.made_configuration = True
        self._start_munged()
        run("slurmctld")
        run("slurmd")
        wait_until(lambda: "idle" in ask("sinfo", "-h", "-o", "%T"), LONG, "the node is not idle")

    def stop(self):
        """Cancel all jobs and stop every daemon that was started here."""
        if not self.made_configuration:
            return
        try:
            for number in ask("squeue", "-h", "-o", "%A").split():
                subprocess.run(["scancel", number], capture_output=True)
            wait_until(lambda: not ask("squeue", "-h").strip(), LONG, "jobs that do not end")
        finally:
            for name in ("slurmd", "slurmctld"):
                if (self.folder / f"{name}.pid").exists():
                    end(process_of(self.folder / f"{name}.pid", name))
            if self.munged is not None:
                end(self.munged)
            for name in ("slurm.conf", "gres.conf"):
                (CONFIGURATION / name).unlink(missing_ok=True)

    def kill_node(self):
        """Kill slurmd as a crash would; the processes of its jobs live on."""
        process = process_of(self.folder / "slurmd.pid", "slurmd")
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not runs(process), LONG, "slurmd does not end")

    def start_node(self):
        """Start slurmd again."""
        run("slurmd")

    def _start_munged(self):
        if (MUNGE / "munge.socket.2").exists() and ask("munge", "-n"):
            return
        run("install", "-d", "-o", "munge", "-g", "munge", "-m", "755", str(MUNGE))
        run("runuser", "-u", "munge", "--", shutil.which("munged"), "--force")
        wait_until(lambda: ask("munge", "-n"), LONG, "munged does not answer")
        self.munged = process_of(MUNGE / "munged.pid", "munged")


def run(*command):
    """Run a command that must succeed."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def ask(*command):
    """Output of a command; empty if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def jobs():
    """Jobs in the queue: number, state, comment (rule and wildcards), GPUs' indices."""
    found = []
    for line in ask("squeue", "-h", "-o", "%A\t%T\t%k").splitlines():
        number, state, comment = line.split("\t")
        found.append({"number": number, "state": state, "comment": comment})
    return found


def wait_until(condition, seconds, otherwise):
    """Wait for a condition; the value that was true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)
    return value


def process_of(path, name):
    """Process id in a pid file, checked to be of the program of that name."""
    process = int(path.read_text())
    assert name in Path(f"/proc/{process}/cmdline").read_text()
    return process


def runs(process):
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end(process):
    """Ask a process to end; kill it if it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not runs(process):
            return
        os.kill(process, number)
        try:
            wait_until(lambda: not runs(process), 15, "")
        except AssertionError:
            continue


def processes_with(variable, value):
    """Processes whose environment holds a variable of this value: id to command line."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0") and runs(folder.name):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
    return found


def progress_of(state):
    """Updates in the newest checkpoint of a state folder; 0 without one."""
    found = [int(path.stem[11:]) for path in state.glob("checkpoints/checkpoint_*.pt")]
    return max(found, default=0)


def owner_of(state):
    """What owner.json of a state folder says; empty without one."""
    try:
        return json.loads((state / "owner.json").read_text())
    except (OSError, ValueError):
        return {}
