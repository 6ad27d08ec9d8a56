"""A faster copy of a network in evaluation mode, for inference alone.

Norms are folded into convolutions (`inference.folding`), a convolution is fused with the operations after it
(`inference.fused`), and sums are computed in place (`inference.fused_units`).
"""

from functools import partial
from itertools import islice, takewhile

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.arch import plan
from resatlas.arch.ops import Convolution, GlobalPool, Relu, Shape
from resatlas.errors import UsageError
from resatlas.inference.folding import (
    Convolve,
    Plain,
    Steps,
    Then,
    Unfolded,
    as_float64,
    fold,
    fold_bodies,
    remaining_norms,
    steps,
)
from resatlas.inference.fused import (
    Calls,
    Computed,
    KernelChoice,
    LastCall,
    Precision,
    Storage,
    Target,
    calls,
    convolution,
    run,
)
from resatlas.inference.fused_units import FusedStreamsUnit, FusedUnit, Residual, Stream
from resatlas.nets.network import Network
from resatlas.nets.streams import Streams, added, side_by_side, split
from resatlas.nets.unit import sliced_bodies


class Inference(nn.Module):
    """images -> the logits of a network in evaluation mode, without gradients.

    It has copies of the network's weights; later changes of the network have no effect. `unfolded` lists the norms that
    were not folded. It can be copied and pickled. `torch.export` and `torch.jit.trace` support it if `target.kernels`
    is "torch"; they cannot represent the packed weights of oneDNN.

    Shape: (n, channels, height, width) -> (n, classes).
    """

    def __init__(self, network: Network, target: Target) -> None:
        super().__init__()
        self.target = target
        self._packed = target.kernels == "oneDNN"
        self._streams = len(network.plan.stages[0][0].streams)
        self._last_streams = len(network.plan.stages[-1][0].streams)
        folding = _Folding(network, target)
        self._stems = folding.stems()
        self._units = folding.units()
        self._heads = folding.heads()
        self._ends = folding.ends()
        self._stages = tuple(map(len, network.plan.stages))
        self.unfolded = tuple(folding.unfolded)

    @torch.inference_mode()
    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit per class.

        Raises: UsageError if it is exported with the kernels of oneDNN.
        """
        if self._packed and (torch.compiler.is_exporting() or torch.jit.is_tracing()):
            raise UsageError(
                "the weights are packed for oneDNN, which torch.export and torch.jit.trace cannot write; "
                'export for_inference(network, kernels="torch")'
            )
        streams = self._begun(images)
        for unit in self._units:
            streams = unit(streams)
        return self._ended(streams).to(images.dtype)

    @torch.inference_mode()
    def features(self, images: Float[Tensor, "n c h w"]) -> dict[str, Float[Tensor, "n _ _ _"]]:
        """The outputs of every stage by module path, as those of `Network.features`, in the type of the computation."""
        streams, units, stages = self._begun(images), iter(self._units), dict[str, Tensor]()
        for s, count in enumerate(self._stages):
            for unit in islice(units, count):
                streams = unit(streams)
            stages[f"stages.{s}"] = side_by_side(streams).clone()  # the next unit may add to it in place
        return {**stages, f"stages.{len(self._stages) - 1}": self._before_pool(streams)}

    @torch.inference_mode()
    def trunk(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The input of the last stage, all streams side by side, in the type of the computation."""
        streams = self._begun(images)
        for unit in self._units[: -self._stages[-1]]:
            streams = unit(streams)
        return side_by_side(streams)

    @torch.inference_mode()
    def last_stage(self, maps: Float[Tensor, "n d h2 w2"]) -> Float[Tensor, "n k"]:
        """The logits for maps such as those of the trunk; without a classifier the features."""
        return self._ended(self._after_last_stage(maps)).to(maps.dtype)

    @torch.inference_mode()
    def last_maps(self, maps: Float[Tensor, "n d h2 w2"]) -> Float[Tensor, "n k h3 w3"]:
        """What the global pool reads, for maps such as those of the trunk."""
        return self._before_pool(self._after_last_stage(maps)).to(maps.dtype)

    def _after_last_stage(self, maps: Tensor) -> Streams:
        """The units add to their inputs in place: these are copies."""
        own = maps.to(self.target.dtype, memory_format=torch.channels_last, copy=True)
        streams = split(own, self._last_streams)
        for unit in self._units[-self._stages[-1] :]:
            streams = unit(streams)
        return streams

    def _ended(self, streams: Streams) -> Tensor:
        """The logits, the mean of those of several heads."""
        if len(self._heads) == 1:
            return run(self._heads[0], side_by_side(streams))
        logits = [run(head, maps) for head, maps in zip(self._heads, streams, strict=True)]
        return added(logits) / len(logits)

    def _before_pool(self, streams: Streams) -> Tensor:
        inputs = streams if len(self._ends) > 1 else (side_by_side(streams),)
        return side_by_side(tuple(run(end, maps) for end, maps in zip(self._ends, inputs, strict=True)))

    def _begun(self, images: Tensor) -> Streams:
        """The input of the first unit."""
        maps = images.to(self.target.dtype, memory_format=torch.channels_last)
        stem_outputs = tuple(run(stem, maps) for stem in self._stems)
        return stem_outputs * (self._streams // len(stem_outputs))


def for_inference(
    network: nn.Module,
    *,
    precision: Precision = "fp32",
    kernels: KernelChoice = "fastest",
    stored: Storage = "own",
) -> Inference:
    """A faster copy of a network for inference, with norms folded into convolutions wherever that is exact.

    In fp64 and fp32 the logits are those of the network in evaluation mode, up to rounding; in bf16 they are those of a
    network with weights and maps in bfloat16. The result can be copied and pickled. On a CPU the fastest kernels are
    those of oneDNN, whose packed weights `torch.export` cannot write; use `kernels="torch"` for an export.
    `stored="fp16"` rounds the folded weights to half precision and computes as `precision` says.
    Raises: DesignError if modules of the network have been changed since it was built; UsageError if it is not a
        network of resatlas.
    """
    own = getattr(network, "_orig_mod", network)  # the network inside the wrapper of torch.compile
    if not isinstance(own, Network):
        raise UsageError(
            f"for_inference needs a network of resatlas.build; got a {type(network).__name__}, which has no plan"
        )
    own.checked_plan()
    return Inference(own, Target(next(own.parameters()).device, precision, kernels, stored))


class _Folding:
    """The conversion of a network to fused calls; `unfolded` collects the norms that are not folded."""

    def __init__(self, network: Network, target: Target) -> None:
        self.plan = network.plan
        self.target = target
        self.modules = dict(network.named_modules())
        self.unfolded: list[Unfolded] = []

    def stems(self) -> list[Calls]:
        """Each stem, with the first operations of the first unit if nothing else reads the stem's output."""
        chains = [self.steps(path, self.plan.stem) for path in plan.end_paths("stem", self.plan.stems)]
        if self._opens_first():
            chains[0] += self.steps("stages.0.0.first", self.plan.stages[0][0].streams[0].first)
        return [self.calls(chain, after="the image", before="the first unit") for chain in chains]

    def units(self) -> list[FusedUnit | FusedStreamsUnit]:
        """Every unit in order."""
        return [
            self._unit(path, unit) if unit.skip == "own" else self._streams_unit(path, unit)
            for path, unit in self.plan.units
        ]

    def heads(self) -> list[Calls]:
        """Each head."""
        paths = plan.end_paths("head", self.plan.heads)
        return [
            self.calls(self.steps(path, self.plan.head), after="the last unit", before="the logits") for path in paths
        ]

    def ends(self) -> list[Calls]:
        """What each head does before its global pool; its norms are counted by `heads`."""
        paths = plan.end_paths("head", self.plan.heads)
        lead = tuple(takewhile(lambda layer: not isinstance(layer.op, GlobalPool), self.plan.head))
        return [calls(fold(self.steps(path, lead)), self.target) for path in paths]

    def steps(self, path: str, chain: plan.Chain) -> Steps:
        """The steps of a chain, before folding."""
        return steps(path, chain, self.modules)

    def calls(self, chain: Steps, *, after: str, before: str) -> Calls:
        """The calls of a folded chain; `after` and `before` describe the neighbours of the chain."""
        folded = fold(chain)
        self.unfolded += remaining_norms(folded, after=after, before=before)
        return calls(folded, self.target)

    def _opens_first(self) -> bool:
        """Whether nothing but the first operations of the first unit reads the stem's output."""
        unit = self.plan.stages[0][0]
        return unit.skip == "own" and (unit.streams[0].shortcut is None or unit.streams[0].reads == "pre-activated")

    def _unit(self, path: str, unit: plan.Unit) -> FusedUnit:
        planned = unit.streams[0]
        opened = path == "stages.0.0" and self._opens_first()
        then, after_sum = self._after_sum((path,), unit)
        return FusedUnit(
            stream=self._stream(path, planned, opened=opened),
            then=then,
            after_sum=after_sum[0],
        )

    def _streams_unit(self, path: str, unit: plan.Unit) -> FusedStreamsUnit:
        paths = tuple(f"{path}.streams.{k}" for k in range(len(unit.streams)))
        then, after_sum = self._after_sum((path,) if unit.joined else paths, unit)
        projector = self.modules.get(f"{path}.projector")
        return FusedStreamsUnit(
            streams=tuple(self._stream(at, planned) for at, planned in zip(paths, unit.streams, strict=True)),
            mixing=unit.mixing_after_projector,
            joined=unit.joined,
            projector=None if projector is None else convolution(_mixing(projector, unit.output), self.target),
            then=then,
            after_sum=after_sum,
        )

    def _after_sum(self, paths: tuple[str, ...], unit: plan.Unit) -> tuple[Then, tuple[Calls, ...]]:
        """The operation that is fused with the sum, and the calls after it, for each output of the unit."""
        chains = [self.steps(f"{path}.after_sum", unit.after_sum) for path in paths]
        if chains[0] and isinstance(chains[0][0], Plain) and isinstance(chains[0][0].op, Relu):
            return "relu", tuple(self._after(chain[1:]) for chain in chains)
        return "nothing", tuple(self._after(chain) for chain in chains)

    def _after(self, chain: Steps) -> Calls:
        return self.calls(chain, after="a sum with the shortcut", before="the next unit")

    def _stream(self, path: str, planned: plan.Stream, *, opened: bool = False) -> Stream:
        """A stream; its first operations become part of its only body if nothing else reads their output."""
        first = () if opened else self.steps(f"{path}.first", planned.first)
        shortcut = None if planned.shortcut is None else self.steps(f"{path}.shortcut", planned.shortcut)
        alone = shortcut is None or planned.reads == "pre-activated"
        source = "the previous unit" if alone else "a sum that the shortcut reads, too"
        bodies = [
            self.steps(f"{path}.{name}", body)
            for name, body in zip(plan.body_names(planned), planned.bodies, strict=True)
        ]
        if len(bodies) == 1 and (shortcut is None or planned.reads == "input"):
            bodies, first = [(*first, *bodies[0])], ()
        merged = self.steps(f"{path}.merged", planned.merged)
        if planned.attention:
            attention = self.steps(f"{path}.attention", planned.attention)
            leads, lasts = self._attended(bodies, attention, merged, planned.merge, source)
        else:
            leads, lasts = self._bodies(bodies, merged, planned.merge, source)
        return Stream(
            first=self.calls(first, after=source, before="several readers"),
            leads=leads,
            lasts=lasts,
            shortcut=None if shortcut is None else self.calls(shortcut, after="a sum", before="the sum"),
            reads=planned.reads,
            gate=self.calls(self.steps(f"{path}.gate", planned.gate), after="the shortcut", before="the gate"),
            gated=planned.gated,
        )

    def _bodies(
        self, bodies: list[Steps], merged: Steps, merge: plan.Merge, source: str
    ) -> tuple[tuple[Calls, ...], tuple[LastCall, ...]]:
        """The calls before the last ones of a residual, and the last ones."""
        if len(bodies) == 1:
            chains, rest = [fold((*bodies[0], *merged))], ()
        else:
            chains, rest = fold_bodies(list(map(fold, bodies)), fold(merged), merge=merge)
        for chain in chains:
            self.unfolded += remaining_norms(chain, after=source, before="the sum")
        self.unfolded += remaining_norms(rest, after="the merged bodies", before="the sum")
        if len(chains) > 1 and (merge != "sum" or rest):
            lead, last = self._split_last(rest)
            combined = _Merged(tuple(calls(chain, self.target) for chain in chains), merge)
            return ((combined, *lead),), (last,)
        split = [self._split_last(chain) for chain in chains]
        return tuple(lead for lead, _ in split), tuple(last for _, last in split)

    def _attended(
        self, bodies: list[Steps], attention: Steps, merged: Steps, merge: plan.Merge, source: str
    ) -> tuple[tuple[Calls, ...], tuple[LastCall, ...]]:
        """As `_bodies`, with the channels of the bodies weighted before `merged`."""
        leads, lasts = self._bodies(bodies, (), merge, source)
        weighted = _Attended(leads, lasts, self.calls(attention, after="a mean", before="a product"))
        rest = fold(merged)
        self.unfolded += remaining_norms(rest, after="a product", before="the sum")
        lead, last = self._split_last(rest)
        return ((weighted, *lead),), (last,)

    def _split_last(self, chain: Steps) -> tuple[Calls, LastCall]:
        """The calls of a chain before its last one, and the last one."""
        if chain and isinstance(last := chain[-1], Convolve) and last.then == "nothing":
            return calls(chain[:-1], self.target), convolution(last, self.target)
        return calls(chain, self.target), Computed()


class _Attended:
    """x -> h·attention(mean of h) for the residual h of x."""

    def __init__(self, leads: tuple[Calls, ...], lasts: tuple[LastCall, ...], attention: Calls) -> None:
        self._leads = leads
        self._lasts = lasts
        self._attention = attention

    def __call__(self, x: Tensor) -> Tensor:
        maps = Residual(tuple(run(lead, x) for lead in self._leads), self._lasts).alone()
        return maps * run(self._attention, maps.mean(dim=(2, 3), keepdim=True))


class _Merged:
    """x -> the sum or the concatenation of the bodies' outputs."""

    def __init__(self, bodies: tuple[Calls, ...], merge: plan.Merge) -> None:
        self._bodies = bodies
        self._merge = merge

    def __call__(self, x: Tensor) -> Tensor:
        if self._merge in ("slices", "cascade"):
            return cat(sliced_bodies(self._merge, [partial(run, body) for body in self._bodies], x), dim=1)
        outputs = [run(body, x) for body in self._bodies]
        return added(outputs) if self._merge == "sum" else cat(outputs, dim=1)


def _mixing(projector: nn.Module, output: Shape) -> Convolve:
    """A projector as a 1x1 convolution."""
    matrix = as_float64(projector.get_buffer("matrix"))
    size = len(matrix)
    return Convolve(
        op=Convolution(1),
        input=output._replace(channels=size),
        weight=matrix[:, :, None, None],
        bias=as_float64(None, size),
    )
