"""Mistakes of public implementations of these networks, as rewrites of a blueprint.

A rewrite returns the wrong network as a blueprint, so that it can be built, counted and compared like any other. If a
mistake is not possible in a network, the rewrite returns the same blueprint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from resatlas.arch.ops import Norm, Relu
from resatlas.arch.plan import Plan
from resatlas.arch.residual import ORDERS, Absent, Rule, Shortcut
from resatlas.arch.streams import SKIPS, Join
from resatlas.designs import rewrites
from resatlas.designs.catalog import Entry
from resatlas.designs.plan_mistakes import PLAN_MISTAKES, PlanMistake, plan_mistakes_in
from resatlas.designs.rewrites import Rewrite
from resatlas.errors import DesignError

_JOINS: tuple[Join, ...] = ("merge", "sum", "concat")

_ACTIVATED: tuple[Rule, ...] = (Norm(), Relu())


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A mistake in words, where it was seen, and the rewrite that makes it."""

    what: str
    seen: str
    rewrite: Rewrite


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network with mistakes: the entry contains those of the blueprint; those of the plan are listed."""

    entry: Entry
    plan_mistakes: tuple[PlanMistake, ...] = ()

    def plan(self) -> Plan:
        """The plan with all mistakes.

        Raises: DesignError if the network is impossible.
        """
        plan = self.entry.plan()
        for mistake in self.plan_mistakes:
            plan = mistake.rewrite(plan)
        return plan


def possible(variant: Variant, mistakes: Iterable[Mistake], units: Iterable[str] = ()) -> Iterator[tuple[str, Variant]]:
    """The mistakes that are possible in a network, with the wrong network; each wrong network appears once.

    `units` are the paths of units in which a single mistake is tried.
    """
    known = [variant.plan()]
    for what, wrong in (*_of_blueprint(variant, mistakes), *_of_plan(variant, units)):
        try:
            plan = wrong.plan()
        except DesignError:  # the mistake makes an impossible network
            continue
        if plan not in known:
            known.append(plan)
            yield what, wrong


def _of_blueprint(variant: Variant, mistakes: Iterable[Mistake]) -> Iterator[tuple[str, Variant]]:
    for mistake in mistakes:
        try:
            blueprint = mistake.rewrite(variant.entry.blueprint)
        except DesignError:  # the mistake makes an impossible network
            continue
        yield mistake.what, replace(variant, entry=replace(variant.entry, blueprint=blueprint))


def _of_plan(variant: Variant, units: Iterable[str]) -> Iterator[tuple[str, Variant]]:
    for mistake in (*PLAN_MISTAKES, *(mistake for unit in units for mistake in plan_mistakes_in(unit))):
        yield mistake.what, replace(variant, plan_mistakes=(*variant.plan_mistakes, mistake))


_NO_SHORTCUT: Shortcut = Absent()

STRUCTURAL: tuple[Mistake, ...] = (
    # the input of the shortcut, and the shortcut
    Mistake(
        what="the first unit's shortcut reads the raw stem",
        seen="pytorchcv's PreResNet",
        rewrite=rewrites.reading("projected"),
    ),
    Mistake(
        what="the projection reads the raw input, not the pre-activated one",
        seen="meliketoy/wide-resnet.pytorch",
        rewrite=rewrites.reading(),
    ),
    Mistake(
        what="every stage's first shortcut reads the pre-activated tensor, also where it is no projection",
        seen="fb.resnet.torch, preresnet.lua",
        rewrite=rewrites.reading("network-start", "stage-start"),
    ),
    Mistake(
        what="option B: projections in place of zeros",
        seen="kuangliu/pytorch-cifar, hysts, bearpaw, pytorchcv",
        rewrite=rewrites.in_shortcut(rewrites.projected),
    ),
    Mistake(
        what="option A: zeros in place of projections",
        seen="ResNet paper's own option",
        rewrite=rewrites.in_shortcut(rewrites.unprojected),
    ),
    Mistake(
        what="projections in every unit",
        seen="option C; pre-activation ablation",
        rewrite=rewrites.in_shortcut(rewrites.everywhere),
    ),
    Mistake(what="projections without a norm", seen="fb's released 18, 34 and 50", rewrite=rewrites.projection_then()),
    Mistake(
        what="projections with a norm", seen="ports of post-activated code", rewrite=rewrites.projection_then(Norm())
    ),
    Mistake(
        what="projections with a norm and a relu",
        seen="a plausible slip",
        rewrite=rewrites.projection_then(Norm(), Relu()),
    ),
    Mistake(
        what="zeros on both sides",
        seen="akamaster/pytorch_resnet_cifar10",
        rewrite=rewrites.in_shortcut(rewrites.sides),
    ),
    Mistake(
        what="shortcuts that average where pixels are to be skipped, or skip where they are to be averaged",
        seen="mxnet's option A; ports of PyramidNet",
        rewrite=rewrites.in_shortcut(rewrites.other_pixels),
    ),
    Mistake(
        what="projections with a stride where they follow an average pool",
        seen="ResNet-C taken for ResNet-D",
        rewrite=rewrites.in_shortcut(rewrites.unpooled),
    ),
    Mistake(
        what="projections with a stride where two halves read two grids of pixels",
        seen="a plausible slip",
        rewrite=rewrites.in_shortcut(rewrites.unshifted),
    ),
    Mistake(
        what="the sum of the bodies, not their mean",
        seen="a plausible slip",
        rewrite=rewrites.in_residual(rewrites.bodies_summed),
    ),
    Mistake(what="no shortcuts", seen="a plausible slip", rewrite=rewrites.in_shortcut(lambda _: _NO_SHORTCUT)),
    # the order of ops in the unit, the stem and the head
    Mistake(
        what="no norm and relu before the pool",
        seen="kuangliu/pytorch-cifar's PreActResNet, keras-resnet#26",
        rewrite=rewrites.head_with(),
    ),
    Mistake(what="norm and relu before the pool", seen="a plausible slip", rewrite=rewrites.head_with(*_ACTIVATED)),
    Mistake(
        what="norm and relu after the stem",
        seen="weiaicunzai/pytorch-cifar100, alinlab/cs-kd#4",
        rewrite=rewrites.stem_then(*_ACTIVATED),
    ),
    Mistake(what="a stem without norm and relu", seen="ports of pre-activated code", rewrite=rewrites.stem_then()),
    Mistake(what="a stem with a norm but no relu", seen="ports of PyramidNet", rewrite=rewrites.stem_then(Norm())),
    Mistake(
        what="a relu after the sum",
        seen="ports of PyramidNet and of pre-activated units",
        rewrite=rewrites.in_order(lambda order: replace(order, after_sum=(Relu(),))),
    ),
    Mistake(
        what="no relu after the sum",
        seen="the equations of DMRNet",
        rewrite=rewrites.in_order(lambda order: replace(order, after_sum=())),
    ),
    Mistake(
        what="no relu between the convolutions",
        seen="a plausible slip",
        rewrite=rewrites.in_order(
            lambda order: replace(order, between=tuple(op for op in order.between if op != Relu()))
        ),
    ),
    Mistake(
        what="no leading norm in the unit",
        seen="jhkim89/PyramidNet#3 takes it for a bug",
        rewrite=rewrites.in_order(lambda order: replace(order, first=order.first[1:])),
    ),
    Mistake(
        what="no norm behind the last convolution",
        seen="PyramidNet's unit (b)",
        rewrite=rewrites.in_order(
            lambda order: replace(order, last=(), merged=tuple(op for op in order.merged if op != Norm()))
        ),
    ),
    *(
        Mistake(
            what=f'units in the order "{name}"',
            seen="another order of the papers",
            rewrite=rewrites.ordered(order),
        )
        for name, order in ORDERS.items()
    ),
    # the attention of the body
    Mistake(what="no squeeze and excitation", seen="a plausible slip", rewrite=rewrites.in_attention(lambda _: None)),
    *(
        Mistake(
            what=f"squeeze and excitation with a ratio of 1/{reduction}",
            seen="ratios of other libraries",
            rewrite=rewrites.in_attention(lambda own, ratio=Fraction(1, reduction): replace(own, ratio=ratio)),
        )
        for reduction in (2, 4, 8, 16)
    ),
    Mistake(
        what="squeeze and excitation reduces the other of the body's and the input's channels",
        seen="RegNetY against SE-ResNet",
        rewrite=rewrites.in_attention(lambda own: replace(own, of="input" if own.of == "body" else "body")),
    ),
    # strides, kernels, groups, widths
    *(
        Mistake(
            what=f"the stride on convolution {place + 1} of the unit",
            seen="ResNet v1 against v1.5; meliketoy/wide-resnet.pytorch",
            rewrite=rewrites.stride_on(place),
        )
        for place in range(3)
    ),
    Mistake(what="a stem for small images", seen="kuangliu/pytorch-cifar's ResNet18", rewrite=rewrites.small_stem),
    Mistake(what="a stem of one convolution", seen="a plausible slip", rewrite=rewrites.short_stem),
    Mistake(what="a stem of one width", seen="a plausible slip", rewrite=rewrites.even_stem),
    Mistake(what="a 1x1 stem", seen="kuangliu/pytorch-cifar's ResNeXt", rewrite=rewrites.pointwise_stem),
    Mistake(what="no pool in the stem", seen="a plausible slip", rewrite=rewrites.without_pool),
    *(
        Mistake(
            what=f"{groups} groups where groups have a fixed width",
            seen="ResNeXt taken for RegNet",
            rewrite=rewrites.in_residual(lambda own, groups=groups: rewrites.counted_groups(own, groups)),
        )
        for groups in (2, 8)
    ),
    Mistake(
        what="the first stage keeps the map",
        seen="stages of ResNet taken for those of RegNet",
        rewrite=lambda blueprint: replace(blueprint, first_stride=1),
    ),
    Mistake(what="no groups", seen="d2l-en PR#2730", rewrite=rewrites.in_residual(rewrites.ungrouped)),
    Mistake(
        what="the first 1x1 grouped too",
        seen="weiaicunzai/pytorch-cifar100",
        rewrite=rewrites.in_residual(rewrites.first_grouped),
    ),
    Mistake(
        what="outputs tied to the groups: 2·C·d in place of 4·planes",
        seen="kuangliu/pytorch-cifar, Keras-ResNeXt#6",
        rewrite=rewrites.output_tied(2),
    ),
    Mistake(what="outputs tied to the groups: C·d in place of 4·planes", seen="ports", rewrite=rewrites.output_tied(1)),
    Mistake(what="the first stage of bottlenecks not expanded", seen="hysts", rewrite=rewrites.unexpanded(1)),
    Mistake(what="bottlenecks not expanded", seen="a plausible slip", rewrite=rewrites.unexpanded(8)),
    Mistake(what="widths floored", seen="ports of PyramidNet", rewrite=rewrites.floored),
    Mistake(what="widths floored one after another", seen="PyramidNet's paper form", rewrite=rewrites.recursive_floor),
    # the position of dropout; streams
    Mistake(
        what="dropout before the norm",
        seen="meliketoy/wide-resnet.pytorch",
        rewrite=rewrites.in_order(rewrites.dropout_first),
    ),
    Mistake(
        what="dropout behind the last convolution",
        seen="a plausible slip",
        rewrite=rewrites.in_order(rewrites.dropout_last),
    ),
    Mistake(
        what="no dropout in the units",
        seen="wide-residual-networks' pytorch port",
        rewrite=rewrites.in_order(rewrites.undropped),
    ),
    Mistake(
        what="no dropout before the classifier", seen="PyramidNet's current Lua file", rewrite=rewrites.undropped_head
    ),
    Mistake(what="the sum of the shortcuts, not their mean", seen="a plausible slip", rewrite=rewrites.summed),
    *(
        Mistake(what=f"streams joined by {join}", seen="DMRNet's three versions", rewrite=rewrites.joined(join))
        for join in _JOINS
    ),
    *(
        Mistake(what=f"shortcuts of the streams: {skip}", seen="a plausible slip", rewrite=rewrites.skipped(skip))
        for skip in SKIPS
    ),
)

_NUMERICAL: tuple[Mistake, ...] = (
    Mistake(
        what="dropout between the convolutions",
        seen="ports of Wide ResNet",
        rewrite=rewrites.in_order(rewrites.dropped),
    ),
    Mistake(what="dropout before the classifier", seen="a plausible slip", rewrite=rewrites.dropped_head),
    *(
        Mistake(what=f"eps {eps:g} in the norms", seen="defaults of other frameworks", rewrite=rewrites.norms_with(eps))
        for eps in (1e-5, 2e-5, 1e-4, 1e-3)
    ),
)
"""Mistakes in numbers, which an audit reads from the operations."""

MISTAKES: tuple[Mistake, ...] = (*STRUCTURAL, *_NUMERICAL)
