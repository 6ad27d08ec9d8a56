"""Results of probes on the page: facts, charts, pictures, and folded tables."""

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

from resatlas.analysis.probes import FOLDER, PROBES, ProbeResult, fact_text, label_of, labelled, result_from_json
from resatlas.comparing.words import presentable, presentable_table
from resatlas.errors import FolderError
from resatlas.page.chart import COLOURS, LETTERS, complete_chart, drawable, legend_filter, legend_of, log_scale, titled
from resatlas.page.figure import Spec
from resatlas.page.table import head_of
from resatlas.runs.decoding import read_beginning
from resatlas.runs.files import read_json
from resatlas.runs.names import FIRST
from resatlas.runs.record import RunRecord
from resatlas.values.language import known, said, with_and
from resatlas.values.reading import content
from resatlas.values.table import Table, objects

_LARGEST_PICTURE = 1_000_000  # bytes

_SLANTED: Spec = {"labelAngle": -40, "labelOverlap": "greedy"}
"""The axis of many units; labels that do not fit are left out."""


_MARK = " /2"
"""The mark after the name of a down-sampling unit."""

_MOST_LABELS = 16
"""Labels below a chart that fit on a phone."""


class Finding(NamedTuple):
    """The result of one probe as the page shows it; `name` is that of the probe, `runs` are all probed runs."""

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
    """A line chart of a table: the index of the table, the column on the x axis, and a column for each line.

    `groups` are columns that split the rows into lines. `only` is a column and the value that drawn rows have.
    """

    table: int
    x: str
    ys: tuple[str, ...]
    groups: tuple[str, ...] = ()
    scale: Literal["linear", "log"] = "linear"
    only: tuple[str, str] = ("", "")


