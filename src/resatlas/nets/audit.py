"""Is a foreign module the paper's network? Its weights are paired with ours by what they read, then both are run.

Our network runs once on random images, and every tensor that an operation with weights reads is kept. Then the
foreign module runs on the same images: whenever it comes to such an operation, ours that reads the same values is
looked up, its weights are copied over, and the run goes on. Names, order and spelling play no part. The first
operation that reads what no operation of ours reads is the first difference.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.designs.mistakes import possible
from resatlas.errors import UsageError
from resatlas.nets.calls import calls
from resatlas.nets.network import Network, build
from resatlas.nets.pairing import Difference, paired

MOST_MISTAKES = 4

SMALL = 64
"""Side of the images that stand in for larger ones where the module takes them."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The verdict on a module, with the mistakes that make ours the same function, or come nearest."""

    same: bool
    first_difference: Difference | None
    mistakes: tuple[str, ...] = ()
    explained: bool = False
    remarks: tuple[str, ...] = ()
    parameters: int
    expected_parameters: int
    paired: int
    operations: int


def audit(foreign: nn.Module, entry: Entry, *, image: Shape | None = None, classes: int | None = None) -> Audit:
    """The verdict on a foreign module, which is changed: float64, with our weights.

    Without an image the design's usual one is tried at a smaller size first; without classes they are as many as
    the module puts out.
    Raises: UsageError if the module runs on no such image or does not put out one row of logits an image.
    """
    foreign = foreign.double().cpu()
    image, classes = _task(foreign, entry, image, classes)
    at = replace(entry, image=image, classes=classes)
    first = _attempt(foreign, at.plan())
    known: list[str] = []
    best = first
    while best.difference and len(known) < MOST_MISTAKES:
        better = _nearest(foreign, at, best)
        if better is None:
            break
        what, at, best = better
        known.append(what)
    return Audit(
        same=first.difference is None,
        first_difference=first.difference,
        mistakes=tuple(known),
        explained=bool(known) and best.difference is None,
        remarks=(best if best.difference is None else first).remarks,
        parameters=sum(parameter.numel() for parameter in foreign.parameters()),
        expected_parameters=first.parameters,
        paired=first.paired,
        operations=first.operations,
    )


@dataclass(kw_only=True)
class _Attempt:
    """One pairing of a module with one plan: how far it came, and what stopped it."""

    paired: int
    operations: int
    parameters: int
    difference: Difference | None
    remarks: tuple[str, ...]

    @property
    def reach(self) -> float:
        """How many operations were paired before the first difference; without one, more than any."""
        return math.inf if self.difference is None else float(self.paired)


def _nearest(foreign: nn.Module, entry: Entry, so_far: _Attempt) -> tuple[str, Entry, _Attempt] | None:
    """The mistake that brings our network nearest to the module, if any brings it nearer."""
    best: tuple[str, Entry, _Attempt] | None = None
    for mistake, wrong in possible(entry):
        attempt = _attempt(foreign, wrong.plan())
        if attempt.reach > (best[2] if best else so_far).reach:
            best = mistake.what, wrong, attempt
            if attempt.difference is None:
                break
    return best


def _task(foreign: nn.Module, entry: Entry, image: Shape | None, classes: int | None) -> tuple[Shape, int]:
    usual = entry.image
    small = usual._replace(height=min(usual.height, SMALL), width=min(usual.width, SMALL))
    images = [image] if image else list(dict.fromkeys([small, usual]))
    trouble = ""
    for shape in images:
        try:
            with torch.no_grad():
                given = foreign.eval()(_images(shape))
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
            continue
        if not isinstance(given, Tensor) or given.flatten(1).shape[1] != given.shape[1] or len(given) != 2:
            raise UsageError(
                "the module is to put out one tensor of logits, one row an image; it puts out another thing"
            )
        return shape, given.shape[1] if classes is None else classes
    raise UsageError(f"the module does not run on 2 images of {images[-1]} pixels: {trouble}")


def _images(shape: Shape) -> Tensor:
    return torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _attempt(foreign: nn.Module, plan: Plan) -> _Attempt:
    """Pair a module with a plan, trying the other way where a choice between equals led to a difference."""
    ours = _ours(plan)
    images = _images(plan.image)
    before = {key: tensor.clone() for key, tensor in ours.state_dict().items()}
    expected, logits = calls(ours, images)
    ours.load_state_dict(before)
    best = paired(foreign, expected, ours, images, logits)
    return _Attempt(
        paired=best.paired,
        operations=len(expected),
        parameters=sum(parameter.numel() for parameter in ours.parameters()),
        difference=best.difference,
        remarks=tuple(best.remarks),
    )


def _ours(plan: Plan) -> Network:
    """Our network in float64 with norms that scale and shift, so that each of them shows."""
    network = build(plan, seed=2).double().train()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) / 4)
    return network
