"""The files of a run decoded, once, into one frozen record.

Readers of a run call `read_run` and pass the record on; nothing opens the files of the folder again. An error names the
file and the key. Unknown keys are ignored, since a later version may have added them.
"""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from sys import intern
from typing import Any, TypeVar

from resatlas.arch import plan as plans
from resatlas.errors import BlueprintError, FolderError, UsageError, quoted
from resatlas.recipes.detection import Classify
from resatlas.runs import experiment as experiments
from resatlas.runs.deriving import check_derived
from resatlas.runs.files import escaped, read_json, read_lines
from resatlas.runs.names import ENVIRONMENT, FIRST, METRICS, PREDICTIONS, RESULTS, STATUS, TIMING
from resatlas.runs.record import (
    Beginning,
    Environment,
    EpochRow,
    Guess,
    Images,
    Keep,
    Results,
    RunRecord,
    Start,
    StatusRecord,
    TimingRow,
    identity,
)
from resatlas.runs.seal import SEAL, check_seal
from resatlas.values.codec import decode, known
from resatlas.values.notes import once
from resatlas.values.reading import text

_LARGEST = 1 << 26
"""Bytes of the largest JSON file of a run that is read; that of a plan of 10,000 units has far less."""

T = TypeVar("T")


def read_run(folder: Path) -> RunRecord:
    """The run of a folder: its files, checked against its seal, or, with a note, against each other if it has none.

    Raises: FolderError if there is none, or with the name of a damaged or changed file.
    """
    record = decode_run(folder)
    if record.finished and record.seal is None:
        _say_unsealed(record)
    return record


def read_finished(folder: Path) -> RunRecord:
    """The finished run of a folder.

    Raises: FolderError as `read_run`, or if it is not finished.
    """
    run = read_run(folder)
    if not run.finished:
        raise FolderError(f"{folder} is not finished; train it to its end with --resume auto first")
    return run


def decode_run(folder: Path) -> RunRecord:
    """The run of a folder, without the note about a missing seal.

    Raises: FolderError
    """
    beginning = read_beginning(folder)
    ended = (folder / RESULTS).exists()
    seal = check_seal(folder)
    written = _table(folder / RESULTS) if ended else {}
    record = RunRecord(
        beginning=beginning,
        environment=_read_environment(folder),
        status=read_status(folder),
        metrics=read_rows(folder / METRICS, EpochRow),
        timing=read_rows(folder / TIMING, TimingRow),
        results=decoded(Results, written, folder / RESULTS, where="results") if ended else None,
        written=written,
        predictions=_predictions(folder / PREDICTIONS, beginning.classes) if ended else None,
        seal=seal,
    )
    if ended and seal is None:
        check_derived(record)
    return record


def read_beginning(folder: Path) -> Beginning:
    """The start of a run, as written before its first step.

    Raises: FolderError
    """
    check_is_run(folder)
    file = folder / FIRST
    table = _table(file)
    try:
        plan = plans.from_json(table.get("plan"))
        beginning = Beginning(
            folder=folder,
            experiment=experiments.from_json(table),
            digest=experiments.digest_as_written(table),
            plan=plan,
            network=identity(plan),
            classes=decode(tuple[str, ...], table.get("classes", []), where="classes"),
            images=_images(table.get("images", "")),
            note=decode(str, table.get("note", ""), where="note"),
            departures=decode(tuple[str, ...], table.get("departures", []), where="departures"),
            keep=decode(Keep, table.get("keep", "last"), where="keep"),
        )
    except (UsageError, ValueError, OverflowError, RecursionError) as error:
        raise FolderError(f"{file}: {error}") from None
    outputs = len(beginning.classes) if isinstance(beginning.experiment.recipe.task, Classify) else 0
    if beginning.classes and outputs != plan.classes:
        raise FolderError(f"{file}: {len(beginning.classes):,} classes, and a plan of {plan.classes:,} outputs")
    return beginning


def check_is_run(folder: Path) -> None:
    """Refuse a folder that is not a run.

    Raises: FolderError with the runs in it.
    """
    if not (folder / FIRST).exists():
        reason = f"it has no {FIRST}" if folder.exists() else "it does not exist"
        raise FolderError(f"{folder} is not a run folder: {reason}{runs_below(folder)}")


def runs_below(folder: Path) -> str:
    """The end of a message about a folder that is no run: the first runs in it, if there are some."""
    near = sorted(file.parent.name for file in folder.glob(f"*/{FIRST}"))[:3] if folder.is_dir() else []
    return f"; it holds the runs {', '.join(near)}, …" if near else ""


def read_status(folder: Path) -> StatusRecord | None:
    """The status of a run; None without status.json.

    Raises: FolderError
    """
    file = folder / STATUS
    return decoded(StatusRecord, _table(file), file, where="status") if file.exists() else None


