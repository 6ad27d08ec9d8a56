"""Networks of other libraries, with weights of our own drawing."""

import importlib
import os
import warnings
from types import ModuleType

import pytest
import torch
from torch import nn


def library(name: str) -> ModuleType:
    """A library that is compared with; where it is missing the test is skipped, but fails where CI=true."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        reason = f"{error.name} is not installed: pip install 'resatlas[oracles]'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def peer(source: str, name: str, *, classes: int) -> nn.Module:
    """A network of a library in float64, for images of any size."""
    network = without_values(source, name, classes=classes)
    if source == "pytorchcv":  # its last pool has the size of the last map at the usual image size
        network.get_submodule("features").final_pool = nn.AdaptiveAvgPool2d(1)
    network.to_empty(device="cpu")
    draw(network)
    return network.double()


def without_values(source: str, name: str, *, classes: int) -> nn.Module:
    """A network of a library without values, but of RegNets, which compute with tensors when they are made."""
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return _made(source, name, classes)


def _made(source: str, name: str, classes: int) -> nn.Module:
    match source:
        case "torchvision":
            return getattr(library("torchvision.models"), name)(num_classes=classes)
        case "timm":
            return library("timm").create_model(name, num_classes=classes)
        case "pytorchcv":
            return library("pytorchcv.model_provider").get_model(name, num_classes=classes)
        case _:
            raise ValueError(source)


def draw(network: nn.Module) -> None:
    """Set every parameter and buffer at random, norms and their running statistics included, by one seed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            match module:
                case nn.Conv2d() | nn.Linear():
                    bound = (6 / module.weight[0].numel()) ** 0.5
                    module.weight.uniform_(-bound, bound, generator=generator)
                    if module.bias is not None:
                        module.bias.uniform_(-0.2, 0.2, generator=generator)
                case nn.BatchNorm2d():
                    module.weight.uniform_(0.5, 1.5, generator=generator)
                    module.bias.uniform_(-0.2, 0.2, generator=generator)
                    statistics = dict(module.named_buffers())
                    statistics["running_mean"].uniform_(-0.2, 0.2, generator=generator)
                    statistics["running_var"].uniform_(0.5, 1.5, generator=generator)
                    statistics["num_batches_tracked"].fill_(7)
                case _:
                    pass  # no parameters of its own
