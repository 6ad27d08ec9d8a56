"""Is a foreign module the paper's network? Its weights are paired with ours by what they read, then both are run.

Our network runs once on random images, and every tensor that an operation with weights reads is kept. Then the
foreign module runs on the same images: whenever it comes to such an operation, ours that reads the same values is
looked up, its weights are copied over, and the run goes on. Names, order and spelling play no part. The first
operation that reads what no operation of ours reads is where the structures part. Then the mistakes that people make
are tried on ours, those alone that bring the shapes of its weights no farther from the module's.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.audit.matching import Difference, paired
from resatlas.audit.tracing import calls
from resatlas.designs.catalog import Entry
from resatlas.designs.mistakes import STRUCTURAL, Variant, possible
from resatlas.errors import UsageError
from resatlas.nets.network import Network, build
from resatlas.nets.outputs import described, giving_logits, logits_in
from resatlas.weights.identify import Weights, bearers, distance, weights_of

MOST_MISTAKES = 4

MOST_BEARERS = 4
"""How many networks with the module's parameters are run beside it."""

SMALL = 64
"""Side of the images that stand in for larger ones where the module takes them."""

STRANGE = 0.5
"""Share of weights without a match of their shape, from which on no mistake is tried.

Beside a ResNet-50 with whichever mistake is nearest, torchvision's DenseNet leaves 0.83, its VGG 0.54, and its
ResNet-18 0.42.
"""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The verdict on a module, with the mistakes that make ours the same function, or come nearest.

    `bearer` is another network that has the module's parameters, where no mistake explains it; `bearer_same` is whether
    it is the same function.
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
    """The verdict on a foreign module, which is changed: float64, with our weights.

    Without an image the design's usual one is tried at a smaller size first; without classes they are as many as
    the module gives. Logits in a record, a dict or a tuple are taken out of it, which a remark says.
    Raises: UsageError if the module runs on no such image, does not give one row of logits an image, or was traced.
    """
    if any(isinstance(each, torch.jit.ScriptModule) for each in foreign.modules()):
        raise UsageError("a traced or scripted module does not tell what it runs; audit the module that it was made of")
    foreign = foreign.double().cpu()
    image, classes, place = _task(foreign, entry, image, classes)
    with giving_logits(foreign):
        verdict = _verdict(foreign, replace(entry, image=image, classes=classes))
    return replace(verdict, remarks=(f"audited: {place}", *verdict.remarks)) if place else verdict


def _verdict(foreign: nn.Module, at: Entry) -> Audit:
    """The verdict on a module that gives logits, on an entry's images."""
    variant = Variant(entry=at)
    first = best = _attempt(foreign, at.plan())
    weights = weights_of(tuple(parameter.shape) for parameter in foreign.parameters())
    difference = first.describe()
    known: list[str] = []
    while best.parted and len(known) < MOST_MISTAKES:
        better = _nearest(foreign, weights, variant, best)
        if better is None:
            break
        what, variant, best = better
        known.append(what)
    mistakes = (*known, *best.asides)
    bearer, bearer_same = _bearer(foreign, weights, at) if best.parted else (None, False)
    return Audit(
        same=difference is None,
        first_difference=difference,
        mistakes=mistakes,
        explained=bool(mistakes) and not best.parted,
        bearer=bearer,
        bearer_same=bearer_same,
        remarks=(first if best.parted else best).remarks,
        parameters=sum(parameter.numel() for parameter in foreign.parameters()),
        expected_parameters=first.parameters,
        paired=first.paired,
        operations=first.operations,
    )


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One pairing of a module with one plan: how far it came, what differed, and whether that stopped it.

    `describe` gives the first difference; `asides` are those beside the structure, in words; `next` is the path of what
    ours would have run next.
    """

    paired: int
    operations: int
    parameters: int
    describe: Callable[[], Difference | None]
    parted: bool
    asides: tuple[str, ...]
    next: str
    remarks: tuple[str, ...]

    @property
    def reach(self) -> tuple[float, int]:
        """How many operations were paired before the structures parted, any number if never; then the fewest asides."""
        return float(self.paired) if self.parted else math.inf, -len(self.asides)


def _bearer(foreign: nn.Module, weights: Weights, at: Entry) -> tuple[str | None, bool]:
    """Another network with the module's parameters, the one that it follows farthest, and whether it is the same."""
    best: tuple[str, _Attempt] | None = None
    for other in islice(bearers(weights, at), MOST_BEARERS):
        attempt = _attempt(foreign, other.plan(image=at.image, classes=at.classes))
        if attempt.describe() is None:
            return other.name, True
        if best is None or attempt.reach > best[1].reach:
            best = other.name, attempt
    return (best[0] if best else None), False


def _nearest(
    foreign: nn.Module, weights: Weights, variant: Variant, so_far: _Attempt
) -> tuple[str, Variant, _Attempt] | None:
    """The mistake that brings our network nearest to the module, if any brings it nearer."""
    best: tuple[str, Variant, _Attempt] | None = None
    for what, wrong in _promising(weights, variant, so_far):
        attempt = _attempt(foreign, wrong.plan())
        if attempt.reach > (best[2] if best else so_far).reach:
            best = what, wrong, attempt
            if attempt.reach >= (math.inf, -len(so_far.asides)):  # nothing is left but what was known before
                break
    return best


def _promising(weights: Weights, variant: Variant, so_far: _Attempt) -> Iterator[tuple[str, Variant]]:
    """The mistakes that bring the shapes no farther from the module's; none where all are far."""
    units = _suspected(variant.plan(), so_far.next)
    apart = distance(weights, variant.plan())
    rivals = [(what, wrong, distance(weights, wrong.plan())) for what, wrong in possible(variant, STRUCTURAL, units)]
    if min([apart, *(each for *_, each in rivals)]) < STRANGE:
        yield from ((what, wrong) for what, wrong, each in rivals if each <= apart)


def _suspected(plan: Plan, path: str) -> list[str]:
    """The unit in which an operation of ours stands, and the one before it; in the head, the last of all."""
    units = [unit for unit, _ in plan.units]
    place = next((index for index, unit in enumerate(units) if path.startswith(f"{unit}.")), len(units))
    return [] if path.startswith("stem") else units[max(place - 1, 0) : place + 1]


def _task(foreign: nn.Module, entry: Entry, image: Shape | None, classes: int | None) -> tuple[Shape, int, str]:
    """The images and classes of an audit, and where in what the module gives its logits stand, in words."""
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
        logits = logits_in(given)
        if logits is None or len(logits.tensor) != 2:
            raise UsageError(f"expected logits of shape (images, classes), one row an image; got {described(given)}")
        return shape, logits.tensor.shape[1] if classes is None else classes, logits.place
    raise UsageError(f"the module does not run on 2 images of {images[-1]} pixels: {trouble}")


def _images(shape: Shape) -> Tensor:
    return torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _attempt(foreign: nn.Module, plan: Plan) -> _Attempt:
    """Pair a module with a plan, trying the other way where a choice between equals led to a difference."""
    ours = _ours(plan)
    images = _images(plan.image)
    expected, logits = calls(ours, images)
    best = paired(foreign, expected, ours, images, logits)
    return _Attempt(
        paired=best.paired,
        operations=len(expected),
        parameters=sum(parameter.numel() for parameter in ours.parameters()),
        describe=best.first_difference,
        parted=best.parted,
        asides=tuple(f"{what}: {_places(where)}" for what, where in best.asides.items()),
        next=best.free[0].name if best.free else "head",
        remarks=tuple(best.remarks),
    )


def _places(where: list[Difference]) -> str:
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    return f"{where[0].at}{more}"


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
