"""Which classes are taken for which, and the test images that most networks get wrong."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable
from resatlas.page.chart import finished
from resatlas.page.figure import Figure, Spec
from resatlas.runs.record import Guess, RunRecord
from resatlas.values.table import Cell, Column, Table, numbers, words

MOST_CLASSES = 30
"""Classes up to which a map of counts can be read."""

MOST_ROWS = 20
"""Classes in the table, those of the highest error."""

MOST_IMAGES = 18
"""Wrong images that are shown."""

Pictures = Callable[[RunRecord, Sequence[str]], Mapping[str, bytes] | str]
"""Gives the test images of a run by their ids, as PNG; or says why there are none."""


class Confusion(NamedTuple):
    """The answers of a design's nets together: how often a class was taken for which; the map where it is readable."""

    label: str
    words: str
    figure: Figure | None
    classes: Table


class WrongImage(NamedTuple):
    """A test image that nets get wrong: its class, what the wrong ones mostly took it for, and how sure those were.

    `picture` is an address that holds it, empty where there is none.
    """

    image: str
    true: str
    predicted: str
    probability: float
    nets: int
    picture: str


class Gallery(NamedTuple):
    """The most wrong images of some nets, out of how many images and nets, and why there are no pictures."""

    images: tuple[WrongImage, ...]
    nets: int
    tested: int
    wrong: int
    without: str


def no_pictures(_run: RunRecord, _images: Sequence[str]) -> str:
    """What a page says that was made from run folders alone."""
    return "No picture is shown: this page was made from run folders alone."


def confusion(group: Group) -> Confusion | None:
    """The confusions of a group's nets; None where none has its predictions."""
    runs = [run for run in group.runs if run.predictions]
    if not runs:
        return None
    given = [each for run in runs for each in run.predictions or ()]
    counts = Counter((each.true, each.predicted) for each in given)
    classes = _classes(runs[0], given)
    nets = "1 net" if len(runs) == 1 else f"{len(runs)} nets"
    words = f"{nets}, {len(given):,} answers, {sum(t != p for t, p in counts.elements()):,} of them wrong"
    figure = _map(group, counts, classes, nets) if len(classes) <= MOST_CLASSES else None
    return Confusion(presentable(group.row.design), words, figure, _table(counts, classes))


def gallery(groups: Sequence[Group], pictures: Pictures) -> Gallery | None:
    """The images that most nets of a question get wrong, the surest errors first among equals."""
    runs = [run for group in groups for run in group.runs if run.predictions]
    if not runs:
        return None
    wrong: dict[tuple[str, str], list[Guess]] = defaultdict(list)
    images: set[str] = set()
    for run in runs:
        given = run.predictions or ()
        images.update(each.image for each in given)
        for each in given:
            if each.true != each.predicted:
                wrong[each.image, each.true].append(each)
    found = sorted((_wrong_image(each) for each in wrong.values()), key=_most_wrong)[:MOST_IMAGES]
    shown = pictures(runs[0], [each.image for each in found]) if found else {}
    without = shown if isinstance(shown, str) else ""
    drawn = {} if isinstance(shown, str) else shown
    return Gallery(
        images=tuple(each._replace(picture=_address(drawn.get(each.image))) for each in found),
        nets=len(runs),
        tested=len(images),
        wrong=len(wrong),
        without=without,
    )


def _wrong_image(given: Sequence[Guess]) -> WrongImage:
    ranked = Counter(each.predicted for each in given)
    taken = min(ranked, key=lambda name: (-ranked[name], name))
    sure = fmean(each.probability for each in given if each.predicted == taken)
    first = given[0]
    return WrongImage(
        presentable(first.image), presentable(first.true), presentable(taken), sure, len(given), picture=""
    )


def _most_wrong(each: WrongImage) -> tuple[int, float, str]:
    return -each.nets, -each.probability, each.image


def _address(picture: bytes | None) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}" if picture else ""


