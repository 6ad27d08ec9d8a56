"""Golden texts: plan, starts and weight decay of small networks of every kind, and a digest of all others."""

import os
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from resatlas.arch.parameters import parameters
from resatlas.arch.plan import Layer, Plan, layers
from resatlas.arch.text import render
from resatlas.designs.catalog import named, resolve
from resatlas.nets.layers import module
from resatlas.recipes.catalog import NAMED as RECIPES
from resatlas.training.optimizer import Kind, decay_of, kind_of

GOLDEN = Path(__file__).parents[1] / "golden"

SMALL = (
    "plain-8",
    "resnet-8",
    "resnet-8-A-sides",
    "resnet-11-bottleneck-C",
    "resnet-8-bn-after-add",
    "resnet-8-relu-before-add",
    "resnet-8-relu-only-preact",
    "resnet-8-shortcut-scale-0.5-0.5",
    "resnet-8-shortcut-exclusive-gate-b-6",
    "resnet-8-B-shortcut-shortcut-gate-b-6",
    "resnet-8-shortcut-dropout-0.5",
    "resnet-8-1-layer-skip",
    "preact-resnet-8-fb",
    "preact-resnet-8-B-projected",
    "wrn-10-2-dropout",
    "wrn-10-2-B131",
    "wrn-10-2-l1",
    "imagenet-wrn-18-1.5",
    "resnext-11-4x16d-form-a",
    "resnext-11-4x16d-form-b",
    "resnext-11-4x16d-noshortcut",
    "pyramidnet-8-a12-unit-a",
    "pyramidnet-8-a12-unit-b",
    "pyramidnet-8-a12-unit-c",
    "pyramidnet-8-a12-projection",
    "pyramidnet-8-a12-projection-strided",
    "pyramidnet-11-bottleneck-m4.75",
    "dmrnet-8-k3-swap-sum",
    "dmrnet-8-projector-concat",
    "dmrnet-8-identity-separate",
    "dilnet-8",
    "fuse3-14",
    "fuse6-14",
)
"""One network for each kind of unit, shortcut, stream and end."""

DEEPER = (
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
)
"""Networks of the papers, or near to them."""

RECIPE = RECIPES["quick"]


@pytest.mark.parametrize("name", [*SMALL, *DEEPER])
def test_a_plan_reads_as_its_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """Every unit with its operations, shape and counts."""
    golden(GOLDEN / "plans" / f"{name}.txt", render(resolve(name).plan()))


@pytest.mark.parametrize("name", SMALL)
def test_starts_read_as_their_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """A line a parameter: its path, its shape and the distribution that it is drawn from."""
    golden(GOLDEN / "init" / f"{name}.txt", starts(resolve(name).plan()))


@pytest.mark.parametrize("name", SMALL)
def test_weight_decay_reads_as_its_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """A line a parameter: its path and the weight decay that the recipe gives it."""
    golden(GOLDEN / "decay" / f"{name}-{RECIPE.name}.txt", decays(resolve(name).plan()))


def test_no_network_of_the_catalogue_changes_unseen(golden: Callable[[Path, str], None]) -> None:
    """A line a network: the digest of its plan, starts and weight decay; those that changed are named."""
    path = GOLDEN / "digests.txt"
    digests = {name: digest(entry.plan()) for name, entry in named().items()}
    if os.environ.get("UPDATE_GOLDEN") != "1":
        known = dict(line.split() for line in path.read_text(encoding="utf-8").splitlines())
        changed = [name for name in known | digests if known.get(name) != digests.get(name)]
        assert changed == []
    golden(path, "\n".join(f"{name} {value}" for name, value in digests.items()))


def test_golden_texts_are_of_networks_that_are_listed() -> None:
    """No file is left over from a network that is not asked any more."""
    assert {path.stem for path in (GOLDEN / "init").iterdir()} == set(SMALL)
    assert {path.stem for path in (GOLDEN / "plans").iterdir()} == {*SMALL, *DEEPER, "example.toml"}


def digest(plan: Plan) -> str:
    """The beginning of the hash of everything that a golden text would say of a plan."""
    text = "\n".join((render(plan), starts(plan), decays(plan)))
    return sha256(text.encode()).hexdigest()[:16]


def starts(plan: Plan) -> str:
    """Path, shape and start of every parameter."""
    return "\n".join(
        f"{parameter.path}  {'x'.join(map(str, parameter.shape))}  {parameter.start}" for parameter in parameters(plan)
    )


def decays(plan: Plan) -> str:
    """Path and weight decay of every parameter."""
    return "\n".join(
        f"{path}.{name}  decay {decay_of(kind, RECIPE.decay):g}"
        for path, layer in layers(plan)
        for name, kind in kinds(layer)
    )


@cache
def kinds(layer: Layer) -> tuple[tuple[str, Kind], ...]:
    """The parameters of a layer by name, each with the kind that its weight decay goes by."""
    with torch.device("meta"):
        made = module(layer)
    return tuple((name, kind_of(made, name)) for name, _ in made.named_parameters())
