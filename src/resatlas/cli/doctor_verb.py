"""`resatlas doctor`: show what is installed and what is missing."""

import argparse
import os
import shutil
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.data import catalog as datasets
from resatlas.data import imagenet
from resatlas.data.fetching import SOURCES
from resatlas.data.official import located
from resatlas.errors import ResatlasError
from resatlas.runs.environment import environment
from resatlas.runs.store import check_writable
from resatlas.values.table import Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options: there are none."""


def run(options: argparse.Namespace) -> Outcome:  # noqa: ARG001 - it has no options
    """Versions, devices, threads, disk and data sets; exit code 1 if something is missing that the demo needs."""
    here = environment()
    findings = [
        ("python", here["python"], True),
        *((name, version or "missing", version is not None) for name, version in here["packages"].items()),
        ("system", here["system"], True),
        ("processor", f"{here['processor']}, {here['cores']} cores", True),
        _torch(),
        _disk(),
        _folder(),
        *map(_data, datasets.NAMED),
    ]
    data = {name: {"found": text, "ok": ok} for name, text, ok in findings}
    rows = tuple((name, "ok" if ok else "missing", text) for name, text, ok in findings)
    optional = {f"data {name}" for name in (*SOURCES, "imagenet")}
    needed = [ok for name, _, ok in findings if name not in optional]
    return Outcome(
        data, aligned(Table(columns=words("what", "state", "found"), rows=rows)), exit_code=0 if all(needed) else 1
    )


def _torch() -> tuple[str, str, bool]:
    try:
        import torch
    except ImportError as error:
        return "devices", f"torch cannot be imported: {error}", False
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return "devices", f"{', '.join(cards) or 'no GPU'}, {counted(torch.get_num_threads(), 'thread')}", True


def _disk() -> tuple[str, str, bool]:
    free = shutil.disk_usage(".").free / 2**30
    return "disk", f"{free:.1f} GiB free here", free > 1


def _folder() -> tuple[str, str, bool]:
    try:
        check_writable(Path("runs"))
    except ResatlasError as error:
        return "runs", str(error), False
    return "runs", f"{os.path.relpath('runs')} is writable", True


def _data(name: str) -> tuple[str, str, bool]:
    try:
        return f"data {name}", _where(name), True
    except ResatlasError as error:
        return f"data {name}", str(error), False


def _where(name: str) -> str:
    """The folder of a data set, or the number of images of a data set without files.

    Raises: DataError
    """
    if name in SOURCES:
        return f"in {located(SOURCES[name]())[0].parent}"
    if name == "imagenet":
        return f"in {imagenet.located()}"
    parts = datasets.resolve(name).read()
    return f"{len(parts.train):,} training and {len(parts.test):,} test images"
