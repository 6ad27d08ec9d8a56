"""Pyodide, Python for browsers: the files of its package of npm, fetched once and proved by their digest."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "pyodide"
VERSION = "314.0.7"
"""The version that the tests open in Chromium; Python 3.14.2."""

SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
"""Of the archive of npm, 2026-11."""

ARCHIVE = "RESATLAS_PYODIDE"
"""The environment variable that may name the archive, where npm has no network."""

FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")

_SECONDS = 300


class NoRuntimeError(Exception):
    """Pyodide is not at hand; the message says why, and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The bytes of the files, by their names."""

    files: dict[str, bytes]


def runtime(folder: Path) -> Runtime:
    """Pyodide from its archive: the one of `ARCHIVE`, or the one in the folder, which npm fills the first time.

    Raises: NoRuntimeError if it cannot be had, or is another one.
    """
    archive = Path(os.environ[ARCHIVE]) if os.environ.get(ARCHIVE) else _fetched(folder)
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise NoRuntimeError(f"{archive}: {(error.strerror or 'cannot be read').lower()}") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise NoRuntimeError(f"{archive} is not that of {PACKAGE} {VERSION}; remove it and run npm pack again")
    with tarfile.open(archive) as opened:
        members = {name: opened.extractfile(f"package/{name}") for name in FILES}
        return Runtime(files={name: member.read() for name, member in members.items() if member is not None})


def _fetched(folder: Path) -> Path:
    """The archive in the folder; npm puts it there if it is missing."""
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if archive.exists():
        return archive
    npm = shutil.which("npm")
    how = f"npm pack {PACKAGE}@{VERSION}"
    if npm is None:
        raise NoRuntimeError(f"npm is not installed; {ARCHIVE} can name the archive of `{how}`")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), f"{PACKAGE}@{VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise NoRuntimeError(f"`{how}` takes more than {_SECONDS} seconds; {ARCHIVE} can name its archive") from None
    if done.returncode or not archive.exists():
        reason = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        raise NoRuntimeError(f"`{how}` fails: {reason[:200]}; {ARCHIVE} can name its archive")
    return archive
