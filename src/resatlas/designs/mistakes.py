"""Mistakes of public implementations of these networks, as rewrites of a blueprint.

A rewrite returns the wrong network as a blueprint, so that it can be built, counted and compared like any other. If a
mistake is not possible in a network, the rewrite returns the same blueprint.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Dropout, Norm, Relu, Scale
from resatlas.arch.plan import Plan
from resatlas.arch.residual import (
    ORDERS,
    Absent,
    Ordering,
    Position,
    Projection,
    Residual,
    Rule,
    Shortcut,
    ZeroPad,
    with_eps,
)
from resatlas.arch.streams import SKIPS, Join, MergeAndRun, Skip
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage
from resatlas.designs.catalog import Entry
from resatlas.designs.plan_mistakes import PLAN_MISTAKES, PlanMistake, plan_mistakes_in
from resatlas.errors import DesignError

_JOINS: tuple[Join, ...] = ("merge", "sum", "concat")

_ACTIVATED: tuple[Rule, ...] = (Norm(), Relu())


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A mistake in words, where it was seen, and the rewrite that makes it."""

    what: str
    seen: str
    rewrite: Callable[[Blueprint], Blueprint]


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


def _residual(change: Callable[[Residual], Residual]) -> Callable[[Blueprint], Blueprint]:
    return lambda blueprint: replace(blueprint, residual=change(blueprint.residual))


def _order(change: Callable[[Ordering], Ordering]) -> Callable[[Blueprint], Blueprint]:
    return _residual(lambda residual: replace(residual, order=change(residual.order)))


def _ordered(order: Ordering) -> Callable[[Blueprint], Blueprint]:
    return _order(lambda _: order)


def _stem(*after: Rule) -> Callable[[Blueprint], Blueprint]:
    return lambda blueprint: replace(blueprint, stem=replace(blueprint.stem, after=after))


def _head(*before: Rule) -> Callable[[Blueprint], Blueprint]:
    return lambda blueprint: replace(blueprint, head=replace(blueprint.head, before=before))


def _shares(*positions: Position) -> Callable[[Blueprint], Blueprint]:
    return _residual(lambda residual: replace(residual, shares=positions if residual.shares else ()))


def _shortcut(change: Callable[[Residual], Shortcut]) -> Callable[[Blueprint], Blueprint]:
    return _residual(lambda residual: replace(residual, shortcut=change(residual)))


def _padded(shortcut: Shortcut) -> ZeroPad | None:
    return shortcut if isinstance(shortcut, ZeroPad) else None


def _projected(residual: Residual) -> Shortcut:
    """A projection in place of zeros, without a norm if the unit is pre-activated."""
    bare = residual.order.first and not residual.order.last
    return Projection(after=() if bare else (Norm(),)) if _padded(residual.shortcut) else residual.shortcut


def _unprojected(residual: Residual) -> Shortcut:
    return ZeroPad() if isinstance(residual.shortcut, Projection) else residual.shortcut


def _projection(*after: Rule) -> Callable[[Blueprint], Blueprint]:
    return _shortcut(
        lambda residual: (
            replace(residual.shortcut, after=after) if isinstance(residual.shortcut, Projection) else residual.shortcut
        )
    )


def _everywhere(residual: Residual) -> Shortcut:
    shortcut = _projected(residual)
    return replace(shortcut, where="everywhere") if isinstance(shortcut, Projection) else shortcut


def _sides(residual: Residual) -> Shortcut:
    pad = _padded(residual.shortcut)
    return replace(pad, place="sides") if pad else residual.shortcut


def _other_pixels(residual: Residual) -> Shortcut:
    pad = _padded(residual.shortcut)
    if pad is None:
        return residual.shortcut
    return replace(pad, subsample="stride" if pad.subsample == "average" else "average")


def _stride_on(place: int) -> Callable[[Blueprint], Blueprint]:
    """The stride on the convolution of this index, counted from 0."""

    def moved(residual: Residual) -> Residual:
        if place >= len(residual.convs):
            return residual
        convs = [replace(conv, strided=index == place) for index, conv in enumerate(residual.convs)]
        return replace(residual, convs=tuple(convs))

    return _residual(moved)


