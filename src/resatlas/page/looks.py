"""What detectors and segmenters find and miss in test images, looked at again: charts and worst images."""

import base64
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Literal, NamedTuple

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable
from resatlas.page.chart import COLOURS, complete_chart, legend_filter, legend_of
from resatlas.page.confusion import MOST_CLASSES, matrix
from resatlas.page.figure import Figure, Spec
from resatlas.runs.record import RunRecord

MOST_CURVES = 10
"""Largest number of classes that have a precision-recall curve of their own."""

_DASHES = ([1, 0], [6, 3])


class Curve(NamedTuple):
    """The precision at 101 recalls, 0, 0.01, … 1, of the boxes right at an IoU; the mean over classes has no label."""

    overlap: float
    precisions: tuple[float, ...]
    label: str = ""


class Shown(NamedTuple):
    """A test image with its mistakes in words, and a PNG or JPEG file; empty if the image cannot be read."""

    image: str
    mistakes: str
    picture: bytes


class Swatch(NamedTuple):
    """What a colour in the pictures stands for."""

    colour: tuple[int, int, int]
    words: str


class Look(NamedTuple):
    """What one run finds in its test images.

    `labels` are the classes, with one for no object; `counts` are (true, predicted) objects or pixels. `shown` are the
    images with most mistakes, of the `erring` ones that have any; `rule` says how they were chosen and drawn.
    """

    of: Literal["objects", "pixels"]
    labels: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]
    curves: tuple[Curve, ...]
    shown: tuple[Shown, ...]
    legend: tuple[Swatch, ...]
    rule: str
    erring: int
    images: int


Looks = Callable[[RunRecord], Look | str]
"""Looks again at the test images of a run, or says in a sentence which parts of the page are missing and why."""


def no_looks(run: RunRecord) -> str:
    """The reason on a page that is made without a data set."""
    return f"{missing(run)}: this page was made from the run folders only, without the data set."


def missing(run: RunRecord) -> str:
    """The beginning of a sentence on what cannot be shown of a run."""
    return f"Curves, confusion matrix and worst images of {presentable(run.name)} are missing"


class Picture(NamedTuple):
    """An image of the gallery: its name and mistakes in words, and a data address, or nothing."""

    image: str
    mistakes: str
    address: str


class LookedAt(NamedTuple):
    """What the page shows of a look: charts, images with most mistakes, and what their colours stand for."""

    label: str
    run: str
    figures: tuple[Figure, ...]
    confusion: Figure | None
    pictures: tuple[Picture, ...]
    wide: bool
    legend: tuple[tuple[str, str], ...]
    rule: str
    erring: int
    images: int


def looked_at(group: Group, look: Look) -> LookedAt:
    """The part of the page about a look at the first run of a group."""
    run = group.runs[0]
    design = presentable(group.label)
    return LookedAt(
        label=design,
        run=presentable(run.name),
        figures=tuple(_class_curves(design, look)),
        confusion=_confusions(design, look) if len(look.labels) <= MOST_CLASSES else None,
        pictures=tuple(Picture(presentable(one.image), one.mistakes, _address(one.picture)) for one in look.shown),
        wide=look.of == "pixels",
        legend=tuple((f"rgb{swatch.colour}", presentable(swatch.words)) for swatch in look.legend),
        rule=look.rule,
        erring=look.erring,
        images=look.images,
    )


def mean_curves(looks: Sequence[tuple[str, Look]]) -> Figure | None:
    """Precision over recall, the mean over the classes, of some designs; None without curves."""
    curves = [(label, curve) for label, look in looks for curve in look.curves if not curve.label]
    if not curves:
        return None
    values = [
        {
            "series": f"{label}, IoU {curve.overlap:g}",
            "group": label,
            "overlap": f"IoU {curve.overlap:g}",
            **_points(curve),
        }
        for label, curve in curves
    ]
    labels = list(dict.fromkeys(label for label, _ in curves))
    overlaps = list(dict.fromkeys(value["overlap"] for value in values))
    title = "Precision over recall, mean over the classes"
    how = "one run of each design; a box is right from this IoU with its object on"
    chart = _curve_chart(
        colour=_scale("group", labels),
        dash={"field": "overlap", "type": "nominal", "scale": {"domain": overlaps, "range": list(_DASHES)}},
        tooltip="series",
    )
    return Figure(
        "precision-recall", title, complete_chart(chart, {"values": values}, title=title, how=how, height=260)
    )


def _class_curves(design: str, look: Look) -> list[Figure]:
    """Precision over recall of each class; none if there are many."""
    curves = [curve for curve in look.curves if curve.label]
    if not curves:
        return []
    labels = [presentable(curve.label) for curve in curves]
    values = [{"series": name, "group": name, **_points(curve)} for name, curve in zip(labels, curves, strict=True)]
    title = f"Precision over recall of each class, {design}"
    how = f"boxes are right from an IoU of {curves[0].overlap:g} on"
    dashes = [_DASHES[k // len(COLOURS) % len(_DASHES)] for k in range(len(labels))]
    dash = {"field": "group", "type": "nominal", "scale": {"domain": labels, "range": dashes}}
    chart = _curve_chart(colour=_scale("group", labels), dash=dash, tooltip="series")
    spec = complete_chart(chart, {"values": values}, title=title, how=how, height=260)
    return [Figure("precision-recall-classes", title, spec)]


def _curve_chart(*, colour: Spec, dash: Spec, tooltip: str) -> Spec:
    """Lines of precision over recall; each row of the data is a whole curve, which the chart takes apart."""
    filtered = legend_filter("group")
    axis = {"type": "quantitative", "scale": {"domain": [0, 1]}}
    return {
        "data": {"name": "values"},
        "transform": [{"flatten": ["recall", "precision"]}],
        **filtered["params"],
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "recall", "title": "recall", **axis},
            "y": {"field": "precision", "title": "precision", **axis},
            "detail": {"field": "series"},
            "color": colour,
            "strokeDash": dash,
            "opacity": filtered["opacity"],
            "tooltip": [{"field": tooltip, "title": "curve"}],
        },
    }


def _points(curve: Curve) -> Spec:
    last = len(curve.precisions) - 1
    return {
        "recall": [round(k / last, 4) for k in range(last + 1)],
        "precision": [round(value, 4) for value in curve.precisions],
    }


def _scale(field: str, labels: Sequence[str]) -> Spec:
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(labels))]
    legend = {**legend_of(labels), "symbolType": "stroke", "symbolSize": 300, "symbolStrokeWidth": 2}
    return {"field": field, "type": "nominal", "scale": {"domain": list(labels), "range": colours}, "legend": legend}


def _confusions(design: str, look: Look) -> Figure:
    title = f"Confusion matrix of {design}"
    match look.of:
        case "objects":
            nothing = presentable(look.labels[-1])
            how = (
                f"objects; “{nothing}”: missed (column) and false boxes (row); shade: share of the true class; error: "
                "% missed or of another class"
            )
            return matrix(look.counts, look.labels, title=title, how=how, without=look.labels[-1:])
        case "pixels":
            how = "% of the pixels of the true class; last column: % of its pixels with another class"
            return matrix(look.counts, look.labels, title=title, how=how, cells="share")


def _address(picture: bytes) -> str:
    if not picture:
        return ""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def figures_of(parts: Sequence[LookedAt]) -> tuple[Figure, ...]:
    """All charts, in the order of the page."""
    return tuple(chain.from_iterable((*part.figures, *filter(None, [part.confusion])) for part in parts))