def _read_environment(folder: Path) -> Environment | None:
    """The environment of a run; None without env.json.

    Raises: FolderError
    """
    file = folder / ENVIRONMENT
    if not file.exists():
        return None
    table = _table(file)
    packages = table.get("packages", {})
    try:
        if not isinstance(packages, dict):
            raise BlueprintError("packages: expected a table")
        versions = {name: decode(str | None, value, where=f"packages.{name}") for name, value in packages.items()}
        others = {key: value for key, value in table.items() if key not in ("command", "packages", "starts")} | versions
        return Environment(
            processor=str(table.get("processor") or ""),
            cores=str(table.get("cores") or ""),
            threads=str(table.get("threads") or ""),
            packages=tuple((name, version) for name, version in versions.items() if version),
            command=decode(tuple[str, ...], table.get("command", []), where="command"),
            entries=tuple((name, _words(value)) for name, value in _flat(others) if value),
            starts=_starts(table),
        )
    except UsageError as error:
        raise FolderError(f"{file}: {error}") from None


def read_starts(folder: Path) -> tuple[Start, ...]:
    """The recorded starts of a run; none without env.json or if an earlier version wrote it.

    Raises: FolderError
    """
    file = folder / ENVIRONMENT
    try:
        return _starts(_table(file)) if file.exists() else ()
    except UsageError as error:
        raise FolderError(f"{file}: {error}") from None


def _starts(table: Mapping[str, Any]) -> tuple[Start, ...]:
    starts = table.get("starts", [])
    if not isinstance(starts, list):
        raise BlueprintError("starts: expected a list")
    return tuple(decode(Start, known(Start, start), where=f"starts.{k}") for k, start in enumerate(starts))


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The entries of a table, with each table in it replaced by its entries, one level deep."""
    for name, value in table.items():
        yield from value.items() if isinstance(value, dict) else [(name, value)]


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def decoded(kind: type[T], table: object, file: Path, *, where: str) -> T:
    """The value of a JSON table; keys that the type lacks are ignored.

    Raises: FolderError with the file and the key.
    """
    try:
        return decode(kind, known(kind, table), where=where)
    except UsageError as error:
        raise FolderError(f"{file}: {error}") from None


def _say_unsealed(run: RunRecord) -> None:
    """Note a missing seal, once per command."""
    ended = run.status is None or run.status.status == "finished"
    why = "runs of earlier versions have none" if ended else "the command that trained it, with --resume auto, seals it"
    once("unsealed", f"{run.folder} has no {SEAL} ({why}): a changed value is found only where its files disagree")


def _table(file: Path) -> dict[str, Any]:
    table = read_json(file, most=_LARGEST)
    if not isinstance(table, dict):
        raise FolderError(f"{file}: expected a table, got {type(table).__name__}")
    return table


def read_rows(file: Path, kind: type[T]) -> tuple[T, ...]:
    """The rows of a file with one per epoch; none if the file is missing.

    Raises: FolderError with the line and the key.
    """
    rows = [decoded(kind, row, file, where=f"line {k}") for k, row in enumerate(read_lines(file), start=1)]
    for k, row in enumerate(rows, start=1):
        if (epoch := row.epoch) != k:  # type: ignore[attr-defined]
            raise FolderError(f"{file}: line {k} is of epoch {epoch}")
    return tuple(rows)


def _images(value: object) -> Images:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values()):
        return tuple((str(part), digest) for part, digest in value.items())
    raise BlueprintError("images: expected a digest, or one for each part by its name")


def _predictions(file: Path, classes: tuple[str, ...]) -> tuple[Guess, ...] | None:
    """The predictions for the test images, with class names as in experiment.json: the file escapes some.

    Raises: FolderError
    """
    if not file.exists():
        return None
    marked = {mark + escaped(name): name for name in classes for mark in ("", "'")}

    def plain(name: str) -> str:
        return intern(marked.get(name, name))

    try:
        rows = filter(None, csv.reader(StringIO(text(file), newline="")))
        head = next(rows, [])
        image, true, predicted, probability = map(head.index, ("id", "true", "predicted", "probability"))
        guesses = tuple(
            Guess(row[image], plain(row[true]), plain(row[predicted]), float(row[probability])) for row in rows
        )
    except OSError as error:
        raise FolderError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, csv.Error, IndexError):
        raise FolderError(f"{file} does not hold predictions") from None
    strange = next((guess for guess in guesses if not 0 <= guess.probability <= 1), None)
    if strange or not guesses:
        reason = f"a probability of {strange.probability:g} of image {quoted(strange.image)}" if strange else "no rows"
        raise FolderError(f"{file} does not hold predictions: it has {reason}")
    return guesses
