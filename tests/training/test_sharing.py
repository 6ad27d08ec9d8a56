"""Who shares the statistics of a norm's group with whom."""

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
from resatlas.training.distributed import World, share_statistics
from resatlas.training.planning import plan_training, sharing
from resatlas.training.splits import split_images
from resatlas.training.starting import first_state
from tests.training.small import DESIGN, EXPERIMENT


def among(norm_group: int | None, processes: int, device: str = "cuda") -> int:
    """How many processes share, of a batch of 64."""
    return sharing(norm_group, 64, World(size=processes), torch.device(device))


@pytest.mark.parametrize(
    ("norm_group", "processes", "shared"),
    [(None, 4, 1), (8, 4, 1), (16, 4, 1), (32, 4, 2), (64, 4, 4), (32, 1, 1), (64, 1, 1)],
)
def test_a_group_takes_as_many_processes_as_hold_its_images(
    norm_group: int | None, processes: int, shared: int
) -> None:
    """norm_group over the share of a process; without one, or within a share, each stays by itself."""
    assert among(norm_group, processes) == shared


@pytest.mark.parametrize(
    ("norm_group", "processes", "device", "told"),
    [
        (32, 4, "cpu", "norm_group 32 is more than the 16 images .* on GPUs alone; set norm_group=16 or start fewer"),
        (24, 4, "cuda", "these are not shared out evenly"),
        (48, 4, "cuda", "these are not shared out evenly"),
        (64, 3, "cuda", "norm_group 64 is more than the 21 images .* not shared out evenly"),
    ],
)
def test_other_groups_are_refused_in_a_sentence(norm_group: int, processes: int, device: str, told: str) -> None:
    """On processors, and where a group would take part of a process."""
    with pytest.raises(UsageError, match=told):
        among(norm_group, processes, device)


def test_only_norms_are_exchanged_and_nothing_of_theirs() -> None:
    """All of them, with the same tensors under the same keys, known to the statistics of several passes."""
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


def test_fewer_images_than_a_batch_are_what_is_shared_out() -> None:
    """A group of 16 spans two processes of ten images each, though a whole batch of 64 would hold it in one."""
    recipe = replace(EXPERIMENT.recipe, batch=64, norm_group=16, validation=Fraction(0))
    few = replace(EXPERIMENT, data="synthetic:images=20", recipe=recipe)
    data = datasets.resolve(few.data)
    state = first_state(designs.plan(DESIGN, image=data.image, classes=len(data.classes)), few)
    with pytest.raises(UsageError, match="norm_group 16 is more than the 10 images"):
        plan_training(few, split_images(data.read(), few, data), World(size=2), state)
