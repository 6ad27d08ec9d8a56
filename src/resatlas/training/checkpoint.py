"""Checkpoints: hashed folders that are whole or not there.

A checkpoint `checkpoints/step-00000391/` holds model.safetensors, optim.safetensors, average.safetensors where the
recipe averages the weights, state.json, and, written last, MANIFEST.json with the size and the sha256 of each. It is
valid if the manifest says so, and only then; names and dates prove nothing. A step folder is never overwritten.
"""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from torch import __version__ as torch_version

from resatlas import __version__
from resatlas.errors import CheckpointError
from resatlas.recipes.schedule import Pace
from resatlas.runs.environment import installed_version
from resatlas.runs.experiment import SCHEMA, schema_fault
from resatlas.runs.files import drafted, make_folder, remove, sha256_of, write_text
from resatlas.runs.names import NORMALISATION
from resatlas.training.optimizer import momenta, set_momenta
from resatlas.training.state import Tally, TrainState
from resatlas.values.reading import text
from resatlas.weights.conversion import load_weights, save_weights
from resatlas.weights.weight_files import read_tensors, save_file

T = TypeVar("T")

KEPT = 2
MANIFEST = "MANIFEST.json"
ALWAYS = ("model.safetensors", "optim.safetensors", "state.json")
AVERAGE = "average.safetensors"

SINCE_SCHEMA_1: dict[str, Any] = {
    "normalisation": None,
    "scaler": {},
    "overflows": 0,
    "skipped": 0,
    "skipped_in_a_row": 0,
}
"""What a state of schema 1 does not say, and as which it counts."""

LARGEST_JSON = 10_000_000  # bytes
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

