"""Audit of a foreign module: whether it computes the same function as a paper's network.

Our network runs once on random images, and the input of every operation with weights is stored. Then the foreign
module runs on the same images. At each operation with weights, the operation of ours that has the same input is looked
up, and its weights are copied into the module. Names and order of execution do not matter. The first operation whose
input no operation of ours has is the first difference of structure. Known mistakes are then applied to our network to
explain the difference; only those are tried that do not move the shapes of its weights away from the module's.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.audit.matching import Difference, best_pairing
from resatlas.audit.tracing import record_calls
from resatlas.designs.catalog import Entry
from resatlas.designs.mistakes import STRUCTURAL, Variant, possible
from resatlas.errors import UsageError
from resatlas.nets.network import Network, build
from resatlas.nets.outputs import describe_output, find_logits, logits_only
from resatlas.weights.identify import ShapeCounts, distance, same_shapes, shape_counts

_MAX_MISTAKES = 4
"""How many mistakes are combined to explain a difference."""

_MAX_CANDIDATES = 4
"""How many other networks with the same parameter shapes are compared with the module."""

_SMALL = 64
"""Side of the images that replace larger ones, if the module runs on them."""

_UNRELATED = 0.5
"""No mistake is tried if at least this share of the weights has no counterpart of the same shape.

Compared with a ResNet-50 that has the nearest mistake, the share is 0.83 for torchvision's DenseNet, 0.54 for its VGG
and 0.42 for its ResNet-18.
"""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The verdict on a module, with the mistakes that turn our network into the same function, or come nearest to it.

    `explained` says whether the mistakes explain every difference. `bearer` is the name of another network with the
    module's parameter shapes, if no mistake explains the module; `bearer_same` says whether it is the same function.
    """

    same: bool
    first_difference: Difference | None
    mistakes: tuple[str, ...] = ()
    explained: bool = False
    bearer: str | None = None
    bearer_same: bool = False
    remarks: tuple[str, ...] = ()
    parameters: int
    expected_parameters: int
    paired: int
    operations: int


def audit(foreign: nn.Module, entry: Entry, *, image: Shape | None = None, classes: int | None = None) -> Audit:
    """Compare a foreign module with an entry's network. The module is changed: to float64, with our weights.

    The default image is the design's own, at a smaller size if the module runs on it; the default number of classes is
    the module's number of logits. Logits inside a data class, a dict or a tuple are taken out, and a remark says so.
    Raises: UsageError if the module does not run on such images, does not return one row of logits per image, or is a
        traced or scripted module.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in foreign.modules()):
        raise UsageError("the operations of a traced or scripted module are hidden; audit the module it was made from")
    foreign = foreign.double().cpu()
    image, classes, place = _task(foreign, entry, image, classes)
    with logits_only(foreign):
        verdict = _verdict(foreign, replace(entry, image=image, classes=classes))
    return replace(verdict, remarks=(f"audited: {place}", *verdict.remarks)) if place else verdict


def _verdict(foreign: nn.Module, entry: Entry) -> Audit:
    """The verdict on a module that returns logits."""
    variant = Variant(entry=entry)
    first = best = _attempt(foreign, entry.plan())
    weights = shape_counts(tuple(parameter.shape) for parameter in foreign.parameters())
    difference = first.describe()
    applied: list[str] = []
    while best.structure_differs and len(applied) < _MAX_MISTAKES:
        better = _nearest(foreign, weights, variant, best)
        if better is None:
            break
        mistake, variant, best = better
        applied.append(mistake)
    mistakes = (*applied, *best.minor)
    bearer, bearer_same = _other_network(foreign, weights, entry) if best.structure_differs else (None, False)
    return Audit(
        same=difference is None,
        first_difference=difference,
        mistakes=mistakes,
        explained=bool(mistakes) and not best.structure_differs,
        bearer=bearer,
        bearer_same=bearer_same,
        remarks=(first if best.structure_differs else best).remarks,
        parameters=sum(parameter.numel() for parameter in foreign.parameters()),
        expected_parameters=first.parameters,
        paired=first.paired,
        operations=first.operations,
    )


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """The result of pairing a module with one plan.

    `describe` returns the first difference; `minor` lists the differences that are not of structure, in words; `next`
    is the path of our first operation without a partner.
    """

    paired: int
    operations: int
    parameters: int
    describe: Callable[[], Difference | None]
    structure_differs: bool
    minor: tuple[str, ...]
    next: str
    remarks: tuple[str, ...]

    @property
    def reach(self) -> tuple[float, int]:
        """The number of pairs before the structures differ, infinite if they never do; then few minor differences."""
        return float(self.paired) if self.structure_differs else math.inf, -len(self.minor)


def _other_network(foreign: nn.Module, weights: ShapeCounts, entry: Entry) -> tuple[str | None, bool]:
    """The network with the module's parameter shapes that agrees farthest, and whether it is the same function."""
    best: tuple[str, _Attempt] | None = None
    for other in islice(same_shapes(weights, entry), _MAX_CANDIDATES):
        attempt = _attempt(foreign, other.plan(image=entry.image, classes=entry.classes))
        if attempt.describe() is None:
            return other.name, True
        if best is None or attempt.reach > best[1].reach:
            best = other.name, attempt
    return (best[0] if best else None), False


