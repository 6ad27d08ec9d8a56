"""Flow: how large responses and gradients are along the depth, and how much of each sum its relu cuts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.passage import unit_modules
from resatlas.analysis.subject import Subject
from resatlas.arch.ops import Convolution, Norm, Relu
from resatlas.arch.plan import Chain, Plan, body_names, stream_prefixes, unit_layers
from resatlas.data.loading import Batch
from resatlas.nets.network import Network
from resatlas.training import checkpoint
from resatlas.training.starting import start, take_weights
from resatlas.values.table import grouped, of_unit

IMAGES = 256
"""Training images in the batch that is measured, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """The response of one convolution of a body: behind its norm, before its relu; `number` counts along one body."""

    layer: str = of_unit("")
    number: int = of_unit("convolutions")
    response_deviation: float = of_unit("response value")


@dataclass(frozen=True, kw_only=True)
class UnitRow:
    """One unit: the gradient that it learns by, the one that it passes on, and what its relu cuts."""

    unit: str = of_unit("")
    parameter_gradient_norm: float = of_unit("nats / parameter value")
    output_gradient_norm: float = of_unit("nats / response value")
    share_of_sums_cut: float | None = of_unit("1")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A network at one moment, on one batch, with the statistics of that batch as in training."""

    loss: float
    layers: tuple[LayerRow, ...]
    units: tuple[UnitRow, ...]


def flow(network: Network, batch: Batch) -> Flow:
    """The flow of a batch forth and of its mean loss's gradient back; dropout off, running statistics untouched.

    Source: responses as in the ResNet paper (arXiv:1512.03385), Fig. 7, there behind BN and before other operations.
    """
    responses = dict(_responses(network.plan))
    cutting = _cutting(network.plan)
    modules = dict(network.named_modules())
    deviations: dict[str, float] = {}
    cut: dict[str, float] = {}
    made: dict[str, Tensor] = {}

    def respond(path: str, _module: nn.Module, _given: object, out: Tensor) -> None:
        deviations[path] = out.detach().double().std(correction=0).item()

    def lose(path: str, _module: nn.Module, given: tuple[Tensor, ...]) -> None:
        cut[path] = (given[0] < 0).double().mean().item()

    def keep(path: str, _module: nn.Module, _given: object, out: Tensor) -> None:
        made[path] = out

    units = unit_modules(network)
    handles = [
        *(modules[path].register_forward_hook(partial(respond, path)) for path in responses),
        *(modules[path].register_forward_pre_hook(partial(lose, path)) for paths in cutting.values() for path in paths),
        *(unit.register_forward_hook(partial(keep, path)) for path, unit in units.items()),
    ]
    try:
        with _statistics_of_the_batch(network), torch.enable_grad():
            loss = F.cross_entropy(network(batch.images), batch.labels)
    finally:
        for handle in handles:
            handle.remove()
    outputs = _norms(loss, {path: [made[path]] for path in units})
    learnt = _norms(loss, {path: list(unit.parameters()) for path, unit in units.items()})
    return Flow(
        loss=loss.item(),
        layers=tuple(
            LayerRow(layer=path, number=number, response_deviation=deviations[path])
            for path, number in responses.items()
        ),
        units=tuple(
            UnitRow(
                unit=path,
                parameter_gradient_norm=learnt[path],
                output_gradient_norm=outputs[path],
                share_of_sums_cut=sum(cut[each] for each in cutting[path]) / len(cutting[path])
                if cutting[path]
                else None,
            )
            for path in units
        ),
    )


Moment = tuple[str, Flow]
"""When a network was measured, in words, and what was found."""


def kept(subject: Subject, batch: Batch) -> Iterator[Moment]:
    """The flow at the start and at every checkpoint that the run still has; of averaged weights those that learn."""
    run, experiment = subject.run, subject.run.experiment
    state = start(run, experiment)
    if experiment.weights:
        take_weights(state.network, experiment.weights)
    yield "start", flow(state.network, batch)
    for folder in sorted(run.checkpoints.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-"))):
        if checkpoint.fault(folder) is None:
            checkpoint.load(state, folder, experiment=run.digest)
            yield f"step {state.step}", flow(state.network, batch)


def answer(subjects: Sequence[Subject], *, images: int | None, moments: Sequence[Sequence[Moment]]) -> Answer:
    """The flow of each run at its moments, of one run or of several beside each other."""
    found = [
        ({"run": subject.name, "moment": when}, each)
        for subject, own in zip(subjects, moments, strict=True)
        for when, each in own
    ]
    return Answer(
        question="flow",
        title="responses and gradients along the depth",
        runs=tuple(subject.name for subject in subjects),
        images=subjects[0].learnt(images or IMAGES).words,
        facts=tuple(fact for words, each in found for fact in _health(words, each)),
        tables=(
            grouped("gradients and sums of each unit", UnitRow, [(words, each.units) for words, each in found]),
            grouped("responses of each layer", LayerRow, [(words, each.layers) for words, each in found]),
        ),
    )


def _health(words: dict[str, str], found: Flow) -> Iterator[Fact]:
    """The gradient that reaches the first unit beside that of the last: far from 1 it has vanished or exploded."""
    first, last = found.units[0].parameter_gradient_norm, found.units[-1].parameter_gradient_norm
    of = ", ".join(words.values())
    yield Fact(name=f"loss, {of}", unit="nats", value=found.loss)
    yield Fact(name=f"gradient of first unit / last, {of}", unit="1", value=first / last if last else None)


def _norms(loss: Tensor, groups: dict[str, list[Tensor]]) -> dict[str, float]:
    """The norm of the loss's gradient with respect to each group of tensors."""
    flat = [tensor for group in groups.values() for tensor in group]
    gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True, materialize_grads=True))
    return {
        path: sum(next(gradients).double().square().sum().item() for _ in group) ** 0.5
        for path, group in groups.items()
    }


def _responses(plan: Plan) -> Iterator[tuple[str, int]]:
    """Where the response of each convolution comes out, and how many convolutions a path has then passed."""
    before = 0
    for path, unit in plan.units:
        reached = before
        for prefix, stream in zip(stream_prefixes(unit), unit.streams, strict=True):
            ends = [before]
            for name, body in zip(body_names(stream), stream.bodies, strict=True):
                behind = stream.merged if len(stream.bodies) == 1 else ()
                places = _places(f"{path}.{prefix}", [(name, body), ("merged", behind)])
                yield from ((place, before + k + 1) for k, place in enumerate(places))
                ends.append(before + len(places))
            reached = max(reached, *ends)
        before = reached


def _places(prefix: str, chains: Sequence[tuple[str, Chain]]) -> list[str]:
    """For each convolution of chains in a row: the norm that follows it directly, or else itself."""
    row = [(f"{prefix}{name}.{layer.role}", layer.op) for name, chain in chains for layer in chain]
    following = [*row[1:], ("", None)]
    return [
        after if isinstance(behind, Norm) else path
        for (path, op), (after, behind) in zip(row, following, strict=True)
        if isinstance(op, Convolution)
    ]


def _cutting(plan: Plan) -> dict[str, list[str]]:
    """For each unit the relus behind its sums."""
    return {
        path: [f"{path}.{role}" for role, layer in unit_layers(unit) if "after_sum." in role and layer.op == Relu()]
        for path, unit in plan.units
    }


@contextmanager
def _statistics_of_the_batch(network: nn.Module) -> Iterator[None]:
    """While it lasts, every norm uses the batch's own statistics and keeps nothing of them; all else is evaluated."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        network.eval()
