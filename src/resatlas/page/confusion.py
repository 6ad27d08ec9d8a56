"""Confusion matrices, and the test images that most networks misclassify."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable
from resatlas.page.chart import complete_chart, titled
from resatlas.page.figure import Figure, Spec
from resatlas.runs.record import Guess, RunRecord
from resatlas.values.language import said
from resatlas.values.table import Cell, Column, Table, numbers, words
from resatlas.values.text import counted

MOST_CLASSES = 30
"""Largest number of classes for which the matrix is drawn."""

MOST_ROWS = 20
"""Classes in the table; those of the highest error are shown."""

MOST_IMAGES = 9
"""Misclassified images in the gallery."""

Pictures = Callable[[RunRecord, Sequence[str]], Mapping[str, bytes] | str]
"""Returns test images of a run as PNG files by their ids, or a sentence that says why there are none."""


class Confusion(NamedTuple):
    """The predictions of all networks of a design; `figure` is None if there are too many classes for a matrix."""

    label: str
    words: str
    figure: Figure | None
    classes: Table


class WrongImage(NamedTuple):
    """A misclassified test image, its most frequent wrong class, and the mean confidence of that class.

    `probability` is the mean over the networks that predict this class, `networks` the number of all that err.
    `picture` is a data address, or empty if there is no picture.
    """

    image: str
    true: str
    predicted: str
    probability: float
    networks: int
    picture: str


class Gallery(NamedTuple):
    """The images that most networks misclassify, the numbers of networks and images, and why there are no pictures."""

    images: tuple[WrongImage, ...]
    networks: int
    tested: int
    wrong: int
    no_pictures: str


def no_pictures(_run: RunRecord, _images: Sequence[str]) -> str:
    """The reason on a page that is made without a data set."""
    return said("No pictures: this page was made from the run folders only, without the data set.")


def confusion(group: Group) -> Confusion | None:
    """The confusion matrix of a group; None if no run has predictions."""
    runs = [run for run in group.runs if run.predictions]
    if not runs:
        return None
    guesses = [guess for run in runs for guess in run.predictions or ()]
    counts = Counter((guess.true, guess.predicted) for guess in guesses)
    classes = _classes(runs[0], guesses)
    networks = counted(len(runs), "network")
    errors = sum(true != predicted for true, predicted in counts.elements())
    words = said(
        "{networks}, {predictions:,} predictions, {errors}",
        networks=networks,
        predictions=len(guesses),
        errors=counted(errors, "error"),
    )
    figure = None
    if len(classes) <= MOST_CLASSES:
        how = said(
            "number of predictions of {networks}; shade: share of the true class; last column: error of each class",
            networks=networks,
        )
        title = said("Confusion matrix of {design}", design=group.label)
        figure = matrix(counts, classes, title=title, how=how)
    return Confusion(group.label, words, figure, _table(counts, classes))


def gallery(groups: Sequence[Group], pictures: Pictures) -> Gallery | None:
    """The images that most networks misclassify; of equal ones, those of the highest confidence come first."""
    runs = [run for group in groups for run in group.runs if run.predictions]
    if not runs:
        return None
    wrong: dict[tuple[str, str], list[Guess]] = defaultdict(list)
    images: set[str] = set()
    for run in runs:
        guesses = run.predictions or ()
        images.update(guess.image for guess in guesses)
        for guess in guesses:
            if guess.true != guess.predicted:
                wrong[guess.image, guess.true].append(guess)
    chosen = sorted(map(_wrong_image, wrong.values()), key=_rank)[:MOST_IMAGES]
    reply = pictures(runs[0], [image.image for image in chosen]) if chosen else {}
    reason = reply if isinstance(reply, str) else ""
    files = {} if isinstance(reply, str) else reply
    return Gallery(
        images=tuple(image._replace(picture=_address(files.get(image.image))) for image in chosen),
        networks=len(runs),
        tested=len(images),
        wrong=len(wrong),
        no_pictures=reason,
    )


def _wrong_image(guesses: Sequence[Guess]) -> WrongImage:
    """The entry of an image from all wrong predictions for it."""
    counts = Counter(guess.predicted for guess in guesses)
    predicted = min(counts, key=lambda name: (-counts[name], name))
    confidence = fmean(guess.probability for guess in guesses if guess.predicted == predicted)
    first = guesses[0]
    return WrongImage(
        presentable(first.image),
        presentable(first.true),
        presentable(predicted),
        confidence,
        len(guesses),
        picture="",
    )


def _rank(image: WrongImage) -> tuple[int, float, str]:
    """The sort key of the gallery."""
    return -image.networks, -image.probability, image.image


def _address(picture: bytes | None) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}" if picture else ""


def _classes(run: RunRecord, guesses: Sequence[Guess]) -> list[str]:
    """The classes in the run's order, then those that only the predictions have."""
    present = {name for guess in guesses for name in (guess.true, guess.predicted)}
    return [*run.classes, *sorted(present - set(run.classes))]


