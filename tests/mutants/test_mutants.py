"""Every wrong network that we can think of is caught by a named check; the report says by which.

A mutant is a known mistake (`designs.mistakes`, `designs.plan_mistakes`), built from a blueprint or plan of its own, or
a slip made in a built network.
It is held against what is right: the counts of the right design, a second forward pass written from the paper, and
where its parameters should start. One that nothing catches would be a check that is missing.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resatlas.arch.cost import cost
from resatlas.arch.parameters import parameters
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import resolve
from resatlas.designs.mistakes import MISTAKES, Variant, possible
from resatlas.nets.network import Network, build
from tests.mutants.slips import (
    CHANNELS,
    FORM_A,
    FORM_B,
    GATED,
    IMAGENET,
    RESNET,
    RESNEXT,
    SHAKEN,
    SLICES,
    SLIPS,
    STARTS,
    STREAMS,
    WIDE,
    Slip,
)
from tests.nets.test_initial import far_from
from tests.oracles.test_oracles import CASES, Case

REPORTS = Path(__file__).parents[1] / "golden" / "mutants"

BASES = (
    RESNET,
    "resnet:depth=20,unit=bottleneck,base=4,shortcut=B",
    IMAGENET,
    GATED,
    "preact-resnet:depth=20,unit=basic,shortcut=B,base=4,wiring=paper",
    "preact-resnet:depth=20,unit=bottleneck,shortcut=B,base=4,wiring=paper",
    WIDE,
    FORM_A,
    FORM_B,
    RESNEXT,
    "pyramidnet:depth=20,alpha=10,growth=additive,unit=basic,base=4",
    "pyramidnet:depth=20,alpha=4,growth=multiplicative,unit=bottleneck,base=4",
    STREAMS,
    "dmrnet:depth=14,base=4,streams=3,join=concat,skip=mean",
    "dilnet-14:base=4",
    "tweaked-resnet:depth=18,tweak=d,base=8",
    "se-resnet:depth=14,reduction=4,base=4",
    "regnet:depth=6,variant=y,w0=8,wa=4,wm=2,group=8,base=8",
    SLICES,
    CHANNELS,
    SHAKEN,
)

FUNCTIONAL = {"weights", "outputs", "evaluation", "gradients"}
"""Checks that look at what a network computes, not at how large it is or where it starts."""


def case_of(base: str) -> Case:
    """The second forward pass of a design."""
    return next(case for case in CASES if case[0] == base)


def right(base: str) -> Plan:
    """The plan that a mutant should have had."""
    return resolve(base).plan(image=case_of(base)[2], classes=10)


def killers(network: Network, base: str) -> Iterator[str]:
    """The names of the checks that tell a network from the right one."""
    plan = right(base)
    if sum(parameter.numel() for parameter in network.parameters()) != cost(plan).parameters:
        yield "parameters"
    if cost(network.plan).multiply_adds != cost(plan).multiply_adds:
        yield "multiply-adds"
    listed = list(parameters(plan))
    tensors = dict(network.named_parameters())
    if {path: tuple(tensor.shape) for path, tensor in tensors.items()} != {each.path: each.shape for each in listed}:
        yield "weights"
        return
    if any(far_from(each.start, tensors[each.path].detach()) for each in listed):
        yield "starts"
    yield from computed(network.double(), case_of(base))


def computed(network: Network, case: Case) -> Iterator[str]:
    """Checks against the second forward pass with the network's own weights, moved from where they start."""
    _, oracle, _, knobs = case
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
    images = torch.randn(3, *network.plan.image, dtype=torch.float64, generator=generator)
    state = {path: tensor.detach().clone() for path, tensor in network.state_dict().items()}
    torch.manual_seed(4)
    ours = network.train()(images)
    leaves = {path: state[path].requires_grad_() for path, _ in network.named_parameters()}
    torch.manual_seed(4)
    theirs = oracle({**state, **leaves}, images, mode="train", **knobs)
    if differ(ours, theirs):
        yield "outputs"
    gradients = torch.autograd.grad(ours.square().sum(), list(network.parameters()), allow_unused=True)
    expected = torch.autograd.grad(theirs.square().sum(), list(leaves.values()))
    if any(one is None or differ(one, other) for one, other in zip(gradients, expected, strict=True)):
        yield "gradients"
    if evaluated_otherwise(network, images, state, right(case[0])):
        yield "evaluation"


def evaluated_otherwise(network: Network, images: Tensor, state: Mapping[str, Tensor], plan: Plan) -> bool:
    """Whether it evaluates otherwise than the right network that has the same weights and has seen the same batch."""
    seen = build(plan, seed=1).double()
    tensors = seen.state_dict()
    seen.load_state_dict({path: state[path] for path in tensors if path in state})
    with torch.no_grad():
        torch.manual_seed(4)
        seen.train()(images)
        return differ(network.eval()(images), seen.eval()(images))


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by more than rounding."""
    return not torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def slug(base: str) -> str:
    """The base as a file name."""
    return re.sub(r"[^a-z0-9.=-]+", "_", base)


def line(what: str, killed_by: list[str]) -> str:
    """One line of the report."""
    return f"{what}: {', '.join(killed_by) or 'SURVIVES'}"


@pytest.mark.parametrize("base", BASES)
def test_every_known_mistake_is_caught(base: str, golden: Callable[[Path, str], None]) -> None:
    """Each leaves a trace in what the network computes, and the report names all checks that see it."""
    entry = replace(resolve(base), image=right(base).image, classes=10)
    units = [path for path, _ in entry.plan().units]
    wrong = possible(Variant(entry=entry), MISTAKES, [units[len(units) // 2], units[-1]])
    found = {what: list(killers(build(each.plan(), seed=1), base)) for what, each in wrong}
    assert [what for what, checks in found.items() if not FUNCTIONAL & set(checks)] == []
    golden(REPORTS / f"{slug(base)}.txt", "\n".join(line(*each) for each in found.items()))


@pytest.mark.parametrize("base", BASES)
def test_the_right_network_passes_every_check(base: str) -> None:
    """No check cries wolf."""
    assert list(killers(build(right(base), seed=1), base)) == []


def test_every_slip_is_caught(golden: Callable[[Path, str], None]) -> None:
    """Slips of a start are seen in the start, all others in what the network computes or learns."""
    slips = {(base, slip): list(killers(slipped(base, slip), base)) for base, slip in (*SLIPS, *STARTS)}
    assert [slip for slip in SLIPS if not FUNCTIONAL & set(slips[slip])] == []
    assert [slip for slip in STARTS if "starts" not in slips[slip]] == []
    golden(
        REPORTS / "slips.txt",
        "\n".join(line(f"{base}: {(slip.__doc__ or '').rstrip('.')}", slips[base, slip]) for base, slip in slips),
    )


def slipped(base: str, slip: Slip) -> Network:
    """The right network of a base, with a slip."""
    network = build(right(base), seed=1).double()
    torch.manual_seed(6)  # some slips draw
    slip(network)
    return network


def test_mutants_are_many() -> None:
    """At least 30 were asked for."""
    reports = [file.read_text(encoding="utf-8").splitlines() for file in REPORTS.glob("*.txt")]
    assert len(reports) == len(BASES) + 1
    assert sum(map(len, reports)) >= 300
