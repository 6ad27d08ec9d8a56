"""A Ray cluster of two nodes on this machine, in a process of its own, which ends with the tests."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")

_NODE = "RESATLAS_TEST_NODE"
"""The variable that tells processes of a node which one it is."""


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """The process of a cluster, and its address."""

    process: "subprocess.Popen[str]"
    address: str

    def order(self, *words: str) -> None:
        """Have an order carried out: start a node."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def power_cut(self, node: str) -> None:
        """Kill all processes of a node by SIGKILL."""
        self.send(node, signal.SIGKILL)

    def send(self, node: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a node."""
        for pid in having(f"{_NODE}={node}"):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def start_node(self, node: str) -> None:
        """Start a node again."""
        self.order("start", node)


def node_of(pid: int) -> str:
    """The node of a process."""
    return next(variable.partition("=")[2] for variable in variables(pid) if variable.startswith(f"{_NODE}="))


def variables(pid: int) -> list[str]:
    """The variables of a process; none if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return []


def having(variable: str) -> list[int]:
    """The processes that have a variable."""
    pids = [int(file.name) for file in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if variable in variables(pid)]


@contextmanager
def ray_cluster(more: dict[str, str]) -> Iterator[RayCluster]:
    """A running cluster of two nodes, each with one processor and a GPU in name only, and more variables."""
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path, for its sockets
        with (
            (Path(folder) / "err").open("w") as err,
            subprocess.Popen(
                [sys.executable, "-m", __name__],
                env={**os.environ, **more, "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            assert process.stdin
            assert process.stdout
            try:
                address = process.stdout.readline().strip()
                assert address, (Path(folder) / "err").read_text()
                yield RayCluster(process=process, address=address)
            finally:
                process.stdin.close()
                process.wait()
        left = having(f"RAY_TMPDIR={folder}")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Start the nodes, print their address, then carry out orders until standard input ends."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()

    def start(node: str) -> None:
        cluster.add_node(
            num_cpus=1,
            num_gpus=1,
            object_store_memory=80 * 2**20,
            include_dashboard=False,
            env_vars={_NODE: node},
        )

    for node in NODES:
        start(node)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        start(line.split()[1])
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
