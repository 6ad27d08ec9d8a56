"""A SLURM cluster of two nodes on this machine: its daemons run in a folder of their own, and end with the tests."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

MISSING = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
"""What a cluster needs and this machine lacks. On Debian: slurmctld, slurmd, slurm-client, munge."""

NODES = ("n1", "n2")

PATIENCE = 300.0
"""Seconds after which something that does not happen is a failure."""

CONFIGURATION = """\
ClusterName=atlas
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
JobRequeue=1
ReturnToService=2
SlurmdTimeout=10
KillWait=60
MinJobAge=3600
GresTypes=gpu
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
"""Source of the options: slurm.conf(5); cred_expire lets a job of a lost node begin again after seconds."""

GUARD = """
read -r _
for _ in 1 2 3; do # what is about to be started is not there the first time
    for file in /proc/[0-9]*/environ; do
        pid=${file#/proc/}
        tr '\\0' '\\n' <"$file" 2>/dev/null | grep -qxF "SLURM_CONF=$1/slurm.conf" && kill -9 "${pid%/environ}"
    done
    sleep 0.5
done
rm -rf "$1"
"""
"""Ends what is left of a cluster when the tests are killed: the system then closes its standard input."""

NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000 State=UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The folder of a cluster and its daemons, by their names."""

    folder: Path
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which SLURM's commands find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": PATH}

    def ask(self, *words: str) -> str:
        """The answer of a command of SLURM."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return done.stdout.strip()

    def elements(self, states: str = "all") -> list[tuple[str, str, str]]:
        """Number, state and node of each element of an array in some states."""
        lines = self.ask("squeue", "--noheader", "--array", "--states", states, "--format", "%i %T %N").splitlines()
        return [(number, state, "".join(node)) for number, state, *node in map(str.split, lines)]

    def start_daemon(self, name: str) -> None:
        """Start the controller or a node."""
        words = ["slurmctld", "-D"] if name == "controller" else ["slurmd", "-D", "-N", name]
        self._start(name, *words, "-f", str(self.folder / "slurm.conf"))

    def power_cut(self, node: str) -> None:
        """Kill a node's daemon and all that it started, by SIGKILL.

        The daemons of steps go before their jobs: one that outlives its job would report a failed job, not a lost node.
        """
        self.daemons[node].kill()
        doomed = [pid for pid, variables in self._processes() if f"SLURMD_NODENAME={node}" in variables]
        steps = [above for above in map(parent, doomed) if name_of(above) == "slurmstepd"]
        for pid in dict.fromkeys([*steps, *doomed]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons.pop(node).wait()

    def processes(self) -> list[int]:
        """The processes of its jobs."""
        return [pid for pid, variables in self._processes() if any(v.startswith("SLURM_JOB_ID=") for v in variables)]

    def _processes(self) -> Iterator[tuple[int, list[str]]]:
        """Every process that knows this cluster, with its variables; its daemons too."""
        own = f"SLURM_CONF={self.folder / 'slurm.conf'}"
        for file in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                variables = file.read_bytes().decode(errors="replace").split("\0")
                if own in variables:
                    yield int(file.parent.name), variables

    def _start(self, name: str, *words: str) -> None:
        program = shutil.which(words[0], path=PATH)
        assert program
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                [program, *words[1:]],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent,
            )

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        self._start("munge", "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        ports = free_ports(3)
        nodes = [NODE.format(name=name, host=HOST, port=port) for name, port in zip(NODES, ports, strict=False)]
        values = {"host": HOST, "user": pwd.getpwuid(os.geteuid()).pw_name, "controller": ports[-1]}
        configuration = CONFIGURATION.format(folder=self.folder, nodes="\n".join(nodes), **values)
        (self.folder / "slurm.conf").write_text(configuration)
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (self.folder / name).mkdir()
        wait_for((self.folder / "munge.socket").exists)
        for name in ("controller", *NODES):
            self.start_daemon(name)
        wait_for(self.idle)

    def idle(self) -> bool:
        """Whether both nodes wait for work."""
        try:
            return self.ask("sinfo", "--noheader", "--Node", "--format", "%T").split() == ["idle", "idle"]
        except subprocess.CalledProcessError:  # the controller is not there yet
            return False

    def end(self) -> None:
        """End every daemon and whatever it started, and assert that nothing is left."""
        for daemon in self.daemons.values():
            daemon.terminate()
        for daemon in self.daemons.values():
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
        deadline = time.monotonic() + PATIENCE
        while left := [pid for pid, _ in self._processes() if pid != os.getpid()]:
            assert time.monotonic() < deadline, left
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for daemon in self.daemons.values():
                daemon.poll()
            time.sleep(0.1)


HOST = socket.gethostname().partition(".")[0]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster of two nodes."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:  # a short path, for munge's socket
        made = Cluster(folder=Path(folder))
        words = ["sh", "-c", GUARD, "guard", folder]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as guard:
            try:
                made.start()
                yield made
            finally:
                made.end()
            guard.kill()


def end_with_parent() -> None:
    """Let the system kill this process when the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG. Source: linux/prctl.h


def free_ports(count: int) -> list[int]:
    """Ports that nothing on this machine listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def parent(pid: int) -> int:
    """The process that started another one."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def name_of(pid: int) -> str:
    """The name of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def wait_for(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Wait until a condition is true.

    Raises: AssertionError
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.1)
