"""The network of a plan as a torch module, with the plan's paths as module names."""

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
from resatlas.nets.initial import initialise
from resatlas.nets.layers import chain, module
from resatlas.nets.peak import Kept
from resatlas.nets.plan_check import check_plan
from resatlas.nets.preparation import Preparation, feature_info, pretrained_cfg
from resatlas.nets.row import Heads, Row, Stems, before_pool
from resatlas.nets.streams import Streams, is_observed, run_unit, side_by_side, split
from resatlas.nets.unit import Unit, unit_module
from resatlas.recipes.recipe import check_shake
from resatlas.recipes.regularisers import Shake, ShakeDrop


class Network(nn.Module):
    """images -> head(stages(stem(images))); if each stream has its own head, the mean of their logits.

    Each child maps one tensor to one tensor, so that `nn.Sequential(*network.children())` is the same function; several
    streams are concatenated along the channels. `kept` says which maps a training stores for its backward pass: see
    `nets.peak.Kept`. `preparation` is how images are prepared, or the reason why it cannot be described: see
    `pretrained_cfg`.

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
        """One logit per class."""
        return self.end(self._streams(images))

    def features(self, images: Float[Tensor, "n c h w"]) -> dict[str, Float[Tensor, "n _ _ _"]]:
        """The outputs of the stem and of every stage, by module path, for users' own heads.

        Several streams are concatenated along the channels. The last ones are those that the global pool reads: they
        have passed the norm and the relu with which the head of a pre-activated network begins. `levels` has the
        channels and the stride of each stage.
        """
        streams = self.begin(images)
        stem = {"stem": streams[0]} if self.plan.stems == 1 else {"stems": side_by_side(streams)}
        stages: dict[str, Tensor] = {}
        for s, stage in enumerate(self.stages):
            streams = run_unit(stage, streams)
            stages[f"stages.{s}"] = side_by_side(streams)
        return {**stem, **stages, f"stages.{len(self.stages) - 1}": self.before_pool(streams)}

    def before_pool(self, streams: Streams) -> Float[Tensor, "n d h2 w2"]:
        """The maps that the global pool reads, for the output of the last unit."""
        return before_pool(self.own_heads)(side_by_side(streams))

    def forward_features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        """The input of the head: all streams of the last unit, concatenated along the channels."""
        return side_by_side(self._streams(images))

    def forward_head(self, maps: Float[Tensor, "n c h w"], *, pre_logits: bool = False) -> Float[Tensor, "n k"]:
        """The logits for an output of `forward_features`; with `pre_logits`, the inputs of the classifiers."""
        streams = split(maps, self.plan.heads)
        if not pre_logits:
            return self.end(streams)
        pools = [
            nn.Sequential(*(layer for layer in head if not isinstance(layer, nn.Linear))) for head in self.own_heads
        ]
        return torch.cat([pool(stream) for pool, stream in zip(pools, streams, strict=True)], dim=1)

    def begin(self, images: Float[Tensor, "n c h w"]) -> Streams:
        """The input of the first unit: one tensor per stream."""
        if self.plan.stems == 1:
            return (self.stem(images),) * len(self.plan.stages[0][0].streams)
        if is_observed(self.stems, images):
            return split(self.stems(images), self.plan.stems)
        return tuple(stem(images) for stem in self.stems)

    def end(self, streams: Streams) -> Float[Tensor, "n k"]:
        """The logits for the output of the last unit."""
        if self.plan.heads == 1:
            return self.head(side_by_side(streams))
        return self.heads(side_by_side(streams) if is_observed(self.heads, streams[0]) else streams)

    @property
    def own_heads(self) -> tuple[nn.Sequential, ...]:
        """The one head, or the head of each stream."""
        heads = [self.head] if self.plan.heads == 1 else list(self.heads)
        return tuple(head for head in heads if isinstance(head, nn.Sequential))

    @property
    def kept(self) -> Kept:
        """Which maps a training stores for its backward pass."""
        return next(stage.kept for stage in self.stages if isinstance(stage, Row))

    @kept.setter
    def kept(self, kept: Kept) -> None:
        for part in (part for stage in self.stages for part in stage.modules()):
            if isinstance(part, Row | Unit):
                part.kept = kept

    def _streams(self, images: Tensor) -> Streams:
        return run_unit(self.stages, self.begin(images))

    def trace(self, images: Float[Tensor, "n c h w"]) -> dict[str, Tensor]:
        """The output of every layer and unit by its path, in the order of execution.

        The outputs of a unit of K streams are `path.streams.0`, …, `path.streams.K-1`. No output is changed afterwards.
        """
        outputs: dict[str, Tensor] = {}

        def keep(path: str, outcomes: int, _module: nn.Module, _inputs: object, value: Tensor) -> None:
            names = [path] if outcomes == 1 else [f"{path}.streams.{k}" for k in range(outcomes)]
            outputs.update(zip(names, split(value, outcomes), strict=True))

        outcomes = {path: 1 for path, _ in layers(self.plan)} | {path: unit.outcomes for path, unit in self.plan.units}
        modules = dict(self.named_modules())
        handles = [modules[path].register_forward_hook(partial(keep, path, count)) for path, count in outcomes.items()]
        try:
            self(images)
        finally:
            for handle in handles:
                handle.remove()
        return outputs

    def reset_parameters(self, *, seed: int | None = None) -> None:
        """Initialise every weight by the rule of the network's authors, and reset every buffer.

        Use it after `to_empty` for a network that was built on the device "meta", sharded or not. Without a seed,
        torch's default generator is used.
        """
        initialise(self, self.plan, seed=seed)

    def checked_plan(self) -> Plan:
        """The plan, after a check that it still describes the network.

        Raises: DesignError if modules have been replaced, pruned or changed since the network was built.
        """
        with torch.device("meta"):
            check_plan(self, Network(self.plan))
        return self.plan

    @property
    def num_classes(self) -> int:
        """The number of classes, under timm's name; 0 without a classifier."""
        return self.plan.classes

    @property
    def num_features(self) -> int:
        """The number of input channels of the head, under timm's name."""
        return self.plan.head[0].input.channels * self.plan.heads

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, reduction and module of each stage, in the format of timm."""
        return feature_info(self.plan)

    @property
    def pretrained_cfg(self) -> Mapping[str, Any]:
        """The settings that timm looks for: image, classes, first and last layer, and how images are prepared.

        Of a new network they are pixels from 0 to 1 (mean 0, std 1, no crop). Of a network of `from_pretrained` they
        are those of its training; access to mean and std raises UsageError if timm cannot express them.
        """
        return pretrained_cfg(self.plan, self.preparation)

    @property
    def default_cfg(self) -> Mapping[str, Any]:
        """The same as `pretrained_cfg`, under timm's older name."""
        return self.pretrained_cfg

    def get_classifier(self) -> nn.Module:
        """The classifier; with several heads, a list of theirs; without a classifier, the identity."""
        classifiers = [layer for head in self.own_heads for layer in head if isinstance(layer, nn.Linear)]
        if not classifiers:
            return nn.Identity()
        return classifiers[0] if len(classifiers) == 1 else nn.ModuleList(classifiers)

    def reset_classifier(self, num_classes: int, *, seed: int | None = None) -> None:
        """Replace the classifier by a new one, in the network and in its plan; 0 classes remove it.

        The new weights are initialised by the rule of the network's authors, without a seed by torch's generator.
        Raises: WidthError if the number of classes is out of range.
        """
        plan = with_classes(self.plan, num_classes)
        weight = next(self.parameters())
        for head in self.own_heads:
            for layer in self.plan.head:
                if isinstance(layer.op, Linear):
                    delattr(head, layer.role)
            for layer in plan.head:
                if isinstance(layer.op, Linear):
                    with torch.device("meta"):
                        classifier = module(layer).train(head.training)
                    head.add_module(layer.role, classifier.to_empty(device=weight.device).to(weight.dtype))
        self.plan = plan
        classifiers = {id(parameter) for parameter in self.get_classifier().parameters()}
        if not weight.is_meta:
            initialise(self, plan, seed=seed, only=classifiers)


