"""Blueprints as TOML files, which can combine parts of the papers' designs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from resatlas.arch.blueprint import Blueprint, Head, Initial, Stem, with_norm_eps
from resatlas.arch.ops import Conv, Dropout, MaxPool, Norm, Relu, Shape
from resatlas.arch.residual import (
    BEFORE_POOL,
    ORDERS,
    Absent,
    Attention,
    ChannelAttention,
    Excitation,
    Omit,
    Ordering,
    OrderName,
    Position,
    Projection,
    Residual,
    Rule,
    Shortcut,
    ZeroPad,
    basic,
    bottleneck,
    cascaded,
    modified,
)
from resatlas.arch.streams import MergeAndRun, Single
from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage, Widths, doubling
from resatlas.errors import BlueprintError, unknown
from resatlas.values.codec import decode, encode, value_text
from resatlas.values.toml import read_toml, toml_text

SCHEMA = 1

Word = Literal["norm", "relu"]

ShortcutName = Literal[
    "projection",
    "projection-strided",
    "projection-everywhere",
    "projection-average",
    "projection-shifted",
    "zero-pad",
    "zero-pad-sides",
    "zero-pad-average",
    "omit",
    "absent",
]


@dataclass(frozen=True, kw_only=True)
class NamedBlueprint:
    """A blueprint with its name and its usual task, for use without a data set."""

    name: str
    image: Shape
    classes: int
    blueprint: Blueprint


@dataclass(frozen=True, kw_only=True)
class _Doubling:
    start: int


@dataclass(frozen=True, kw_only=True)
class _Stem:
    width: int
    lead: tuple[int, ...] = ()
    kernel: int = 3
    stride: int = 1
    after: tuple[Word, ...] = ("norm", "relu")
    pool: Literal["none", "max"] = "none"


@dataclass(frozen=True, kw_only=True)
class _Residual:
    convs: Literal["basic", "bottleneck"] = "basic"
    kernels: tuple[int, ...] = (3, 3)
    inner: Fraction = Fraction(1, 4)
    groups: int = 1
    group_width: int | None = None
    strided: Literal["first", "3x3"] = "3x3"
    order: OrderName = "post-activation"
    shortcut: ShortcutName = "projection"
    modified: str = "none"
    bodies: int = 1
    slices: int = 1
    excitation: Fraction = Fraction(0)
    excitation_of: Literal["body", "input"] = "body"
    channel_attention: Literal["none", "eca"] = "none"
    shares: tuple[Position, ...] | None = None
    opening: Literal["ordered", "bare"] = "ordered"
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Head:
    before: tuple[Word, ...] | None = None
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _File:
    """The keys and tables of the file; `widths` and `streams` are decoded by their rule."""

    schema: int
    name: str
    units: tuple[int, ...]
    stem: _Stem
    residual: _Residual = _Residual()
    head: _Head = _Head()
    initial: Initial = Initial()  # noqa: RUF009 - a frozen value
    first_stride: int = 1
    eps: float = Norm().eps
    image: Shape = Shape(3, 32, 32)  # noqa: RUF009 - a frozen value
    classes: int = 10


_RULES: Mapping[str, type[Widths]] = {
    "additive": AdditivePyramid,
    "multiplicative": MultiplicativePyramid,
    "per-stage": PerStage,
}
_WIDTHS: Mapping[str, type[Any]] = {"doubling": _Doubling, **_RULES}
_STREAMS: Mapping[str, type[Any]] = {"single": Single, "merge-and-run": MergeAndRun}

FILE: type[Any] = _File
"""The keys of a file outside its tables, and the classes of its tables of fixed keys."""

RULES: Mapping[str, Mapping[str, type[Any]]] = {"widths": _WIDTHS, "streams": _STREAMS}
"""The tables whose keys depend on their rule, and the class of each rule."""


def read_blueprint(path: Path) -> NamedBlueprint:
    """The blueprint of a TOML file.

    Defaults depend on `order`: networks whose sums are not activated end with norm and relu before the pool, and
    pre-activated ones have projections without a norm, which read the pre-activated tensor.
    Raises: BlueprintError with the key and the nearest valid one; DesignError if the network is impossible.
    """
    return blueprint_of(read_toml(path), where=str(path))


def text_with_widths(path: Path, blueprint: Blueprint) -> str:
    """The text of a blueprint's file with the stem and the widths of another blueprint; comments are not kept.

    Raises: BlueprintError as `read_blueprint`.
    """
    table = read_toml(path)
    widths = {"rule": rule_of(blueprint.widths), **encode(blueprint.widths)}
    return toml_text({**table, "stem": {**table["stem"], "width": blueprint.stem.width}, "widths": widths})


def rule_of(widths: Widths) -> str:
    """The name of a rule of widths in a file."""
    return next(name for name, rule in _RULES.items() if isinstance(widths, rule))


def blueprint_of(table: Mapping[str, Any], *, where: str) -> NamedBlueprint:
    """The blueprint of the table of a file, as `read_blueprint`; errors contain `where`."""
    if table.get("schema") != SCHEMA:
        raise BlueprintError(
            f"{where}: expected schema = {SCHEMA}, got {' '.join(value_text(table.get('schema', 'none')).split())[:40]}"
        )
    rest = {key: value for key, value in table.items() if key not in ("widths", "streams")}
    if "widths" not in table:
        raise BlueprintError(f'{where}: table "widths" is missing')
    for key in rest:
        if key not in _File.__dataclass_fields__:
            raise BlueprintError(f"{where}: {unknown('key', key, [*_File.__dataclass_fields__, 'widths', 'streams'])}")
    file = decode(_File, rest, where=where)
    blueprint = Blueprint(
        stem=Stem(
            kernel=file.stem.kernel,
            width=file.stem.width,
            lead=file.stem.lead,
            stride=file.stem.stride,
            after=_rules(file.stem.after),
            pool=MaxPool() if file.stem.pool == "max" else None,
        ),
        units=file.units,
        widths=_widths(_by_rule(RULES["widths"], table["widths"], f"{where}: widths"), len(file.units)),
        residual=_residual(file.residual),
        streams=_by_rule(RULES["streams"], table.get("streams", {"rule": "single"}), f"{where}: streams"),
        head=Head(
            before=BEFORE_POOL[file.residual.order] if file.head.before is None else _rules(file.head.before),
            dropout=Dropout(file.head.dropout) if file.head.dropout else None,
        ),
        initial=file.initial,
        first_stride=file.first_stride,
    )
    blueprint = with_norm_eps(blueprint, file.eps)
    return NamedBlueprint(name=file.name, image=file.image, classes=file.classes, blueprint=blueprint)


def _by_rule(rules: Mapping[str, Any], table: object, where: str) -> Any:  # noqa: ANN401 - one of the rules
    if not isinstance(table, Mapping) or "rule" not in table:
        raise BlueprintError(f'{where}: expected a table with "rule" ({", ".join(rules)})')
    rule = str(table["rule"])
    if rule not in rules:
        raise BlueprintError(f"{where}: {unknown('rule', rule, rules)}")
    return decode(rules[rule], {key: value for key, value in table.items() if key != "rule"}, where=where)


def _widths(rule: Widths | _Doubling, stages: int) -> Widths:
    return doubling(rule.start, min(stages, 8)) if isinstance(rule, _Doubling) else rule


def _rules(words: tuple[Word, ...]) -> tuple[Rule, ...]:
    ops: dict[Word, Rule] = {"norm": Norm(), "relu": Relu()}
    return tuple(ops[word] for word in words)


def _residual(table: _Residual) -> Residual:
    residual = Residual(
        convs=_convs(table),
        order=_order(table),
        shortcut=_shortcut(table),
        shares=_shares(table),
        opening=table.opening,
        bodies=table.bodies,
        attention=_attention(table),
    )
    return modified(residual if table.slices == 1 else cascaded(residual, table.slices), table.modified)


def _convs(residual: _Residual) -> tuple[Conv, ...]:
    if residual.convs == "basic":
        convs = basic(residual.kernels)
        return tuple(replace(conv, groups=residual.groups, group_width=residual.group_width) for conv in convs)
    narrow, middle, wide = bottleneck(residual.inner, groups=residual.groups, strided=residual.strided)
    return narrow, replace(middle, group_width=residual.group_width), wide


def _attention(residual: _Residual) -> Attention | None:
    if residual.excitation and residual.channel_attention != "none":
        raise BlueprintError("a unit has one attention: give excitation or channel_attention, not both")
    if residual.channel_attention == "eca":
        return ChannelAttention()
    return Excitation(ratio=residual.excitation, of=residual.excitation_of) if residual.excitation else None


def _order(residual: _Residual) -> Ordering:
    order = ORDERS[residual.order]
    if residual.dropout:
        return replace(order, between=(*order.between, Dropout(residual.dropout)))
    return order


def _shortcut(residual: _Residual) -> Shortcut:
    return shortcuts_of(residual.order)[residual.shortcut]


def shortcuts_of(order: OrderName) -> Mapping[ShortcutName, Shortcut]:
    """The shortcuts by name; projections of pre-activated units have no norm."""
    after = () if order == "pre-activation" else (Norm(),)
    return {
        "projection": Projection(after=after),
        "projection-strided": Projection(after=after, where="strided"),
        "projection-everywhere": Projection(after=after, where="everywhere"),
        "projection-average": Projection(after=after, subsample="average"),
        "projection-shifted": Projection(after=after, subsample="shifted"),
        "zero-pad": ZeroPad(),
        "zero-pad-sides": ZeroPad(place="sides"),
        "zero-pad-average": ZeroPad(subsample="average"),
        "omit": Omit(),
        "absent": Absent(),
    }


def _shares(residual: _Residual) -> tuple[Position, ...]:
    return usual_shares(residual.order) if residual.shares is None else residual.shares


def usual_shares(order: OrderName) -> tuple[Position, ...]:
    """The positions at which shortcuts read the pre-activated tensor unless the file says others."""
    return ("network-start", "projected") if order == "pre-activation" else ()
