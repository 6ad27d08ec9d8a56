"""Our closed form against what other counters find in the networks themselves."""

from importlib import import_module

import pytest

from resatlas.arch.conventions import multiply_adds, profiled
from resatlas.designs.catalog import plan
from tests.oracles.peers import library

WEIGHTS = {
    "resnet-18-B": "ResNet18_Weights",
    "resnet-34-B": "ResNet34_Weights",
    "resnet-50-v1.5": "ResNet50_Weights",
    "resnet-101-v1.5": "ResNet101_Weights",
    "resnet-152-v1.5": "ResNet152_Weights",
    "resnext-50-32x4d": "ResNeXt50_32X4D_Weights",
    "resnext-101-32x8d": "ResNeXt101_32X8D_Weights",
    "resnext-101-64x4d": "ResNeXt101_64X4D_Weights",
    "wrn-50-2": "Wide_ResNet50_2_Weights",
    "wrn-101-2": "Wide_ResNet101_2_Weights",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_torchvision_publishes_ours(name: str) -> None:
    """Torchvision's GFLOPS are multiply-adds, and its parameters are ours, for every network that both have."""
    meta = getattr(import_module("torchvision.models"), WEIGHTS[name]).IMAGENET1K_V1.meta
    assert meta["_ops"] == round(multiply_adds(plan(name)) / 1e9, 3)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_ptflops_counts_ours_in_torchvision(name: str) -> None:
    """Its module hooks find in torchvision's network what our rule makes of the plan."""
    engine = library("ptflops.pytorch_engine")
    ours = {"resnet18": "resnet-18-B", "resnet50": "resnet-50-v1.5", "wide_resnet50_2": "wrn-50-2"}
    peer = getattr(import_module("torchvision.models"), name)()
    found, _ = engine.get_flops_pytorch(
        peer, (3, 224, 224), print_per_layer_stat=False, extra_config={"count_functional": False}
    )
    assert found == profiled(plan(ours.get(name, "resnext-50-32x4d")))
