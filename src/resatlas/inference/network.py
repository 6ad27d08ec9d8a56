"""A network in evaluation as a shorter one that gives the same, for inference alone.

Norms go into convolutions (`inference.folding`), what follows a convolution into its call (`inference.fused`), and
sums are written over what is not read again (`inference.fused_units`).
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.arch import plan
from resatlas.arch.ops import Convolution, Relu, Shape
from resatlas.errors import UsageError
from resatlas.inference.folding import Convolve, Plain, Steps, Then, Unfolded, exact, folded, folded_bodies, left, steps
from resatlas.inference.fused import Asked, Calls, Ending, Formed, Place, Precision, calls, convolution, run
from resatlas.inference.fused_units import FusedStreamsUnit, FusedUnit, Stream
from resatlas.nets.network import Network
from resatlas.nets.streams import added, left_to_mix, side_by_side


class Inference(nn.Module):
    """images -> the logits of a network in evaluation, without gradients.

    It keeps the numbers that the network had when this was made. `unfolded` are the norms that no convolution took.
    It can be copied and pickled. `torch.export` and `torch.jit.trace` take it where `place.kernels` is "torch"; they
    have no form for the packed weights of oneDNN.

    Shape: (n, channels, height, width) -> (n, classes).
    """

    def __init__(self, network: Network, place: Place) -> None:
        super().__init__()
        self.place = place
        self._packed = place.kernels == "oneDNN"
        self._streams = len(network.plan.stages[0][0].streams)
        folding = _Folding(network, place)
        self._stems = folding.stems()
        self._units = folding.units()
        self._heads = folding.heads()
        self.unfolded = tuple(folding.unfolded)

    @torch.inference_mode()
    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit a class.

        Raises: UsageError where it is exported with the kernels of oneDNN.
        """
        if self._packed and (torch.compiler.is_exporting() or torch.jit.is_tracing()):
            raise UsageError(
                "the weights are packed for oneDNN, which torch.export and torch.jit.trace cannot write; "
                'export for_inference(network, kernels="torch")'
            )
        maps = images.to(self.place.dtype, memory_format=torch.channels_last)
        begun = tuple(run(stem, maps) for stem in self._stems)
        streams = begun * (self._streams // len(begun))
        for unit in self._units:
            streams = unit(streams)
        if len(self._heads) == 1:
            return run(self._heads[0], side_by_side(streams)).to(images.dtype)
        given = [run(head, maps) for head, maps in zip(self._heads, streams, strict=True)]
        return (added(given) / len(given)).to(images.dtype)


def for_inference(network: nn.Module, *, precision: Precision = "fp32", kernels: Asked = "fastest") -> Inference:
    """A network as it is in evaluation, its norms folded into convolutions where that changes no value.

    In fp64 and fp32 its logits are the network's up to rounding; in bf16 they are those of a network whose weights and
    maps are bfloat16. The result can be copied and pickled. On a CPU the fastest kernels are oneDNN's, whose packed
    weights `torch.export` cannot write: with `kernels="torch"` it can.
    Raises: DesignError if the network has changed since it was built; UsageError if it is not one of ours.
    """
    own = getattr(network, "_orig_mod", network)  # torch.compile wraps
    if not isinstance(own, Network):
        raise UsageError(
            f"for_inference takes a network of resatlas.build; a {type(network).__name__} has no plan to fold by"
        )
    own.described()
    return Inference(own, Place(next(own.parameters()).device, precision, kernels))


class _Folding:
    """A network on its way to calls; `unfolded` grows with the norms that are left."""

    def __init__(self, network: Network, place: Place) -> None:
        self.plan = network.plan
        self.place = place
        self.modules = dict(network.named_modules())
        self.unfolded: list[Unfolded] = []

    def stems(self) -> list[Calls]:
        """Each stem, together with the first operations of a unit that reads it through them alone."""
        chains = [self.steps(path, self.plan.stem) for path in plan.end_paths("stem", self.plan.stems)]
        if self._opens_first():
            chains[0] += self.steps("stages.0.0.first", self.plan.stages[0][0].streams[0].first)
        return [self.calls(chain, behind="the image", before="the first unit") for chain in chains]

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
            self.calls(self.steps(path, self.plan.head), behind="the last unit", before="the logits") for path in paths
        ]

    def steps(self, path: str, chain: plan.Chain) -> Steps:
        """A chain, unfolded."""
        return steps(path, chain, self.modules)

    def calls(self, chain: Steps, *, behind: str, before: str) -> Calls:
        """A chain, folded; words say what it stands behind and before."""
        short = folded(chain)
        self.unfolded += left(short, behind=behind, before=before)
        return calls(short, self.place)

    def _opens_first(self) -> bool:
        """Whether the stem is read through the first operations of one unit and in no other way."""
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
            mixing=left_to_mix(unit),
            joined=unit.joined,
            projector=None if projector is None else convolution(_mixing(projector, unit.output), self.place),
            then=then,
            after_sum=after_sum,
        )

    def _after_sum(self, paths: tuple[str, ...], unit: plan.Unit) -> tuple[Then, tuple[Calls, ...]]:
        """What the sum itself ends with, and what is left behind it, for each tensor that the unit gives."""
        chains = [self.steps(f"{path}.after_sum", unit.after_sum) for path in paths]
        if chains[0] and isinstance(chains[0][0], Plain) and isinstance(chains[0][0].op, Relu):
            return "relu", tuple(self._after(chain[1:]) for chain in chains)
        return "nothing", tuple(self._after(chain) for chain in chains)

    def _after(self, chain: Steps) -> Calls:
        return self.calls(chain, behind="a sum with the shortcut", before="the next unit")

    def _stream(self, path: str, planned: plan.Stream, *, opened: bool = False) -> Stream:
        """A stream whose first operations, unless somebody else reads what they make, begin its one body."""
        first = () if opened else self.steps(f"{path}.first", planned.first)
        shortcut = None if planned.shortcut is None else self.steps(f"{path}.shortcut", planned.shortcut)
        alone = shortcut is None or planned.reads == "pre-activated"
        behind = "the unit before" if alone else "a sum that the shortcut reads too"
        bodies = [
            self.steps(f"{path}.{name}", body)
            for name, body in zip(plan.body_names(planned), planned.bodies, strict=True)
        ]
        if len(bodies) == 1 and (shortcut is None or planned.reads == "input"):
            bodies, first = [(*first, *bodies[0])], ()
        leads, lasts = self._bodies(bodies, self.steps(f"{path}.merged", planned.merged), planned.merge, behind)
        return Stream(
            first=self.calls(first, behind=behind, before="several readers"),
            leads=leads,
            lasts=lasts,
            shortcut=None if shortcut is None else self.calls(shortcut, behind="a sum", before="the sum"),
            reads=planned.reads,
            gate=self.calls(self.steps(f"{path}.gate", planned.gate), behind="the shortcut", before="the gate"),
            gated=planned.gated,
        )

    def _bodies(
        self, bodies: list[Steps], merged: Steps, merge: Literal["sum", "concat"], behind: str
    ) -> tuple[tuple[Calls, ...], tuple[Ending, ...]]:
        """What leads to the last calls of a residual, and these."""
        if len(bodies) == 1:
            chains, rest = [folded((*bodies[0], *merged))], ()
        else:
            chains, rest = folded_bodies(list(map(folded, bodies)), folded(merged), merge=merge)
        for chain in chains:
            self.unfolded += left(chain, behind=behind, before="the sum")
        self.unfolded += left(rest, behind="the merged bodies", before="the sum")
        if len(chains) > 1 and (merge == "concat" or rest):
            lead, last = self._divided(rest)
            one = _Merged(tuple(calls(chain, self.place) for chain in chains), merge)
            return ((one, *lead),), (last,)
        divided = [self._divided(chain) for chain in chains]
        return tuple(lead for lead, _ in divided), tuple(last for _, last in divided)

    def _divided(self, chain: Steps) -> tuple[Calls, Ending]:
        """A chain up to its last call, and this."""
        if chain and isinstance(last := chain[-1], Convolve) and last.then == "nothing":
            return calls(chain[:-1], self.place), convolution(last, self.place)
        return calls(chain, self.place), Formed()


class _Merged:
    """x -> what bodies make of x, added or side by side."""

    def __init__(self, bodies: tuple[Calls, ...], merge: Literal["sum", "concat"]) -> None:
        self._bodies = bodies
        self._merge = merge

    def __call__(self, x: Tensor) -> Tensor:
        made = [run(body, x) for body in self._bodies]
        return added(made) if self._merge == "sum" else cat(made, dim=1)


def _mixing(projector: nn.Module, output: Shape) -> Convolve:
    """A projector as the 1x1 convolution that it is."""
    matrix = exact(projector.get_buffer("matrix"))
    size = len(matrix)
    return Convolve(
        op=Convolution(1),
        input=output._replace(channels=size),
        weight=matrix[:, :, None, None],
        bias=exact(None, size),
    )
