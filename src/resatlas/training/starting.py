"""The state that a training starts from, and the network that a finished one has left."""

from pathlib import Path

import torch

from resatlas.arch.plan import Plan
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network, build, set_stochastic_depth
from resatlas.runs.experiment import Experiment, TrainedWeights, weights_in
from resatlas.runs.files import sha256_of
from resatlas.runs.names import NORMALISATION
from resatlas.runs.record import RunRecord
from resatlas.runs.seal import SEAL
from resatlas.training import checkpoint
from resatlas.training.average import average_of
from resatlas.training.checkpoint import MANIFEST
from resatlas.training.loop import CPU
from resatlas.training.optimizer import optimizer
from resatlas.training.precision import scaler
from resatlas.training.state import TrainState
from resatlas.weights.initial_weights import start_from


def start(run: RunRecord, experiment: Experiment, device: torch.device = CPU) -> TrainState:
    """The state of a run before the first step."""
    return first_state(run.plan, experiment, device)


def first_state(plan: Plan, experiment: Experiment, device: torch.device = CPU) -> TrainState:
    """The state before the first step: a network of the plan, and what updates it."""
    recipe = experiment.recipe
    network = build(plan, seed=experiment.seed).to(device).to(memory_format=memory_format(experiment))
    set_stochastic_depth(network, recipe.stochastic_depth)
    average = average_of(network) if recipe.average else None
    return TrainState(
        network=network,
        optimizer=optimizer(network, recipe),
        average=average,
        scaler=scaler(experiment.precision, device),
    )


def take_weights(network: Network, weights: TrainedWeights) -> str:
    """Start from trained weights; a sentence that says whose they are and what was left out.

    Raises: CheckpointError if the file is another one than when the run was begun, or not the network's.
    """
    file = Path(weights.file)
    found = weights_in(file, which=weights.which)
    if found != weights:
        raise CheckpointError(f"{file} has changed since the run began: sha256 {found.sha256}, not {weights.sha256}")
    taken = start_from(network, file, which=weights.which)
    words = [f"starts from {file.name}, named as {taken.source} names weights", *taken.notes]
    if taken.classes:
        words.append(
            f"its classifier of {taken.classes:,} classes is replaced by a new one of {network.plan.classes:,}"
        )
    return "; ".join(words)


def memory_format(experiment: Experiment) -> torch.memory_format:
    """The layout of the experiment as torch names it."""
    return torch.channels_last if experiment.layout == "channels-last" else torch.contiguous_format


def trained(run: RunRecord, experiment: Experiment) -> Network:
    """The network of a finished run's newest checkpoint, as it was tested: the average where the recipe has one.

    Raises: CheckpointError if there is none, or if it is not valid: no older one stands in for it.
    """
    found, rejected = checkpoint.newest_valid(run.checkpoints)
    if found is None or rejected:
        reasons = "; ".join(f"{each.name} {each.reason}" for each in rejected)
        raise CheckpointError(f"{run.folder} has no valid checkpoint{' of its end: ' + reasons if reasons else ''}")
    if run.seal and (found.name, sha256_of(found / MANIFEST)) != (run.seal.checkpoint, run.seal.manifest):
        raise CheckpointError(f"{found} is not the checkpoint that {SEAL} of the run names")
    state = start(run, experiment)
    checkpoint.load(state, found, experiment=run.digest, normalisation=_seal(run))
    if not run.metrics or state.step < run.metrics[-1].step:
        raise CheckpointError(f"{run.folder} has no checkpoint of its end; {found.name} is older")
    return state.tested


def _seal(run: RunRecord) -> str | None:
    """The same of a run that is only read, which may be of a version without the file."""
    file = run.folder / NORMALISATION
    return sha256_of(file) if file.exists() else None
