"""The first state of a training, and the network of a finished one."""

from pathlib import Path

import torch

from resatlas.arch.expand import with_classes
from resatlas.arch.plan import Plan
from resatlas.errors import CheckpointError, UsageError
from resatlas.nets.network import Network, build, set_shake, set_stochastic_depth
from resatlas.recipes.detection import Classify
from resatlas.runs.experiment import Experiment, TrainedWeights, weights_in
from resatlas.runs.files import sha256_of
from resatlas.runs.names import NORMALISATION
from resatlas.runs.record import Best, Epoch, RunRecord, best_of, check_labels
from resatlas.runs.seal import SEAL
from resatlas.training import checkpoint
from resatlas.training.average import average_of
from resatlas.training.checkpoint import MANIFEST
from resatlas.training.detecting import first_state_of
from resatlas.training.loop import CPU
from resatlas.training.optimizer import optimizer
from resatlas.training.precision import scaler
from resatlas.training.state import TrainState
from resatlas.weights.initial_weights import start_from


def start(run: RunRecord, experiment: Experiment, device: torch.device = CPU) -> TrainState:
    """The state of a run before the first step."""
    return first_state(run.plan, experiment, device, classes=len(run.classes))


def first_state(
    plan: Plan, experiment: Experiment, device: torch.device = CPU, *, classes: int | None = None
) -> TrainState:
    """The state before the first step: a network of the plan, its optimizer, average and scaler.

    `classes` are those of the data, for detection and segmentation, where the plan has none.
    """
    recipe = experiment.recipe
    network = build(plan, seed=experiment.seed)
    set_stochastic_depth(network, recipe.stochastic_depth)
    set_shake(network, recipe.shake)
    if not isinstance(recipe.task, Classify):
        state = first_state_of(network, recipe.task, recipe, classes=classes or 0, seed=experiment.seed)
        state.module.to(device).to(memory_format=memory_format(experiment))
        state.average = average_of(state.module) if recipe.average else None
        state.scaler = scaler(experiment.precision, device)
        return state
    network = network.to(device).to(memory_format=memory_format(experiment))
    average = average_of(network) if recipe.average else None
    return TrainState(
        network=network,
        optimizer=optimizer(network, recipe),
        average=average,
        scaler=scaler(experiment.precision, device),
    )


def take_weights(network: Network, weights: TrainedWeights, plan: Plan | None = None) -> str:
    """Load trained weights into the network, and return a sentence about their source and omissions.

    A network without classifier takes all but the classifier; `plan` is its own before strides were dilated.
    Raises: CheckpointError if the file has changed since the run began, or does not fit the network.
    """
    file = Path(weights.file)
    here = weights_in(file, which=weights.which)
    if here != weights:
        raise CheckpointError(f"{file} has changed since the run began: sha256 {here.sha256}, not {weights.sha256}")
    whole = network if network.plan.classes else build(with_classes(plan or network.plan, 1), seed=0)
    taken = start_from(whole, file, which=weights.which)
    words = [f"starts from {file.name} (weight names of {taken.source})"]
    if whole is not network:
        whole.reset_classifier(0)
        network.load_state_dict(whole.state_dict())
        changes = [*taken.notes, *taken.changes(network.plan)]
        return "; ".join([*words, "without a classifier", *(note for note in changes if "classifier" not in note)])
    return "; ".join([*words, *taken.notes, *taken.changes(network.plan)])


def memory_format(experiment: Experiment) -> torch.memory_format:
    """The memory format of the experiment, as a value of torch."""
    return torch.channels_last if experiment.layout == "channels-last" else torch.contiguous_format


def trained(run: RunRecord, experiment: Experiment, of: Epoch = "last") -> Network:
    """The network of a finished run after its last or its best epoch: the average of the weights if there is one.

    Raises: as `trained_state`; UsageError if the run did not learn labels.
    """
    check_labels(run)
    tested = trained_state(run, experiment, of).tested
    assert isinstance(tested, Network)  # noqa: S101 - labels are learnt by a network alone
    return tested


def trained_state(run: RunRecord, experiment: Experiment, of: Epoch = "last") -> TrainState:
    """The state of a finished run after its last or its best epoch.

    Raises: CheckpointError if there is no checkpoint or it is invalid; another one is not used in its place; UsageError
        if the run does not keep its best epoch.
    """
    folder = _last(run) if of == "last" else _best(run)
    state = start(run, experiment)
    checkpoint.load(state, folder, experiment=run.digest, normalisation=_seal(run))
    if of == "last" and (not run.metrics or state.step < run.metrics[-1].step):
        raise CheckpointError(f"{run.folder} has no checkpoint of its last step; {folder.name} is older")
    return state


def best_epoch(run: RunRecord) -> Best:
    """The best epoch of a run that keeps its checkpoint.

    Raises: UsageError if it does not.
    """
    best = best_of(run.metrics) if run.beginning.keep == "best,last" else None
    if best is None:
        raise UsageError(f"{run.folder} keeps its last epoch only; train with --keep best,last to use the best one")
    return best


def _best(run: RunRecord) -> Path:
    """The checkpoint of the best epoch.

    Raises: UsageError, CheckpointError
    """
    best = best_epoch(run)
    folder = run.checkpoints / best.checkpoint
    if reason := checkpoint.fault(folder):
        raise CheckpointError(f"{folder}, the checkpoint of epoch {best.epoch}, the best, {reason}")
    sealed = run.seal.best if run.seal else None
    if sealed and (folder.name, sha256_of(folder / MANIFEST)) != (sealed.name, sealed.sha256):
        raise CheckpointError(f"{folder} is not the best checkpoint that {SEAL} of the run lists")
    return folder


def _last(run: RunRecord) -> Path:
    """The checkpoint of the last step.

    Raises: CheckpointError
    """
    newest, rejected = checkpoint.newest_valid(run.checkpoints)
    if newest is None or rejected:
        reasons = "; ".join(f"{folder.name} {folder.reason}" for folder in rejected)
        raise CheckpointError(
            f"{run.folder} has no valid checkpoint of its last step{': ' + reasons if reasons else ''}"
        )
    if run.seal and (newest.name, sha256_of(newest / MANIFEST)) != (run.seal.checkpoint, run.seal.manifest):
        raise CheckpointError(f"{newest} is not the checkpoint that {SEAL} of the run lists")
    return newest


def _seal(run: RunRecord) -> str | None:
    """The sha256 of the normalisation file; None for a run of an earlier version, which lacks the file."""
    file = run.folder / NORMALISATION
    return sha256_of(file) if file.exists() else None
