"""What is refused before a run is begun, gone on with or tested again."""

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.data.catalog import is_folder, separated
from resatlas.data.dataset import DataSet
from resatlas.errors import DataError, FolderError, quoted
from resatlas.runs.experiment import Experiment, TrainedWeights, begun_as, digest
from resatlas.runs.names import FIRST
from resatlas.runs.record import RunRecord
from resatlas.runs.restarting import trained_nothing
from resatlas.runs.store import Run, check_free, check_writable, find
from resatlas.training.execution import Execution, device_of


def check_folder(out: Path, experiment: Experiment, plan: Plan, *, resume: str | None) -> None:
    """Refuse a folder that cannot be written, or that holds something else than the beginning of this experiment.

    Raises: FolderError
    """
    check_writable(out)
    begun = (out / FIRST).exists()
    if begun and resume in (None, "auto") and trained_nothing(out):
        return
    if resume is None or not begun:
        check_free(out)
    if resume not in (None, "auto") and not begun:
        raise FolderError(f"{out} has no run to resume; leave out --resume to begin one")
    if not begun:
        return
    begun = find(out).beginning()
    if digest(begun.experiment) != digest(_as_begun(experiment, begun.experiment)):
        raise FolderError(f"{out} holds another experiment; give another folder with --out")
    if begun.plan != plan:
        then, now = (f"{cost(each).parameters:,}" for each in (begun.plan, plan))
        raise FolderError(
            f"{out} holds another experiment: {experiment.design} has changed since it began ({then} parameters then, "
            f"{now} now); put the design back as it was, or give another folder with --out"
        )


def check_still_own(run: Run, experiment: Experiment, plan: Plan) -> None:
    """Refuse a run that another process has begun anew or finished before this one held its lock.

    Raises: FolderError
    """
    begun = run.beginning()
    same = digest(begun.experiment) == digest(_as_begun(experiment, begun.experiment)) and begun.plan == plan
    if run.finished or not same:
        raise FolderError(f"{run.folder} was begun or finished by another process meanwhile; rerun the command")


def _as_begun(experiment: Experiment, begun: Experiment) -> Experiment:
    """The experiment with what a continued run may have otherwise.

    These are the path of its folder of images, whose files are compared, and what happens at images that cannot be
    read, which is recorded.
    """
    same_knobs = separated(experiment.data)[2] == separated(begun.data)[2]
    moved = same_knobs and is_folder(experiment.data) and is_folder(begun.data)
    data = begun.data if moved else experiment.data
    return begun_as(replace(experiment, unreadable=begun.unreadable, data=data), begun)


def check_weights(plan: Plan, weights: TrainedWeights | None) -> None:
    """Refuse weights that are not the network's before there is a run of them.

    Raises: CheckpointError as `take_weights`.
    """
    if weights:
        from resatlas.nets.network import build
        from resatlas.training.starting import take_weights

        take_weights(build(plan, seed=0), weights)


def check_machine(experiment: Experiment, execution: Execution) -> None:
    """Refuse what this machine lacks to carry an experiment out as it was told to.

    Raises: UsageError
    """
    from resatlas.training.compiling import check_compiler
    from resatlas.training.logs import logs_here

    device_of(execution.device)
    check_compiler(experiment.compiled)
    logs_here(execution.logs)


def check_plan(run: RunRecord) -> None:
    """Refuse a plan that is not the one that was trained, before there is memory for it.

    Raises: FolderError if no network can be built from it, or another one than the results tell of.
    """
    import torch

    from resatlas.nets.network import build

    plan, file = run.plan, run.folder / FIRST
    try:
        network = build(plan, device="meta").eval()
        logits = network(torch.empty(1, *plan.image, device="meta"))
    except Exception as error:  # a plan that somebody edited can be wrong in any way
        raise FolderError(f"{file}: no network can be built from its plan: {quoted(str(error))}") from None
    found = (sum(weight.numel() for weight in network.parameters()), logits.shape[1])
    known = (run.outcome.parameters, plan.classes)
    if found != known:
        raise FolderError(
            f"{file}: its plan has {found[0]:,} parameters and {found[1]:,} outputs; trained were "
            f"{known[0]:,} and {known[1]:,}"
        )


def check_classes(run: RunRecord, data: DataSet) -> None:
    """Refuse images of other classes than those that a run was trained on.

    Raises: DataError with the first that differs.
    """
    for k, (known, found) in enumerate(zip_longest(run.classes, data.classes)):
        if known != found:
            raise DataError(
                f"class {k} of {data.name} is {quoted(found or 'missing')}, but {run.folder} learnt "
                f"{quoted(known or 'no such class')}; test it on images of the same classes in the same order"
            )
