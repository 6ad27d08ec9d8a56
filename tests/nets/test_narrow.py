"""Strided 1x1 convolutions of few channels, whose backward pass in torch writes out of bounds on some processors."""

import pytest
import torch
import torch.nn.functional as F

from resatlas.nets.layers import NarrowPointwise2d
from resatlas.nets.network import build


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_a_narrow_strided_convolution_is_the_one_of_torch(channels: int):
    """Outputs and gradients are those of the strided convolution of torch in float64."""
    torch.manual_seed(0)
    layer = NarrowPointwise2d(channels, 8, 1, stride=2, bias=False).double()
    images = torch.randn(3, channels, 7, 6, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(images, layer.weight, stride=2)
    assert torch.allclose(layer(images), expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(expected)
    theirs = torch.autograd.grad(expected, (images, layer.weight), upstream)
    ours = torch.autograd.grad(layer(images), (images, layer.weight), upstream)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_a_network_of_few_channels_trains_with_channels_last():
    """Every strided 1x1 convolution of fewer than eight channels is such a layer, and training steps succeed."""
    network = build("resnet-18:base=2", classes=4, seed=0).to(memory_format=torch.channels_last)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    narrow = [conv for conv in convolutions if conv.kernel_size == (1, 1) and conv.in_channels < 8]
    assert narrow
    assert all(isinstance(conv, NarrowPointwise2d) for conv in narrow)
    images = torch.randn(4, 3, 64, 64).to(memory_format=torch.channels_last)
    for _ in range(5):
        network.zero_grad()
        network(images).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
