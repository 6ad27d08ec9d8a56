"""Plan -> nn.Module, with the plan's paths as module names."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.expand import with_classes
from resatlas.arch.ops import Linear, Shape
from resatlas.arch.plan import Plan, Stage, layers
from resatlas.designs import catalog
from resatlas.designs.tasks import Design
from resatlas.nets.described import check_described
from resatlas.nets.initial import initialise
from resatlas.nets.layers import chain, module
from resatlas.nets.preparation import Preparation, feature_info, pretrained_cfg
from resatlas.nets.recomputing import Kept
from resatlas.nets.row import Heads, Row, Stems
from resatlas.nets.streams import Streams, advanced, apart, looked_at, side_by_side
from resatlas.nets.unit import Unit, unit_module


class Network(nn.Module):
    """images -> head(stages(stem(images))); where streams have heads of their own, the mean of what these give.

    Each child takes one tensor and gives one, so that `nn.Sequential(*network.children())` is the same function;
    several streams stand side by side in it. `kept` is what a training keeps for its backward pass: see
    `nets.recomputing`. `preparation` is how images are prepared, or why that cannot be said: see `pretrained_cfg`.

    Shape: (n, channels, height, width) -> (n, classes); without a classifier (n, features).
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.preparation: Preparation | str = Preparation()
        if plan.stems == 1:
            self.stem = chain(plan.stem)
        else:
            self.stems = Stems(chain(plan.stem) for _ in range(plan.stems))
        self.stages = Row(*(_stage(plan, s, stage) for s, stage in enumerate(plan.stages)))
        if plan.heads == 1:
            self.head = chain(plan.head)
        else:
            self.heads = Heads(chain(plan.head) for _ in range(plan.heads))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit a class."""
        return self.end(self._streams(images))

    def features(self, images: Float[Tensor, "n c h w"]) -> dict[str, Float[Tensor, "n _ _ _"]]:
        """The maps behind the stem and behind every stage, by the path of the module that gives them.

        Several streams stand side by side, as channels of one tensor.
        """
        streams = self.begin(images)
        stem = {"stem": streams[0]} if self.plan.stems == 1 else {"stems": side_by_side(streams)}
        stages: dict[str, Tensor] = {}
        for s, stage in enumerate(self.stages):
            streams = advanced(stage, streams)
            stages[f"stages.{s}"] = side_by_side(streams)
        return {**stem, **stages}

    def forward_features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The maps that the head takes: all streams of the last unit side by side."""
        return side_by_side(self._streams(images))

    def forward_head(self, maps: Float[Tensor, "n c h w"], *, pre_logits: bool = False) -> Float[Tensor, "n k"]:
        """The logits of what `forward_features` gives, or what the classifiers take, side by side."""
        streams = apart(maps, self.plan.heads)
        if not pre_logits:
            return self.end(streams)
        before = [nn.Sequential(*(each for each in head if not isinstance(each, nn.Linear))) for head in self._heads]
        return torch.cat([head(each) for head, each in zip(before, streams, strict=True)], dim=1)

    def begin(self, images: Float[Tensor, "n c h w"]) -> Streams:
        """What the first unit takes."""
        if self.plan.stems == 1:
            return (self.stem(images),) * len(self.plan.stages[0][0].streams)
        if looked_at(self.stems, images):
            return apart(self.stems(images), self.plan.stems)
        return tuple(stem(images) for stem in self.stems)

    def end(self, streams: Streams) -> Float[Tensor, "n k"]:
        """The logits of what the last unit gives."""
        if self.plan.heads == 1:
            return self.head(side_by_side(streams))
        return self.heads(side_by_side(streams) if looked_at(self.heads, streams[0]) else streams)

    @property
    def own_heads(self) -> tuple[nn.Module, ...]:
        """The one head, or the head of each stream."""
        return self._heads

    @property
    def _heads(self) -> tuple[nn.Sequential, ...]:
        heads = [self.head] if self.plan.heads == 1 else list(self.heads)
        return tuple(head for head in heads if isinstance(head, nn.Sequential))

    @property
    def kept(self) -> Kept:
        """What a training keeps for its backward pass."""
        return next(stage.kept for stage in self.stages if isinstance(stage, Row))

    @kept.setter
    def kept(self, kept: Kept) -> None:
        for stage in self.stages:
            if isinstance(stage, Row):
                stage.kept = kept

    def _streams(self, images: Tensor) -> Streams:
        return advanced(self.stages, self.begin(images))

    def trace(self, images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """Every intermediate tensor by the path of the layer or unit that puts it out, in the order of the pass.

        A unit of K streams puts out `path.streams.0`, …, `path.streams.K-1`. No tensor is changed afterwards.
        """
        found: dict[str, Tensor] = {}

        def keep(path: str, outcomes: int, _module: nn.Module, _given: object, value: Tensor) -> None:
            names = [path] if outcomes == 1 else [f"{path}.streams.{k}" for k in range(outcomes)]
            found.update(zip(names, apart(value, outcomes), strict=True))

        outcomes = {path: 1 for path, _ in layers(self.plan)} | {path: unit.outcomes for path, unit in self.plan.units}
        modules = dict(self.named_modules())
        handles = [modules[path].register_forward_hook(partial(keep, path, count)) for path, count in outcomes.items()]
        try:
            self(images)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def reset_parameters(self, *, seed: int | None = None) -> None:
        """Draw every weight as the network's authors do, and set every buffer, wherever the network now is.

        It serves a network from the device "meta", also a sharded one, after `to_empty`. Without a seed the draws are
        those of torch's generator.
        """
        initialise(self, self.plan, seed=seed)

    def described(self) -> Plan:
        """The plan, if it still describes the network.

        Raises: DesignError if modules were replaced, pruned or changed since it was built.
        """
        with torch.device("meta"):
            check_described(self, Network(self.plan))
        return self.plan

    @property
    def num_classes(self) -> int:
        """The classes of the plan, as timm calls them; 0 without a classifier."""
        return self.plan.classes

    @property
    def num_features(self) -> int:
        """The channels that the head takes, as timm calls them."""
        return self.plan.head[0].input.channels * self.plan.heads

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, reduction and module of the maps of each stage, as timm lists them."""
        return feature_info(self.plan)

    @property
    def pretrained_cfg(self) -> Mapping[str, Any]:
        """What timm looks for: the plan's image and classes, its ends, and how images are prepared.

        A network that was only built takes pixels from 0 to 1 as they are (mean 0, std 1, no crop); one of
        `from_pretrained` says what its training did, or refuses mean and std where timm has no words for it.
        """
        return pretrained_cfg(self.plan, self.preparation)

    @property
    def default_cfg(self) -> Mapping[str, Any]:
        """The same under timm's older name."""
        return self.pretrained_cfg

    def get_classifier(self) -> nn.Module:
        """The classifier; of several heads a list of theirs, without one the identity."""
        found = [each for head in self._heads for each in head if isinstance(each, nn.Linear)]
        return nn.Identity() if not found else found[0] if len(found) == 1 else nn.ModuleList(found)

    def reset_classifier(self, num_classes: int, *, seed: int | None = None) -> None:
        """Replace the classifier by a new one, in the network and in its plan; with 0 classes leave it out.

        The new weights are drawn as the network's authors draw them, without a seed by torch's generator.
        Raises: WidthError for a number of classes that no network has.
        """
        plan = with_classes(self.plan, num_classes)
        weight = next(self.parameters())
        for head in self._heads:
            for layer in self.plan.head:
                if isinstance(layer.op, Linear):
                    delattr(head, layer.role)
            for layer in plan.head:
                if isinstance(layer.op, Linear):
                    with torch.device("meta"):
                        made = module(layer).train(head.training)
                    head.add_module(layer.role, made.to_empty(device=weight.device).to(weight.dtype))
        self.plan = plan
        classifiers = {id(each) for each in self.get_classifier().parameters()}
        if not weight.is_meta:
            initialise(self, plan, seed=seed, only=classifiers)


def _stage(plan: Plan, s: int, stage: Stage) -> Row:
    """The units of a stage; all streams of the first begin with the maps of the one stem, if there is one."""
    return Row(
        *(unit_module(unit, "shared" if plan.stems == 1 and s == u == 0 else "apart") for u, unit in enumerate(stage))
    )


def build(
    design: str | Design | Blueprint | Plan,
    *,
    image: Shape | None = None,
    classes: int | None = None,
    seed: int | None = None,
    device: str | torch.device | None = None,
) -> Network:
    """The network of a DESIGN text, a design, a blueprint or a plan, its weights drawn as its authors draw them.

    Without a seed the draws are those of torch's generator, so that `torch.manual_seed` decides; a seed gives the same
    weights whatever was drawn before, and leaves that generator alone.

    Without a device the network is where torch puts new modules: `torch.set_default_device`, `with torch.device(…)`
    and accelerate's `init_empty_weights` decide. On "meta" it has shapes and no weights; `to_empty` and
    `reset_parameters` give it some.
    Raises: as `designs.catalog.plan`.
    """
    plan = catalog.plan(design, image=image, classes=classes)
    place = torch.device(device) if device is not None else _place()
    with torch.device("meta"):
        network = Network(plan)
    if place.type != "meta":
        network.to_empty(device=place)
        network.reset_parameters(seed=seed)
    return network


def lose_residuals(network: Network, rate: Fraction) -> None:
    """Let unit l of L lose its residual for an image at rate·l/L in training; what stays is divided by the rest.

    Each stream of a unit draws for itself. A unit without shortcut keeps its residual: nothing else goes through it.
    The random numbers are torch's own, as dropout's are.
    Source: Huang et al. (arXiv:1603.09382), section 3, with its linear rule.
    Differs: the paper draws once a batch and multiplies in the test; drawn per image and divided in training as in
    torchvision's StochasticDepth ("row"). timm's rates go from 0 for the first unit: rate·(l - 1)/(L - 1).
    """
    units = [unit for stage in network.stages for unit in stage.children()]
    for k, unit in enumerate(units):
        for stream in unit.modules():
            if isinstance(stream, Unit):
                stream.loses = float(rate * (k + 1) / len(units))


def _place() -> torch.device:
    """Where the weights of a new module come to lie at this moment."""
    return nn.BatchNorm2d(1).weight.device
