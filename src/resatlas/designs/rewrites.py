"""Rewrites of a blueprint, part by part: each returns another network, or the same one where it changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from resatlas.arch.blueprint import Blueprint, with_norm_eps
from resatlas.arch.ops import Dropout, Norm, Scale
from resatlas.arch.residual import (
    Excitation,
    Ordering,
    Position,
    Projection,
    Residual,
    Rule,
    Shortcut,
    ZeroPad,
)
from resatlas.arch.streams import Join, MergeAndRun, Skip
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage

Rewrite = Callable[[Blueprint], Blueprint]


def in_residual(change: Callable[[Residual], Residual]) -> Rewrite:
    """The residual changed."""
    return lambda blueprint: replace(blueprint, residual=change(blueprint.residual))


def in_order(change: Callable[[Ordering], Ordering]) -> Rewrite:
    """The order of the operations of a unit changed."""
    return in_residual(lambda residual: replace(residual, order=change(residual.order)))


def ordered(order: Ordering) -> Rewrite:
    """Units in a given order."""
    return in_order(lambda _: order)


def stem_then(*after: Rule) -> Rewrite:
    """A stem with these operations after its convolutions."""
    return lambda blueprint: replace(blueprint, stem=replace(blueprint.stem, after=after))


def head_with(*before: Rule) -> Rewrite:
    """A head with these operations before its pool."""
    return lambda blueprint: replace(blueprint, head=replace(blueprint.head, before=before))


def reading(*positions: Position) -> Rewrite:
    """Shortcuts that read the pre-activated tensor at these positions, where any do."""
    return in_residual(lambda residual: replace(residual, shares=positions if residual.shares else ()))


def in_shortcut(change: Callable[[Residual], Shortcut]) -> Rewrite:
    """The shortcut changed."""
    return in_residual(lambda residual: replace(residual, shortcut=change(residual)))


def _padded(shortcut: Shortcut) -> ZeroPad | None:
    return shortcut if isinstance(shortcut, ZeroPad) else None


def projected(residual: Residual) -> Shortcut:
    """A projection in place of zeros, without a norm if the unit is pre-activated."""
    bare = residual.order.first and not residual.order.last
    return Projection(after=() if bare else (Norm(),)) if _padded(residual.shortcut) else residual.shortcut


def unprojected(residual: Residual) -> Shortcut:
    """Zeros in place of a projection."""
    return ZeroPad() if isinstance(residual.shortcut, Projection) else residual.shortcut


def projection_then(*after: Rule) -> Rewrite:
    """Projections with these operations after their convolution."""
    return in_shortcut(
        lambda residual: (
            replace(residual.shortcut, after=after) if isinstance(residual.shortcut, Projection) else residual.shortcut
        )
    )


def everywhere(residual: Residual) -> Shortcut:
    """A projection in every unit."""
    shortcut = projected(residual)
    return replace(shortcut, where="everywhere") if isinstance(shortcut, Projection) else shortcut


def sides(residual: Residual) -> Shortcut:
    """Zeros on both sides of the channels."""
    pad = _padded(residual.shortcut)
    return replace(pad, place="sides") if pad else residual.shortcut


def other_pixels(residual: Residual) -> Shortcut:
    """Averages in place of skipped pixels, and the reverse."""
    pad = _padded(residual.shortcut)
    if pad is None:
        return residual.shortcut
    return replace(pad, subsample="stride" if pad.subsample == "average" else "average")


def stride_on(place: int) -> Rewrite:
    """The stride on the convolution of this index, counted from 0."""

    def moved(residual: Residual) -> Residual:
        if place >= len(residual.convs):
            return residual
        convs = [replace(conv, strided=index == place) for index, conv in enumerate(residual.convs)]
        return replace(residual, convs=tuple(convs))

    return in_residual(moved)


def ungrouped(residual: Residual) -> Residual:
    """Convolutions without groups."""
    return replace(residual, convs=tuple(replace(conv, groups=1, group_width=None) for conv in residual.convs))


def counted_groups(residual: Residual, groups: int) -> Residual:
    """A number of groups in place of groups of a fixed width."""
    return replace(
        residual,
        convs=tuple(
            replace(conv, groups=groups, group_width=None) if conv.group_width else conv for conv in residual.convs
        ),
    )


def first_grouped(residual: Residual) -> Residual:
    """As many groups in the first convolution as in the grouped one."""
    groups = max(conv.groups for conv in residual.convs)
    width = max((conv.group_width or 0 for conv in residual.convs), default=0) or None
    return replace(residual, convs=(replace(residual.convs[0], groups=groups, group_width=width), *residual.convs[1:]))


def output_tied(times: int) -> Rewrite:
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


def small_stem(blueprint: Blueprint) -> Blueprint:
    """A 3x3 stem without stride and pool."""
    return replace(blueprint, stem=replace(blueprint.stem, kernel=3, stride=1, pool=None))


def pointwise_stem(blueprint: Blueprint) -> Blueprint:
    """A 1x1 stem in place of a 3x3."""
    return replace(blueprint, stem=replace(blueprint.stem, kernel=1)) if blueprint.stem.kernel == 3 else blueprint


def short_stem(blueprint: Blueprint) -> Blueprint:
    """A stem of one convolution."""
    return replace(blueprint, stem=replace(blueprint.stem, lead=()))


def even_stem(blueprint: Blueprint) -> Blueprint:
    """A stem whose convolutions have one width."""
    stem = blueprint.stem
    return replace(blueprint, stem=replace(stem, lead=(stem.width,) * len(stem.lead)))


def in_attention(change: Callable[[Excitation], Excitation | None]) -> Rewrite:
    """Another attention where there is one."""

    def changed(residual: Residual) -> Residual:
        own = residual.attention
        return replace(residual, attention=change(own)) if isinstance(own, Excitation) else residual

    return in_residual(changed)


def without_pool(blueprint: Blueprint) -> Blueprint:
    """A stem without a pool."""
    return replace(blueprint, stem=replace(blueprint.stem, pool=None))


def unexpanded(first: int) -> Rewrite:
    """Bottlenecks whose outputs are as wide as the planes, in the first stages."""

    def narrowed(blueprint: Blueprint) -> Blueprint:
        widths = blueprint.widths
        if len(blueprint.residual.convs) != 3 or not isinstance(widths, PerStage):
            return blueprint
        narrow = tuple(width // 4 for width in widths.widths[:first])
        return replace(blueprint, widths=PerStage((*narrow, *widths.widths[first:])))

    return narrowed


def floored(blueprint: Blueprint) -> Blueprint:
    """Widths rounded down."""
    widths = blueprint.widths
    return blueprint if isinstance(widths, PerStage) else replace(blueprint, widths=replace(widths, rounding="floor"))


def recursive_floor(blueprint: Blueprint) -> Blueprint:
    """Each width is floor(previous width + alpha/N), so fractions are lost."""
    widths, units = blueprint.widths, sum(blueprint.units)
    match widths:
        case AdditivePyramid(alpha=alpha):
            return replace(blueprint, widths=replace(widths, alpha=Fraction(alpha // units * units)))
        case MultiplicativePyramid() | PerStage():
            return blueprint


def dropout_first(order: Ordering) -> Ordering:
    """Dropout before the other operations between convolutions."""
    drops = tuple(rule for rule in order.between if isinstance(rule, Dropout))
    return replace(order, between=(*drops, *(rule for rule in order.between if rule not in drops)))


def undropped(order: Ordering) -> Ordering:
    """No dropout in the unit."""
    return replace(order, between=tuple(rule for rule in order.between if not isinstance(rule, Dropout)))


def dropout_last(order: Ordering) -> Ordering:
    """Dropout behind the last convolution."""
    drops = tuple(rule for rule in order.between if isinstance(rule, Dropout))
    return replace(undropped(order), last=(*order.last, *drops))


def dropped(order: Ordering) -> Ordering:
    """Dropout between the convolutions."""
    drops = any(isinstance(rule, Dropout) for rule in order.between)
    return order if drops else replace(order, between=(*order.between, Dropout(0.3)))


def dropped_head(blueprint: Blueprint) -> Blueprint:
    """Dropout before the classifier."""
    return replace(blueprint, head=replace(blueprint.head, dropout=blueprint.head.dropout or Dropout(0.5)))


def undropped_head(blueprint: Blueprint) -> Blueprint:
    """No dropout before the classifier."""
    return replace(blueprint, head=replace(blueprint.head, dropout=None))


def summed(blueprint: Blueprint) -> Blueprint:
    """The sum of the shortcuts of the streams, K times their mean."""
    streams = blueprint.streams
    if not isinstance(streams, MergeAndRun) or streams.count == 1:
        return blueprint
    times = Scale(Fraction(streams.count))
    return in_order(lambda order: replace(order, shortcut=(*order.shortcut, times)))(blueprint)


def in_streams(change: Callable[[MergeAndRun], MergeAndRun]) -> Rewrite:
    """The streams changed, where there are several."""

    def changed(blueprint: Blueprint) -> Blueprint:
        streams = blueprint.streams
        if not isinstance(streams, MergeAndRun) or streams.join == "logits":
            return blueprint
        return replace(blueprint, streams=change(streams))

    return changed


def joined(join: Join) -> Rewrite:
    """Streams joined in another way."""
    return in_streams(lambda streams: replace(streams, join=join))


def skipped(skip: Skip) -> Rewrite:
    """Shortcuts of the streams mixed in another way."""
    return in_streams(lambda streams: replace(streams, skip=skip))


def norms_with(eps: float) -> Rewrite:
    """The given eps in every norm."""
    return lambda blueprint: with_norm_eps(blueprint, eps)


def unpooled(residual: Residual) -> Shortcut:
    """A projection with a stride replaces the average pool and its projection."""
    return _strided(residual.shortcut, "average")


def unshifted(residual: Residual) -> Shortcut:
    """One projection with a stride replaces the two, one of which reads shifted pixels."""
    return _strided(residual.shortcut, "shifted")


def _strided(shortcut: Shortcut, subsample: Literal["average", "shifted"]) -> Shortcut:
    if isinstance(shortcut, Projection) and shortcut.subsample == subsample:
        return replace(shortcut, subsample="stride")
    return shortcut


def bodies_summed(residual: Residual) -> Residual:
    """The sum of several bodies in place of their mean."""
    rest = tuple(rule for rule in residual.order.merged if not isinstance(rule, Scale))
    return replace(residual, order=replace(residual.order, merged=rest)) if residual.bodies > 1 else residual