def _classes(run: RunRecord, given: Sequence[Guess]) -> list[str]:
    """The classes in the run's order; last those that only the file of predictions has."""
    present = {name for each in given for name in (each.true, each.predicted)}
    return [*run.classes, *sorted(present - set(run.classes))]


def _map(group: Group, counts: Mapping[tuple[str, str], int], classes: Sequence[str], nets: str) -> Figure:
    shown = [presentable(name) for name in classes]
    errors = "error, %"
    cells: list[Spec] = []
    rates: list[Spec] = []
    for true, name in zip(classes, shown, strict=True):
        total = sum(counts.get((true, other), 0) for other in classes)
        for predicted, other in zip(classes, shown, strict=True):
            count = counts.get((true, predicted), 0)
            if count:
                kind = "right" if true == predicted else "wrong"
                cells.append({"true": name, "predicted": other, "count": count, "share": count / total, "kind": kind})
        if total:
            rates.append({"true": name, "predicted": errors, "rate": 100 * (1 - counts.get((true, true), 0) / total)})
    across = {
        "field": "predicted",
        "type": "nominal",
        "sort": [*shown, errors],
        "scale": {"domain": [*shown, errors]},
        "title": "taken for",
        "axis": {"orient": "top", "labelAngle": -90 if max(map(len, shown)) > 2 else 0, "labelLimit": 90},
    }
    down = {"field": "true", "type": "nominal", "sort": shown, "title": "class", "scale": {"domain": shown}}
    tooltip = [
        {"field": "true", "title": "class"},
        {"field": "predicted", "title": "taken for"},
        {"field": "count"},
        {"field": "share", "format": ".1%"},
    ]
    shade = {
        "condition": {"test": "datum.kind == 'right'", "value": "#eeeeee"},
        "field": "share",
        "type": "quantitative",
        "scale": {"scheme": "oranges", "domainMin": 0},
        "legend": None,
    }
    dark = "datum.kind == 'wrong' && luminance(scale('color', datum.share)) < 0.4"
    ink = {"condition": {"test": dark, "value": "#ffffff"}, "value": "#222222"}
    chart = {
        "encoding": {"x": across, "y": down},
        "layer": [
            {"data": {"name": "cells"}, "mark": "rect", "encoding": {"color": shade, "tooltip": tooltip}},
            {
                "data": {"name": "cells"},
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {"text": {"field": "count"}, "color": ink, "tooltip": tooltip},
            },
            {
                "data": {"name": "rates"},
                "mark": {"type": "text", "fontSize": 10, "fontWeight": "bold"},
                "encoding": {"text": {"field": "rate", "format": ".1f"}},
            },
        ],
    }
    title = f"Confusions of {group.label}"
    how = f"number of answers over {nets}, shade: share of the class; right: the error of each class"
    spec = finished(chart, {"cells": cells, "rates": rates}, title=title, how=how, height=60 + 22 * len(classes))
    return Figure("confusions", title, spec)


def _table(counts: Mapping[tuple[str, str], int], classes: Sequence[str]) -> Table:
    """The classes, the one of the highest error first."""
    lines = sorted(_errors(counts, classes), key=lambda line: -line[1])[:MOST_ROWS]
    columns = (*words("class", "mostly taken for"), *numbers("answers", "wrong"), Column("error", "%", ".1f"))
    return Table(columns=columns, rows=tuple(row for row, _ in lines))


def _errors(counts: Mapping[tuple[str, str], int], classes: Sequence[str]) -> Iterator[tuple[tuple[Cell, ...], float]]:
    for true in classes:
        others = {name: counts.get((true, name), 0) for name in classes if name != true}
        wrong = sum(others.values())
        total = wrong + counts.get((true, true), 0)
        if total:
            most = max(others, key=lambda name: others[name]) if wrong else ""
            taken = f"{presentable(most)} ({others[most]:,})" if wrong else "–"
            row = (presentable(true), taken, total, wrong, 100 * wrong / total)
            yield row, wrong / total