def _ungrouped(residual: Residual) -> Residual:
    return replace(residual, convs=tuple(replace(conv, groups=1) for conv in residual.convs))


def _first_grouped(residual: Residual) -> Residual:
    groups = max(conv.groups for conv in residual.convs)
    return replace(residual, convs=(replace(residual.convs[0], groups=groups), *residual.convs[1:]))


def _output_tied(times: int) -> Callable[[Blueprint], Blueprint]:
    """Units whose output is `times` their grouped width, independent of the planes."""

    def tied(blueprint: Blueprint) -> Blueprint:
        convs, widths = blueprint.residual.convs, blueprint.widths
        grouped = [conv for conv in convs if conv.groups > 1]
        if not grouped or not isinstance(widths, PerStage):
            return blueprint
        share = grouped[0].width
        inner = Fraction(1, times)
        return replace(
            blueprint,
            widths=PerStage(tuple(int(width * share * times) for width in widths.widths)),
            residual=replace(
                blueprint.residual,
                convs=tuple(replace(conv, width=inner) if conv.width == share else conv for conv in convs),
            ),
        )

    return tied


def _small_stem(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, stem=replace(blueprint.stem, kernel=3, stride=1, pool=None))


def _pointwise_stem(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, stem=replace(blueprint.stem, kernel=1)) if blueprint.stem.kernel == 3 else blueprint


def _without_pool(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, stem=replace(blueprint.stem, pool=None))


