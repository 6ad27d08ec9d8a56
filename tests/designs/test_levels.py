"""The levels of a design, without torch."""

import pytest

import resatlas
from resatlas.arch.ops import Shape
from resatlas.errors import UnknownName


@pytest.mark.parametrize(
    ("design", "channels", "strides"),
    [
        ("resnet-50", (256, 512, 1024, 2048), (4, 8, 16, 32)),
        ("resnet-20", (16, 32, 64), (1, 2, 4)),
        ("wrn-28-10", (160, 320, 640), (1, 2, 4)),
        ("pyramidnet-110-a48", (32, 48, 64), (1, 2, 4)),
        ("dmrnet-56", (32, 64, 64), (1, 2, 4)),  # two streams side by side, merged after the last unit
    ],
)
def test_channels_and_strides(design: str, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """As in the papers' tables; streams are side by side."""
    levels = resatlas.levels(design)
    assert levels == resatlas.levels(resatlas.plan(design))
    assert [level.stage for level in levels] == [*range(len(levels))]
    assert tuple(level.channels for level in levels) == channels
    assert tuple(level.stride for level in levels) == strides


def test_levels_do_not_depend_on_the_image() -> None:
    """Their strides are those of the operations, and sides are divided by them and rounded up."""
    assert resatlas.levels("resnet-20", image=Shape(3, 17, 9)) == resatlas.levels("resnet-20")


def test_an_unknown_design() -> None:
    """It is refused as by `plan`."""
    with pytest.raises(UnknownName, match="resnet-20"):
        resatlas.levels("resnt-20")
