"""The controls of the page, read off the dataclasses of families and of a blueprint's file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin

from resatlas.arch.blueprint_file import FILE, RULES
from resatlas.arch.widths import doubling
from resatlas.designs.tasks import Design
from resatlas.errors import BlueprintError, UnknownName, quoted, unknown
from resatlas.values.codec import decode_text, encode
from resatlas.values.fields import Knob, knobs_of

_OF_PAGE = ("schema", "name", "image", "classes")
"""Keys of a file that are not knobs of its network."""

_ALPHAS = {"additive": "48", "multiplicative": "4"}
"""The first alpha of a pyramid that a reader chooses, of the size of those in the paper."""

Texts = Mapping[str, str]
"""What the controls hold, by their keys; an empty text is the default."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control: `values` are its choices, if it has a list; `usual` is its default in words."""

    key: str
    label: str
    kind: str
    values: tuple[str, ...] | None
    value: str
    usual: str
    needed: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Controls below a title."""

    title: str
    controls: tuple[Control, ...]


Form = tuple[Group, ...]


def family_form(design: Design) -> Form:
    """The knobs of a family with the values of one of its members."""
    texts = {field.name: _text(getattr(design, field.name)) for field in fields(design)}  # type: ignore[arg-type]
    controls = tuple(_control(knob.name, knob, texts[knob.name]) for knob in knobs_of(type(design)))
    return (Group(title=f"Knobs of {design.family}", controls=controls),)


def cross_form(texts: Texts) -> Form:
    """The keys of a blueprint's file, table by table."""
    groups = {"": "Network", "stem": "Stem", "widths": "Widths", "residual": "Unit", "streams": "Streams"}
    groups |= {"head": "Head", "initial": "Initial weights"}
    controls: dict[str, list[Control]] = {table: [] for table in groups}
    for key, knob in _cross_knobs(texts):
        controls[key.rpartition(".")[0]].append(_control(key, knob, texts.get(key, "")))
    return tuple(Group(title=title, controls=tuple(controls[table])) for table, title in groups.items())


def _cross_knobs(texts: Texts) -> Iterator[tuple[str, Knob]]:
    """The keys of a file, with dots, and their knobs; those of a table with a rule depend on it."""
    for knob in knobs_of(FILE):
        if is_dataclass(knob.hint) and isinstance(knob.hint, type):
            for inner in knobs_of(knob.hint):
                yield f"{knob.name}.{inner.name}", inner
        elif knob.name not in _OF_PAGE:
            yield knob.name, knob
    for table, rules in RULES.items():
        rule = texts.get(f"{table}.rule") or next(iter(rules))
        usual = next(iter(rules))
        yield (
            f"{table}.rule",
            Knob(name="rule", kind="a word", values=tuple(rules), usual=usual, needed=False, hint=str),
        )
        for inner in knobs_of(rules[rule]) if rule in rules else ():
            yield f"{table}.{inner.name}", inner


def _control(key: str, knob: Knob, text: str) -> Control:
    values = ("true", "false") if knob.hint is bool else knob.values
    usual = _text(knob.usual)
    if values and not knob.needed and knob.usual is None:
        values = ("", *values)
    return Control(
        key=key,
        label=knob.name.replace("_", " "),
        kind=knob.kind,
        values=values,
        value=text or (usual if values else ""),
        usual="needed" if knob.needed else usual or "as in the paper",
        needed=knob.needed,
    )


def cross_texts(table: Mapping[str, Any]) -> dict[str, str]:
    """What the controls of a cross hold for the table of a file."""
    texts: dict[str, str] = {}
    for key, value in table.items():
        if key in _OF_PAGE:
            continue
        if isinstance(value, Mapping):
            texts |= {f"{key}.{inner}": _text(one) for inner, one in value.items()}
        else:
            texts[key] = _text(value)
    return texts


def cross_table(texts: Texts) -> dict[str, Any]:
    """The table of a file that the controls of a cross describe, without name, image and classes.

    Raises: BlueprintError for a text of another kind; UnknownName for an unknown key.
    """
    knobs = dict(_cross_knobs(texts))
    table: dict[str, Any] = {}
    for key, text in texts.items():
        outer, _, inner = key.rpartition(".")
        if not text.strip() or (key not in knobs and outer in RULES):  # a default, or a key of the rule before
            continue
        if key not in knobs:
            raise UnknownName(unknown("key", key, knobs))
        place = table.setdefault(outer, {}) if outer else table
        place[inner] = _value(knobs[key], text.strip(), key)
    return table


def completed(texts: Texts, changed: str) -> dict[str, str]:
    """The texts with a first value for each key that another rule of widths needs, as the stem suggests."""
    whole = dict(texts)
    if changed == "widths.rule":
        for key in ("widths.alpha", "widths.widths"):
            whole.pop(key, None)
    rule, width = whole.get("widths.rule", ""), whole.get("stem.width", "")
    if rule in _ALPHAS:
        whole.setdefault("widths.alpha", _ALPHAS[rule])
    if not whole.get("widths.start"):
        whole["widths.start"] = width
    if rule == "per-stage" and width.isdecimal():
        stages = len([count for count in whole.get("units", "").split(",") if count.strip()])
        if stages and "widths.widths" not in whole:
            whole["widths.widths"] = _text(doubling(int(width), min(stages, 8)).widths)
    return whole


def _value(knob: Knob, text: str, key: str) -> Any:  # noqa: ANN401 - a value of TOML
    if get_origin(knob.hint) is not tuple:
        return encode(decode_text(knob.hint, text, where=key))
    item = get_args(knob.hint)[0]
    parts = [part.strip() for part in text.strip("[]").split(",")]
    if "" in parts and parts != [""]:
        raise BlueprintError(f"{key}: expected {knob.kind} with commas between them, got {quoted(text)}")
    return [encode(decode_text(item, part, where=key)) for part in parts if part]


def _text(value: object) -> str:
    """A value as the text of a control."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value)) or "[]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
