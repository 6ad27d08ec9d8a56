"""Every network of the catalogue: it expands, it survives JSON, and it has the sizes known for it.

What is asked of a network stands in one test, so that all of them are asked in seconds.
"""

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan, from_json, layers, to_json
from resatlas.designs.catalog import FAMILIES, Entry, named
from resatlas.designs.tasks import TASKS
from tests.arch.test_expand import PATH

COUNTS = Path(__file__).parents[1] / "golden" / "counts.csv"

WIDENED_STEMS = ("resnet", "plain", "dmrnet", "dilnet")
"""Families whose stem is base · widen; that of a wide ResNet is the base."""


@cache
def counts() -> tuple[dict[str, str], ...]:
    """The rows of known sizes, one for each network and number of classes."""
    with COUNTS.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@pytest.mark.parametrize("name", named())
def test_a_network_keeps_the_contract(name: str) -> None:
    """Paths are roles and unique, the plan survives JSON, the task is the paper's, and there is a base."""
    entry = named()[name]
    plan = entry.plan()
    paths = [path for path, _ in layers(plan)]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if not PATH.fullmatch(path)]
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan
    assert entry.design is not None
    task = TASKS[entry.design.setting]
    assert (plan.image, plan.classes) == (entry.image, entry.classes) == (task.image, task.classes)
    assert entry.plan(classes=0).head[-1].role != "linear"
    assert_base(entry, plan)


def assert_base(entry: Entry, plan: Plan) -> None:
    """The paper's first planes give the paper's network; half of them halve the stem and cost less."""
    design: Any = entry.design
    stem = entry.blueprint.stem.width
    base = stem // design.widen if entry.family in WIDENED_STEMS and hasattr(design, "widen") else stem
    assert replace(design, base=base).blueprint() == entry.blueprint
    halved = replace(entry, blueprint=replace(design, base=base // 2).blueprint())
    assert 2 * halved.blueprint.stem.width == stem
    assert cost(halved.plan()).parameters < cost(plan).parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_the_known_ones(family: str) -> None:
    """Parameters to the last one, multiply-adds to the printed 0.1 M, for every row of the table."""
    wrong = []
    for row in counts():
        entry = named()[row["name"]]
        if entry.family == family:
            plan = entry.plan(classes=int(row["classes"]))
            ours = (plan.image[1:], cost(plan).parameters, f"{cost(plan).multiply_adds / 1e6:.1f}")
            known = ((int(row["image"]),) * 2, int(row["params"]), row["macs"])
            if ours != known:
                wrong.append((row["name"], ours, known))
    assert not wrong


def test_every_known_size_has_its_network() -> None:
    """No row of the known sizes is left out of the catalogue, and no family is without rows."""
    assert len(counts()) == 275
    assert {row["name"] for row in counts()} <= set(named())
    assert {named()[row["name"]].family for row in counts()} == set(FAMILIES)
