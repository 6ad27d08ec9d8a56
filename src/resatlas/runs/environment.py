"""The environment of a run: versions, machine, command."""

import os
import platform
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("resatlas", "torch", "torchvision", "numpy", "scikit-learn", "safetensors")

_WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""Variables with which a user chooses how threads of OpenMP wait."""

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""The names in /proc/cpuinfo of instructions that multiply in bfloat16, on x86 and on Arm."""

LAUNCHED = "resatlas-"
"""The prefix of the name of a process group that `--processes` starts."""


def processes() -> int:
    """The world size, as torchrun sets it; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leading() -> bool:
    """Whether this process is rank 0, which writes files and messages."""
    return processes() == 1 or os.environ.get("RANK") == "0"


def under_torchrun() -> bool:
    """Whether torchrun, or `--processes`, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launched() -> bool:
    """Whether `--processes` started this process: then the launcher reports a lost rank."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(LAUNCHED)


def local_processes() -> int:
    """The number of processes on this machine; 1 without torchrun."""
    return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def wait_asleep() -> None:
    """Let threads of OpenMP that have no work sleep instead of keeping a core busy, unless the user chose otherwise.

    It takes effect when torch is imported later, in child processes too. A sleeping thread takes longer to start, a
    busy one takes the core from the thread that it waits for, where other processes need cores too: docs/log.md.
    """
    if not _WAITING & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def restarts() -> int:
    """The number of restarts by torchrun after a lost rank."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def restarts_left() -> int:
    """How often torchrun starts the processes again after a loss; 0 without torchrun."""
    return max(int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) - restarts(), 0)


def shutdown_grace() -> float:
    """Seconds that torchrun waits after a signal before it kills its processes; infinite without torchrun."""
    if not under_torchrun():
        return float("inf")
    return float(os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "30"))


def local_rank() -> int:
    """The local rank, as torchrun sets it; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def environment() -> dict[str, Any]:
    """Versions, machine and command, without importing the packages."""
    return {
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "command": ["resatlas", *sys.argv[1:]],
    }


def start_of(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded at every start of a run: the time, the host, and the environment without its command."""
    since = datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    here = {key: value for key, value in environment.items() if key != "command"}
    return {"since": since, "host": socket.gethostname(), **here}


def installed_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The name of the processor, if the system reports it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """The flags of the processor as the system reports them; empty if it does not."""
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())


def bf16_instructions() -> list[str]:
    """The instructions of the processor that multiply in bfloat16; empty if it has none."""
    return sorted(_BF16 & processor_flags())


def _cpuinfo(key: str) -> str:
    """The entry of /proc/cpuinfo for the first core, or ""."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a system file
            for line in lines:
                if line.partition(":")[0].strip() == key:
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