_DRAWINGS: Mapping[str, tuple[Drawing, ...]] = {
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
"""The line charts of each probe; similarity and surface have heat maps."""


_READINGS: Mapping[str, str] = {
    "lesion": (
        "BN kept: batch normalisation has the statistics of the trained network. BN re-estimated: statistics are "
        "estimated again without the unit, on training images. Extra error when a down-sampling unit is removed: mean "
        "error without a down-sampling unit, minus the median error without another unit. The charts show the first "
        "network."
    ),
    "paths": (
        "A path takes the body or the shortcut of each unit; its length counts convolutions and the classifier. The "
        "weight of a path is its coefficient. The shares of the gradient add up to 1, and some can be negative."
    ),
    "flow": (
        "Gradient of the first unit divided by that of the last: far below 1 the gradient vanishes, far above 1 it "
        "explodes."
    ),
    "streams": "Difference: distance of the streams of a unit from their mean, relative to the norm of the mean.",
}
"""How to read the result of a probe."""


def findings(run: RunRecord) -> Iterator[Finding]:
    """The results of all probes of a run, in the order of `PROBES`.

    Raises: FolderError if a file is not the result of a probe.
    """
    for name in PROBES:
        file = run.folder / FOLDER / f"{name}.json"
        if file.is_file():
            try:
                result = result_from_json(read_json(file))
            except FolderError as error:
                raise FolderError(f"{file}: {error}") from None
            yield finding(result, run.folder / FOLDER)


def finding(result: ProbeResult, folder: Path) -> Finding:
    """A result as the page shows it, with the pictures of a folder inside the folder of the first run."""
    result = _with_short_names(result)
    return Finding(
        name=result.question,
        title=presentable(
            said("{title}: {designs}", title=known(result.title), designs=_designs(result.runs, folder.parent))
        ),
        runs=tuple(map(presentable, result.runs)),
        images=presentable(known(result.images)),
        reading=known(_READINGS.get(result.question, "")),
        facts=tuple(presentable(fact_text(fact)) for fact in result.facts),
        specs=tuple(_specs(result)),
        pictures=tuple(_pictures(result, folder)) if result.question == "explain" else (),
        tables=tuple(presentable_table(_in_words(table)) for table in result.tables),
        notes=tuple(presentable(known(line)) for note in result.notes for line in note.splitlines()),
    )


def _in_words(table: Table) -> Table:
    """The table with the names and the words that a reader sees."""
    return replace(
        labelled(table),
        title=known(table.title),
        note=known(table.note),
        rows=tuple(tuple(known(cell) if isinstance(cell, str) else cell for cell in row) for row in table.rows),
    )


def _designs(names: Sequence[str], first: Path) -> str:
    """The designs of the runs; the first run has this folder, the others are beside it. A missing run has its name."""
    folders = [first, *(first.parent / Path(name).name for name in names[1:])]
    counts = Counter(
        read_beginning(folder).experiment.design if (folder / FIRST).is_file() else name
        for name, folder in zip(names, folders, strict=False)
    )
    return with_and(
        said("{design} ({count} networks)", design=design, count=count) if count > 1 else design
        for design, count in counts.items()
    )


def _with_short_names(result: ProbeResult) -> ProbeResult:
    """The result with shortened names of runs in facts and titles; a single run is called "the network"."""
    short_names = _short_names(result.runs) if len(result.runs) > 1 else dict.fromkeys(result.runs, said("the network"))
    longest_first = sorted(short_names, key=len, reverse=True)  # a name can be the beginning of another

    def short(words: str) -> str:
        return reduce(lambda text, name: text.replace(name, short_names[name]), longest_first, words)

    return replace(
        result,
        facts=tuple(replace(fact, name=short(fact.name)) for fact in result.facts),
        tables=tuple(replace(table, title=short(table.title)) for table in result.tables),
    )


def _specs(result: ProbeResult) -> Iterator[Spec]:
    for drawing in _DRAWINGS.get(result.question, ()):
        if drawing.table < len(result.tables) and (spec := _lines(result.tables[drawing.table], drawing)):
            yield spec
    if result.question == "similarity":
        yield from (_heat_map(_points(table), known(table.title), "linear CKA", "linear") for table in result.tables)
    if result.question == "surface" and result.tables:
        points = [{"x": row["second"], "y": row["first"], "value": row["loss"]} for row in objects(result.tables[0])]
        how = said("cross-entropy, log scale; in filter norms")
        yield _heat_map(points, said("Loss around the trained network"), how, "log")


def _lines(table: Table, drawing: Drawing) -> Spec | None:
    """A line chart; None if no value can be drawn."""
    names = [column.name for column in table.columns]
    if not {drawing.x, *drawing.ys, *drawing.groups} <= set(names):
        return None
    key, value = drawing.only
    rows = [row for row in objects(table) if not key or row.get(key) == value]
    short_names = _short_names([str(row["run"]) for row in rows if "run" in row])
    rows = [{**row, "run": short_names[str(row["run"])]} if "run" in row else row for row in rows]
    groups = [group for group in drawing.groups if len({row[group] for row in rows}) > 1]
    values = [
        {"x": _x_label(row, drawing.x), "line": _line(row, y, groups, drawing.ys), "value": row[y]}
        for row in rows
        for y in drawing.ys
        if drawable(row[y], drawing.scale)
    ]
    if not values:
        return None
    order = list(dict.fromkeys(_x_label(row, drawing.x) for row in rows))
    kind = "nominal" if table.columns[names.index(drawing.x)].unit == "" else "ordinal"
    filtered, lines = legend_filter("line"), list(dict.fromkeys(value["line"] for value in values))
    scale = {"domain": lines, "range": [COLOURS[k % len(COLOURS)] for k in range(len(lines))]}
    heads = [head_of(labelled(table).columns[names.index(y)]) for y in drawing.ys]
    how = said("; ").join(heads)
    longest = max(len(str(label)) for label in order)
    slanted = {
        **_SLANTED,
        **_labels(order),
        "minExtent": LETTERS + int(0.4 * LETTERS * longest),
    }  # left-out labels need room too
    across = head_of(table.columns[names.index(drawing.x)])
    return _spec(
        {
            **filtered["params"],
            "mark": {"type": "line", "point": True},
            "encoding": {
                "opacity": filtered["opacity"],
                "x": {"field": "x", "type": kind, "sort": order, "title": across, "axis": slanted},
                "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"type": drawing.scale}},
                "color": {
                    "field": "line",
                    "type": "nominal",
                    "sort": lines,
                    "scale": scale,
                    "legend": legend_of(lines),
                },
                "tooltip": [titled("line"), {"field": "x"}, {**titled("value"), "format": ".4g"}],
            },
        },
        values,
        title=known(table.title),
        how=log_scale(how) if drawing.scale == "log" else how,
    )


def _heat_map(points: Sequence[Spec], title: str, how: str, scale: Literal["linear", "log"]) -> Spec:
    """A heat map, the first row at the top."""
    xs, ys = (list(dict.fromkeys(point[axis] for point in points)) for axis in "xy")
    return _spec(
        {
            "mark": "rect",
            "encoding": {
                "x": {"field": "x", "type": "ordinal", "sort": xs, "title": None, "axis": _SLANTED},
                "y": {"field": "y", "type": "ordinal", "sort": ys, "title": None},
                "color": {
                    "field": "value",
                    "type": "quantitative",
                    "scale": {"type": scale, "scheme": "viridis"},
                    "legend": {"orient": "right"},
                },
                "tooltip": [{"field": "y"}, {"field": "x"}, {**titled("value"), "format": ".4g"}],
            },
        },
        [point for point in points if drawable(point["value"], scale)],
        title=title,
        how=how,
    )


def _spec(chart: Spec, values: Sequence[Spec], *, title: str, how: str) -> Spec:
    drawn = {"data": {"name": "values"}, **chart}
    return complete_chart(drawn, {"values": values}, title=presentable(title), how=presentable(how), height=180)


def _points(table: Table) -> list[Spec]:
    """A point for each cell of a table, row by row."""
    columns = [column.name for column in table.columns[1:]]
    return [
        {"x": column, "y": str(row[0]).removeprefix("stages."), "value": value}
        for row in table.rows
        for column, value in zip(columns, row[1:], strict=True)
    ]


def _x_label(row: Mapping[str, Any], x: str) -> Any:  # noqa: ANN401 - a word or a number
    """The label of a point on the x axis; down-sampling units are marked."""
    return f"{row[x]}{_MARK}" if row.get("down_sampling") == "yes" else row[x]


def _labels(order: Sequence[object]) -> Spec:
    """The labels of an axis with marked units: all marked ones, and others that fit."""
    marked = [k for k, label in enumerate(order) if str(label).endswith(_MARK)]
    if not marked:
        return {}
    step = ceil(len(order) / _MOST_LABELS)
    kept = [k for k in range(0, len(order), step) if all(abs(k - other) >= step for other in marked)]
    return {"values": [order[k] for k in sorted({*marked, *kept})], "labelOverlap": False}


def _short_names(runs: Iterable[str]) -> Mapping[str, str]:
    """Each name of a run without the first and last parts, between - and _, that all names share."""
    names = dict.fromkeys(runs)
    parts = [re.findall(r"[^-_]*[-_]*", name)[:-1] for name in names]
    most = min(map(len, parts), default=1) - 1  # no name becomes empty
    first = _shared(parts, most)
    last = _shared([name_parts[::-1] for name_parts in parts], most - first)
    return {
        name: "".join(name_parts[first : len(name_parts) - last]).strip("-_") or name
        for name, name_parts in zip(names, parts, strict=True)
    }


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """The number of first parts that all names share, at most this many."""
    same = (len({name_parts[k].strip("-_") for name_parts in parts}) == 1 for k in range(max(most, 0)))
    return len(list(takewhile(bool, same)))


def _line(row: Mapping[str, Any], y: str, groups: Sequence[str], ys: Sequence[str]) -> str:
    """The name of a line: the values of its groups, and its column if there are several."""
    words = [known(str(row[group])) for group in groups]
    if len(ys) == 1 and words:
        return presentable(said(", ").join(words))
    return presentable(" ".join([*words, known(label_of(y))]))


def _pictures(result: ProbeResult, folder: Path) -> Iterator[tuple[str, str]]:
    """Each picture as a data address, with its caption; missing pictures are skipped."""
    for row in objects(result.tables[0]) if result.tables else ():
        file = folder / "explain" / Path(str(row.get("picture", ""))).name
        if file.suffix == ".png":
            with suppress(OSError):
                data = base64.b64encode(content(file, most=_LARGEST_PICTURE)).decode("ascii")
                caption = said(
                    "image {image}: {true} → {predicted}",
                    image=row.get("image"),
                    true=row.get("true"),
                    predicted=row.get("predicted"),
                )
                yield f"data:image/png;base64,{data}", presentable(caption)
