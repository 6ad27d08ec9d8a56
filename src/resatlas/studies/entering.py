"""The run of a prepared training: begun, continued, or begun anew where nothing was trained; and sealed at its end.

Everything that can be refused is refused before a folder is begun: the device, the weights, images that cannot be
read. So a refusal leaves no folder behind.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from resatlas.data.identity import Role
from resatlas.data.verifying import Looked
from resatlas.errors import CheckpointError, DataError
from resatlas.runs.amendments import Amendment, PartImages, amend, as_carried_out, record_unreadable
from resatlas.runs.decoding import decode_run
from resatlas.runs.experiment import Experiment
from resatlas.runs.names import FIRST
from resatlas.runs.restarting import clear, trained_nothing
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run, begin, find
from resatlas.studies.checks import check_machine, check_weights
from resatlas.studies.own_images import check_readable, compared, differ_text, listed, look
from resatlas.training.execution import Execution, device_of

if TYPE_CHECKING:
    from resatlas.studies.single import Prepared
    from resatlas.training.session import Watcher

MOST_NAMED = 5
"""Mended images that a note names."""


def entered(prepared: "Prepared", watcher: "Watcher") -> Run:
    """The run of a prepared training, begun if it was not.

    Raises: UsageError for a device or a log that is not here, or where nothing can be compiled; DataError for images
        that cannot be read, or others than the run has; CheckpointError for weights that do not fit.
    """
    folder, execution, note = prepared.folder, prepared.execution, watcher.on_note
    begun = (folder / FIRST).exists()
    anew = begun and execution.resume in (None, "auto") and trained_nothing(folder)
    if begun and not anew:
        run = find(folder)
        if run.finished:
            if not run.concluded:
                with run.locked():
                    finish(run)
            run.record()  # damage is reported before anything else is said
            note(f"{run.folder} is finished: nothing is left to train")
        else:
            run.settle()
            _continue(run, prepared, watcher)
        return run
    experiment = settled(prepared.experiment, execution, watcher)
    check_machine(experiment, execution)
    check_weights(prepared.plan, experiment.weights)
    looked = _verified(prepared, watcher)
    if anew:
        clear(folder)
        note(f"the run in {folder} has no checkpoint yet; training starts over")
    run = begin(
        folder,
        experiment,
        prepared.plan,
        classes=list(prepared.data.classes),
        images={role: str(each.fingerprint) for role, each in looked.items()},
        note=prepared.data.note,
        departures=list(prepared.notes),
    )
    record_unreadable(run.folder, listed(looked))
    for line in prepared.notes:
        note(line)
    return run


def _continue(run: Run, prepared: "Prepared", watcher: "Watcher") -> None:
    """Check a run that has trained something, and record what changed since: mended images, another policy.

    Raises: as `entered`.
    """
    begun = run.beginning()
    check_machine(begun.experiment, prepared.execution)
    looked = _verified(prepared, watcher, reading=False)
    found = compared(begun, prepared.parts, looked)
    if found.standing == "other":
        raise DataError(
            f"the images of {prepared.data.name} have changed since {run.folder} began: "
            f"{differ_text(found.differences)}; put the former ones back, or give another folder with --out"
        )
    policy = prepared.experiment.unreadable
    check_readable(prepared.data, looked, policy)
    before = as_carried_out(begun).unreadable
    if policy == before and found.standing != "mended":
        return
    record_unreadable(run.folder, listed(looked))
    images = [PartImages(part=role, fingerprint=str(each.fingerprint)) for role, each in looked.items()]
    mended = found.standing == "mended"
    amend(
        run.folder,
        Amendment(
            epoch=len(run.metrics), unreadable=policy, images=tuple(images) if mended else (), mended=found.mended
        ),
    )
    if policy != before:
        watcher.on_note(f"unreadable images: {policy} from here on, {before} so far")
    if mended:
        more = f" and {len(found.mended) - MOST_NAMED:,} more" if len(found.mended) > MOST_NAMED else ""
        watcher.on_note(
            f"images that could not be read are replaced, and used from here on: {', '.join(found.mended[:MOST_NAMED])}"
            f"{more}"
        )


def _verified(prepared: "Prepared", watcher: "Watcher", *, reading: bool = True) -> dict[Role, Looked]:
    """The images looked at, as deep as the user asked for; by default all where broken ones are skipped.

    Raises: DataError for those that cannot be read, if `reading`.
    """
    policy, execution = prepared.experiment.unreadable, prepared.execution
    verify = execution.verify or ("all" if policy == "skip" else "tested")
    looked = look(prepared.parts, verify=verify, threads=execution.workers, on_image=watcher.on_image)
    if reading:
        check_readable(prepared.data, looked, policy)
    if policy == "skip":
        for role, each in looked.items():
            if each.unreadable:
                watcher.on_note(f"{len(each.unreadable):,} of {len(each.part):,} {role} images cannot be read")
    return looked


def settled(experiment: Experiment, execution: Execution, watcher: "Watcher") -> Experiment:
    """The experiment as it is begun: with the precision of this machine, where its recipe leaves that open."""
    if experiment.precision:
        return experiment
    from resatlas.training.precision import automatic_precision

    precision, reason = automatic_precision(device_of(execution.device))
    watcher.on_note(f"precision auto is {precision}, here and wherever the run goes on: {reason}")
    return replace(experiment, precision=precision)


def finish(run: Run) -> None:
    """Seal a run that has its results, once its files agree with each other.

    Raises: CheckpointError if its last checkpoint is not valid; FolderError if its files disagree.
    """
    from resatlas.training.checkpoint import MANIFEST, newest_valid

    last, rejected = newest_valid(run.checkpoints)
    if last is None or rejected:
        raise CheckpointError(f"{run.folder} has no valid checkpoint of its end")
    found = decode_run(run.folder)
    if found.seal is None:
        write_seal(run.folder, checkpoint=last.name, manifest=last / MANIFEST)
    run.set_status("finished", epoch=found.outcome.epochs)
