"""Flow: sizes of responses and gradients along the depth, and the share of activations that ReLU sets to zero."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.probed_run import ProbedRun
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.surgery import unit_modules
from resatlas.arch.ops import Convolution, Norm, Relu
from resatlas.arch.plan import Chain, Plan, body_names, joins_body_before, stream_prefixes, unit_layers
from resatlas.data.loading import Batch
from resatlas.nets.network import Network
from resatlas.nets.norm_groups import statistics_kept
from resatlas.training import checkpoint
from resatlas.training.starting import start, take_weights
from resatlas.values.table import grouped, of_unit

IMAGES = 256
"""Default number of training images in the batch."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """The response of one convolution of a body, after its norm and before its ReLU.

    `number` counts the convolutions on a path up to this one.
    """

    layer: str = of_unit("")
    number: int = of_unit("convolutions")
    response_deviation: float = of_unit("response value")


@dataclass(frozen=True, kw_only=True)
class UnitRow:
    """One unit: gradients of its parameters and its output, and the share of its sums that ReLU sets to zero."""

    unit: str = of_unit("")
    parameter_gradient_norm: float = of_unit("nats / parameter value")
    output_gradient_norm: float = of_unit("nats / response value")
    share_of_sums_cut: float | None = of_unit("1")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Responses and gradients of a network on one batch, with the batch statistics as in training."""

    loss: float
    layers: tuple[LayerRow, ...]
    units: tuple[UnitRow, ...]


