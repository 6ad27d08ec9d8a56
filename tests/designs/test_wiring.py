"""What the papers' networks connect: which tensor a shortcut reads, where strides, norms and dropout stand."""

import pytest

from resatlas.arch.plan import Unit
from resatlas.designs.catalog import resolve


def units(text: str) -> list[Unit]:
    """Every unit of a design."""
    return [unit for _, unit in resolve(text).plan().units]


def preactivated(text: str) -> list[int]:
    """The units, by number, whose shortcut reads norm and relu of x rather than x."""
    return [number for number, unit in enumerate(units(text)) if unit.streams[0].reads == "pre-activated"]


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("preact-resnet-20", [0]),  # the very first unit, and none that only pads
        ("preact-resnet-20-B", [0, 3, 6]),  # and wherever a projection stands
        ("preact-resnet-29-bottleneck", [0, 3, 6]),
        ("preact-resnet-18", [2, 4, 6]),  # ImageNet: the first unit of every stage but the first
        ("preact-resnet-18-A", [2, 4, 6]),  # also where it pads
        ("preact-resnet-50", [3, 7, 13]),
        ("wrn-16-2", [0, 2, 4]),  # wherever the width or the map changes
        ("wrn-16-1", [2, 4]),  # which the first unit of k = 1 does not
        ("pyramidnet-20-a48", []),
        ("resnet-20-B", []),
        ("imagenet-wrn-18-2", []),
    ],
)
def test_shortcuts_read_what_the_papers_say(text: str, shared: list[int]) -> None:
    """The pre-activated tensor where the paper shares it, x elsewhere.

    Source: pre-activation paper, appendix; fb.resnet.torch, preresnet.lua; Wide ResNet authors' wide-resnet.lua.
    """
    assert preactivated(text) == shared


@pytest.mark.parametrize(
    ("text", "strides"),
    [
        ("resnet-50", [2, 1, 1]),
        ("resnet-50-v1.5", [1, 2, 1]),
        ("preact-resnet-50", [2, 1, 1]),
        ("preact-resnet-200-v1.5", [1, 2, 1]),
        ("wrn-50-2", [1, 2, 1]),
        ("resnext-50-32x4d", [1, 2, 1]),
        ("pyramidnet-101-bottleneck-a250", [1, 2, 1]),
        ("dmrnet-44-v2", [1, 2, 1]),
        ("resnet-18-B", [2, 1]),
        ("wrn-16-2:kernels=131", [2, 1, 1]),
    ],
)
def test_the_stride_stands_where_the_papers_have_it(text: str, strides: list[int]) -> None:
    """On the first 1x1 or on the 3x3 of a bottleneck, on the first convolution of a basic unit."""
    halving = next(unit for unit in units(text) if unit.stride == 2)
    convs = [layer for layer in halving.streams[0].bodies[0] if layer.role.startswith("conv")]
    assert [layer.input.height // layer.output.height for layer in convs] == strides


@pytest.mark.parametrize(
    ("text", "stem", "head"),
    [
        ("resnet-20", "conv norm relu", "pool linear"),
        ("preact-resnet-20", "conv", "norm relu pool linear"),
        ("wrn-16-2", "conv", "norm relu pool linear"),
        ("pyramidnet-20-a48", "conv norm", "norm relu pool linear"),
        ("resnext-29-32x4d", "conv norm relu", "pool linear"),
        ("dmrnet-14", "conv norm relu", "pool linear"),
        ("resnet-50", "conv norm relu pool", "pool linear"),
        ("preact-resnet-18", "conv norm relu pool", "norm relu pool linear"),
        ("imagenet-pyramidnet-18-a60", "conv norm relu pool", "norm relu pool linear"),
        ("dmrnet-44-v2", "conv norm relu pool", "pool linear"),
        ("dmrnet-50-ijcai", "conv pool", "pool linear"),
    ],
)
def test_stems_and_heads(text: str, stem: str, head: str) -> None:
    """The operations before the first unit and after the last."""
    plan = resolve(text).plan()
    assert [" ".join(layer.role for layer in chain) for chain in (plan.stem, plan.head)] == [stem, head]


def test_dropout_stands_before_every_convolution_but_the_first() -> None:
    """Behind norm and relu, never on the shortcut.

    Source: Wide ResNet authors' code, early multi-convolution version.
    """
    [unit, *_] = units("wrn-16-2:dropout=0.3")
    assert [layer.role for layer in unit.streams[0].bodies[0]] == ["conv1", "norm1", "relu1", "dropout1", "conv2"]
    [unit, *_] = units("wrn-28-2:deepening=4,dropout=0.3")
    assert [layer.role for layer in unit.streams[0].bodies[0] if layer.role[0] in "cd"] == [
        "conv1",
        "dropout1",
        "conv2",
        "dropout2",
        "conv3",
        "dropout3",
        "conv4",
    ]
    assert all("dropout" not in layer.role for unit in units("wrn-16-2:dropout=0.3") for layer in unit.streams[0].first)


def test_every_stream_projects_for_itself() -> None:
    """Each stream of a transition has a projection of its own, and all streams take the mean.

    Source: DMRNet authors' network/cross.py, get_zero.
    """
    transition = units("dmrnet-14:streams=3")[2]
    assert [[layer.role for layer in stream.shortcut or ()] for stream in transition.streams] == [["conv", "norm"]] * 3
    assert transition.skip == "mean"


@pytest.mark.parametrize(("text", "shortcuts"), [("dmrnet-44-v2", 1), ("dmrnet-50-ijcai", 0), ("resnet-98-ijcai", 0)])
def test_shortcuts_of_the_imagenet_versions(text: str, shortcuts: int) -> None:
    """Where the shape changes, v2 projects; the IJCAI networks have no shortcut at all."""
    first = units(text)[0]
    assert sum(stream.shortcut is not None for stream in first.streams) == shortcuts * len(first.streams)