def _stage(plan: Plan, s: int, stage: Stage) -> Row:
    """The units of a stage. If there is one stem, all streams of the first unit share its output."""
    return Row(
        *(
            unit_module(unit, "shared" if plan.stems == 1 and s == u == 0 else "concatenated")
            for u, unit in enumerate(stage)
        )
    )


def build(
    design: str | Design | Blueprint | Plan,
    *,
    image: Shape | None = None,
    classes: int | None = None,
    seed: int | None = None,
    device: str | torch.device | None = None,
) -> Network:
    """The network of a DESIGN text, a design, a blueprint or a plan, initialised by the rule of its authors.

    Without a seed, torch's default generator is used, so that `torch.manual_seed` determines the weights. A seed
    determines the weights on its own, and does not change that generator.

    Without a device, the network is created where torch creates modules: `torch.set_default_device`,
    `with torch.device(…)` and accelerate's `init_empty_weights` have effect. On "meta" it has shapes and no weights;
    call `to_empty` and then `reset_parameters`.
    Raises: as `designs.catalog.plan`.
    """
    plan = catalog.plan(design, image=image, classes=classes)
    target = torch.device(device) if device is not None else _default_device()
    with torch.device("meta"):
        network = Network(plan)
    if target.type != "meta":
        network.to_empty(device=target)
        network.reset_parameters(seed=seed)
    return network


def set_stochastic_depth(network: Network, rate: Fraction) -> None:
    """Stochastic depth: in training, unit l of L drops its residual for an image with probability p = rate·l/L.

    Residuals that are not dropped are divided by 1 - p. The streams of a unit are independent. A unit without a
    shortcut never drops its residual, since nothing would remain. The random numbers are from torch's generator.
    Source: Huang et al. (arXiv:1603.09382), section 3, with its linear rule.
    Differs: the paper draws once per batch and multiplies in the test; here each image is drawn separately, and
    residuals are divided in training, as in torchvision's StochasticDepth ("row"). timm's rates start at 0 for the
    first unit: rate·(l - 1)/(L - 1).
    """
    units = [unit for stage in network.stages for unit in stage.children()]
    for k, unit in enumerate(units):
        for stream in unit.modules():
            if isinstance(stream, Unit):
                stream.drop_rate = float(rate * (k + 1) / len(units))


def set_shake(network: Network, shake: Shake | None) -> None:
    """Shake-shake or shake-drop in training; None for neither.

    In a shake-drop, unit l of L leaves its residual as it is with probability 1 - (1 - last)·l/L. The streams of a unit
    are independent. A unit without a shortcut keeps its residual in a shake-drop, as in stochastic depth. The random
    numbers are from torch's generator.
    Raises: RecipeError if the units do not have what is to be shaken.
    """
    check_shake(shake, network.plan)
    units = [unit for stage in network.stages for unit in stage.children()]
    for k, unit in enumerate(units, 1):
        for stream in unit.modules():
            if isinstance(stream, Unit):
                stream.shake = shake
                stream.survival = float(shake.kept(k, len(units))) if isinstance(shake, ShakeDrop) else 1.0


def _default_device() -> torch.device:
    """The device on which torch creates modules at present."""
    return nn.BatchNorm2d(1).weight.device
