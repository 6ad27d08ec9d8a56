"""The table of a blueprint's TOML file: the inverse of `blueprint_file`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from resatlas.arch.blueprint import Blueprint, Head, Initial, Stem, with_norm_eps
from resatlas.arch.blueprint_file import (
    SCHEMA,
    NamedBlueprint,
    blueprint_of,
    rule_of,
    shortcuts_of,
    usual_shares,
)
from resatlas.arch.ops import Conv, Dropout, Norm, Relu, Scale
from resatlas.arch.residual import BEFORE_POOL, ORDERS, ChannelAttention, Excitation, Ordering, OrderName, Residual
from resatlas.arch.streams import MergeAndRun
from resatlas.errors import BlueprintError
from resatlas.values.codec import encode
from resatlas.values.toml import toml_text

_WORDS: Mapping[object, str] = {Norm(): "norm", Relu(): "relu"}


def blueprint_text(named: NamedBlueprint) -> str:
    """The text of the TOML file of a blueprint.

    Raises: BlueprintError as `blueprint_table`.
    """
    return toml_text(blueprint_table(named))


def blueprint_table(named: NamedBlueprint) -> dict[str, Any]:
    """The table of the file that `read_blueprint` reads as this blueprint; keys with their usual value are left out.

    Raises: BlueprintError if a file has no words for a part, with the name of the part.
    """
    blueprint, eps = with_norm_eps(named.blueprint, Norm().eps), _eps(named.blueprint)
    order = _order_name(_usual_order(blueprint.residual), named.name)
    table = {
        "schema": SCHEMA,
        "name": named.name,
        "image": list(named.image),
        "classes": named.classes,
        "units": list(blueprint.units),
        **_changed({"first_stride": blueprint.first_stride, "eps": eps}, {"first_stride": 1, "eps": Norm().eps}),
        "stem": _stem(blueprint.stem),
        "widths": {"rule": rule_of(blueprint.widths), **encode(blueprint.widths)},
        "residual": dict(_residual(blueprint.residual, order)),
        "streams": _streams(blueprint),
        "head": _head(blueprint.head, order),
        "initial": _changed(encode(blueprint.initial), encode(Initial())),
    }
    table = {key: value for key, value in table.items() if value != {}}
    _check(table, named)
    return table


def _check(table: Mapping[str, Any], named: NamedBlueprint) -> None:
    """Refuse a table that means another blueprint."""
    meant = blueprint_of(table, where=named.name).blueprint
    for field in fields(Blueprint):
        if getattr(meant, field.name) != getattr(named.blueprint, field.name):
            raise BlueprintError(f"{named.name}: a TOML file has no words for its {field.name}")


def _eps(blueprint: Blueprint) -> float:
    """The eps of the first norm; the usual one without norms."""
    order = blueprint.residual.order
    rules = (*blueprint.stem.after, *order.first, *order.between, *order.last, *order.after_sum)
    return next((rule.eps for rule in rules if isinstance(rule, Norm)), Norm().eps)


def _changed(table: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose value is not the usual one."""
    return {key: value for key, value in table.items() if key not in usual or value != usual[key]}


def _words(rules: Iterable[object]) -> list[str]:
    return [_WORDS[rule] for rule in rules if rule in _WORDS]


def _stem(stem: Stem) -> dict[str, Any]:
    table = {"kernel": stem.kernel, "width": stem.width, "lead": list(stem.lead), "stride": stem.stride}
    table |= {"after": _words(stem.after), "pool": "max" if stem.pool else "none"}
    return _changed(table, {"kernel": 3, "lead": [], "stride": 1, "after": ["norm", "relu"], "pool": "none"})


def _head(head: Head, order: OrderName) -> dict[str, Any]:
    table = {"before": _words(head.before), "dropout": head.dropout.rate if head.dropout else 0.0}
    return _changed(table, {"before": _words(BEFORE_POOL[order]), "dropout": 0.0})


def _streams(blueprint: Blueprint) -> dict[str, Any]:
    streams = blueprint.streams
    return {"rule": "merge-and-run", **encode(streams)} if isinstance(streams, MergeAndRun) else {}


