"""The capacity of all parts adds up to that of the network."""

import pytest

from resatlas.analysis.capacity import capacity, probe
from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.designs.catalog import plan

DESIGNS = (
    "resnet-20",
    "resnet-50",
    "resnet-110-shortcut-exclusive-gate-b-7",
    "resnext-29-8x64d",
    "pyramidnet-110-a48",
    "dmrnet-14",
    "dmrnet-56-projector",
    "dmrnet-56-separate",
    "dilnet-14",
)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_parts_sum_to_the_whole(design: str) -> None:
    """Parameters and multiply-adds equal `cost`, shares add up to 1, the depth is that of the longest path."""
    whole, rows = plan(design), capacity(plan(design))
    assert sum(row.parameters for row in rows) == cost(whole).parameters
    assert sum(row.multiply_adds for row in rows) == cost(whole).multiply_adds
    assert sum(row.share_of_parameters for row in rows) == pytest.approx(1)
    assert sum(row.share_of_multiply_adds for row in rows) == pytest.approx(1)
    assert rows[-1].parameters_so_far == 1
    assert rows[-1].depth == mean_lengths(whole).longest
    assert [row.part for row in rows] == ["stem", *(path for path, _ in whole.units), "head"]


def test_most_parameters_are_near_the_head() -> None:
    """In a ResNet that doubles its widths, half of the parameters come after three quarters of the depth."""
    facts = {fact.name: fact for fact in probe("run", plan("resnet-20")).facts}
    assert facts["half_of_the_parameters_by"].value == 17
    assert facts["half_of_the_parameters_by"].unit == "convolutions and classifiers"
