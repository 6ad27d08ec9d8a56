"""Checks before a run is started, resumed or tested again."""

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import assert_never

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.data.boxes import AnnotatedParts, DetectionData, held_back
from resatlas.data.catalog import is_folder, separated
from resatlas.data.dataset import DataSet, Parts, hold_back
from resatlas.errors import DataError, FolderError, UsageError, quoted
from resatlas.recipes.detection import Classify, Detect, Segment, Task
from resatlas.recipes.recipe import Recipe
from resatlas.runs.experiment import Experiment, TrainedWeights, begun_as, digest
from resatlas.runs.names import FIRST
from resatlas.runs.record import Keep, RunRecord, check_labels
from resatlas.runs.restarting import trained_nothing
from resatlas.runs.store import Run, check_free, check_writable, find
from resatlas.training.execution import Execution, device_of


def check_folder(
    out: Path, experiment: Experiment, plan: Plan, *, resume: str | None, keep: Keep | None = None
) -> None:
    """Refuse a folder that cannot be written, or that contains anything but the start of this experiment.

    Raises: FolderError
    """
    check_writable(out)
    exists = (out / FIRST).exists()
    if exists and resume in (None, "auto") and trained_nothing(out):
        return
    if resume is None or not exists:
        check_free(out)
    if resume not in (None, "auto") and not exists:
        raise FolderError(f"{out} has no run to resume; leave out --resume to start one")
    if not exists:
        return
    beginning = find(out).beginning()
    if digest(beginning.experiment) != digest(_with_original(experiment, beginning.experiment)):
        raise FolderError(f"{out} holds another experiment; give another folder with --out")
    if keep not in (None, beginning.keep):
        raise FolderError(
            f"{out} began with --keep {beginning.keep}, which cannot change: checkpoints of earlier epochs are gone; "
            "leave out --keep, or give another folder with --out"
        )
    if beginning.plan != plan:
        then, now = (f"{cost(network).parameters:,}" for network in (beginning.plan, plan))
        raise FolderError(
            f"{out} holds another experiment: {experiment.design} has changed since it began ({then} parameters then, "
            f"{now} now); restore the design, or give another folder with --out"
        )


def check_held_back(data: DataSet | DetectionData, parts: Parts | AnnotatedParts, recipe: Recipe) -> None:
    """Refuse to keep the best epoch of a training without validation images.

    Raises: UsageError
    """
    if has_held_back(parts, recipe):
        return
    if recipe.validation:
        raise UsageError(
            f"--keep best,last needs validation images, and a share of {recipe.validation} of the {len(parts.train):,} "
            f"training images of {data.name} gives none; set a larger one with --set validation=1/10"
        )
    raise UsageError(
        f"--keep best,last needs validation images: {data.name} has none, and recipe {recipe.name} holds none back; "
        "add --set validation=1/10"
    )


def has_held_back(parts: Parts | AnnotatedParts, recipe: Recipe) -> bool:
    """Whether a training has validation images, of the source or held back by the recipe."""
    if parts.validation is not None:
        return True
    own = (
        hold_back(parts.train, recipe.validation)
        if isinstance(parts, Parts)
        else held_back(parts.train, recipe.validation)
    )
    return own[1] is not None


def check_still_own(run: Run, experiment: Experiment, plan: Plan) -> None:
    """Refuse a run that another process has restarted or finished before this one got its lock.

    Raises: FolderError
    """
    beginning = run.beginning()
    same = (
        digest(beginning.experiment) == digest(_with_original(experiment, beginning.experiment))
        and beginning.plan == plan
    )
    if run.finished or not same:
        raise FolderError(f"another process has started or finished {run.folder} meanwhile; rerun the command")


def _with_original(experiment: Experiment, original: Experiment) -> Experiment:
    """The experiment with the original values of what may change when a run is resumed.

    These are the path of its folder of images, whose files are compared, and the policy for unreadable images, whose
    changes are recorded.
    """
    same_knobs = separated(experiment.data)[2] == separated(original.data)[2]
    moved = same_knobs and is_folder(experiment.data) and is_folder(original.data)
    data = original.data if moved else experiment.data
    return begun_as(replace(experiment, unreadable=original.unreadable, data=data), original)


def check_weights(plan: Plan, weights: TrainedWeights | None) -> None:
    """Refuse weights that do not fit the network, before a run is created.

    Raises: CheckpointError as `take_weights`.
    """
    if weights:
        from resatlas.nets.network import build
        from resatlas.training.starting import take_weights

        take_weights(build(plan, seed=0), weights)


def check_whole(plan: Plan, task: Task, *, classes: int) -> None:
    """Refuse a network that the head of a task does not fit, before a run is created.

    Raises: DesignError, UsageError as `Detector` and `Segmenter`.
    """
    if isinstance(task, Classify):
        return
    import torch

    from resatlas.nets.network import build

    with torch.device("meta"):
        network = build(plan, device="meta")
        match task:
            case Detect():
                from resatlas.nets.detector import Detector

                Detector(network, task, classes=classes)
            case Segment():
                from resatlas.nets.segmenter import Segmenter

                Segmenter(network, task, classes=classes)
            case _:
                assert_never(task)


def check_machine(experiment: Experiment, execution: Execution) -> None:
    """Refuse a device, a log or a compilation that this machine does not support.

    Raises: UsageError
    """
    from resatlas.training.compiling import check_compiler
    from resatlas.training.logs import logs_here

    device_of(execution.device)
    check_compiler(experiment.compiled)
    logs_here(execution.logs)


def check_plan(run: RunRecord) -> None:
    """Refuse a plan that is not the trained one, before memory is allocated for its network.

    Raises: FolderError if no network can be built from it, or its size is not that in the results; UsageError if the
        run did not learn labels.
    """
    check_labels(run)
    import torch

    from resatlas.nets.network import build

    plan, file = run.plan, run.folder / FIRST
    try:
        network = build(plan, device="meta").eval()
        logits = network(torch.empty(1, *plan.image, device="meta"))
    except Exception as error:  # an edited plan can be wrong in any way
        raise FolderError(f"{file}: no network can be built from its plan: {quoted(str(error))}") from None
    built = (sum(weight.numel() for weight in network.parameters()), logits.shape[1])
    trained = (run.outcome.parameters, plan.classes)
    if built != trained:
        raise FolderError(
            f"{file}: its plan has {built[0]:,} parameters and {built[1]:,} outputs; the trained network has "
            f"{trained[0]:,} and {trained[1]:,}"
        )


def check_classes(run: RunRecord, data: DataSet) -> None:
    """Refuse images of other classes than those that a run was trained on.

    Raises: DataError that names the first difference.
    """
    for k, (trained, present) in enumerate(zip_longest(run.classes, data.classes)):
        if trained != present:
            raise DataError(
                f"class {k} of {data.name} is {quoted(present) if present else 'missing'}, but {run.folder} was "
                f"trained with {quoted(trained) if trained else 'fewer classes'}; the classes and their order must "
                "be the same"
            )
