"""Initial weights of built networks follow the listed distributions."""

import math

import pytest
import torch
from torch import Tensor

from resatlas.arch.parameters import Constant, Normal, Start, Uniform, parameters
from resatlas.designs.catalog import plan
from resatlas.nets.initial import draw
from resatlas.nets.network import build

SAMPLE = (
    "resnet-8-B",
    "resnet-8-shortcut-exclusive-gate-b-3",
    "preact-resnet-11-bottleneck",
    "wrn-10-2",
    "resnext-11-4x16d",
    "resnext-11-4x16d-form-a",
    "pyramidnet-8-a12",
    "dmrnet-8-k3-separate",
    "dilnet-8",
    "fuse6-14",
)

SIGMAS = 5


def far_from(start: Start, tensor: Tensor) -> list[str]:
    """The statistics of a tensor that are more than 5 standard errors from its distribution, or outside its range.

    The standard error of a mean of n values is sd/sqrt(n), that of their variance sd²·sqrt((kurtosis - 1)/n).
    """
    values, n = tensor.double().flatten(), tensor.numel()
    match start:
        case Constant(value=value):
            return [] if (tensor == value).all() else ["value"]
        case Normal(std=std):
            mean, variance, kurtosis = 0.0, std**2, 3.0
            outside = values.abs().max() > 7 * std
        case Uniform(low=low, high=high):
            mean, variance, kurtosis = (low + high) / 2, (high - low) ** 2 / 12, 1.8
            outside = values.min() < low or values.max() > high
    wrong = {
        "range": bool(outside),
        "mean": abs(values.mean() - mean) > SIGMAS * math.sqrt(variance / n),
        "variance": abs((values - mean).square().mean() - variance) > SIGMAS * variance * math.sqrt((kurtosis - 1) / n),
    }
    return [statistic for statistic, is_wrong in wrong.items() if is_wrong]


@pytest.mark.parametrize("name", SAMPLE)
def test_every_tensor_follows_its_listed_start(name: str) -> None:
    """Mean and variance within 5 standard errors, bounds and constants exactly."""
    network = build(name, seed=3)
    tensors = dict(network.named_parameters())
    listed = list(parameters(network.plan))
    assert {parameter.path for parameter in listed} == set(tensors)
    faults = {parameter.path: far_from(parameter.start, tensors[parameter.path].detach()) for parameter in listed}
    assert {path: statistics for path, statistics in faults.items() if statistics} == {}


@pytest.mark.parametrize(
    ("start", "other"),
    [
        (Normal(0.1), Normal(0.11)),
        (Uniform(0, 1), Uniform(-1, 1)),
        (Normal(3**-0.5), Uniform(-1, 1)),
        (Constant(1), Constant(0)),
    ],
)
def test_another_start_would_be_noticed(start: Start, other: Start) -> None:
    """10,000 values of one distribution do not pass for those of another."""
    values = draw((100, 100), start, torch.Generator().manual_seed(1))
    assert values.shape == (100, 100)
    assert far_from(start, values) == []
    assert far_from(other, values) != []


def test_tensors_are_drawn_in_the_order_of_the_layers() -> None:
    """A network with additional layers at the end has the same weights in the earlier layers."""
    shallow, deep = (build(plan(name, classes=0), seed=1).state_dict() for name in ("resnet-8", "resnet-14"))
    for path in ("stem.conv.weight", "stages.0.0.body.conv1.weight", "stages.0.0.body.conv2.weight"):
        assert torch.equal(shallow[path], deep[path])
    assert not torch.equal(shallow["stages.1.0.body.conv1.weight"], deep["stages.1.0.body.conv1.weight"])


def test_tensors_of_one_shape_differ() -> None:
    """No two random weights of a network are equal, also in different streams and stems."""
    network = build("dmrnet-8-k3-separate", seed=1)
    drawn_at_random = [
        network.get_parameter(parameter.path)
        for parameter in parameters(network.plan)
        if not isinstance(parameter.start, Constant)
    ]
    for number, one in enumerate(drawn_at_random):
        assert not any(torch.equal(one, other) for other in drawn_at_random[:number] if one.shape == other.shape)


def test_statistics_start_as_those_of_the_unit_normal() -> None:
    """Before the first batch, every norm has mean 0, variance 1 and a batch count of 0."""
    buffers = dict(build("wrn-10-2", seed=1).named_buffers())
    assert len(buffers) == 3 * 7
    starts = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    assert all((tensor == starts[path.rpartition(".")[2]]).all() for path, tensor in buffers.items())