def _unexpanded(first: int) -> Callable[[Blueprint], Blueprint]:
    """Bottlenecks whose outputs are as wide as the planes, in the first stages."""

    def narrowed(blueprint: Blueprint) -> Blueprint:
        widths = blueprint.widths
        if len(blueprint.residual.convs) != 3 or not isinstance(widths, PerStage):
            return blueprint
        narrow = tuple(width // 4 for width in widths.widths[:first])
        return replace(blueprint, widths=PerStage((*narrow, *widths.widths[first:])))

    return narrowed


def _floored(blueprint: Blueprint) -> Blueprint:
    widths = blueprint.widths
    return blueprint if isinstance(widths, PerStage) else replace(blueprint, widths=replace(widths, rounding="floor"))


def _recursive_floor(blueprint: Blueprint) -> Blueprint:
    """Each width is floor(previous width + alpha/N), so fractions are lost."""
    widths, units = blueprint.widths, sum(blueprint.units)
    match widths:
        case AdditivePyramid(alpha=alpha):
            return replace(blueprint, widths=replace(widths, alpha=Fraction(alpha // units * units)))
        case MultiplicativePyramid() | PerStage():
            return blueprint


def _dropout_first(order: Ordering) -> Ordering:
    drops = tuple(rule for rule in order.between if isinstance(rule, Dropout))
    return replace(order, between=(*drops, *(rule for rule in order.between if rule not in drops)))


def _undropped(order: Ordering) -> Ordering:
    return replace(order, between=tuple(rule for rule in order.between if not isinstance(rule, Dropout)))


def _dropout_last(order: Ordering) -> Ordering:
    drops = tuple(rule for rule in order.between if isinstance(rule, Dropout))
    return replace(_undropped(order), last=(*order.last, *drops))


def _dropped(order: Ordering) -> Ordering:
    drops = any(isinstance(rule, Dropout) for rule in order.between)
    return order if drops else replace(order, between=(*order.between, Dropout(0.3)))


def _dropped_head(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, head=replace(blueprint.head, dropout=blueprint.head.dropout or Dropout(0.5)))


def _undropped_head(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, head=replace(blueprint.head, dropout=None))


def _summed(blueprint: Blueprint) -> Blueprint:
    """The sum of the shortcuts of the streams, K times their mean."""
    streams = blueprint.streams
    if not isinstance(streams, MergeAndRun) or streams.count == 1:
        return blueprint
    times = Scale(Fraction(streams.count))
    return _order(lambda order: replace(order, shortcut=(*order.shortcut, times)))(blueprint)


def _streams(change: Callable[[MergeAndRun], MergeAndRun]) -> Callable[[Blueprint], Blueprint]:
    def changed(blueprint: Blueprint) -> Blueprint:
        streams = blueprint.streams
        if not isinstance(streams, MergeAndRun) or streams.join == "logits":
            return blueprint
        return replace(blueprint, streams=change(streams))

    return changed


def _joined(join: Join) -> Callable[[Blueprint], Blueprint]:
    return _streams(lambda streams: replace(streams, join=join))


def _skipped(skip: Skip) -> Callable[[Blueprint], Blueprint]:
    return _streams(lambda streams: replace(streams, skip=skip))


def _eps(eps: float) -> Callable[[Blueprint], Blueprint]:
    """The given eps in every norm."""

    def renewed(blueprint: Blueprint) -> Blueprint:
        def rules(ops: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(Norm(eps) if isinstance(rule, Norm) else rule for rule in ops)

        residual = replace(blueprint.residual, order=with_eps(blueprint.residual.order, eps))
        if isinstance(residual.shortcut, Projection):
            shortcut = replace(residual.shortcut, after=rules(residual.shortcut.after))
            residual = replace(residual, shortcut=shortcut)
        stem = replace(blueprint.stem, after=rules(blueprint.stem.after))
        head = replace(blueprint.head, before=rules(blueprint.head.before))
        return replace(blueprint, stem=stem, residual=residual, head=head)

    return renewed


_NO_SHORTCUT: Shortcut = Absent()

STRUCTURAL: tuple[Mistake, ...] = (
    # the input of the shortcut, and the shortcut
    Mistake(
        what="the first unit's shortcut reads the raw stem", seen="pytorchcv's PreResNet", rewrite=_shares("projected")
    ),
    Mistake(
        what="the projection reads the raw input, not the pre-activated one",
        seen="meliketoy/wide-resnet.pytorch",
        rewrite=_shares(),
    ),
    Mistake(
        what="every stage's first shortcut reads the pre-activated tensor, also where it is no projection",
        seen="fb.resnet.torch, preresnet.lua",
        rewrite=_shares("network-start", "stage-start"),
    ),
    Mistake(
        what="option B: projections in place of zeros",
        seen="kuangliu/pytorch-cifar, hysts, bearpaw, pytorchcv",
        rewrite=_shortcut(_projected),
    ),
    Mistake(
        what="option A: zeros in place of projections",
        seen="ResNet paper's own option",
        rewrite=_shortcut(_unprojected),
    ),
    Mistake(what="projections in every unit", seen="option C; pre-activation ablation", rewrite=_shortcut(_everywhere)),
    Mistake(what="projections without a norm", seen="fb's released 18, 34 and 50", rewrite=_projection()),
    Mistake(what="projections with a norm", seen="ports of post-activated code", rewrite=_projection(Norm())),
    Mistake(what="projections with a norm and a relu", seen="a plausible slip", rewrite=_projection(Norm(), Relu())),
    Mistake(what="zeros on both sides", seen="akamaster/pytorch_resnet_cifar10", rewrite=_shortcut(_sides)),
    Mistake(
        what="shortcuts that average where pixels are to be skipped, or skip where they are to be averaged",
        seen="mxnet's option A; ports of PyramidNet",
        rewrite=_shortcut(_other_pixels),
    ),
    Mistake(what="no shortcuts", seen="a plausible slip", rewrite=_shortcut(lambda _: _NO_SHORTCUT)),
    # the order of ops in the unit, the stem and the head
    Mistake(
        what="no norm and relu before the pool",
        seen="kuangliu/pytorch-cifar's PreActResNet, keras-resnet#26",
        rewrite=_head(),
    ),
    Mistake(what="norm and relu before the pool", seen="a plausible slip", rewrite=_head(*_ACTIVATED)),
    Mistake(
        what="norm and relu after the stem",
        seen="weiaicunzai/pytorch-cifar100, alinlab/cs-kd#4",
        rewrite=_stem(*_ACTIVATED),
    ),
    Mistake(what="a stem without norm and relu", seen="ports of pre-activated code", rewrite=_stem()),
    Mistake(what="a stem with a norm but no relu", seen="ports of PyramidNet", rewrite=_stem(Norm())),
    Mistake(
        what="a relu after the sum",
        seen="ports of PyramidNet and of pre-activated units",
        rewrite=_order(lambda order: replace(order, after_sum=(Relu(),))),
    ),
    Mistake(
        what="no relu after the sum",
        seen="the equations of DMRNet",
        rewrite=_order(lambda order: replace(order, after_sum=())),
    ),
    Mistake(
        what="no relu between the convolutions",
        seen="a plausible slip",
        rewrite=_order(lambda order: replace(order, between=tuple(op for op in order.between if op != Relu()))),
    ),
    Mistake(
        what="no leading norm in the unit",
        seen="jhkim89/PyramidNet#3 takes it for a bug",
        rewrite=_order(lambda order: replace(order, first=order.first[1:])),
    ),
    Mistake(
        what="no norm behind the last convolution",
        seen="PyramidNet's unit (b)",
        rewrite=_order(lambda order: replace(order, last=(), merged=tuple(op for op in order.merged if op != Norm()))),
    ),
    *(
        Mistake(what=f'units in the order "{name}"', seen="another order of the papers", rewrite=_ordered(order))
        for name, order in ORDERS.items()
    ),
    # strides, kernels, groups, widths
    *(
        Mistake(
            what=f"the stride on convolution {place + 1} of the unit",
            seen="ResNet v1 against v1.5; meliketoy/wide-resnet.pytorch",
            rewrite=_stride_on(place),
        )
        for place in range(3)
    ),
    Mistake(what="a stem for small images", seen="kuangliu/pytorch-cifar's ResNet18", rewrite=_small_stem),
    Mistake(what="a 1x1 stem", seen="kuangliu/pytorch-cifar's ResNeXt", rewrite=_pointwise_stem),
    Mistake(what="no pool in the stem", seen="a plausible slip", rewrite=_without_pool),
    Mistake(what="no groups", seen="d2l-en PR#2730", rewrite=_residual(_ungrouped)),
    Mistake(what="the first 1x1 grouped too", seen="weiaicunzai/pytorch-cifar100", rewrite=_residual(_first_grouped)),
    Mistake(
        what="outputs tied to the groups: 2·C·d in place of 4·planes",
        seen="kuangliu/pytorch-cifar, Keras-ResNeXt#6",
        rewrite=_output_tied(2),
    ),
    Mistake(what="outputs tied to the groups: C·d in place of 4·planes", seen="ports", rewrite=_output_tied(1)),
    Mistake(what="the first stage of bottlenecks not expanded", seen="hysts", rewrite=_unexpanded(1)),
    Mistake(what="bottlenecks not expanded", seen="a plausible slip", rewrite=_unexpanded(8)),
    Mistake(what="widths floored", seen="ports of PyramidNet", rewrite=_floored),
    Mistake(what="widths floored one after another", seen="PyramidNet's paper form", rewrite=_recursive_floor),
    # the position of dropout; streams
    Mistake(what="dropout before the norm", seen="meliketoy/wide-resnet.pytorch", rewrite=_order(_dropout_first)),
    Mistake(what="dropout behind the last convolution", seen="a plausible slip", rewrite=_order(_dropout_last)),
    Mistake(what="no dropout in the units", seen="wide-residual-networks' pytorch port", rewrite=_order(_undropped)),
    Mistake(what="no dropout before the classifier", seen="PyramidNet's current Lua file", rewrite=_undropped_head),
    Mistake(what="the sum of the shortcuts, not their mean", seen="a plausible slip", rewrite=_summed),
    *(
        Mistake(what=f"streams joined by {join}", seen="DMRNet's three versions", rewrite=_joined(join))
        for join in _JOINS
    ),
    *(
        Mistake(what=f"shortcuts of the streams: {skip}", seen="a plausible slip", rewrite=_skipped(skip))
        for skip in SKIPS
    ),
)

_NUMERICAL: tuple[Mistake, ...] = (
    Mistake(what="dropout between the convolutions", seen="ports of Wide ResNet", rewrite=_order(_dropped)),
    Mistake(what="dropout before the classifier", seen="a plausible slip", rewrite=_dropped_head),
    *(
        Mistake(what=f"eps {eps:g} in the norms", seen="defaults of other frameworks", rewrite=_eps(eps))
        for eps in (1e-5, 2e-5, 1e-4, 1e-3)
    ),
)
"""Mistakes in numbers, which an audit reads from the operations."""

MISTAKES: tuple[Mistake, ...] = (*STRUCTURAL, *_NUMERICAL)
