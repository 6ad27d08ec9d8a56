"""Lesions of trained networks in tables: each unit, the contrast of each network, units and orders drawn by lot."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.damage import Damage, Score, deleted, exchangeable, lesions, moved, possible, reordered, whole
from resatlas.analysis.subject import Subject
from resatlas.data.loading import Batch
from resatlas.nets.network import Network
from resatlas.values.table import of_unit, table

ESTIMATING = 512
"""Training images on which statistics are estimated again, unless told otherwise."""

DRAWS = 5
"""Random deletions, and random orders, of each number."""

STEPS = 3
"""Numbers of units that are deleted together, and of pairs that change places."""


@dataclass(frozen=True, kw_only=True)
class LesionRow:
    """One lesion; an increase is over the whole network."""

    unit: str = of_unit("")
    stream: str = of_unit("")
    down_sampling: str = of_unit("")
    loss_frozen: float = of_unit("nats")
    error_frozen: float = of_unit("%")
    error_increase_frozen: float = of_unit("percentage points")
    loss_reestimated: float = of_unit("nats")
    error_reestimated: float = of_unit("%")
    error_increase_reestimated: float = of_unit("percentage points")


@dataclass(frozen=True, kw_only=True)
class ContrastRow:
    """One network: by how much more its error grows without a down-sampling unit than without another.

    The mean increase over the down-sampling units, less the median over all other units.
    """

    run: str = of_unit("")
    design: str = of_unit("")
    error_whole: float = of_unit("%")
    contrast_frozen: float | None = of_unit("percentage points")
    contrast_reestimated: float | None = of_unit("percentage points")


@dataclass(frozen=True, kw_only=True)
class DrawnRow:
    """Several random damages of one size."""

    count: int = of_unit("units or pairs")
    draws: int = of_unit("draws")
    error_frozen_lowest: float = of_unit("%")
    error_frozen_median: float = of_unit("%")
    error_frozen_highest: float = of_unit("%")
    error_reestimated_median: float = of_unit("%")


def answer(subjects: Sequence[Subject], *, images: int | None, swaps: Sequence[tuple[str, str]] = ()) -> Answer:
    """Lesions of the first run in full; the contrast of every run, so that n is a number of networks.

    Raises: DesignError as `reordered`.
    """
    first = subjects[0]
    for pair in swaps:
        reordered(first.network, [pair])
    held, estimating = first.held_back(images), first.learnt(images or ESTIMATING).batches
    contrasts = []
    rows: list[LesionRow] = []
    for subject in subjects:
        own, score = _rows(subject, images)
        contrasts.append(_contrast(subject, own, score))
        rows = rows or own
    tables = [
        table("contrast of each network", ContrastRow, contrasts, note="n is the number of networks, not of units"),
        table("each unit replaced by its shortcut", LesionRow, rows),
        table("several random units deleted", DrawnRow, _drawn_deletions(first.network, held.batches, estimating)),
    ]
    notes = []
    if exchangeable(first.plan):
        orders = _drawn_orders(first.network, held.batches, estimating)
        tables.append(table("random pairs of units of one shape in each other's place", DrawnRow, orders))
    else:
        notes.append(f"no two units of {first.name} are of one shape, so none of them can change places")
    if swaps:
        damage = moved(first.network, swaps, held.batches, estimating)
        told = f"with {', '.join(' and '.join(pair) for pair in swaps)} in each other's place the error is"
        notes.append(
            f"{told} {damage.frozen.error_percent:.4g} %, {damage.reestimated.error_percent:.4g} % re-estimated"
        )
    return Answer(
        question="lesion",
        title="units replaced by their shortcuts",
        runs=tuple(subject.name for subject in subjects),
        images=held.words,
        facts=tuple(_over_nets(contrasts)),
        tables=tuple(tables),
        notes=tuple(notes),
    )


def _rows(subject: Subject, images: int | None) -> tuple[list[LesionRow], Score]:
    shown, estimating = subject.held_back(images).batches, subject.learnt(images or ESTIMATING).batches
    score, units = whole(subject.network, shown), dict(subject.plan.units)
    rows = [
        LesionRow(
            unit=lesion.unit,
            stream="all" if lesion.stream is None else f"{lesion.stream}",
            down_sampling="yes" if units[lesion.unit].stride > 1 else "no",
            loss_frozen=damage.frozen.loss,
            error_frozen=damage.frozen.error_percent,
            error_increase_frozen=damage.frozen.error_percent - score.error_percent,
            loss_reestimated=damage.reestimated.loss,
            error_reestimated=damage.reestimated.error_percent,
            error_increase_reestimated=damage.reestimated.error_percent - score.error_percent,
        )
        for lesion, damage in lesions(subject.network, shown, estimating)
    ]
    return rows, score


def _contrast(subject: Subject, rows: Sequence[LesionRow], score: Score) -> ContrastRow:
    whole_units = [row for row in rows if row.stream == "all"]
    down = [row for row in whole_units if row.down_sampling == "yes"]
    others = [row for row in whole_units if row.down_sampling == "no"]
    frozen = reestimated = None
    if down and others:
        frozen = mean(row.error_frozen for row in down) - median(row.error_frozen for row in others)
        reestimated = mean(row.error_reestimated for row in down) - median(row.error_reestimated for row in others)
    return ContrastRow(
        run=subject.name,
        design=subject.run.experiment.design,
        error_whole=score.error_percent,
        contrast_frozen=frozen,
        contrast_reestimated=reestimated,
    )


def _over_nets(rows: Sequence[ContrastRow]) -> Iterator[Fact]:
    """Mean and standard deviation of the contrast over the networks of each design."""
    for design in dict.fromkeys(row.design for row in rows):
        for kind in ("frozen", "reestimated"):
            found = [getattr(row, f"contrast_{kind}") for row in rows if row.design == design]
            values = [value for value in found if value is not None]
            name = f"contrast_{kind} of {design}"
            unit = f"percentage points, n = {len(values)} {'network' if len(values) == 1 else 'networks'}"
            yield Fact(name=f"mean {name}", unit=unit, value=mean(values) if values else None)
            if len(values) > 1:
                yield Fact(name=f"standard deviation of {name}", unit="percentage points", value=stdev(values))


def _drawn_deletions(network: Network, shown: Sequence[Batch], estimating: Sequence[Batch]) -> list[DrawnRow]:
    """Deletions of units that keep the shape."""
    kept = [path for path, unit in network.plan.units if unit.input == unit.output and possible(path, unit)]
    draw = random.Random(0)  # noqa: S311 - no secret
    return [
        _drawn(count, [deleted(network, draw.sample(kept, count), shown, estimating) for _ in range(DRAWS)])
        for count in _counts(len(kept))
    ]


def _drawn_orders(network: Network, shown: Sequence[Batch], estimating: Sequence[Batch]) -> list[DrawnRow]:
    pairs = exchangeable(network.plan)
    draw = random.Random(0)  # noqa: S311 - no secret
    return [
        _drawn(count, [moved(network, draw.choices(pairs, k=count), shown, estimating) for _ in range(DRAWS)])
        for count in _counts(len({path for pair in pairs for path in pair}) - 1)
    ]


def _counts(most: int) -> list[int]:
    """A few whole numbers from 1 to the most."""
    return sorted({round(1 + (most - 1) * k / (STEPS - 1)) for k in range(STEPS)}) if most else []


def _drawn(count: int, damages: Sequence[Damage]) -> DrawnRow:
    frozen = [damage.frozen.error_percent for damage in damages]
    return DrawnRow(
        count=count,
        draws=len(damages),
        error_frozen_lowest=min(frozen),
        error_frozen_median=median(frozen),
        error_frozen_highest=max(frozen),
        error_reestimated_median=median(damage.reestimated.error_percent for damage in damages),
    )
