"""Training curves: loss, validation error and gradient by epochs, the learning rate by steps, with its drops."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from resatlas.comparing.questions import Group
from resatlas.page.chart import (
    RULE,
    Kind,
    complete_chart,
    drawable,
    legend_filter,
    legend_of,
    log_scale,
    look_of,
    opacity,
    titled,
)
from resatlas.page.figure import Figure, Spec
from resatlas.recipes import schedule
from resatlas.recipes.detection import Classify, Segment
from resatlas.recipes.recipe import Recipe
from resatlas.runs.record import EpochRow, RunRecord
from resatlas.values.language import known, said, with_and

_DASHES = ([1, 0], [7, 3], [3, 3], [1, 3], [9, 3, 2, 3])
"""Dashes of the designs of one family, from the largest to the smallest; all further ones have the last."""

_MOST_STEPS = 200
"""Steps whose learning rate is drawn."""

_MOST_TURNS = 4
"""Turning points of a learning rate up to which it is described piece by piece."""


def curves(groups: Sequence[Group]) -> tuple[Figure, ...]:
    """Training loss, validation error, gradient and learning rate; a chart without values is left out."""
    how, drops = said("; ").join([said("bold: mean, thin: seeds"), _rates_in_words(groups)]), _drops(groups)
    panels: tuple[tuple[str, str, str, str, Kind], ...] = (
        ("training-loss", "train_loss", said("Training loss"), log_scale(loss_words(groups)), "log"),
        (
            "validation-error",
            "validation_error_percent",
            said("Validation error"),
            error_words(groups, "validation"),
            "linear",
        ),
        (
            "gradient-norm",
            "gradient_norm",
            said("Norm of the gradient"),
            log_scale(said("mean over the steps of an epoch, before clipping")),
            "log",
        ),
    )
    drawn = [
        _curve_panel(
            name,
            values,
            groups,
            title=said("{quantity}, epoch by epoch", quantity=quantity),
            quantity=quantity,
            how=said("; ").join([unit, how]),
            scale=scale,
            drops=drops,
        )
        for name, key, quantity, unit, scale in panels
        if (values := _epochs(groups, key, scale))
    ]
    return (*drawn, *_rate_panel(groups))


def _rate_panel(groups: Sequence[Group]) -> Iterator[Figure]:
    """The learning rate step by step, or at the ends of epochs if one of them depends on errors, if it is known."""
    quantity = said("Learning rate")
    stepwise = not any(schedule.waits_for_errors(group.experiment.recipe.schedule) for group in groups)
    values: list[Spec] = []
    for group in groups:
        run = group.runs[0]
        rates = _rates_of_steps(group.experiment.recipe, run.metrics) if stepwise else _rates_of(run)
        values += [{"group": group.label, "run": run.name, "epoch": at, "value": rate} for at, rate in rates]
    title = (
        said("{quantity}, step by step", quantity=quantity)
        if stepwise
        else said("{quantity}, epoch by epoch", quantity=quantity)
    )
    how = said("of the first seed, by the recipe") if stepwise else said("rate at the end of the epoch")
    if values:
        yield _curve_panel(
            "learning-rate", values, groups, title=title, quantity=quantity, how=how, scale="linear", drops=[]
        )


def error_words(groups: Sequence[Group], part: Literal["test", "validation"]) -> str:
    """What an error is, and of which images: the share of misclassified ones, or what results.json calls it."""
    measures = list(dict.fromkeys(group.runs[0].outcome.test.measure for group in groups))
    share = {"test": said("% of the test images"), "validation": said("% of the validation images")}[part]
    return with_and(
        said("{measure}, {share}", measure=known(measure), share=share) if measure else share for measure in measures
    )


def loss_words(groups: Sequence[Group]) -> str:
    """What the training loss is."""
    sums = {not isinstance(group.experiment.recipe.task, Classify | Segment) for group in groups}
    return with_and(said("sum of the losses") if summed else said("cross-entropy") for summed in sorted(sums))


def _epochs(groups: Sequence[Group], key: str, scale: Kind) -> list[Spec]:
    return [
        {"group": group.label, "run": run.name, "epoch": epoch.epoch, "value": getattr(epoch, key)}
        for group in groups
        for run in group.runs
        for epoch in run.metrics
        if drawable(getattr(epoch, key), scale)
    ]


def _rates_of_steps(recipe: Recipe, epochs: Sequence[EpochRow]) -> Iterator[tuple[float, float]]:
    """The position of some steps in epochs, the last among them, and their learning rates."""
    if not epochs:
        return
    last, epoch = epochs[-1].step - 1, epochs[0].step // epochs[0].epoch  # the last epoch may be cut short
    steps = recipe.iterations or recipe.epochs * epoch
    for step in (*range(0, last, max(1, last // _MOST_STEPS)), last):
        progress = schedule.progress(recipe.schedule, step=step, steps=steps, epoch=epoch)
        yield step / epoch, schedule.rate(recipe.schedule, progress)


def _curve_panel(
    name: str,
    values: Sequence[Spec],
    groups: Sequence[Group],
    *,
    title: str,
    quantity: str,
    how: str,
    scale: Kind,
    drops: Sequence[Spec],
) -> Figure:
    labels = [group.label for group in groups]
    colour = {"domain": labels, "range": [look_of(group.row.family)[0] for group in groups]}
    layers = _lines(groups, quantity, scale)
    if drops:
        layers.insert(
            0,
            {
                "data": {"name": "drops"},
                "mark": {"type": "rule", "strokeDash": [2, 2], "color": RULE},
                "encoding": {"color": {"value": RULE}, "tooltip": [titled("epoch"), titled("rate")]},
            },
        )
    chart = {
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative", "title": said("epoch"), "axis": {"tickMinStep": 1}},
            "color": {"field": "group", "type": "nominal", "scale": colour, "legend": _legend(labels)},
        },
        "layer": layers,
    }
    data = {"values": values, **({"drops": drops} if drops else {})}
    return Figure(name, title, complete_chart(chart, data, title=title, how=how, height=300))


def _legend(labels: Sequence[str]) -> Spec:
    return {**legend_of(labels), "symbolType": "stroke", "symbolSize": 300, "symbolStrokeWidth": 2}


def _lines(groups: Sequence[Group], quantity: str, scale: Kind) -> list[Spec]:
    """Thin lines of runs, bold ones of their means, and points of these, which say their values."""
    labels = [group.label for group in groups]
    upward = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "scale": {"type": scale, "nice": scale == "linear"},
    }
    means = {"data": {"name": "values"}, "encoding": {"y": {**upward, "aggregate": "mean"}}}
    filtered = legend_filter("group")
    dashes = {"domain": labels, "range": _dashes(groups)}
    return [
        {
            "data": {"name": "values"},
            "mark": {"type": "line", "strokeWidth": 1},
            "encoding": {"y": upward, "detail": {"field": "run"}, "opacity": opacity(0.25)},
        },
        {
            **means,
            **filtered["params"],
            "mark": {"type": "line", "strokeWidth": 2.5},
            "encoding": {
                **means["encoding"],
                "strokeDash": {"field": "group", "type": "nominal", "scale": dashes, "legend": _legend(labels)},
                "opacity": filtered["opacity"],
            },
        },
        {
            **means,
            "mark": {"type": "point", "size": 40, "opacity": 0},
            "encoding": {
                **means["encoding"],
                "tooltip": [
                    {"field": "group", "title": said("design")},
                    titled("epoch"),
                    {"field": "value", "aggregate": "mean", "format": ".4g", "title": quantity},
                ],
            },
        },
    ]


def _drops(groups: Iterable[Group]) -> list[Spec]:
    """The epochs whose learning rate is lower than the equal rates of the two epochs before."""
    drops: dict[int, str] = {}
    for group in groups:
        rates = _rates_of(group.runs[0])
        for (_, before), (_, last), (epoch, rate) in zip(rates, rates[1:], rates[2:], strict=False):
            if math.isclose(before, last) and rate < last and not math.isclose(rate, last):
                drops.setdefault(epoch, said("{before:.3g} to {after:.3g}", before=last, after=rate))
    return [{"epoch": epoch, "rate": drops[epoch]} for epoch in sorted(drops)]


def _rates_in_words(groups: Sequence[Group]) -> str:
    """The learning rates in words."""
    drops = _drops(groups)
    if drops:
        epochs = said(", ").join(str(drop["epoch"]) for drop in drops)
        return said("dotted: the learning rate drops ({epochs})", epochs=epochs)
    rates = [tuple(rate for _, rate in _rates_of(group.runs[0])) for group in groups]
    schedules = list(dict.fromkeys(_rate_in_words(run_rates) for run_rates in rates if run_rates))
    match schedules:
        case []:
            return said("the learning rate is not recorded")
        case [schedule]:
            return said("the learning rate {schedule}", schedule=schedule)
        case [one, other]:
            return said("the learning rate {schedule}; in other runs it {other}", schedule=one, other=other)
        case _:
            most = max(map(max, filter(None, rates)))
            return said("the learning rates differ, up to {most:.3g}", most=most)


def _rate_in_words(rates: Sequence[float]) -> str:
    """The learning rate of a run in words, for example "rises from 0.063 to 0.0976, then falls to 0.002"."""
    ends = [rates[0]]
    for before, rate in pairwise(rates):
        if math.isclose(before, rate):
            continue
        if len(ends) > 1 and (rate > before) == (ends[-1] > ends[-2]):
            ends[-1] = rate
        else:
            ends.append(rate)
    if len(ends) == 1:
        return said("is {rate:.3g} throughout", rate=rates[0])
    if len(ends) > _MOST_TURNS:
        return said("varies between {least:.3g} and {most:.3g}", least=min(rates), most=max(rates))
    words = (
        said("rises from {start:.3g} to {rate:.3g}", start=ends[0], rate=ends[1])
        if ends[1] > ends[0]
        else said("falls from {start:.3g} to {rate:.3g}", start=ends[0], rate=ends[1])
    )
    for before, rate in pairwise(ends[1:]):
        words = (
            said("{before}, then rises to {rate:.3g}", before=words, rate=rate)
            if rate > before
            else said("{before}, then falls to {rate:.3g}", before=words, rate=rate)
        )
    return words


def _rates_of(run: RunRecord) -> list[tuple[int, float]]:
    return [
        (epoch.epoch, epoch.learning_rate)
        for epoch in run.metrics
        if epoch.learning_rate is not None and drawable(epoch.learning_rate, "linear")
    ]


def _dashes(groups: Sequence[Group]) -> list[list[int]]:
    """The dash of each group; the largest design of a family has a solid line."""
    dashes = []
    for group in groups:
        larger = sum(
            other.row.family == group.row.family and (other.row.depth, other.label) > (group.row.depth, group.label)
            for other in groups
        )
        dashes.append(_DASHES[min(larger, len(_DASHES) - 1)])
    return dashes