def _nearest(
    foreign: nn.Module, weights: ShapeCounts, variant: Variant, so_far: _Attempt
) -> tuple[str, Variant, _Attempt] | None:
    """The mistake that brings our network nearest to the module; None if none brings it nearer."""
    best: tuple[str, Variant, _Attempt] | None = None
    for mistake, wrong in _promising(weights, variant, so_far):
        attempt = _attempt(foreign, wrong.plan())
        if attempt.reach > (best[2] if best else so_far).reach:
            best = mistake, wrong, attempt
            if attempt.reach >= (math.inf, -len(so_far.minor)):  # only the earlier minor differences remain
                break
    return best


def _promising(weights: ShapeCounts, variant: Variant, so_far: _Attempt) -> Iterator[tuple[str, Variant]]:
    """The mistakes that do not move the shapes away from the module's; none if the networks are unrelated."""
    units = _suspected(variant.plan(), so_far.next)
    present = distance(weights, variant.plan())
    candidates = [
        (mistake, wrong, distance(weights, wrong.plan())) for mistake, wrong in possible(variant, STRUCTURAL, units)
    ]
    if min([present, *(share for *_, share in candidates)]) < _UNRELATED:
        yield from ((mistake, wrong) for mistake, wrong, share in candidates if share <= present)


def _suspected(plan: Plan, path: str) -> list[str]:
    """The unit of one of our operations and the unit before it; for the head, the last unit."""
    units = [unit for unit, _ in plan.units]
    place = next((index for index, unit in enumerate(units) if path.startswith(f"{unit}.")), len(units))
    return [] if path.startswith("stem") else units[max(place - 1, 0) : place + 1]


def _task(foreign: nn.Module, entry: Entry, image: Shape | None, classes: int | None) -> tuple[Shape, int, str]:
    """The shape of the images, the number of classes, and where the module's output holds the logits, in words."""
    usual = entry.image
    small = usual._replace(height=min(usual.height, _SMALL), width=min(usual.width, _SMALL))
    images = [image] if image else list(dict.fromkeys([small, usual]))
    reason = ""
    for shape in images:
        try:
            with torch.no_grad():
                output = foreign.eval()(_images(shape))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        logits = find_logits(output)
        if logits is None or len(logits.tensor) != 2:
            got = describe_output(output)
            raise UsageError(f"expected logits of shape (images, classes), one row per image; got {got}")
        return shape, logits.tensor.shape[1] if classes is None else classes, logits.place
    raise UsageError(f"the module does not run on 2 images of {images[-1]} pixels: {reason}")


def _images(shape: Shape) -> Tensor:
    return torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _attempt(foreign: nn.Module, plan: Plan) -> _Attempt:
    """Pair a module with a plan; if a choice between equivalent operations led to a difference, try the others."""
    ours = _ours(plan)
    images = _images(plan.image)
    expected, logits = record_calls(ours, images)
    best = best_pairing(foreign, expected, ours, images, logits)
    return _Attempt(
        paired=best.paired,
        operations=len(expected),
        parameters=sum(parameter.numel() for parameter in ours.parameters()),
        describe=best.first_difference,
        structure_differs=best.structure_differs,
        minor=tuple(f"{what}: {_first_of(places)}" for what, places in best.minor.items()),
        next=best.free[0].name if best.free else "head",
        remarks=tuple(best.remarks),
    )


def _first_of(places: list[Difference]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0].at}{more}"


def _ours(plan: Plan) -> Network:
    """Our network in float64. Its norms scale and shift, so that a missing norm changes the values."""
    network = build(plan, seed=2).double().train()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) / 4)
    return network
