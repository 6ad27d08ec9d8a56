"""Checkpoints: folders with hashes, complete or absent.

A checkpoint `checkpoints/step-00000391/` holds model.safetensors, optim.safetensors, average.safetensors where the
recipe averages the weights, state.json, and, written last, MANIFEST.json with the size and the sha256 of each file. A
checkpoint is valid if its files agree with its manifest. A valid step folder is never overwritten.
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
from torch import nn

from resatlas import __version__
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network
from resatlas.recipes.schedule import Pace
from resatlas.runs.environment import installed_version
from resatlas.runs.experiment import SCHEMA, schema_fault
from resatlas.runs.files import drafted, make_folder, remove, sha256_of, write_text
from resatlas.runs.lock import check_held
from resatlas.runs.names import NORMALISATION, checkpoint_name
from resatlas.runs.record import Best
from resatlas.training.optimizer import momenta, set_momenta
from resatlas.training.state import Tally, TrainState
from resatlas.values.reading import text
from resatlas.weights.conversion import load_weights, save_weights
from resatlas.weights.weight_files import read_tensors, save_file

T = TypeVar("T")

_KEPT = 2
MANIFEST = "MANIFEST.json"
_ALWAYS = ("model.safetensors", "optim.safetensors", "state.json")
AVERAGE = "average.safetensors"

_SINCE_SCHEMA_1: dict[str, Any] = {
    "normalisation": None,
    "scaler": {},
    "overflows": 0,
    "skipped": 0,
    "skipped_in_a_row": 0,
}
"""The values of the keys that a state of schema 1 lacks."""

_LARGEST_JSON = 10_000_000  # bytes
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

_STEP = re.compile(r"step-\d{8,}")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """How a checkpoint was saved: number of processes, digests of the rows, versions of the packages.

    `rows` are the sha256 of the rows of its finished epochs, by file; None if an earlier version saved it without them.
    """

    world_size: int
    rows: Mapping[str, str] | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Rejected:
    """An invalid checkpoint folder and the reason."""

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
    best: str | None = None,
) -> Path:
    """Write the state as a new checkpoint in a folder, and remove all but the newest two and the one named `best`.

    `experiment` is the digest of the experiment, `normalisation` that of the normalisation of its images, `rows` are
    those of the rows of its finished epochs; `photographs` says whether image files are read. The order is: write the
    files, fsync them, fsync the draft folder, check that this process still holds the run's lock, rename the folder,
    fsync the parent, write the pointer `latest`. So the old checkpoint or the new one is valid at every moment.
    Raises: CheckpointError if it cannot be written; FolderError if another process has taken over the run; drafts are
        removed.
    """
    target, run = folder / checkpoint_name(state.step), folder.parent
    check_held(run)
    if fault(target) is None:
        return target
    origin = {"rows": rows, "versions": versions(photographs)}
    position = {**_position(state, experiment, world_size, normalisation), **origin}
    try:
        make_folder(folder, within=run)  # without parents: a run that was removed meanwhile is not created again
        remove(target, within=run)
        with drafted(target, within=run, check=lambda: check_held(run)) as draft:
            save_weights(state.module, draft / "model.safetensors")
            if state.average:
                save_weights(state.average, draft / AVERAGE)
            buffers = momenta(state.module, state.optimizer)
            save_file({path: buffer.contiguous() for path, buffer in buffers.items()}, draft / "optim.safetensors")
            _write(draft / "state.json", position)
            _write(draft / MANIFEST, {"schema": SCHEMA, "files": {file.name: _seal(file) for file in _files(draft)}})
        write_text(folder / "latest", target.name + "\n", within=run)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{target} cannot be written: {_reason(error, state)}") from None
    _forget_old(folder, target, best)
    return target


def load(state: TrainState, checkpoint: Path, *, experiment: str, normalisation: str | None = None) -> Saved:
    """Set the state to that of a checkpoint, and return how it was saved.

    Raises: CheckpointError if it is invalid, of another experiment, or of another normalisation of the images.
    """
    reason = fault(checkpoint)
    if reason:
        raise CheckpointError(f"checkpoint {checkpoint.name} {reason}")
    position: dict[str, Any] = _read(checkpoint / "state.json")
    if position["schema"] == 1:
        position = {**_SINCE_SCHEMA_1, **position}
    if position.get("experiment") != experiment:
        raise CheckpointError(f"checkpoint {checkpoint.name} belongs to another experiment")
    saved = position.get("normalisation")
    if None not in (saved, normalisation) and saved != normalisation:
        raise CheckpointError(
            f"{NORMALISATION} has changed since {checkpoint.name} was saved: sha256 {normalisation}, not {saved}"
        )
    _load_module(state.module, checkpoint / "model.safetensors")
    if state.average:
        _load_module(state.average, checkpoint / AVERAGE)
    set_momenta(state.module, state.optimizer, read_tensors(checkpoint / "optim.safetensors"))
    scaler = state.scaler.state_dict()
    try:
        state.epoch, state.batch, state.step, state.drops = (
            _of(int, position[key]) for key in ("epoch", "batch", "step", "drops")
        )
        state.seconds, state.paused = _of(float, position["seconds"]), _of(float, position.get("paused", 0.0))
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
            rows=None if rows is None else {name: _of(str, digest) for name, digest in rows.items()},
            versions={name: _of(str, version) for name, version in known.items()},
        )
    except (KeyError, TypeError, AttributeError):
        raise CheckpointError(
            f"checkpoint {checkpoint.name} is damaged: state.json lacks entries or has wrong ones"
        ) from None


def _load_module(module: nn.Module, file: Path) -> None:
    """Load the weights of a network, or of a detector or segmenter around one.

    Raises: CheckpointError if the file has other tensors.
    """
    if isinstance(module, Network):
        load_weights(module, file)
        return
    own, there = module.state_dict(), read_tensors(file)
    for path in (*own, *there):
        if path not in own or path not in there or own[path].shape != there[path].shape:
            raise CheckpointError(f"{file} does not fit the network and its heads: {path} has another shape, or none")
    module.load_state_dict(there)


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
    """Why a folder is not a valid checkpoint; None if it is valid."""
    try:
        manifest: dict[str, Any] = _read(checkpoint / MANIFEST)
        files: dict[str, Any] = manifest["files"]
        if reason := schema_fault(manifest["schema"]):
            return reason
        found_here = {file.name for file in _files(checkpoint)} - {MANIFEST}
        for name in sorted({*_ALWAYS, *found_here, *({AVERAGE} & {*files})}):
            if name not in files:
                return f"is damaged: {MANIFEST} does not list {name}"
            size, seal = files[name]["size"], files[name]["sha256"]
            size_here = (checkpoint / name).stat().st_size
            if size_here != size:
                return f"is damaged: {name} has size {size_here:,} ≠ {size:,}"
            if _seal(checkpoint / name)["sha256"] != seal:
                return f"is damaged: {name} does not have the sha256 in {MANIFEST}"
        position: dict[str, Any] = _read(checkpoint / "state.json")
        if reason := schema_fault(position["schema"]):
            return reason
    except OSError as error:
        return f"is damaged: {Path(error.filename or '').name} {(error.strerror or 'cannot be read').lower()}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"is damaged: {MANIFEST} or state.json is not JSON of the expected structure"
    return None


def lost(folder: Path, best: Best | None) -> str:
    """A sentence if the checkpoint of the best epoch so far is missing or damaged, else nothing."""
    reason = fault(folder / best.checkpoint) if best else None
    if best is None or reason is None:
        return ""
    return (
        f"{best.checkpoint}, the checkpoint of epoch {best.epoch} with the least validation error so far, {reason}; "
        "only a later epoch of lower error is kept as the best"
    )


def versions(photographs: bool) -> dict[str, str]:
    """The installed versions of the packages that compute, and of those that read image files if some are read."""
    packages = ("numpy", "pillow", "torchvision") if photographs else ("numpy",)
    installed = {name: installed_version(name) for name in packages}
    return {
        "resatlas": __version__,
        "torch": torch_version,
        **{name: version for name, version in installed.items() if version},
    }


def sweep(folder: Path) -> None:
    """Remove the drafts of interrupted saves."""
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
        "paused": state.paused,
        "tally": state.tally.as_table(),
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
    """Why a save failed; if the disk is full, also how many bytes are needed."""
    code = re.search(r"os error (\d+)", str(error))  # safetensors gives the errno in its message only
    number = int(code[1]) if code else getattr(error, "errno", None)
    reason = os.strerror(number).lower() if number else str(error).lower()
    if number not in _NO_ROOM:
        return reason
    averaged = state.average.state_dict() if state.average else {}
    kept = [*state.module.state_dict().values(), *momenta(state.module, state.optimizer).values(), *averaged.values()]
    return f"{reason}; the checkpoint needs more than {sum(tensor.nbytes for tensor in kept):,} bytes"


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _forget_old(folder: Path, newest: Path, best: str | None) -> None:
    """Keep the newest checkpoint, the next valid one and the best; files that cannot be deleted stay."""
    kept = 1
    for checkpoint in sorted(_steps(folder), key=lambda path: int(path.name[5:]), reverse=True):
        if checkpoint == newest:
            continue
        if kept < _KEPT and fault(checkpoint) is None:
            kept += 1
        elif checkpoint.name != best:
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


def _read(file: Path) -> Any:  # noqa: ANN401 - JSON has any type
    return json.loads(text(file, most=_LARGEST_JSON))
