"""The networks of other libraries that we have too, built by their constructors. Needs no torch until one is built."""

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from resatlas.errors import UsageError, quoted

if TYPE_CHECKING:
    from torch import nn

_INSTALLED_BY = "pip install resatlas[oracles]"


@dataclass(frozen=True, kw_only=True)
class PeerNet:
    """A constructor of a library and its arguments: `module.function(**arguments)`."""

    library: str
    module: str
    function: str
    arguments: Mapping[str, int | bool]

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.library} {self.function}({arguments})"

    def make(self, classes: int) -> "nn.Module":
        """The network with the library's initial weights."""
        return getattr(library(self.module), self.function)(**self.arguments, num_classes=classes)

    def parameters(self, classes: int) -> int:
        """The number of parameters of the network."""
        import torch

        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.make(classes).parameters())


class NamePattern(NamedTuple):
    """A pattern of our names, and the constructor that takes the numbers in a name; `label` is for messages."""

    names: str
    label: str
    module: str
    function: str
    numbers: tuple[str, ...]
    more: Mapping[str, bool] = {}


_PYTORCHCV = (
    NamePattern(
        r"resnet-(\d+)-B", "resnet-N-B", "resnet_cifar", "get_resnet_cifar", ("blocks",), {"bottleneck": False}
    ),
    NamePattern(
        r"preact-resnet-(20|32|44|56|110)(?:-B)?",
        "preact-resnet-N",
        "preresnet_cifar",
        "get_preresnet_cifar",
        ("blocks",),
        {"bottleneck": False},
    ),
    NamePattern(r"wrn-(\d+)-(\d+)", "wrn-N-K", "wrn_cifar", "get_wrn_cifar", ("blocks", "width_factor")),
    NamePattern(
        r"resnext-(\d+)-(\d+)x(\d+)d",
        "resnext-N-CxDd",
        "resnext_cifar",
        "get_resnext_cifar",
        ("blocks", "cardinality", "bottleneck_width"),
    ),
    NamePattern(
        r"pyramidnet-(\d+)-a(\d+)",
        "pyramidnet-N-aA",
        "pyramidnet_cifar",
        "get_pyramidnet_cifar",
        ("blocks", "alpha"),
        {"bottleneck": False},
    ),
)
"""The networks of pytorchcv for 32x32 images that have a name here, including depths that it does not name.

Source: pytorchcv/models, from which its model_provider builds resnet20_cifar10 and similar.
"""


_RESNETS = (
    ("resnet-18-B", "resnet18"),
    ("resnet-34-B", "resnet34"),
    ("resnet-50-v1.5", "resnet50"),
    ("resnet-101-v1.5", "resnet101"),
    ("resnext-50-32x4d", "resnext50_32x4d"),
    ("wrn-50-2", "wide_resnet50_2"),
)
_TORCHVISION = TIMM = tuple(NamePattern(re.escape(name), name, "resnet", function, ()) for name, function in _RESNETS)
"""The networks for 224x224 images, with the same names in both libraries; the 3x3 convolution has the stride.

Source: torchvision/models/resnet.py, timm/models/resnet.py.
"""


def peer_of(peer: str, design: str) -> PeerNet:
    """The network of a library for a design of ours.

    Raises: UsageError if the library lacks it.
    """
    for pattern in _LIBRARIES[peer]:
        if match := re.fullmatch(pattern.names, design):
            numbers = dict(zip(pattern.numbers, map(int, match.groups()), strict=True))
            arguments = {**numbers, **pattern.more}
            return PeerNet(
                library=peer, module=f"{peer}.models.{pattern.module}", function=pattern.function, arguments=arguments
            )
    known = ", ".join(pattern.label for pattern in _LIBRARIES[peer])
    raise UsageError(f"{peer} has no network {quoted(design)}; it has {known}")


def check_installed(name: str) -> None:
    """Check that a peer is installed.

    Raises: UsageError
    """
    library(name)


def library(name: str) -> ModuleType:
    """A module of a peer.

    Raises: UsageError if the peer is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the peer's code
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise UsageError(f"{error.name} is not installed: {_INSTALLED_BY}") from None


_LIBRARIES: Mapping[str, tuple[NamePattern, ...]] = {"pytorchcv": _PYTORCHCV, "torchvision": _TORCHVISION, "timm": TIMM}

SIDES: Mapping[str, int] = {"pytorchcv": 32, "torchvision": 224, "timm": 224}
"""The height and width of the images of each library's networks."""
