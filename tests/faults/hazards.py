"""What happens to a process: each is a `first` of tests.training.processes, which prepares the process for it."""

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
"""The parts of a save, by the module in which they are looked up."""


def during(step: int, what: Callable[[], object]) -> None:
    """Let something happen during a step, counted from 1 in the whole training."""
    from resatlas.training import loop

    real = loop.step

    def followed(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        real(state, batch, training)
        if state.step == step:
            what()

    loop.step = followed


def slow_saves(seconds: float) -> None:
    """Let every part of a save take so long."""

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
    """From a step on, let no file grow beyond a number of bytes."""
    during(step, lambda: limit_files(size))


def full_device_at(step: int, file: str) -> None:
    """From a step on, let a file of the run be the kernel's device that is always full; what it was has `.kept`."""

    def replace() -> None:
        path = Path("run") / file
        path.rename(f"{path}.kept")
        path.symlink_to("/dev/full")

    during(step, replace)


def full_device_for(descriptor: int) -> None:
    """Let an output of the process be the device that is always full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)


def removed_at(step: int, number: signal.Signals | None = None) -> None:
    """Let someone remove the run's folder during a step, and then perhaps ask for an end."""

    def remove() -> None:
        shutil.rmtree("run")
        if number:
            os.kill(os.getpid(), number)

    during(step, remove)


def paused_at(step: int) -> None:
    """Let the process stand still in a step until it is told to go on."""
    during(step, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def clock_running_back() -> None:
    """Let the clock on the wall lose an hour whenever it is looked at; only the monotonic one goes on."""
    now = [time.time()]

    def earlier() -> float:
        now[0] -= 3600
        return now[0]

    time.time = earlier
    time.time_ns = lambda: int(earlier() * 1e9)


def poisoned_at(*steps: int) -> None:
    """Let the images of these steps, counted from 1, be no numbers."""
    from resatlas.training import loop

    real = loop.step

    def poisoned(state: loop.TrainState, batch: loop.Batch, training: loop.TrainingPlan) -> None:
        bad = batch._replace(images=batch.images * torch.nan) if state.step + 1 in steps else batch
        real(state, bad, training)

    loop.step = poisoned


def scaled_by(scale: float) -> None:
    """Let the loss of a training in fp16 be scaled by so much at first."""
    from resatlas.training import precision

    precision.FIRST_SCALE = scale


def overflowing_at(step: int) -> None:
    """Let the loss of a step be so large that its gradient has no place in fp16, though it has one in float32."""
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
    """Let the process that reads this image be killed in the second epoch, and leave a marker of the moment."""
    while_reading(marker, image, lambda: os.kill(os.getpid(), signal.SIGKILL))


def reader_slow(marker: Path, image: int) -> None:
    """Let the process that reads this image leave a marker in the second epoch, and then take long for it."""
    while_reading(marker, image, lambda: time.sleep(0.5))


def while_reading(marker: Path, image: int, what: Callable[[], object]) -> None:
    """Let something happen, once, where an image is read in the second epoch."""
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
    """Let /dev/shm be so many bytes small for the process, as containers have it; its files begin anew."""
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (
        libc.unshare(NEWNS),
        libc.mount(b"none", b"/", None, ctypes.c_ulong(REC | PRIVATE), None),
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(0), b"size=%d" % size),
    ):
        if failed:
            os._exit(UNPERMITTED)


UNPERMITTED = 77
"""How a process ends that may not do to itself what a test wants."""


def bound_by_permissions() -> None:
    """Let the process heed the permissions of files, though root has started it."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # linux/capability.h, version 3: this process
    if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError("capabilities cannot be dropped")


def on_terminal(terminal: str, kind: str) -> None:
    """Let standard error of the process be a terminal of some kind."""
    os.dup2(os.open(terminal, os.O_WRONLY | os.O_NOCTTY), 2)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.environ["TERM"] = kind


def without_network() -> None:
    """Let the process end at once where it wants to know an address or to reach one outside of this machine's files."""

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
    """Let the user of the process have no home and no entry in the system's list, as in containers."""
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    setattr(pwd, "getpwuid", unknown)  # noqa: B010 - for the type checker
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
