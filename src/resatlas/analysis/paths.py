"""Paths: how many there are of each length, how much they weigh, and the exact gradient that goes through them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.passage import UnitModule, bodies_of, put_out_as, streams_of, unit_modules
from resatlas.analysis.subject import Subject
from resatlas.arch import plan as plans
from resatlas.arch.paths import passed, path_lengths
from resatlas.nets.network import Network
from resatlas.nets.streams import Streams, run_unit
from resatlas.values.table import of_unit, table

Cotangents = dict[int, Streams]
"""For each length the part of the gradient that has passed so many convolutions and classifiers, one a stream."""


@dataclass(frozen=True, kw_only=True)
class LengthRow:
    """All paths of one length.

    `paths` and `share_of_paths` count whole paths, `share_of_weight` coefficients: see `arch.paths.PathLengths`.
    `gradient_norm` is the root mean square over the images; the gradient shares are <g_length, g> / <g, g>, which
    add up to 1.
    """

    length: int = of_unit("convolutions and classifiers")
    paths: int = of_unit("paths")
    share_of_paths: float = of_unit("1")
    share_of_weight: float = of_unit("1")
    gradient_norm: float = of_unit("nats / pixel value")
    cosine_to_gradient: float = of_unit("1")
    share_of_gradient: float = of_unit("1")


def gradients_by_length(
    network: Network, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"]
) -> dict[int, Float[Tensor, "n c h w"]]:
    """The gradient of each image's loss with respect to the image, by the length of the paths that it passes.

    In evaluation mode and at the activation pattern of the images a network is linear along every path, so the parts
    add up to the gradient. One cotangent a length goes back through each unit: through its bodies with its shortcuts
    cut, which makes it longer, and through its shortcuts with its bodies cut, which does not. A gate is part of the
    shortcut that it reads: what changes a gate passes that shortcut.
    """
    network.eval()
    modules = unit_modules(network)
    with _without_parameters(network):
        inputs = _inputs(network, modules, images)
        parts = _through_head(network, inputs.pop(), labels)
        for (path, unit), streams in zip(reversed([*network.plan.units]), reversed(inputs), strict=True):
            parts = _through_unit(modules[path], unit, streams, parts)
        return _through_stem(network, images, parts)


def paths(network: Network, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> tuple[LengthRow, ...]:
    """Counts, weights and gradients of each length, the gradients in float64."""
    lengths = path_lengths(network.plan)
    parts = gradients_by_length(deepcopy(network).double(), images.double(), labels)
    total = torch.stack(list(parts.values())).sum(dim=0).flatten()
    count, weight = sum(lengths.paths.values()), sum(lengths.weights.values())
    return tuple(
        LengthRow(
            length=length,
            paths=lengths.paths[length],
            share_of_paths=lengths.paths[length] / count,
            share_of_weight=float(lengths.weights[length] / weight),
            gradient_norm=part.norm().item() / len(images) ** 0.5,
            cosine_to_gradient=F.cosine_similarity(part.flatten(), total, dim=0).item(),
            share_of_gradient=(part.flatten() @ total / (total @ total)).item(),
        )
        for length, part in sorted(parts.items())
    )


def answer(subjects: Sequence[Subject], *, images: int | None) -> Answer:
    """The paths of one run."""
    [subject] = subjects
    held = subject.held_back(images or 64)
    batch = held.joined()
    rows = paths(subject.network, batch.images, batch.labels)
    lengths = path_lengths(subject.plan)
    return Answer(
        question="paths",
        title="paths by their length",
        runs=(subject.name,),
        images=held.words,
        facts=(
            Fact(name="mean_path_length", unit="layers", value=float(lengths.mean)),
            Fact(name="weighted_mean_path_length", unit="layers", value=float(lengths.weighted_mean)),
            Fact(
                name="mean_path_length_of_the_gradient",
                unit="layers",
                value=sum(row.length * row.share_of_gradient for row in rows),
            ),
        ),
        tables=(table("paths and the gradient of the loss through them", LengthRow, rows),),
    )


def _inputs(network: Network, modules: dict[str, UnitModule], images: Tensor) -> list[Streams]:
    """What each unit takes, and what the last one gives."""
    with torch.no_grad():
        streams = [network.begin(images)]
        for module in modules.values():
            streams.append(run_unit(module, streams[-1]))
    return streams


def _through_head(network: Network, streams: Streams, labels: Tensor) -> Cotangents:
    given = _leaves(streams)
    loss = F.cross_entropy(network.end(given), labels, reduction="sum")
    return {passed(network.plan.head): torch.autograd.grad(loss, given)}


def _through_unit(module: UnitModule, unit: plans.Unit, streams: Streams, parts: Cotangents) -> Cotangents:
    branches = _branches(module, unit)
    before: Cotangents = {}
    for longer in {by for _, by in branches}:
        with put_out_as((branch for branch, by in branches if by != longer), Tensor.detach):
            given = _leaves(streams)
            made = run_unit(module, given)
        for length, part in parts.items():
            _add(before, length + longer, _pulled_back(made, given, part))
    return before


def _branches(module: UnitModule, unit: plans.Unit) -> list[tuple[nn.Module, int]]:
    """Every body and shortcut of a unit, with how much longer it makes a path."""
    found: list[tuple[nn.Module, int]] = []
    for own, stream in zip(streams_of(module), unit.streams, strict=True):
        around = passed(stream.first) + passed(stream.merged)
        found += [(body, passed(chain) + around) for body, chain in zip(bodies_of(own), stream.bodies, strict=True)]
        if own.shortcut is not None:
            found.append((own.shortcut, 0))
    return found


def _through_stem(network: Network, images: Tensor, parts: Cotangents) -> dict[int, Tensor]:
    [given] = _leaves((images,))
    made = network.begin(given)
    longer = passed(network.plan.stem)
    return {length + longer: _pulled_back(made, (given,), part)[0] for length, part in parts.items()}


def _pulled_back(made: Streams, given: Streams, part: Streams) -> Streams:
    """What a cotangent of what was made is as one of what was given."""
    live = [(tensor, each) for tensor, each in zip(made, part, strict=True) if tensor.requires_grad]
    found = torch.autograd.grad(
        [tensor for tensor, _ in live],
        given,
        [each for _, each in live],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return tuple(found)


def _add(parts: Cotangents, length: int, more: Streams) -> None:
    held = parts.get(length)
    parts[length] = more if held is None else tuple(one + other for one, other in zip(held, more, strict=True))


def _leaves(tensors: Streams) -> Streams:
    return tuple(each.detach().clone().requires_grad_() for each in tensors)


@contextmanager
def _without_parameters(network: Network) -> Iterator[None]:
    """While it lasts, no parameter asks for a gradient."""
    asking = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asking:
            weight.requires_grad_()
