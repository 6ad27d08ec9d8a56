"""The training plan of an experiment, and how its processes share batches and statistics."""

from dataclasses import replace

import torch

from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.data.batches import source
from resatlas.errors import UsageError
from resatlas.runs.experiment import Experiment
from resatlas.training.distributed import World, data_parallel, share_statistics
from resatlas.training.loop import TrainingPlan
from resatlas.training.splits import Splits
from resatlas.training.starting import memory_format
from resatlas.training.state import TrainState


def plan_training(experiment: Experiment, images: Splits, world: World, state: TrainState) -> TrainingPlan:
    """The training plan in the layout and precision of the experiment.

    Raises: UsageError if these processes cannot share the batches or the norm groups.
    """
    device = next(state.network.parameters()).device
    train = source(images.train, images.pipeline)
    among = sharing(experiment.recipe.norm_group, min(experiment.recipe.batch, len(train)), world, device)
    if among > 1:
        share_statistics(state.network, world, among=among)
    training = TrainingPlan(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=train,
        pipeline=images.pipeline,
        layout=memory_format(experiment),
        precision=experiment.precision or "fp32",
        device=device,
        world=world,
        wrapped=data_parallel(state.network, world),
    )
    _check_groups(training, state.network.plan)
    return training


def sharing(norm_group: int | None, batch: int, world: World, device: torch.device) -> int:
    """The number of processes that share the statistics of a norm group; `batch` is the size of the first batch.

    Raises: UsageError if they cannot share the group: it splits a process's images, or there are no GPUs.
    """
    group, share = min(norm_group or 1, batch), max(1, batch // world.size)
    if group <= share:
        return 1
    problem = f"norm_group {group:,} is more than the {share:,} images of a batch in each of {world.size} processes"
    remedy = f"set norm_group={share} or start fewer processes"
    if device.type != "cuda":
        raise UsageError(f"{problem}, and processes share statistics only on GPUs; {remedy}")
    if batch % world.size or group % share or world.size % (group // share):
        raise UsageError(f"{problem}, and such groups do not divide them evenly; {remedy}")
    return group // share


def _check_groups(training: TrainingPlan, plan: Plan) -> None:
    """Check that each process gets an image, and each norm more than one value.

    Raises: UsageError
    """
    world, sizes = training.world, {training.size(0), training.size(training.steps_per_epoch - 1)}
    if min(sizes) < world.size:
        raise UsageError(
            f"a batch of {min(sizes):,} images is too small for {world.size} processes; start fewer processes"
        )
    parts = {len(replace(world, rank=rank).share(torch.arange(size))) for size in sizes for rank in range(world.size)}
    groups = {len(group) for part in parts for group in torch.arange(part).split(training.recipe.norm_group or part)}
    points = [layer.output for _, layer in layers(plan) if isinstance(layer.op, Norm)]
    if 1 in groups and any((point.height, point.width) == (1, 1) for point in points):
        raise UsageError(
            "a norm of a 1x1 map needs more than one image for its statistics, but a batch, the last batch or a norm "
            "group has one image here; change batch, norm_group or leftover"
        )
