"""What runs were asked about their insides, as the page shows it: facts, charts, pictures, and tables to unfold."""

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from itertools import takewhile
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from resatlas.analysis.probes import FOLDER, PROBES, ProbeResult, fact_text, result_from_json
from resatlas.comparing.words import listed, presentable, presentable_table
from resatlas.errors import FolderError
from resatlas.page.chart import COLOURS, LETTERS, drawable, finished, legend_of, picked_by
from resatlas.page.figure import Spec
from resatlas.runs.decoding import read_beginning
from resatlas.runs.files import read_json
from resatlas.runs.names import FIRST
from resatlas.runs.record import RunRecord
from resatlas.values.reading import content
from resatlas.values.table import Table, objects

LARGEST_PICTURE = 1_000_000  # bytes

SLANTED: Spec = {"labelAngle": -40, "labelOverlap": "greedy"}
"""Labels of many units: those that have no room are left out."""


MARK = " /2"
"""Behind the name of a unit that halves the map."""

MOST_LABELS = 16
"""Labels below a chart for which a phone has room."""


class Finding(NamedTuple):
    """The answer of a run to one question, as the page shows it; `name` is the question's, `runs` were all asked."""

    name: str
    title: str
    runs: tuple[str, ...]
    images: str
    reading: str
    facts: tuple[str, ...]
    specs: tuple[Spec, ...]
    pictures: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
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


READINGS: Mapping[str, str] = {
    "lesion": (
        "Frozen: the statistics of batch normalisation as trained; reestimated: taken anew without the unit, on "
        "training images. Contrast: the mean error without a unit that halves the map, less the median of the errors "
        "without another unit. The charts are those of the first network."
    ),
    "paths": (
        "A path takes the body or the shortcut of each unit; its length counts convolutions and the classifier. Weight "
        "counts paths by their coefficients. Shares of the gradient add up to the exact one, so some may be below 0."
    ),
    "flow": "The gradient of the first unit over that of the last: far from 1 it has vanished or exploded on the way.",
    "streams": "Difference: how far the streams of a block are from their mean, as a share of the mean's norm.",
}
"""How the figures of a question are read."""


def findings(run: RunRecord) -> Iterator[Finding]:
    """What a run was asked, in the order of the questions.

    Raises: FolderError if a file does not hold an answer.
    """
    for question in PROBES:
        file = run.folder / FOLDER / f"{question}.json"
        if file.is_file():
            try:
                answer = result_from_json(read_json(file))
            except FolderError as error:
                raise FolderError(f"{file}: {error}") from None
            yield finding(answer, run.folder / FOLDER)


def finding(answer: ProbeResult, folder: Path) -> Finding:
    """An answer as the page shows it; pictures are taken from the folder, which lies in that of the first run."""
    answer = _shortened(answer)
    return Finding(
        name=answer.question,
        title=presentable(f"{answer.title}: {_designs(answer.runs, folder.parent)}"),
        runs=tuple(map(presentable, answer.runs)),
        images=presentable(answer.images),
        reading=READINGS.get(answer.question, ""),
        facts=tuple(presentable(fact_text(fact)) for fact in answer.facts),
        specs=tuple(_specs(answer)),
        pictures=tuple(_pictures(answer, folder)) if answer.question == "explain" else (),
        tables=tuple(map(presentable_table, answer.tables)),
        notes=tuple(presentable(line) for note in answer.notes for line in note.splitlines()),
    )


def _designs(names: Sequence[str], first: Path) -> str:
    """The designs of runs, of which the first has this folder and the others lie beside it; else their names."""
    folders = [first, *(first.parent / Path(name).name for name in names[1:])]
    found = Counter(
        read_beginning(folder).experiment.design if (folder / FIRST).is_file() else name
        for name, folder in zip(names, folders, strict=False)
    )
    return listed(f"{design} ({count} nets)" if count > 1 else design for design, count in found.items())


def _shortened(answer: ProbeResult) -> ProbeResult:
    """The answer whose facts and titles call a run by what is its own, and a single one "the network"."""
    own = _told_apart(answer.runs) if len(answer.runs) > 1 else dict.fromkeys(answer.runs, "the network")
    longest = sorted(own, key=len, reverse=True)  # a name may begin another

    def short(words: str) -> str:
        return reduce(lambda said, name: said.replace(name, own[name]), longest, words)

    return replace(
        answer,
        facts=tuple(replace(fact, name=short(fact.name)) for fact in answer.facts),
        tables=tuple(replace(each, title=short(each.title)) for each in answer.tables),
    )


def _specs(answer: ProbeResult) -> Iterator[Spec]:
    for drawing in DRAWINGS.get(answer.question, ()):
        if drawing.table < len(answer.tables) and (spec := _lines(answer.tables[drawing.table], drawing)):
            yield spec
    if answer.question == "similarity":
        yield from (_cells(_crossed(each), each.title, "linear CKA", "linear") for each in answer.tables)
    if answer.question == "surface" and answer.tables:
        points = [{"x": row["second"], "y": row["first"], "value": row["loss"]} for row in objects(answer.tables[0])]
        yield _cells(points, "Loss around the trained network", "cross-entropy, log scale; in filter norms", "log")


