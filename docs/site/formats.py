"""The page of keys: what verbs print with --json, and what the JSON files of a run hold, from the package itself."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from docs.site.reference import joined

from resatlas.analysis.probes import FOLDER, ProbeResult
from resatlas.cli.main import parser_of
from resatlas.runs.names import ENVIRONMENT, METRICS, RESULTS, STATUS, TIMING
from resatlas.runs.record import EpochRow, Results, Start, StatusRecord, TimingRow
from resatlas.values import markdown
from resatlas.values.table import Table, words

EXAMPLES = (
    "list resnet-20",
    "list --recipes quick",
    "describe resnet-20",
    "solve plain --parameters 0.27M",
    "verify resnet-20",
    "cite resnet-20",
)
"""Commands that need neither torch nor a run: they are carried out, and their keys are listed."""

RECORDS: Mapping[str, tuple[str, type]] = {
    RESULTS: ("the results of a run; `train --json` prints the same", Results),
    METRICS: ("a row for each epoch, without times", EpochRow),
    TIMING: ("a row for each epoch", TimingRow),
    STATUS: ("what a run is doing", StatusRecord),
    f"{ENVIRONMENT}, each of starts": ("a start of a run", Start),
    f"{FOLDER}/QUESTION.json": ("the answer to a question; `dissect --json` prints the same", ProbeResult),
}
"""The files of a run with their records."""

_KINDS: Mapping[object, str] = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}


def keys_page() -> str:
    """The keys of verbs and of files."""
    parts = [
        "# JSON keys",
        "Every verb takes `--json` and then prints one JSON value on standard output, and nothing else there. Keys "
        "without a value are absent or null.",
        "## What verbs print",
        "Verbs that need neither torch nor a run, by example, with the kinds of the values of that example.",
    ]
    for command in EXAMPLES:
        value = _printed(command)
        shape = "A list, each of" if isinstance(value, list) else "An object:"
        inner = value[0] if isinstance(value, list) else value
        parts += [f"### `resatlas {command} --json`", shape, _table(_keys_of(inner))]
    parts += ["## Files of a run"]
    for name, (what, record) in RECORDS.items():
        parts += [f"### {name}", f"{what[0].upper()}{what[1:]}.", _table(_fields_of(record))]
    return joined(parts)


def _printed(command: str) -> Any:  # noqa: ANN401 - JSON is what JSON is
    """What a command prints with --json."""
    verb, *rest = command.split()
    return import_module(f"resatlas.cli.{verb}_verb").run(parser_of(verb).parse_args(rest)).data


def _keys_of(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Each key of an object with the kind of its value; keys of inner objects follow theirs."""
    for key, inner in value.items():
        yield f"{before}{key}", _kind(inner)
        match inner:
            case {}:
                yield from _keys_of(inner, f"{before}{key}.")
            case [{**first}, *_]:
                yield from _keys_of(first, f"{before}{key}[].")
            case _:
                pass


def _kind(value: object) -> str:
    match value:
        case {}:
            return "object"
        case [*_]:
            return "list"
        case _:
            return _KINDS[type(value)]


def _fields_of(record: type, before: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a record with its kind; fields of inner records follow theirs."""
    hints = get_type_hints(record)
    for field in fields(record):
        own = get_args(hints[field.name]) if get_origin(hints[field.name]) in (Union, UnionType) else ()
        kinds = [kind for kind in own if kind is not NoneType] or [hints[field.name]]
        optional = ", or absent" if NoneType in own else ""
        yield f"{before}{field.name}", " or ".join(map(_kind_of_type, kinds)) + optional
        inner, mark = (get_args(kinds[0])[0], "[].") if get_origin(kinds[0]) is tuple else (kinds[0], ".")
        if is_dataclass(inner) and isinstance(inner, type):
            yield from _fields_of(inner, f"{before}{field.name}{mark}")


def _kind_of_type(kind: Any) -> str:  # noqa: ANN401 - what annotates a field
    if kind in _KINDS:
        return _KINDS[kind]
    match get_origin(kind):
        case origin if origin is tuple:
            return "list"
        case None:
            return "object"
        case origin if isinstance(origin, type) and issubclass(origin, Mapping):
            return "object"
        case _:
            return "text"


def _table(rows: Iterator[tuple[str, str]]) -> str:
    return markdown.table(Table(columns=words("key", "value"), rows=tuple(rows)))
