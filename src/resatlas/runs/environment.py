"""Where a run took place: versions, machine, command."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("resatlas", "torch", "torchvision", "numpy", "scikit-learn", "safetensors")

WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""How a user says how threads of OpenMP wait."""

LAUNCHED = "resatlas-"
"""How the name of a world begins that resatlas itself has started."""


def processes() -> int:
    """How many processes train together, as torchrun tells each of them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leading() -> bool:
    """Whether this process writes and speaks for all that train together."""
    return processes() == 1 or os.environ.get("RANK") == "0"


def launched() -> bool:
    """Whether `--processes` started this process: its launcher then tells which of them was lost."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(LAUNCHED)


def local_processes() -> int:
    """How many of them are on this machine; 1 without torchrun."""
    return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def wait_asleep() -> None:
    """Let threads of OpenMP that have no work sleep instead of keeping a core busy, unless the user chose otherwise.

    It counts for what imports torch later, processes of this one included. A sleeping thread takes longer to start, a
    busy one takes the core from the thread that it waits for, where other processes need cores too: docs/log.md.
    """
    if not WAITING & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def restarts() -> int:
    """How often torchrun started these processes again, after one of them was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def shutdown_grace() -> float:
    """Seconds that torchrun leaves its processes to end after a signal, before it kills them; endless without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return float("inf")
    return float(os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "30"))


def local_rank() -> int:
    """Which of the processes on this machine this is, as torchrun tells each of them; 0 without it."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def environment() -> dict[str, Any]:
    """Versions, machine and command, without importing anything that they are about."""
    return {
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "command": ["resatlas", *sys.argv[1:]],
    }


def installed_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name, where the system tells it."""
    return _told("model name") or platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """What the processor can do, in the system's words; empty where it does not tell."""
    return frozenset((_told("flags") or _told("Features")).split())


def _told(key: str) -> str:
    """What /proc/cpuinfo says of the first core, or nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a system file
            for line in lines:
                if line.partition(":")[0].strip() == key:
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
