"""Paths: their number and weight by length, and the exact gradient through the paths of each length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.probed_run import Probed
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.surgery import UnitModule, bodies_of, changed_outputs, streams_of, unit_modules
from resatlas.arch import plan as plans
from resatlas.arch.paths import passed, path_lengths
from resatlas.errors import DesignError
from resatlas.nets.network import Network
from resatlas.nets.streams import Streams, run_unit
from resatlas.values.table import of_unit, table

Cotangents = dict[int, Streams]
"""For each length, the part of the gradient through so many convolutions and classifiers, one tensor per stream."""


@dataclass(frozen=True, kw_only=True)
class LengthRow:
    """All paths of the same length.

    `paths` and `share_of_paths` count whole paths, `share_of_weight` coefficients: see `arch.paths.PathLengths`.
    `gradient_norm` is the root mean square over the images; the gradient shares are <g_length, g> / <g, g> and
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
    """The gradient of each image's loss with respect to the image, split by the length of the paths.

    In evaluation mode and at the activation pattern of the images, a network is linear along every path, so the parts
    add up to the gradient. One cotangent per length is propagated back through each unit twice: through the bodies
    with the shortcuts detached, which adds to the length, and through the shortcuts with the bodies detached, which
    does not. A gate belongs to the shortcut whose input it reads.
    Raises: DesignError if a unit has slices, whose paths share convolutions.
    """
    if any(plans.sliced(stream) for _, unit in network.plan.units for stream in unit.streams):
        raise DesignError(
            "paths through the slices of a unit share convolutions, so gradients cannot be split by length"
        )
    network.eval()
    modules = unit_modules(network)
    with _without_parameters(network):
        inputs = _inputs(network, modules, images)
        parts = _through_head(network, inputs.pop(), labels)
        for (path, unit), streams in zip(reversed([*network.plan.units]), reversed(inputs), strict=True):
            parts = _through_unit(modules[path], unit, streams, parts)
        return _through_stem(network, images, parts)


def paths(network: Network, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> tuple[LengthRow, ...]:
    """Counts, weights and gradients of each length; gradients are computed in float64."""
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


def probe(runs: Sequence[Probed], *, images: int | None) -> ProbeResult:
    """The paths of the network of one run."""
    [run] = runs
    selection = run.held_out(images or 64)
    batch = selection.joined()
    rows = paths(run.network, batch.images, batch.labels)
    lengths = path_lengths(run.plan)
    return ProbeResult(
        question="paths",
        title="paths by length",
        runs=(run.name,),
        images=selection.description,
        facts=(
            Fact(name="mean_path_length", unit="layers", value=float(lengths.mean)),
            Fact(name="weighted_mean_path_length", unit="layers", value=float(lengths.weighted_mean)),
            Fact(
                name="mean_path_length_of_the_gradient",
                unit="layers",
                value=sum(row.length * row.share_of_gradient for row in rows),
            ),
        ),
        tables=(table("number, weight and gradient of the paths of each length", LengthRow, rows),),
    )


def _inputs(network: Network, modules: dict[str, UnitModule], images: Tensor) -> list[Streams]:
    """The input of each unit, and the output of the last."""
    with torch.no_grad():
        streams = [network.begin(images)]
        for module in modules.values():
            streams.append(run_unit(module, streams[-1]))
    return streams


def _through_head(network: Network, streams: Streams, labels: Tensor) -> Cotangents:
    inputs = _leaves(streams)
    loss = F.cross_entropy(network.end(inputs), labels, reduction="sum")
    return {passed(network.plan.head): torch.autograd.grad(loss, inputs)}


def _through_unit(module: UnitModule, unit: plans.Unit, streams: Streams, parts: Cotangents) -> Cotangents:
    branches = _branches(module, unit)
    input_parts: Cotangents = {}
    for added in {branch_length for _, branch_length in branches}:
        with changed_outputs((branch for branch, branch_length in branches if branch_length != added), Tensor.detach):
            inputs = _leaves(streams)
            outputs = run_unit(module, inputs)
        for length, part in parts.items():
            _add(input_parts, length + added, _pulled_back(outputs, inputs, part))
    return input_parts


def _branches(module: UnitModule, unit: plans.Unit) -> list[tuple[nn.Module, int]]:
    """Every body and shortcut of a unit, with the length that it adds to a path."""
    branches: list[tuple[nn.Module, int]] = []
    for own, stream in zip(streams_of(module), unit.streams, strict=True):
        around = passed(stream.first) + passed(stream.merged)
        branches += [(body, passed(chain) + around) for body, chain in zip(bodies_of(own), stream.bodies, strict=True)]
        if own.shortcut is not None:
            branches.append((own.shortcut, 0))
    return branches


def _through_stem(network: Network, images: Tensor, parts: Cotangents) -> dict[int, Tensor]:
    inputs = _leaves((images,))
    outputs = network.begin(inputs[0])
    added = passed(network.plan.stem)
    return {length + added: _pulled_back(outputs, inputs, part)[0] for length, part in parts.items()}


def _pulled_back(outputs: Streams, inputs: Streams, cotangents: Streams) -> Streams:
    """The cotangents of the inputs from those of the outputs, by one backward pass."""
    # an output whose branches are all detached has no gradient
    pairs = [pair for pair in zip(outputs, cotangents, strict=True) if pair[0].requires_grad]
    gradients = torch.autograd.grad(
        [output for output, _ in pairs],
        inputs,
        [cotangent for _, cotangent in pairs],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return tuple(gradients)


def _add(parts: Cotangents, length: int, more: Streams) -> None:
    known = parts.get(length)
    parts[length] = more if known is None else tuple(one + other for one, other in zip(known, more, strict=True))


def _leaves(tensors: Streams) -> Streams:
    return tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)


@contextmanager
def _without_parameters(network: Network) -> Iterator[None]:
    """Within this context, no parameter requires a gradient."""
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_()
