"""The nets of another library that are ours too, made by its own constructors. Free of torch until one is made."""

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

INSTALLED_BY = "pip install resatlas[oracles]"


@dataclass(frozen=True, kw_only=True)
class PeerNet:
    """A constructor of a library and what it is given: `module.function(**arguments)`."""

    library: str
    module: str
    function: str
    arguments: Mapping[str, int | bool]

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.library} {self.function}({given})"

    def make(self, classes: int) -> "nn.Module":
        """The network, its weights drawn as the library draws them."""
        return getattr(library(self.module), self.function)(**self.arguments, num_classes=classes)

    def parameters(self, classes: int) -> int:
        """How many parameters it has."""
        import torch

        with torch.device("meta"):
            return sum(each.numel() for each in self.make(classes).parameters())


class Form(NamedTuple):
    """Names of ours that a constructor answers to, and the arguments that the numbers in the name are."""

    names: str
    said: str
    module: str
    function: str
    numbers: tuple[str, ...]
    more: Mapping[str, bool] = {}


PYTORCHCV = (
    Form(r"resnet-(\d+)-B", "resnet-N-B", "resnet_cifar", "get_resnet_cifar", ("blocks",), {"bottleneck": False}),
    Form(
        r"preact-resnet-(20|32|44|56|110)(?:-B)?",
        "preact-resnet-N",
        "preresnet_cifar",
        "get_preresnet_cifar",
        ("blocks",),
        {"bottleneck": False},
    ),
    Form(r"wrn-(\d+)-(\d+)", "wrn-N-K", "wrn_cifar", "get_wrn_cifar", ("blocks", "width_factor")),
    Form(
        r"resnext-(\d+)-(\d+)x(\d+)d",
        "resnext-N-CxDd",
        "resnext_cifar",
        "get_resnext_cifar",
        ("blocks", "cardinality", "bottleneck_width"),
    ),
    Form(
        r"pyramidnet-(\d+)-a(\d+)",
        "pyramidnet-N-aA",
        "pyramidnet_cifar",
        "get_pyramidnet_cifar",
        ("blocks", "alpha"),
        {"bottleneck": False},
    ),
)
"""Its nets for images of 32x32 that have a name here: the named ones and those between them, by one constructor each.

Source: pytorchcv/models, from which its model_provider makes resnet20_cifar10 and the like.
"""


_RESNETS = (
    ("resnet-18-B", "resnet18"),
    ("resnet-34-B", "resnet34"),
    ("resnet-50-v1.5", "resnet50"),
    ("resnet-101-v1.5", "resnet101"),
    ("resnext-50-32x4d", "resnext50_32x4d"),
    ("wrn-50-2", "wide_resnet50_2"),
)
TORCHVISION = TIMM = tuple(Form(re.escape(name), name, "resnet", function, ()) for name, function in _RESNETS)
"""The nets for images of 224x224 that both call by the same names; stride on the 3x3 convolution.

Source: torchvision/models/resnet.py, timm/models/resnet.py.
"""


def peer_of(peer: str, design: str) -> PeerNet:
    """The net of a library that is a design of ours.

    Raises: UsageError if it has none.
    """
    for form in LIBRARIES[peer]:
        if found := re.fullmatch(form.names, design):
            numbers = dict(zip(form.numbers, map(int, found.groups()), strict=True))
            arguments = {**numbers, **form.more}
            return PeerNet(
                library=peer, module=f"{peer}.models.{form.module}", function=form.function, arguments=arguments
            )
    known = ", ".join(form.said for form in LIBRARIES[peer])
    raise UsageError(f"{peer} has no net that is {quoted(design)}; it has {known}")


def check_installed(name: str) -> None:
    """Refuse a peer that is not here.

    Raises: UsageError
    """
    library(name)


def library(name: str) -> ModuleType:
    """A module of a peer.

    Raises: UsageError if the peer is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the peer's own code
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise UsageError(f"{error.name} is not installed: {INSTALLED_BY}") from None


LIBRARIES: Mapping[str, tuple[Form, ...]] = {"pytorchcv": PYTORCHCV, "torchvision": TORCHVISION, "timm": TIMM}

SIDES: Mapping[str, int] = {"pytorchcv": 32, "torchvision": 224, "timm": 224}
"""Pixels a side of the images that these nets of a library are made for."""