def flow(network: Network, batch: Batch) -> Flow:
    """The responses of a batch, and the gradients of its mean loss; dropout is off, running statistics do not change.

    Source: responses as in the ResNet paper (arXiv:1512.03385), Fig. 7, after BN and before other operations.
    """
    responses = dict(_responses(network.plan))
    relus = _sum_relus(network.plan)
    modules = dict(network.named_modules())
    deviations: dict[str, float] = {}
    zeroed: dict[str, float] = {}
    outputs: dict[str, Tensor] = {}

    def keep_deviation(path: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        deviations[path] = output.detach().double().std(correction=0).item()

    def keep_zeroed(path: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        zeroed[path] = (inputs[0] < 0).double().mean().item()

    def keep_output(path: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs[path] = output

    units = unit_modules(network)
    handles = [
        *(modules[path].register_forward_hook(partial(keep_deviation, path)) for path in responses),
        *(
            modules[path].register_forward_pre_hook(partial(keep_zeroed, path))
            for paths in relus.values()
            for path in paths
        ),
        *(unit.register_forward_hook(partial(keep_output, path)) for path, unit in units.items()),
    ]
    try:
        with _batch_statistics(network), torch.enable_grad():
            loss = F.cross_entropy(network(batch.images), batch.labels)
    finally:
        for handle in handles:
            handle.remove()
    output_norms = _gradient_norms(loss, {path: [outputs[path]] for path in units})
    parameter_norms = _gradient_norms(loss, {path: list(unit.parameters()) for path, unit in units.items()})
    return Flow(
        loss=loss.item(),
        layers=tuple(
            LayerRow(layer=path, number=number, response_deviation=deviations[path])
            for path, number in responses.items()
        ),
        units=tuple(
            UnitRow(
                unit=path,
                parameter_gradient_norm=parameter_norms[path],
                output_gradient_norm=output_norms[path],
                share_of_sums_cut=sum(zeroed[relu] for relu in relus[path]) / len(relus[path]) if relus[path] else None,
            )
            for path in units
        ),
    )


Moment = tuple[str, Flow]
"""A time in the training, in words, and the flow of the network at that time."""


def checkpoint_flows(run: ProbedRun, batch: Batch) -> Iterator[Moment]:
    """The flow at the start and at each checkpoint on disk, with the trained weights and not their moving average."""
    record, experiment = run.record, run.record.experiment
    state = start(record, experiment)
    if experiment.weights:
        take_weights(state.network, experiment.weights)
    yield "start", flow(state.network, batch)
    for folder in sorted(record.checkpoints.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-"))):
        if checkpoint.fault(folder) is None:
            checkpoint.load(state, folder, experiment=record.digest)
            yield f"step {state.step}", flow(state.network, batch)


def probe(runs: Sequence[ProbedRun], *, images: int | None, moments: Sequence[Sequence[Moment]]) -> ProbeResult:
    """The flow of one run or several, each at its moments."""
    flows = [
        ({"run": run.name, "moment": time}, flow)
        for run, run_moments in zip(runs, moments, strict=True)
        for time, flow in run_moments
    ]
    return ProbeResult(
        question="flow",
        title="responses and gradients along the depth",
        runs=tuple(run.name for run in runs),
        images=runs[0].training(images or IMAGES).description,
        facts=tuple(fact for labels, flow in flows for fact in _facts(labels, flow)),
        tables=(
            grouped("gradients and ReLU zeros of each unit", UnitRow, [(labels, flow.units) for labels, flow in flows]),
            grouped("responses of each layer", LayerRow, [(labels, flow.layers) for labels, flow in flows]),
        ),
    )


def _facts(labels: dict[str, str], flow: Flow) -> Iterator[Fact]:
    """The loss, and the ratio of the gradients of the first and the last unit; a vanished gradient is far below 1."""
    first, last = flow.units[0].parameter_gradient_norm, flow.units[-1].parameter_gradient_norm
    place = ", ".join(labels.values())
    yield Fact(name=f"loss, {place}", unit="nats", value=flow.loss)
    yield Fact(name=f"gradient of first unit / last, {place}", unit="1", value=first / last if last else None)


def _gradient_norms(loss: Tensor, groups: dict[str, list[Tensor]]) -> dict[str, float]:
    """The norm of the loss's gradient with respect to each group of tensors."""
    flat = [tensor for group in groups.values() for tensor in group]
    gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True, materialize_grads=True))
    return {
        path: sum(next(gradients).double().square().sum().item() for _ in group) ** 0.5
        for path, group in groups.items()
    }


def _responses(plan: Plan) -> Iterator[tuple[str, int]]:
    """The module whose output is the response of each convolution, and the number of convolutions up to it."""
    before = 0
    for path, unit in plan.units:
        reached = before
        for prefix, stream in zip(stream_prefixes(unit), unit.streams, strict=True):
            first = _places(f"{path}.{prefix}", [("first", stream.first)])
            yield from ((place, before + k + 1) for k, place in enumerate(first))
            start = before + len(first)
            ends = [start]
            for number, (name, body) in enumerate(zip(body_names(stream), stream.bodies, strict=True)):
                begin = ends[-1] if joins_body_before(stream, number) else start
                merged = stream.merged if len(stream.bodies) == 1 else ()
                places = _places(f"{path}.{prefix}", [(name, body), ("merged", merged)])
                yield from ((place, begin + k + 1) for k, place in enumerate(places))
                ends.append(begin + len(places))
            reached = max(reached, *ends)
        before = reached


def _places(prefix: str, chains: Sequence[tuple[str, Chain]]) -> list[str]:
    """For each convolution of consecutive chains, the path of the norm directly after it, or else its own path."""
    row = [(f"{prefix}{name}.{layer.role}", layer.op) for name, chain in chains for layer in chain]
    following = [*row, ("", None)][1:]
    return [
        next_path if isinstance(next_op, Norm) else path
        for (path, op), (next_path, next_op) in zip(row, following, strict=True)
        if isinstance(op, Convolution)
    ]


def _sum_relus(plan: Plan) -> dict[str, list[str]]:
    """The paths of the ReLUs after the sums of each unit."""
    return {
        path: [f"{path}.{role}" for role, layer in unit_layers(unit) if "after_sum." in role and layer.op == Relu()]
        for path, unit in plan.units
    }


@contextmanager
def _batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context, norms use batch statistics without storing them; all else is in evaluation mode."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    try:
        with statistics_kept(network):
            yield
    finally:
        network.eval()
