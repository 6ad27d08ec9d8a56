"""A network as the backbone of feature pyramids of torchvision and timm."""

import pytest
import torch
from torch import nn

import resatlas
from tests.nets.small import ONE_STREAM, STREAMS, images, small


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_the_levels_are_the_features(design: str) -> None:
    """The children of a body, one after another, have the maps of `features`, with the channels of `levels`."""
    network, maps = small(design), images()
    features = list(network.features(maps).values())
    for child, expected in zip(resatlas.body(network), features, strict=True):
        maps = child(maps)
        assert maps.equal(expected)
    for level, expected in zip(resatlas.levels(network.plan), features[1:], strict=True):
        assert level.channels == expected.shape[1]
        assert level.stride == 16 // expected.shape[2]


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "wrn-10-1", "dmrnet:depth=14,base=4"])
def test_torchvision_puts_a_pyramid_on_it(design: str) -> None:
    """BackboneWithFPN runs it; its gradients reach every weight but those of the classifier."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    network = small(design).train()
    levels = resatlas.levels(network.plan)[1:]
    names = {f"stages_{level.stage}": str(level.stage) for level in levels}
    pyramid = BackboneWithFPN(resatlas.body(network), names, [level.channels for level in levels], 8)
    batch = torch.randn(2, 3, 16, 16)
    maps = pyramid(batch)
    assert {name: tuple(x.shape) for name, x in maps.items()} == {
        "1": (2, 8, 8, 8),
        "2": (2, 8, 4, 4),
        "pool": (2, 8, 2, 2),
    }
    torch.stack([x.square().sum() for x in maps.values()]).sum().backward()
    without = [path for path, weight in network.named_parameters() if weight.grad is None]
    assert without == ["head.linear.weight", "head.linear.bias"]


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "preact-resnet-8", "dmrnet:depth=14,base=4"])
def test_timm_collects_the_same_features(design: str) -> None:
    """Its FeatureHookNet (features_only) collects the maps of `features` by `feature_info`."""
    features = pytest.importorskip("timm.models._features")
    network, batch = small(design), images()
    expected = list(network.features(batch).values())[1:]
    hooked = features.FeatureHookNet(network, out_indices=(0, 1, 2))
    assert [info["num_chs"] for info in network.feature_info] == [maps.shape[1] for maps in expected]
    for maps, own in zip(hooked(batch), expected, strict=True):
        assert maps.equal(own)


def test_a_body_shares_the_weights() -> None:
    """A change of the body changes the network."""
    network = small("preact-resnet-8")
    body = resatlas.body(network)
    own = {id(weight) for weight in network.parameters()}
    assert {id(weight) for weight in body.parameters()} < own
    norms = [module for module in body.get_submodule("stages_2").modules() if isinstance(module, nn.BatchNorm2d)]
    assert any(norm is network.get_submodule("head.norm") for norm in norms)