def matrix(
    counts: Mapping[tuple[str, str], int],
    classes: Sequence[str],
    *,
    title: str,
    how: str,
    cells: Literal["count", "share"] = "count",
    without: Sequence[str] = (),
) -> Figure:
    """A confusion matrix as a chart, its cells in numbers or in percent of the true class.

    The last column has the percentage of each true class that has another one; classes `without` it have none.
    """
    labels = [presentable(name) for name in classes]
    last = said("error, %")
    drawn: list[Spec] = []
    rates: list[Spec] = []
    for true, name in zip(classes, labels, strict=True):
        total = sum(counts.get((true, other), 0) for other in classes)
        for predicted, other in zip(classes, labels, strict=True):
            count = counts.get((true, predicted), 0)
            if count:
                kind = "right" if true == predicted else "wrong"
                drawn.append({"true": name, "predicted": other, "count": count, "share": count / total, "kind": kind})
        if total and true not in without:
            rates.append({"true": name, "predicted": last, "rate": 100 * (1 - counts.get((true, true), 0) / total)})
    across = {
        "field": "predicted",
        "type": "nominal",
        "sort": [*labels, last],
        "scale": {"domain": [*labels, last]},
        "title": said("predicted class"),
        "axis": {"orient": "top", "labelAngle": -90 if max(map(len, labels)) > 2 else 0, "labelLimit": 90},
    }
    down: Spec = {"field": "true", "type": "nominal", "sort": labels, "title": said("true class")}
    down["scale"] = {"domain": labels}
    tooltip = [
        {"field": "true", "title": said("true class")},
        {"field": "predicted", "title": said("predicted class")},
        titled("count"),
        {**titled("share"), "format": ".1%"},
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
    match cells:
        case "count":
            text: Spec = {"field": "count"}
            ways: Spec = {}
        case "share":
            text = {"field": "percent", "type": "nominal"}
            ways = {"transform": [{"calculate": "format(100 * datum.share, '.1f')", "as": "percent"}]}
    chart = {
        "encoding": {"x": across, "y": down},
        "layer": [
            {"data": {"name": "cells"}, "mark": "rect", "encoding": {"color": shade, "tooltip": tooltip}},
            {
                "data": {"name": "cells"},
                **ways,
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {"text": text, "color": ink, "tooltip": tooltip},
            },
            {
                "data": {"name": "rates"},
                "mark": {"type": "text", "fontSize": 10, "fontWeight": "bold"},
                "encoding": {"text": {"field": "rate", "format": ".1f"}},
            },
        ],
    }
    spec = complete_chart(chart, {"cells": drawn, "rates": rates}, title=title, how=how, height=60 + 22 * len(classes))
    return Figure("confusions", title, spec)


def _table(counts: Mapping[tuple[str, str], int], classes: Sequence[str]) -> Table:
    """The classes, sorted by their error."""
    lines = sorted(_errors(counts, classes), key=lambda line: -line[1])[:MOST_ROWS]
    columns = (
        *words("true class", "most frequent wrong class"),
        *numbers("predictions", "errors"),
        Column("error", "%", ".1f"),
    )
    return Table(columns=columns, rows=tuple(row for row, _ in lines))


def _errors(counts: Mapping[tuple[str, str], int], classes: Sequence[str]) -> Iterator[tuple[tuple[Cell, ...], float]]:
    """A row of the table for each class, and its share of errors."""
    for true in classes:
        others = {name: counts.get((true, name), 0) for name in classes if name != true}
        wrong = sum(others.values())
        total = wrong + counts.get((true, true), 0)
        if total:
            most = max(others, key=lambda name: others[name]) if wrong else ""
            confused = f"{presentable(most)} ({others[most]:,})" if wrong else "–"
            row = (presentable(true), confused, total, wrong, 100 * wrong / total)
            yield row, wrong / total
