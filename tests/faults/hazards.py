"""Faults of a process: each is a `first` of tests.training.processes, which prepares the process."""

import ctypes
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tests.training.processes import limit_files

SLOWED = (
    ("resatlas.training.checkpoint", ("_seal", "_write", "_forget_old")),
    ("resatlas.runs.files", ("sync",)),
    ("os", ("rename", "replace")),
)
"""The steps of a save, by the module that calls them."""


def during(step: int, what: Callable[[], object]) -> None:
    """Call a function during a step, counted from 1 over the whole training."""
    from resatlas.training import loop

    real = loop.step

    def followed(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        real(state, batch, training)
        if state.step == step:
            what()

    loop.step = followed


def slow_saves(seconds: float) -> None:
    """Slow down every step of a save."""

    def slowed(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: object, **more: object) -> Any:  # noqa: ANN401 - whatever the real one gives
            time.sleep(seconds)
            return real(*arguments, **more)

        return operation

    for place, names in SLOWED:
        module = import_module(place)
        for name in names:
            setattr(module, name, slowed(getattr(module, name)))


def full_disk_at(step: int, size: int) -> None:
    """From a step on, limit the size of files in bytes."""
    during(step, lambda: limit_files(size))


def full_device_at(step: int, file: str) -> None:
    """From a step on, replace a file of the run by the device that is always full; the original gets the end .kept."""

    def replace() -> None:
        path = Path("run") / file
        path.rename(f"{path}.kept")
        path.symlink_to("/dev/full")

    during(step, replace)


def full_device_for(descriptor: int) -> None:
    """Replace an output of the process by the device that is always full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)


def removed_at(step: int, number: signal.Signals | None = None) -> None:
    """Remove the run's folder during a step, and optionally request a stop."""

    def remove() -> None:
        shutil.rmtree("run")
        if number:
            os.kill(os.getpid(), number)

    during(step, remove)


def paused_at(step: int) -> None:
    """Stop the process in a step until it is continued."""
    during(step, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def clock_running_back() -> None:
    """Set the wall clock back by an hour at every call; only the monotonic clock advances."""
    now = [time.time()]

    def earlier() -> float:
        now[0] -= 3600
        return now[0]

    time.time = earlier
    time.time_ns = lambda: int(earlier() * 1e9)


def poisoned_at(*steps: int) -> None:
    """Make the images of these steps, counted from 1, NaN."""
    from resatlas.training import loop

    real = loop.step

    def poisoned(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        bad = batch._replace(images=batch.images * torch.nan) if state.step + 1 in steps else batch
        real(state, bad, training)

    loop.step = poisoned


def scaled_by(scale: float) -> None:
    """Set the first scale of the loss in fp16."""
    from resatlas.training import precision

    precision.FIRST_SCALE = scale


def overflowing_at(step: int) -> None:
    """Make the loss of a step so large that its gradient overflows fp16, but not float32."""
    from resatlas.recipes.regularisers import Loss
    from resatlas.training import loop
    from resatlas.training.mixing import Labels

    real_step, real_loss = loop.step, loop.loss_of

    def huge(loss: Loss, logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        return real_loss(loss, logits, labels) * 1e30

    def overflowing(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        loop.loss_of = huge if state.step == step - 1 else real_loss
        real_step(state, batch, training)

    loop.step = overflowing


def reader_killed(marker: Path, image: int) -> None:
    """Kill the process that reads an image in the second epoch, and leave a marker file."""
    while_reading(marker, image, lambda: os.kill(os.getpid(), signal.SIGKILL))


def reader_slow(marker: Path, image: int) -> None:
    """Delay the process that reads an image in the second epoch, and leave a marker file."""
    while_reading(marker, image, lambda: time.sleep(0.5))


def while_reading(marker: Path, image: int, what: Callable[[], object]) -> None:
    """Call a function once when an image is read in the second epoch."""
    from resatlas.data import loading

    real = loading.pixels_of

    def reading(part: loading.Part, k: int) -> torch.Tensor:
        if k == image and Path("run/metrics.jsonl").exists() and not marker.exists():
            marker.touch()
            what()
        return real(part, k)

    loading.pixels_of = reading


NEWNS, REC, PRIVATE = 0x20000, 0x4000, 1 << 18
"""Source: linux/sched.h, CLONE_NEWNS; linux/mount.h, MS_REC and MS_PRIVATE."""


def small_shared_memory(size: int) -> None:
    """Limit /dev/shm to a number of bytes for the process, as in containers."""
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (
        libc.unshare(NEWNS),
        libc.mount(b"none", b"/", None, ctypes.c_ulong(REC | PRIVATE), None),
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(0), b"size=%d" % size),
    ):
        if failed:
            os._exit(UNPERMITTED)


UNPERMITTED = 77
"""Exit code of a process without the permissions that a test needs."""


def bound_by_permissions() -> None:
    """Let the process respect permissions of files, even if root started it."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # linux/capability.h, version 3: this process
    if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError("capabilities cannot be dropped")


def on_terminal(terminal: str, kind: str) -> None:
    """Make standard error of the process a terminal of some kind."""
    os.dup2(os.open(terminal, os.O_WRONLY | os.O_NOCTTY), 2)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.environ["TERM"] = kind


def without_network() -> None:
    """End the process at once if it looks up an address or connects to a network."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if not event.startswith(("socket.", "urllib.", "http.", "ftplib.")):
            return
        if event == "socket.gethostname":  # its own name, which no other machine tells it
            return
        family = arguments[1] if event == "socket.__new__" else getattr(arguments[0], "family", None)
        if family != socket.AF_UNIX:  # by which workers hand over their images
            os.write(2, f"forbidden: {event} {arguments}\n".encode())
            os._exit(99)

    sys.addaudithook(refuse)


def unknown_user() -> None:
    """Run the process as a user without home directory and without an entry in the system's list, as in containers."""
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    setattr(pwd, "getpwuid", unknown)  # noqa: B010 - for the type checker
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
