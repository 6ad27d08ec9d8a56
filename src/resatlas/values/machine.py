"""Processes of this machine and others: which of them still live, as far as this machine can say."""

import os
from pathlib import Path


def boot() -> str:
    """The id of the last start of this machine's kernel; empty if the system does not tell it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def identity(pid: int) -> str:
    """A unique identity of a process: boot id, pid namespace, pid and start time; empty if unknown."""
    try:
        space = Path(f"/proc/{pid}/ns/pid").readlink()
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot()} {space} {pid} {started}" if boot() else ""


def alive(pid: int) -> bool:
    """Whether a process of that number lives on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        return True
    return True