_STEP = re.compile(r"step-\d{8,}")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a checkpoint says of how it was saved: by how many processes, after which rows, by which versions.

    `rows` are the sha256 of the rows of its finished epochs, by file; None of a version that did not write them.
    """

    world_size: int
    rows: Mapping[str, str] | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Rejected:
    """A folder that looks like a checkpoint and is none, with the reason."""

    name: str
    reason: str


def save(
    state: TrainState,
    folder: Path,
    *,
    experiment: str,
    world_size: int = 1,
    normalisation: str | None = None,
    rows: Mapping[str, str] | None = None,
    photographs: bool = False,
) -> Path:
    """Write the state as a new checkpoint below a folder, and forget all but the newest two.

    `experiment` is the digest of what is trained, `normalisation` that of how its images are normalised,
    `rows` those of the rows of its finished epochs; `photographs` says whether files of images are read. Order: files,
    their fsync, the folder's, rename, the parent's, then the pointer `latest`; so at every moment the old checkpoint or
    the new one is valid.
    Raises: CheckpointError if it cannot be written, the drafts removed.
    """
    target = folder / f"step-{state.step:08d}"
    if fault(target) is None:
        return target
    run = folder.parent
    told = {"rows": rows, "versions": versions(photographs)}
    position = {**_position(state, experiment, world_size, normalisation), **told}
    try:
        make_folder(folder, within=run)  # but not its parents: a run that someone removed stays removed
        remove(target, within=run)
        with drafted(target, within=run) as draft:
            save_weights(state.network, draft / "model.safetensors")
            if state.average:
                save_weights(state.average, draft / AVERAGE)
            buffers = momenta(state.network, state.optimizer)
            save_file({path: buffer.contiguous() for path, buffer in buffers.items()}, draft / "optim.safetensors")
            _write(draft / "state.json", position)
            _write(draft / MANIFEST, {"schema": SCHEMA, "files": {file.name: _seal(file) for file in _files(draft)}})
        write_text(folder / "latest", target.name + "\n", within=run)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{target} cannot be written: {_reason(error, state)}") from None
    _forget_old(folder, target)
    return target


def load(state: TrainState, checkpoint: Path, *, experiment: str, normalisation: str | None = None) -> Saved:
    """Set the state to that of a checkpoint; how it was saved.

    Raises: CheckpointError if it is not valid, or of another experiment, or of images normalised otherwise.
    """
    reason = fault(checkpoint)
    if reason:
        raise CheckpointError(f"checkpoint {checkpoint.name} {reason}")
    position: dict[str, Any] = _read(checkpoint / "state.json")
    if position["schema"] == 1:
        position = {**SINCE_SCHEMA_1, **position}
    if position.get("experiment") != experiment:
        raise CheckpointError(f"checkpoint {checkpoint.name} belongs to another experiment")
    saved = position.get("normalisation")
    if None not in (saved, normalisation) and saved != normalisation:
        raise CheckpointError(
            f"{NORMALISATION} has changed since {checkpoint.name} was saved: sha256 {normalisation}, not {saved}"
        )
    load_weights(state.network, checkpoint / "model.safetensors")
    if state.average:
        load_weights(state.average, checkpoint / AVERAGE)
    set_momenta(state.network, state.optimizer, read_tensors(checkpoint / "optim.safetensors"))
    scaler = state.scaler.state_dict()
    try:
        state.epoch, state.batch, state.step, state.drops = (
            _of(int, position[key]) for key in ("epoch", "batch", "step", "drops")
        )
        state.seconds = _of(float, position["seconds"])
        state.tally = Tally(**position["tally"])
        state.rate = None if position["rate"] is None else _of(float, position["rate"])
        state.pace = Pace(**position["pace"])
        state.overflows, state.skipped, state.skipped_in_a_row = (
            _of(int, position[key]) for key in ("overflows", "skipped", "skipped_in_a_row")
        )
        state.scaler.load_state_dict({name: _of(type(own), position["scaler"][name]) for name, own in scaler.items()})
        rows, known = position.get("rows"), position.get("versions") or {}
        return Saved(
            world_size=_of(int, position["world_size"]),
            rows=None if rows is None else {name: _of(str, each) for name, each in rows.items()},
            versions={name: _of(str, each) for name, each in known.items()},
        )
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(f"checkpoint {checkpoint.name} is damaged: state.json does not read as one") from None


def newest_valid(folder: Path) -> tuple[Path | None, list[Rejected]]:
    """The valid checkpoint of the highest step, and every rejected one that is newer, with its reason."""
    rejected = []
    for checkpoint in sorted(_steps(folder), key=lambda path: int(path.name[5:]), reverse=True):
        reason = fault(checkpoint)
        if reason is None:
            return checkpoint, rejected
        rejected.append(Rejected(checkpoint.name, reason))
    return None, rejected


def fault(checkpoint: Path) -> str | None:
    """Why a folder is no valid checkpoint, or None if it is one."""
    try:
        manifest: dict[str, Any] = _read(checkpoint / MANIFEST)
        files: dict[str, Any] = manifest["files"]
        if reason := schema_fault(manifest["schema"]):
            return reason
        found_here = {file.name for file in _files(checkpoint)} - {MANIFEST}
        for name in sorted({*ALWAYS, *found_here, *({AVERAGE} & {*files})}):
            if name not in files:
                return f"is damaged: {MANIFEST} does not name {name}"
            size, seal = files[name]["size"], files[name]["sha256"]
            found = (checkpoint / name).stat().st_size
            if found != size:
                return f"is damaged: {name} has size {found:,} ≠ {size:,}"
            if _seal(checkpoint / name)["sha256"] != seal:
                return f"is damaged: {name} has another sha256 than its manifest says"
        position: dict[str, Any] = _read(checkpoint / "state.json")
        if reason := schema_fault(position["schema"]):
            return reason
    except OSError as error:
        return f"is damaged: {Path(error.filename or '').name} {(error.strerror or 'cannot be read').lower()}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"is damaged: {MANIFEST} does not read as one"
    return None


def versions(photographs: bool) -> dict[str, str]:
    """The versions here of what computes: of what reads files of images too, where some are read."""
    packages = ("numpy", "pillow", "torchvision") if photographs else ("numpy",)
    found = {name: installed_version(name) for name in packages}
    return {"resatlas": __version__, "torch": torch_version, **{name: each for name, each in found.items() if each}}


def sweep(folder: Path) -> None:
    """Remove the drafts that a crash left."""
    for draft in (*folder.glob(".tmp-step-*"), *folder.glob(".latest.*")):
        remove(draft, within=folder.parent)


def _position(state: TrainState, experiment: str, world_size: int, normalisation: str | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "normalisation": normalisation,
        "epoch": state.epoch,
        "batch": state.batch,
        "step": state.step,
        "seconds": state.seconds,
        "tally": asdict(state.tally),
        "rate": state.rate,
        "drops": state.drops,
        "pace": asdict(state.pace),
        "scaler": state.scaler.state_dict(),
        "overflows": state.overflows,
        "skipped": state.skipped,
        "skipped_in_a_row": state.skipped_in_a_row,
        "world_size": world_size,
    }


def _reason(error: OSError | SafetensorError, state: TrainState) -> str:
    """Why a save failed, and where there was no room for it, how much it takes."""
    told = re.search(r"os error (\d+)", str(error))  # safetensors says a system's error in a text alone
    number = int(told[1]) if told else getattr(error, "errno", None)
    reason = os.strerror(number).lower() if number else str(error).lower()
    if number not in NO_ROOM:
        return reason
    averaged = state.average.state_dict() if state.average else {}
    kept = [*state.network.state_dict().values(), *momenta(state.network, state.optimizer).values(), *averaged.values()]
    return f"{reason}; it takes more than {sum(tensor.nbytes for tensor in kept):,} bytes"


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _forget_old(folder: Path, newest: Path) -> None:
    """Keep the newest and the next valid one; what cannot be deleted stays."""
    kept = 1
    for checkpoint in sorted(_steps(folder), key=lambda path: int(path.name[5:]), reverse=True):
        if checkpoint == newest:
            continue
        if kept < KEPT and fault(checkpoint) is None:
            kept += 1
        else:
            remove(checkpoint, within=folder.parent)


def _steps(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if _STEP.fullmatch(path.name) and path.is_dir())


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _seal(file: Path) -> dict[str, Any]:
    return {"size": file.stat().st_size, "sha256": sha256_of(file)}


def _write(file: Path, value: object) -> None:
    write_text(file, json.dumps(value, indent=1) + "\n", within=file.parent)


def _read(file: Path) -> Any:  # noqa: ANN401 - JSON is what JSON is
    return json.loads(text(file, most=LARGEST_JSON))
