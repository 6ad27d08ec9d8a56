"""What runs were asked about their insides, as the page shows it: facts, charts, pictures, and tables to unfold."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

from resatlas.analysis.answer import Answer, Table, fact_text, from_json, head_of, shown
from resatlas.analysis.questions import FOLDER, QUESTIONS
from resatlas.errors import FolderError
from resatlas.reporting.chart import THEME, Spec
from resatlas.reporting.table import Grid
from resatlas.reporting.words import presentable
from resatlas.runs.files import read_json
from resatlas.runs.store import Run

LARGEST_PICTURE = 1_000_000  # bytes


class Sheet(NamedTuple):
    """A table under its title."""

    title: str
    grid: Grid
    note: str


class Finding(NamedTuple):
    """The answer of a run to one question, as the page shows it."""

    title: str
    facts: tuple[str, ...]
    specs: tuple[Spec, ...]
    pictures: tuple[tuple[str, str], ...]
    sheets: tuple[Sheet, ...]
    notes: tuple[str, ...]


class Drawing(NamedTuple):
    """One chart of a table: its place in the answer, what goes across, and what goes up, a line each.

    `groups` are columns of words that part the rows into lines; a row is drawn where `only` holds.
    """

    table: int
    x: str
    ys: tuple[str, ...]
    groups: tuple[str, ...] = ()
    scale: Literal["linear", "log"] = "linear"
    only: tuple[str, str] = ("", "")


DRAWINGS: Mapping[str, tuple[Drawing, ...]] = {
    "lesion": (
        Drawing(1, "unit", ("error_frozen", "error_reestimated"), only=("stream", "all")),
        Drawing(2, "count", ("error_frozen_median", "error_reestimated_median")),
    ),
    "paths": (Drawing(0, "length", ("share_of_paths", "share_of_weight", "share_of_gradient")),),
    "flow": (
        Drawing(0, "unit", ("parameter_gradient_norm",), groups=("run", "moment"), scale="log"),
        Drawing(0, "unit", ("share_of_sums_cut",), groups=("run", "moment")),
        Drawing(1, "number", ("response_deviation",), groups=("run", "moment")),
    ),
    "streams": (Drawing(0, "unit", ("difference", "cosine_of_streams")),),
    "capacity": (Drawing(0, "part", ("share_of_parameters", "share_of_multiply_adds")),),
}
"""The charts of each question that is drawn as lines; similarity and surface are maps."""


def findings(run: Run) -> Iterator[Finding]:
    """What a run was asked, in the order of the questions.

    Raises: FolderError if a file does not hold an answer.
    """
    for question in QUESTIONS:
        file = run.folder / FOLDER / f"{question}.json"
        if file.is_file():
            try:
                answer = from_json(read_json(file))
            except FolderError as error:
                raise FolderError(f"{file}: {error}") from None
            yield finding(answer, run.folder / FOLDER)


def finding(answer: Answer, folder: Path) -> Finding:
    """An answer as the page shows it; pictures are taken from the folder."""
    return Finding(
        title=presentable(f"{', '.join(answer.runs)}: {answer.title} ({answer.images})"),
        facts=tuple(presentable(fact_text(fact)) for fact in answer.facts),
        specs=tuple(_specs(answer)),
        pictures=tuple(_pictures(answer, folder)) if answer.question == "explain" else (),
        sheets=tuple(Sheet(presentable(each.title), _grid(each), presentable(each.note)) for each in answer.tables),
        notes=tuple(presentable(line) for note in answer.notes for line in note.splitlines()),
    )


def _specs(answer: Answer) -> Iterator[Spec]:
    for drawing in DRAWINGS.get(answer.question, ()):
        if drawing.table < len(answer.tables) and (spec := _lines(answer.tables[drawing.table], drawing)):
            yield spec
    if answer.question == "similarity":
        yield from (_cells(_crossed(each), each.title, "linear CKA", "linear") for each in answer.tables)
    if answer.question == "surface" and answer.tables:
        points = [{"x": row["second"], "y": row["first"], "value": row["loss"]} for row in _rows(answer.tables[0])]
        yield _cells(points, "Loss around the trained network", "cross-entropy, log scale; in filter norms", "log")


def _lines(table: Table, drawing: Drawing) -> Spec | None:
    """Lines through points; none without a value that can be drawn."""
    names = [column.name for column in table.columns]
    if not {drawing.x, *drawing.ys, *drawing.groups} <= set(names):
        return None
    key, wanted = drawing.only
    rows = [row for row in _rows(table) if not key or row.get(key) == wanted]
    values = [
        {"x": _place(row, drawing.x), "line": _line(row, y, drawing), "value": row[y]}
        for row in rows
        for y in drawing.ys
        if _drawable(row[y], drawing.scale)
    ]
    if not values:
        return None
    order = list(dict.fromkeys(_place(row, drawing.x) for row in rows))
    kind = "nominal" if table.columns[names.index(drawing.x)].unit == "" else "ordinal"
    heads = [head_of(table.columns[names.index(y)]) for y in drawing.ys]
    across = head_of(table.columns[names.index(drawing.x)])
    return _spec(
        {
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "x", "type": kind, "sort": order, "title": across, "axis": {"labelAngle": -40}},
                "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"type": drawing.scale}},
                "color": {"field": "line", "type": "nominal", "sort": list(dict.fromkeys(v["line"] for v in values))},
                "tooltip": [{"field": "line"}, {"field": "x"}, {"field": "value", "format": ".4g"}],
            },
        },
        values,
        title=table.title,
        how=f"{'; '.join(heads)}{', log scale' if drawing.scale == 'log' else ''}",
    )


def _cells(points: Sequence[Spec], title: str, how: str, scale: Literal["linear", "log"]) -> Spec:
    """A map of coloured cells, the first row above."""
    xs, ys = (list(dict.fromkeys(point[axis] for point in points)) for axis in "xy")
    return _spec(
        {
            "mark": "rect",
            "encoding": {
                "x": {"field": "x", "type": "ordinal", "sort": xs, "title": None, "axis": {"labelAngle": -40}},
                "y": {"field": "y", "type": "ordinal", "sort": ys, "title": None},
                "color": {
                    "field": "value",
                    "type": "quantitative",
                    "scale": {"type": scale, "scheme": "viridis"},
                    "legend": {"orient": "right"},
                },
                "tooltip": [{"field": "y"}, {"field": "x"}, {"field": "value", "format": ".4g"}],
            },
        },
        [point for point in points if _drawable(point["value"], scale)],
        title=title,
        how=how,
    )


def _spec(chart: Spec, values: Sequence[Spec], *, title: str, how: str) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        **chart,
        "width": "container",
        "height": 280,
        "title": {"text": presentable(title), "subtitle": presentable(how)},
        "description": presentable(f"{title}: {how}"),
        "data": {"values": list(values)},
        "config": THEME,
    }


def _rows(table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def _crossed(table: Table) -> list[Spec]:
    """Row by row and column by column, a point for each figure."""
    columns = [column.name for column in table.columns[1:]]
    return [
        {"x": column, "y": str(row[0]).removeprefix("stages."), "value": value}
        for row in table.rows
        for column, value in zip(columns, row[1:], strict=True)
    ]


def _place(row: Mapping[str, Any], x: str) -> Any:  # noqa: ANN401 - a word or a number
    """What stands under a point; units that halve the map are marked."""
    return f"{row[x]} /2" if row.get("down_sampling") == "yes" else row[x]


def _line(row: Mapping[str, Any], y: str, drawing: Drawing) -> str:
    words = [str(row[group]) for group in drawing.groups]
    return presentable(", ".join(words) if len(drawing.ys) == 1 and words else " ".join([*words, y.replace("_", " ")]))


def _drawable(value: object, scale: str) -> bool:
    return isinstance(value, int | float) and isfinite(value) and (value > 0 or scale == "linear")


def _grid(table: Table) -> Grid:
    return Grid(
        head=tuple(presentable(head_of(column)) for column in table.columns),
        rows=tuple(tuple(presentable(shown(value)) for value in row) for row in table.rows),
        words=sum(not column.unit for column in table.columns),
    )


def _pictures(answer: Answer, folder: Path) -> Iterator[tuple[str, str]]:
    """Each picture as an address that holds it, with its words; those that are not in the folder are passed over."""
    for row in _rows(answer.tables[0]) if answer.tables else ():
        file = folder / "explain" / Path(str(row.get("picture", ""))).name
        if file.suffix == ".png" and file.is_file() and file.stat().st_size <= LARGEST_PICTURE:
            words = f"{row.get('image')}: {row.get('true')}, taken for {row.get('predicted')}"
            data = base64.b64encode(file.read_bytes()).decode("ascii")
            yield f"data:image/png;base64,{data}", presentable(words)