def _lines(table: Table, drawing: Drawing) -> Spec | None:
    """Lines through points; none without a value that can be drawn."""
    names = [column.name for column in table.columns]
    if not {drawing.x, *drawing.ys, *drawing.groups} <= set(names):
        return None
    key, wanted = drawing.only
    rows = [row for row in objects(table) if not key or row.get(key) == wanted]
    own = _told_apart([str(row["run"]) for row in rows if "run" in row])
    rows = [{**row, "run": own[str(row["run"])]} if "run" in row else row for row in rows]
    groups = [group for group in drawing.groups if len({row[group] for row in rows}) > 1]
    values = [
        {"x": _place(row, drawing.x), "line": _line(row, y, groups, drawing.ys), "value": row[y]}
        for row in rows
        for y in drawing.ys
        if drawable(row[y], drawing.scale)
    ]
    if not values:
        return None
    order = list(dict.fromkeys(_place(row, drawing.x) for row in rows))
    kind = "nominal" if table.columns[names.index(drawing.x)].unit == "" else "ordinal"
    picked, lines = picked_by("line"), list(dict.fromkeys(value["line"] for value in values))
    scale = {"domain": lines, "range": [COLOURS[k % len(COLOURS)] for k in range(len(lines))]}
    heads = [table.columns[names.index(y)].head for y in drawing.ys]
    span = max(len(str(each)) for each in order)
    slanted = {**SLANTED, **_labels(order), "minExtent": LETTERS + int(0.4 * LETTERS * span)}  # hidden ones need room
    across = table.columns[names.index(drawing.x)].head
    return _spec(
        {
            **picked["params"],
            "mark": {"type": "line", "point": True},
            "encoding": {
                "opacity": picked["opacity"],
                "x": {"field": "x", "type": kind, "sort": order, "title": across, "axis": slanted},
                "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"type": drawing.scale}},
                "color": {
                    "field": "line",
                    "type": "nominal",
                    "sort": lines,
                    "scale": scale,
                    "legend": legend_of(lines),
                },
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
                "x": {"field": "x", "type": "ordinal", "sort": xs, "title": None, "axis": SLANTED},
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
        [point for point in points if drawable(point["value"], scale)],
        title=title,
        how=how,
    )


def _spec(chart: Spec, values: Sequence[Spec], *, title: str, how: str) -> Spec:
    drawn = {"data": {"name": "values"}, **chart}
    return finished(drawn, {"values": values}, title=presentable(title), how=presentable(how), height=280)


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
    return f"{row[x]}{MARK}" if row.get("down_sampling") == "yes" else row[x]


def _labels(order: Sequence[object]) -> Spec:
    """What of an axis is labelled where some units are marked: those in any case, and others where there is room."""
    marked = [k for k, each in enumerate(order) if str(each).endswith(MARK)]
    if not marked:
        return {}
    step = ceil(len(order) / MOST_LABELS)
    kept = [k for k in range(0, len(order), step) if all(abs(k - other) >= step for other in marked)]
    return {"values": [order[k] for k in sorted({*marked, *kept})], "labelOverlap": False}


def _told_apart(runs: Iterable[str]) -> Mapping[str, str]:
    """Each name of a run by what is its own: without the parts, between - and _, that all begin or end with."""
    names = dict.fromkeys(runs)
    parts = [re.findall(r"[^-_]*[-_]*", name)[:-1] for name in names]
    spare = min(map(len, parts), default=1) - 1
    first = _shared(parts, spare)
    last = _shared([each[::-1] for each in parts], spare - first)
    return {
        name: "".join(each[first : len(each) - last]).strip("-_") or name
        for name, each in zip(names, parts, strict=True)
    }


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many of the first parts are those of all, up to so many."""
    same = (len({each[k].strip("-_") for each in parts}) == 1 for k in range(max(most, 0)))
    return len(list(takewhile(bool, same)))


def _line(row: Mapping[str, Any], y: str, groups: Sequence[str], ys: Sequence[str]) -> str:
    """What a line is called: the words that part it from others, and its figure where there are several."""
    words = [str(row[group]) for group in groups]
    return presentable(", ".join(words) if len(ys) == 1 and words else " ".join([*words, y.replace("_", " ")]))


def _pictures(answer: ProbeResult, folder: Path) -> Iterator[tuple[str, str]]:
    """Each picture as an address that holds it, with its words; those that are not in the folder are passed over."""
    for row in objects(answer.tables[0]) if answer.tables else ():
        file = folder / "explain" / Path(str(row.get("picture", ""))).name
        if file.suffix == ".png":
            with suppress(OSError):
                data = base64.b64encode(content(file, most=LARGEST_PICTURE)).decode("ascii")
                words = f"{row.get('image')}: {row.get('true')}, taken for {row.get('predicted')}"
                yield f"data:image/png;base64,{data}", presentable(words)
