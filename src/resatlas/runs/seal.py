"""The seal of a finished run: size and sha256 of each of its files, written last and checked by every reader.

A seal detects damage and mistakes, not malice: anyone who can write in the folder can seal it again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resatlas.errors import BlueprintError, FolderError, UsageError
from resatlas.runs.departures import AMENDED, UNREADABLE
from resatlas.runs.files import read_json, sha256_of, write_json
from resatlas.runs.names import DETECTIONS, ENVIRONMENT, FIRST, METRICS, NORMALISATION, PREDICTIONS, RESULTS, TIMING
from resatlas.values.codec import decode

SEAL = "SEAL.json"
SCHEMA = 1
_LARGEST = 1_000_000  # bytes

SEALED = (
    FIRST,
    ENVIRONMENT,
    METRICS,
    TIMING,
    RESULTS,
    PREDICTIONS,
    DETECTIONS,
    NORMALISATION,
    AMENDED,
    UNREADABLE,
)
"""The files of a finished run that readers use, those of its checkpoints apart, whose manifests seal them."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file by its name, its size in bytes and its sha256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A checkpoint by its name and the sha256 of its manifest."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The files of a run as they were at its end; its checkpoints, by name and sha256 of the manifest.

    `checkpoint` and `manifest` are those of the last one; `best` is that of the best epoch, if it was kept.
    """

    files: tuple[Entry, ...]
    checkpoint: str
    manifest: str
    best: Marked | None = None


def write_seal(folder: Path, *, checkpoint: str, manifest: Path, best: Path | None = None) -> None:
    """Seal a run after its last file; `checkpoint` and `manifest` are those of its last checkpoint.

    `best` is the manifest of the best one, if it was kept.
    """
    present = [folder / name for name in SEALED if (folder / name).exists()]
    data = {
        "schema": SCHEMA,
        "files": {file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)} for file in present},
        "checkpoint": {"name": checkpoint, "sha256": sha256_of(manifest)},
        **({"best": {"name": best.parent.name, "sha256": sha256_of(best)}} if best else {}),
    }
    write_json(folder / SEAL, data, within=folder)


def check_seal(folder: Path) -> Sealed | None:
    """The seal of a run, after a check of its files; None without a seal.

    Raises: FolderError with the file that was changed, is missing or was added.
    """
    file = folder / SEAL
    if not file.exists():
        return None
    seal = _read(file)
    entries = {entry.name: entry for entry in seal.files}
    for name in SEALED:
        if name in entries and not (folder / name).exists():
            raise FolderError(f"{folder / name} is missing: {SEAL} names it")
        if name not in entries and (folder / name).exists():
            raise FolderError(f"{folder / name} was added after the run ended: {SEAL} does not name it")
    for name, entry in entries.items():
        if name not in SEALED:
            raise FolderError(f"{file}: it names {name[:40]}, which is not a file of a run")
        try:
            digest = sha256_of(folder / name)
        except OSError as error:
            raise FolderError(f"{folder / name}: {(error.strerror or 'cannot be read').lower()}") from None
        if digest != entry.sha256:
            raise FolderError(f"{folder / name} was changed after the run ended: its sha256 is not that of {SEAL}")
    return seal


def _read(file: Path) -> Sealed:
    data: Any = read_json(file, most=_LARGEST)
    try:
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise BlueprintError(f"a seal has schema {SCHEMA}")
        files, last = data.get("files"), data.get("checkpoint")
        if (
            not isinstance(files, dict)
            or not isinstance(last, dict)
            or not all(isinstance(v, dict) for v in files.values())
        ):
            raise BlueprintError('a seal has "files" and "checkpoint"')
        return Sealed(
            files=tuple(decode(Entry, {"name": name, **entry}, where=name) for name, entry in files.items()),
            checkpoint=decode(str, last.get("name"), where="checkpoint.name"),
            manifest=decode(str, last.get("sha256"), where="checkpoint.sha256"),
            best=decode(Marked | None, data.get("best"), where="best"),  # type: ignore[arg-type]
        )
    except UsageError as error:
        raise FolderError(f"{file}: {error}") from None
