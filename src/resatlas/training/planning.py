"""What the loop of an experiment runs over, and how its processes share batches and statistics."""

from dataclasses import replace

import torch

from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.data.batches import source
from resatlas.errors import UsageError
from resatlas.runs.experiment import Experiment
from resatlas.training.distributed import World, share_statistics, together
from resatlas.training.loop import TrainingPlan
from resatlas.training.splits import Splits
from resatlas.training.starting import memory_format
from resatlas.training.state import TrainState


def plan_training(experiment: Experiment, images: Splits, world: World, state: TrainState) -> TrainingPlan:
    """What the loop runs over, in the layout and precision of the experiment.

    Raises: UsageError for batches or groups of norms that these processes cannot have.
    """
    device = next(state.network.parameters()).device
    shown = source(images.train, images.pipeline)
    among = sharing(experiment.recipe.norm_group, min(experiment.recipe.batch, len(shown)), world, device)
    if among > 1:
        share_statistics(state.network, world, among=among)
    training = TrainingPlan(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=shown,
        pipeline=images.pipeline,
        layout=memory_format(experiment),
        precision=experiment.precision or "fp32",
        device=device,
        world=world,
        wrapped=together(state.network, world),
    )
    _check_groups(training, state.network.plan)
    return training


def sharing(norm_group: int | None, batch: int, world: World, device: torch.device) -> int:
    """How many processes share the statistics of a norm's group, of a first batch of so many images.

    Raises: UsageError for a group that they cannot share: of part of a process, or without GPUs.
    """
    group, share = min(norm_group or 1, batch), max(1, batch // world.size)
    if group <= share:
        return 1
    told = f"norm_group {group:,} is more than the {share:,} images of a batch in each of {world.size} processes"
    remedy = f"set norm_group={share} or start fewer"
    if device.type != "cuda":
        raise UsageError(f"{told}, which share statistics on GPUs alone; {remedy}")
    if batch % world.size or group % share or world.size % (group // share):
        raise UsageError(f"{told}, and these are not shared out evenly in such groups; {remedy}")
    return group // share


def _check_groups(training: TrainingPlan, plan: Plan) -> None:
    """Refuse batches that leave a process without an image, or a norm with a single value.

    Raises: UsageError
    """
    world, sizes = training.world, {training.size(0), training.size(training.steps_per_epoch - 1)}
    if min(sizes) < world.size:
        raise UsageError(f"a batch of {min(sizes):,} images is too small for {world.size} processes; start fewer")
    parts = {len(replace(world, rank=rank).share(torch.arange(size))) for size in sizes for rank in range(world.size)}
    groups = {len(each) for part in parts for each in torch.arange(part).split(training.recipe.norm_group or part)}
    points = [layer.output for _, layer in layers(plan) if isinstance(layer.op, Norm)]
    if 1 in groups and any((each.height, each.width) == (1, 1) for each in points):
        raise UsageError(
            "a norm of a 1x1 map has no statistics over a single image, which is what a batch, its last one or its "
            "groups come to here; change batch, norm_group or leftover"
        )