def _uncascaded(residual: Residual) -> Residual:
    """The bottleneck of which a cascade is made: the inverse of `residual.cascaded`."""
    if residual.merge != "cascade":
        return residual
    order = residual.order
    narrow = next(op for op in order.first if isinstance(op, Conv))
    wide = next(op for op in order.merged if isinstance(op, Conv))
    behind = order.merged[order.merged.index(wide) + 1 :]
    rules = [op for op in behind if not isinstance(op, Conv)]
    return replace(
        residual,
        convs=(narrow, replace(residual.convs[0], width=residual.convs[0].width * residual.bodies), wide),
        order=replace(
            order,
            first=order.ahead,
            between=order.last,
            last=tuple(rule for rule in rules if not isinstance(rule, Scale)),
            merged=tuple(rule for rule in rules if isinstance(rule, Scale)),
        ),
        bodies=1,
        merge="sum",
    )


def _usual_order(residual: Residual) -> Ordering:
    """The order without dropout and without the modification of its shortcut."""
    order = _uncascaded(residual).order
    between = tuple(rule for rule in order.between if not isinstance(rule, Dropout))
    return replace(order, between=between, shortcut=(), merged=())


def _order_name(order: Ordering, name: str) -> OrderName:
    found = next((word for word, known in ORDERS.items() if known == order), None)
    if found is None:
        raise BlueprintError(f"{name}: a TOML file has no words for the order of operations in its units")
    return found


def _residual(residual: Residual, order: OrderName) -> Iterator[tuple[str, Any]]:
    """The keys of the table `residual` whose values are not the usual ones."""
    yield from _convs(_uncascaded(residual).convs)
    if residual.merge == "cascade":
        yield "slices", residual.bodies
    elif residual.bodies != 1:
        yield "bodies", residual.bodies
    yield "order", order
    shortcuts = shortcuts_of(order)
    yield "shortcut", next((name for name, known in shortcuts.items() if known == residual.shortcut), "projection")
    if residual.shares != usual_shares(order):
        yield "shares", list(residual.shares)
    if residual.opening != "ordered":
        yield "opening", residual.opening
    yield from _attention(residual)
    for rule in residual.order.between:
        if isinstance(rule, Dropout):
            yield "dropout", rule.rate
    if word := _modification(residual):
        yield "modified", word


def _convs(convs: tuple[Conv, ...]) -> Iterator[tuple[str, Any]]:
    middle = convs[len(convs) // 2]
    kinds = {(conv.width, conv.groups, conv.group_width) for conv in convs}
    if [conv.kernel for conv in convs] == [1, 3, 1] and (middle.strided or len(kinds) > 1):
        yield "convs", "bottleneck"
        yield "inner", str(middle.width)
        if convs[0].strided:
            yield "strided", "first"
    else:
        yield "convs", "basic"
        if [conv.kernel for conv in convs] != [3, 3]:
            yield "kernels", [conv.kernel for conv in convs]
    if middle.groups != 1:
        yield "groups", middle.groups
    if middle.group_width is not None:
        yield "group_width", middle.group_width


def _attention(residual: Residual) -> Iterator[tuple[str, Any]]:
    match residual.attention:
        case Excitation(ratio=ratio, of=of):
            yield "excitation", str(ratio)
            if of != "body":
                yield "excitation_of", of
        case ChannelAttention():
            yield "channel_attention", "eca"
        case None:
            return


def _modification(residual: Residual) -> str:
    """The word of `residual.modified`; empty for an unmodified shortcut."""
    on_shortcut, on_body = residual.order.shortcut, _uncascaded(residual).order.merged
    if residual.gate:
        kind = "exclusive" if residual.gate.scales == "both" else "shortcut"
        return f"{kind}-gate-b{residual.gate.bias:g}"
    if on_shortcut and isinstance(on_shortcut[0], Dropout):
        return f"dropout-{on_shortcut[0].rate:g}"
    factors = [next((float(op.factor) for op in ops if isinstance(op, Scale)), 1.0) for ops in (on_shortcut, on_body)]
    return "" if factors == [1.0, 1.0] else "scale-{:g}-{:g}".format(*factors)
