"""A plan on maps of other sides is the plan that its blueprint gives for such images."""

import pytest

from resatlas.arch.ops import Shape
from resatlas.arch.sizing import sized, sized_units
from resatlas.designs.catalog import list_designs, plan
from resatlas.errors import ImageError


def test_every_named_network_at_another_size() -> None:
    """With odd sides of unequal length, too."""
    for design in list_designs():
        usual = plan(design)
        channels, height, width = usual.image
        other = Shape(channels, 2 * height + 5, width + 7)
        assert sized(usual, height=other.height, width=other.width) == plan(design, image=other), design


def test_equal_units_stay_one_object() -> None:
    """So that whatever is computed for one of them is computed once."""
    units = plan("resnet-110").stages[1]
    made = sized_units(units, height=50, width=50)
    assert (made[0].output.height, made[-1].output.height) == (25, 25)
    assert len({id(unit) for unit in made}) == len({id(unit) for unit in units}) < len(units)


def test_maps_must_be_as_large_as_a_stride() -> None:
    """As for a blueprint."""
    with pytest.raises(ImageError, match="is too small for a stride of 2"):
        sized(plan("resnet-20"), height=1, width=1)
