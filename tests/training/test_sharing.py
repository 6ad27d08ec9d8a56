"""Processes that share the statistics of a norm group."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import distributed, nn

from resatlas.data import catalog as datasets
from resatlas.designs import catalog as designs
from resatlas.errors import UsageError
from resatlas.nets.network import build
from resatlas.nets.norm_groups import running_statistics
from resatlas.runs.experiment import Experiment
from resatlas.training.distributed import World, share_statistics
from resatlas.training.loop import TrainingPlan
from resatlas.training.planning import plan_training, sharing
from resatlas.training.splits import split_images
from resatlas.training.starting import first_state
from tests.training.small import DESIGN, EXPERIMENT


def among(norm_group: int | None, processes: int, device: str = "cuda") -> int:
    """The number of processes that share a group, for a batch of 64."""
    return sharing(norm_group, 64, World(size=processes), torch.device(device))


@pytest.mark.parametrize(
    ("norm_group", "processes", "shared"),
    [(None, 4, 1), (8, 4, 1), (16, 4, 1), (32, 4, 2), (64, 4, 4), (32, 1, 1), (64, 1, 1)],
)
def test_a_group_spans_the_processes_that_hold_its_images(norm_group: int | None, processes: int, shared: int) -> None:
    """norm_group divided by the share of a process; 1 without a norm group or if it is within a share."""
    assert among(norm_group, processes) == shared


@pytest.mark.parametrize(
    ("norm_group", "processes", "device", "message"),
    [
        (
            32,
            4,
            "cpu",
            "norm_group 32 is more than the 16 images .* only on GPUs; set norm_group=16 or start fewer processes",
        ),
        (24, 4, "cuda", "such groups do not divide them evenly"),
        (48, 4, "cuda", "such groups do not divide them evenly"),
        (64, 3, "cuda", "norm_group 64 is more than the 21 images .* do not divide them evenly"),
    ],
)
def test_other_groups_are_refused(norm_group: int, processes: int, device: str, message: str) -> None:
    """Groups across processes are refused on CPUs, and if a group would split the images of a process."""
    with pytest.raises(UsageError, match=message):
        among(norm_group, processes, device)


def test_only_norms_are_replaced_and_their_tensors_kept() -> None:
    """All norms are replaced, with the same tensors under the same keys, and `running` finds them."""
    network = build("resnet:depth=8,base=4", seed=0)
    before, norms = network.state_dict(keep_vars=True), len(running_statistics(network))
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        share_statistics(network, World(), among=1)
    finally:
        distributed.destroy_process_group()
    after = network.state_dict(keep_vars=True)
    assert [(key, id(value)) for key, value in after.items()] == [(key, id(value)) for key, value in before.items()]
    assert not any(isinstance(each, nn.BatchNorm2d) for each in network.modules())
    assert len(running_statistics(network)) == norms > 0


def test_the_number_of_images_limits_the_batch() -> None:
    """A group of 16 spans two processes of ten images each, though it fits in one with a full batch of 64."""
    recipe = replace(EXPERIMENT.recipe, batch=64, norm_group=16, validation=Fraction(0))
    few = replace(EXPERIMENT, data="synthetic:images=20", recipe=recipe)
    with pytest.raises(UsageError, match="norm_group 16 is more than the 10 images"):
        planned(few, World(size=2))


def test_each_process_needs_an_image() -> None:
    """A batch of one image is refused for two processes."""
    one = replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, batch=1))
    with pytest.raises(UsageError, match="a batch of 1 images is too small for 2 processes; start fewer processes"):
        planned(one, World(size=2))


def planned(experiment: Experiment, world: World) -> TrainingPlan:
    """The plan of a training by so many processes."""
    data = datasets.resolve(experiment.data)
    state = first_state(designs.plan(DESIGN, image=data.image, classes=len(data.classes)), experiment)
    return plan_training(experiment, split_images(data.read(), experiment, data), world, state)
