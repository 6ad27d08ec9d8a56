"""Plan -> nn.Module, with the plan's paths as module names."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan, layers
from resatlas.designs import catalog
from resatlas.nets.initial import initialise
from resatlas.nets.layers import chain
from resatlas.nets.recomputing import Kept, through
from resatlas.nets.unit import added, unit_module

Streams = tuple[Tensor, ...]
"""The maps of each stream between two units."""


class Network(nn.Module):
    """images -> head(stages(stem(images))); where streams have heads of their own, the mean of what these give.

    `kept` is what a training keeps for its backward pass: see `nets.recomputing`.

    Shape: (n, channels, height, width) -> (n, classes); without a classifier (n, features).
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.kept: Kept = "all"
        if plan.stems == 1:
            self.stem = chain(plan.stem)
        else:
            self.stems = nn.ModuleList(chain(plan.stem) for _ in range(plan.stems))
        self.stages = nn.ModuleList(nn.ModuleList(map(unit_module, stage)) for stage in plan.stages)
        if plan.heads == 1:
            self.head = chain(plan.head)
        else:
            self.heads = nn.ModuleList(chain(plan.head) for _ in range(plan.heads))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit a class."""
        return self.end(self._streams(images))

    def forward_features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The maps that the head takes: all streams of the last unit side by side."""
        return side_by_side(self._streams(images))

    def begin(self, images: Float[Tensor, "n c h w"]) -> Streams:
        """What the first unit takes."""
        if self.plan.stems == 1:
            return (self.stem(images),) * len(self.plan.stages[0][0].streams)
        return tuple(stem(images) for stem in self.stems)

    def end(self, streams: Streams) -> Float[Tensor, "n k"]:
        """The logits of what the last unit gives."""
        return logits(self.own_heads, streams)

    @property
    def own_heads(self) -> tuple[nn.Module, ...]:
        """The one head, or the head of each stream."""
        return (self.head,) if self.plan.heads == 1 else tuple(self.heads)

    def _streams(self, images: Tensor) -> Streams:
        streams = self.begin(images)
        for stage in self.stages:
            streams = through(list(stage.children()), streams, kept=self.kept)
        return streams

    def trace(self, images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Every intermediate tensor by the path of the layer or unit that puts it out, in the order of the pass.

        A unit of K streams puts out `path.streams.0`, …, `path.streams.K-1`. No tensor is changed afterwards.
        """
        found: dict[str, Tensor] = {}

        def keep(path: str, _module: nn.Module, _given: object, value: Tensor | tuple[Tensor, ...]) -> None:
            if isinstance(value, Tensor):
                found[path] = value
            elif len(value) == 1:
                found[path] = value[0]
            else:
                found.update({f"{path}.streams.{k}": tensor for k, tensor in enumerate(value)})

        paths = [*(path for path, _ in layers(self.plan)), *(path for path, _ in self.plan.units)]
        modules = dict(self.named_modules())
        handles = [modules[path].register_forward_hook(partial(keep, path)) for path in paths]
        try:
            self(images)
        finally:
            for handle in handles:
                handle.remove()
        return found


def side_by_side(streams: Streams) -> Float[Tensor, "n c h w"]:
    """All streams as one tensor."""
    return cat(streams, dim=1) if len(streams) > 1 else streams[0]


def logits(heads: Sequence[nn.Module], streams: Streams) -> Float[Tensor, "n k"]:
    """What one head makes of all streams side by side; of several, the mean of what each makes of its own."""
    if len(heads) == 1:
        return heads[0](side_by_side(streams))
    given = [head(maps) for head, maps in zip(heads, streams, strict=True)]
    return added(given) / len(given)


def build(
    design: Plan | str,
    *,
    image: Shape | None = None,
    classes: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Network:
    """The network of a plan or of a DESIGN text, its weights drawn as its authors draw them.

    The same seed gives the same weights. A plan has its image and classes already. On the device "meta" the
    network has shapes and no weights.
    Raises: as `designs.catalog.plan`.
    """
    plan = catalog.plan(design, image=image, classes=classes) if isinstance(design, str) else design
    with torch.device("meta"):
        network = Network(plan)
    if device != "meta":
        network.to_empty(device=device)
        initialise(network, plan, seed=seed)
    return network
