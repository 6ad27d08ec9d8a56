"""The run folder of a prepared training: created, continued, or started over if nothing was trained; sealed at its end.

Everything is checked before a folder is created: the device, the weights, unreadable images. So a refusal leaves no
folder behind.
"""

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from resatlas.data.identity import digests_of_objects
from resatlas.data.layouts import Role
from resatlas.data.verifying import Looked
from resatlas.errors import CheckpointError, DataError
from resatlas.runs.amendments import Amendment, PartImages, amend, as_carried_out, record_unreadable
from resatlas.runs.decoding import decode_run
from resatlas.runs.experiment import Experiment
from resatlas.runs.names import FIRST
from resatlas.runs.restarting import clear, trained_nothing
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run, begin, find
from resatlas.studies.checks import check_machine, check_weights, check_whole
from resatlas.studies.own_images import (
    check_objects,
    check_readable,
    check_sizes,
    compare_images,
    differ_text,
    scan_parts,
    unreadable_images,
)
from resatlas.training.execution import Execution, device_of

if TYPE_CHECKING:
    from resatlas.studies.single import Prepared
    from resatlas.training.session import Watcher

_MOST_NAMED = 5
"""Mended images that a note names."""


def open_run(prepared: "Prepared", watcher: "Watcher", lock: ExitStack) -> Run:
    """The run of a prepared training, whose lock is held unless it is finished; its folder is created if there is none.

    Raises: UsageError for a device or a log that is not available, or without a compiler; DataError for images that
        cannot be read, or differ from those of the run; CheckpointError for weights that do not fit.
    """
    folder, execution, note = prepared.folder, prepared.execution, watcher.on_note
    exists = (folder / FIRST).exists()
    starts_over = exists and execution.resume in (None, "auto") and trained_nothing(folder)
    if exists and not starts_over:
        run = find(folder)
        if run.finished:
            if not run.concluded:
                with run.locked(on_wait=watcher.on_wait):
                    finish(run)
            run.record()  # raises if a file of the run is damaged
            note(f"{run.folder} is finished: nothing is left to train")
        else:
            run.settle()
            lock.enter_context(run.locked(on_wait=watcher.on_wait))
            _continue(run, prepared, watcher)
        return run
    experiment = _with_precision(prepared.experiment, execution, watcher)
    check_machine(experiment, execution)
    check_weights(prepared.plan, experiment.weights)
    check_whole(prepared.plan, experiment.recipe.task, classes=len(prepared.classes))
    scans = _verified(prepared, watcher)
    if starts_over:
        clear(folder)
        note(f"the run in {folder} has no checkpoint yet; training starts over")
    run = begin(
        folder,
        experiment,
        prepared.plan,
        lock=lock,
        on_wait=watcher.on_wait,
        classes=list(prepared.classes),
        images={
            **{role: str(scan.fingerprint) for role, scan in scans.items()},
            **digests_of_objects(prepared.parts),
        },
        note=prepared.data.note,
        departures=list(prepared.notes),
        **({} if execution.keep in (None, "last") else {"keep": execution.keep}),
    )
    record_unreadable(run.folder, unreadable_images(scans))
    for line in prepared.notes:
        note(line)
    return run


def _continue(run: Run, prepared: "Prepared", watcher: "Watcher") -> None:
    """Check a partly trained run, and record what has changed since: mended images, another policy for unreadable ones.

    Raises: as `open_run`.
    """
    beginning = run.beginning()
    check_machine(beginning.experiment, prepared.execution)
    scans = _verified(prepared, watcher, refuse_unreadable=False)
    comparison = compare_images(beginning, prepared.parts, scans)
    if comparison.standing == "other":
        raise DataError(
            f"the images of {prepared.data.name} have changed since {run.folder} began: "
            f"{differ_text(comparison.differences)}; restore the original images, or give another folder with --out"
        )
    policy = prepared.experiment.unreadable
    check_objects(beginning, prepared.data, prepared.parts)
    check_readable(prepared.data, scans, policy)
    before = as_carried_out(beginning).unreadable
    if policy == before and comparison.standing != "mended":
        return
    record_unreadable(run.folder, unreadable_images(scans))
    changed, mended = comparison.standing == "mended", comparison.mended
    images = [PartImages(part=role, fingerprint=str(scan.fingerprint)) for role, scan in scans.items()]
    amend(
        run.folder,
        Amendment(epoch=len(run.metrics), unreadable=policy, images=tuple(images) if changed else (), mended=mended),
    )
    if policy != before:
        watcher.on_note(f"unreadable images: {policy} from here on, {before} so far")
    if changed:
        more = f" and {len(mended) - _MOST_NAMED:,} more" if len(mended) > _MOST_NAMED else ""
        watcher.on_note(
            f"images that could not be read are replaced, and used from now on: {', '.join(mended[:_MOST_NAMED])}{more}"
        )


def _verified(prepared: "Prepared", watcher: "Watcher", *, refuse_unreadable: bool = True) -> dict[Role, Looked]:
    """A scan of the images as deep as --verify says; by default all are decoded if unreadable ones are skipped.

    Raises: DataError for unreadable images, if `refuse_unreadable`.
    """
    policy, execution = prepared.experiment.unreadable, prepared.execution
    verify = execution.verify or ("all" if policy == "skip" else "tested")
    scans = scan_parts(prepared.parts, verify=verify, threads=execution.workers, on_image=watcher.on_image)
    if refuse_unreadable:
        check_readable(prepared.data, scans, policy)
    check_sizes(prepared.data, prepared.parts, verify=verify, threads=execution.workers)
    if policy == "skip":
        for role, scan in scans.items():
            if scan.unreadable:
                watcher.on_note(f"{len(scan.unreadable):,} of {len(scan.part):,} {role} images cannot be read")
    return scans


def _with_precision(experiment: Experiment, execution: Execution, watcher: "Watcher") -> Experiment:
    """The experiment with the precision of this machine, if its recipe says auto; a note on one that is slow here."""
    if experiment.precision == "fp32":
        return experiment
    from resatlas.training.precision import automatic_precision

    precision, reason = automatic_precision(device_of(execution.device))
    if experiment.precision:
        if precision == "fp32":
            watcher.on_note(f"precision {experiment.precision} is several times slower here than fp32: {reason}")
        return experiment
    watcher.on_note(f"precision auto is {precision}, here and wherever the run is resumed: {reason}")
    return replace(experiment, precision=precision)


def finish(run: Run) -> None:
    """Seal a run that has its results, after a check that its files agree with each other.

    Raises: CheckpointError if its last checkpoint is not valid; FolderError if its files disagree.
    """
    from resatlas.training.checkpoint import MANIFEST, fault, newest_valid

    last, rejected = newest_valid(run.checkpoints)
    if last is None or rejected:
        raise CheckpointError(f"{run.folder} has no valid checkpoint of its last step")
    record = decode_run(run.folder)
    if record.seal is None:
        best = record.outcome.best
        folder = run.checkpoints / best.checkpoint if best else None
        kept = folder / MANIFEST if folder and fault(folder) is None else None
        write_seal(run.folder, checkpoint=last.name, manifest=last / MANIFEST, best=kept)
    run.set_status("finished", epoch=record.outcome.epochs)
