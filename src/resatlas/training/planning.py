"""The training plan of an experiment, and how its processes share batches and statistics."""

from collections.abc import Sized
from dataclasses import replace

import torch

from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.data.batches import source
from resatlas.errors import UsageError
from resatlas.recipes.detection import Classify, Detect, Segment
from resatlas.recipes.recipe import Recipe
from resatlas.runs.experiment import Experiment
from resatlas.training.detecting import Finding
from resatlas.training.distributed import World, data_parallel, share_statistics
from resatlas.training.loop import Classifying, Learner, TrainingPlan
from resatlas.training.scenery import Scenery
from resatlas.training.splits import AnnotatedSplits, Splits
from resatlas.training.starting import memory_format
from resatlas.training.state import TrainState


def plan_training(
    experiment: Experiment, images: Splits | AnnotatedSplits, world: World, state: TrainState
) -> TrainingPlan:
    """The training plan in the layout and precision of the experiment.

    Raises: UsageError if these processes cannot share the batches or the norm groups.
    """
    device = next(state.network.parameters()).device
    train, learner = _learnt(experiment.recipe, images, device)
    among = sharing(experiment.recipe.norm_group, min(experiment.recipe.batch, len(train)), world, device)
    if among > 1:
        share_statistics(state.module, world, among=among)
    training = TrainingPlan(
        recipe=experiment.recipe,
        seed=experiment.seed,
        images=train,
        pipeline=images.pipeline,
        learner=learner,
        layout=memory_format(experiment),
        precision=experiment.precision or "fp32",
        device=device,
        world=world,
    )
    _check_groups(training, state.network.plan)
    return replace(training, wrapped=data_parallel(state.module, world))


def _learnt(recipe: Recipe, images: Splits | AnnotatedSplits, device: torch.device) -> tuple[Sized, Learner]:
    """What is learnt from, and what of it is learnt."""
    match images, recipe.task:
        case Splits(), Classify():
            return source(images.train, images.pipeline, device), Classifying()
        case AnnotatedSplits(), Detect() | Segment() as task:
            scenes = Scenery(
                images=images.train,
                pipeline=images.pipeline,
                mirror=images.mirror,
                task=task,
                leftover=recipe.leftover,
            )
            return scenes, Finding(scenes)
        case _:
            raise TypeError(f"{type(recipe.task).__name__} does not learn from {type(images).__name__}")


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
