"""The plan of one small network a family as golden text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.arch.text import render
from resatlas.designs.catalog import resolve

PLANS = Path(__file__).parents[1] / "golden" / "plans"


@pytest.mark.parametrize(
    "name",
    [
        "resnet-20",
        "plain-20",
        "preact-resnet-20",
        "preact-resnet-11-bottleneck",
        "wrn-16-2",
        "resnext-29-32x4d",
        "pyramidnet-20-a48",
        "dmrnet-14",
        "dilnet-14",
        "resnet-50",
        "preact-resnet-18",
        "dmrnet-44-v2",
        "dmrnet-50-ijcai",
    ],
)
def test_a_plan_reads_as_its_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """Every unit with its operations, shape and counts."""
    golden(PLANS / f"{name}.txt", render(resolve(name).plan()))


@pytest.mark.parametrize("form", ["a", "b"])
def test_forms_of_resnext_read_as_their_golden_text(form: str, golden: Callable[[Path, str], None]) -> None:
    """Bodies summed and bodies concatenated, each with one norm behind."""
    golden(PLANS / f"resnext-11-4x16d-form-{form}.txt", render(resolve(f"resnext-11-4x16d:form={form}").plan()))
