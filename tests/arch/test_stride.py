"""The other place in which a bottleneck can halve the map."""

import pytest

from resatlas.arch.stride import stride_place, twin
from resatlas.designs.catalog import resolve


@pytest.mark.parametrize(
    ("text", "place", "other"),
    [
        ("resnet-50", "first 1x1", "resnet-50-v1.5"),
        ("resnet-50-v1.5", "3x3", "resnet-50"),
        ("preact-resnet-200", "first 1x1", "preact-resnet-200-v1.5"),
        ("resnext-50-1x64d", "3x3", "resnet-50"),
    ],
)
def test_a_bottleneck_has_a_twin(text: str, place: str, other: str) -> None:
    """The same network with the stride on the other convolution, and back."""
    blueprint = resolve(text).blueprint
    turned = twin(blueprint)
    assert turned == resolve(other).blueprint
    assert stride_place(blueprint) == place
    assert twin(resolve(other).blueprint) == blueprint


@pytest.mark.parametrize("text", ["resnet-18-B", "resnet-20", "wrn-40-2-B31", "wrn-40-2-l1", "dilnet-14"])
def test_other_units_have_none(text: str) -> None:
    """Units that do not begin with 1x1 and 3x3 have one place for their stride."""
    blueprint = resolve(text).blueprint
    assert (stride_place(blueprint), twin(blueprint)) == (None, None)
