"""Lesion tables: each unit removed, the extra error of down-sampling units, random deletions and random orders."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from resatlas.analysis.damage import (
    Damage,
    Score,
    deletion_damage,
    exchangeable_pairs,
    lesions,
    possible_lesions,
    reordered_units,
    reordering_damage,
    whole_score,
)
from resatlas.analysis.probed_run import Probed
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.data.loading import Batch
from resatlas.nets.network import Network
from resatlas.values.table import Table, of_unit, table

_STATISTICS_IMAGES = 512
"""Default number of training images on which BN statistics are re-estimated."""

_DRAWS = 5
"""Random deletions, and random orders, for each count."""

_STEPS = 3
"""Number of different counts of deleted units, and of swapped pairs."""


@dataclass(frozen=True, kw_only=True)
class LesionRow:
    """One lesion; an increase is relative to the whole network."""

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
    """The extra error of one network when a down-sampling unit is removed rather than another unit.

    Contrast: mean error over the lesions of down-sampling units, minus the median over those of all other units.
    """

    run: str = of_unit("")
    design: str = of_unit("")
    error_whole: float = of_unit("%")
    contrast_frozen: float | None = of_unit("percentage points")
    contrast_reestimated: float | None = of_unit("percentage points")


@dataclass(frozen=True, kw_only=True)
class DrawnRow:
    """Several random damages of the same size."""

    count: int = of_unit("units or pairs")
    draws: int = of_unit("draws")
    error_frozen_lowest: float = of_unit("%")
    error_frozen_median: float = of_unit("%")
    error_frozen_highest: float = of_unit("%")
    error_reestimated_median: float = of_unit("%")


def probe(runs: Sequence[Probed], *, images: int | None, swaps: Sequence[tuple[str, str]] = ()) -> ProbeResult:
    """All lesions of the first run, and the contrast of every run.

    Raises: DesignError as `reordered_units`.
    """
    first = runs[0]
    for pair in swaps:
        reordered_units(first.network, [pair])
    selection, statistics_batches = first.held_out(images), first.training(images or _STATISTICS_IMAGES).batches
    contrasts = []
    rows: list[LesionRow] = []
    for run in runs:
        run_rows, score = _rows(run, images)
        contrasts.append(_contrast(run, run_rows, score))
        rows = rows or run_rows
    tables = _tables(contrasts, rows, _random_deletions(first.network, selection.batches, statistics_batches))
    notes = []
    if exchangeable_pairs(first.plan):
        orders = _random_orders(first.network, selection.batches, statistics_batches)
        tables.append(table("random pairs of units of the same shape swapped", DrawnRow, orders))
    else:
        notes.append(f"no two units of {first.name} have the same shape, so no units can be swapped")
    if swaps:
        damage = reordering_damage(first.network, swaps, selection.batches, statistics_batches)
        swapped = ", ".join(" and ".join(pair) for pair in swaps)
        notes.append(
            f"with {swapped} swapped, the error is {damage.frozen.error_percent:.4g} % with BN statistics kept, "
            f"{damage.reestimated.error_percent:.4g} % with BN statistics re-estimated"
        )
    return ProbeResult(
        question="lesion",
        title="units replaced by their shortcuts",
        runs=tuple(run.name for run in runs),
        images=selection.description,
        facts=tuple(_contrast_facts(contrasts)),
        tables=tuple(tables),
        notes=tuple(notes),
    )


def _rows(run: Probed, images: int | None) -> tuple[list[LesionRow], Score]:
    """All lesions of a run, and the score of its whole network."""
    scored_batches, statistics_batches = (
        run.held_out(images).batches,
        run.training(images or _STATISTICS_IMAGES).batches,
    )
    score, units = whole_score(run.network, scored_batches), dict(run.plan.units)
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
        for lesion, damage in lesions(run.network, scored_batches, statistics_batches)
    ]
    return rows, score


def _contrast(run: Probed, rows: Sequence[LesionRow], score: Score) -> ContrastRow:
    whole_units = [row for row in rows if row.stream == "all"]
    down = [row for row in whole_units if row.down_sampling == "yes"]
    others = [row for row in whole_units if row.down_sampling == "no"]
    frozen = reestimated = None
    if down and others:
        frozen = mean(row.error_frozen for row in down) - median(row.error_frozen for row in others)
        reestimated = mean(row.error_reestimated for row in down) - median(row.error_reestimated for row in others)
    return ContrastRow(
        run=run.name,
        design=run.design,
        error_whole=score.error_percent,
        contrast_frozen=frozen,
        contrast_reestimated=reestimated,
    )


def _contrast_facts(rows: Sequence[ContrastRow]) -> Iterator[Fact]:
    """Mean and standard deviation of the contrast over the networks of each design."""
    for design in dict.fromkeys(row.design for row in rows):
        for kind, statistics in (("frozen", "kept"), ("reestimated", "re-estimated")):
            contrasts = [getattr(row, f"contrast_{kind}") for row in rows if row.design == design]
            values = [value for value in contrasts if value is not None]
            name = f"extra error of {design} when a down-sampling unit is removed, BN statistics {statistics}"
            unit = f"percentage points, n = {len(values)} {'network' if len(values) == 1 else 'networks'}"
            yield Fact(
                name=f"{name}, mean" if len(values) > 1 else name, unit=unit, value=mean(values) if values else None
            )
            if len(values) > 1:
                yield Fact(name=f"{name}, standard deviation", unit="percentage points", value=stdev(values))


def _tables(contrasts: Sequence[ContrastRow], rows: Sequence[LesionRow], drawn: Sequence[DrawnRow]) -> list[Table]:
    return [
        table(
            "extra error without a down-sampling unit",
            ContrastRow,
            contrasts,
            note="n is the number of networks, not of units",
        ),
        table("each unit replaced by its shortcut", LesionRow, rows),
        table("several random units deleted", DrawnRow, drawn),
    ]


def _random_deletions(
    network: Network, scored_batches: Sequence[Batch], statistics_batches: Sequence[Batch]
) -> list[DrawnRow]:
    """Random deletions of units that have the same input and output shape."""
    candidates = [
        path for path, unit in network.plan.units if unit.input == unit.output and possible_lesions(path, unit)
    ]
    draw = random.Random(0)  # noqa: S311 - no secret
    return [
        _summary(
            count,
            [
                deletion_damage(network, draw.sample(candidates, count), scored_batches, statistics_batches)
                for _ in range(_DRAWS)
            ],
        )
        for count in _counts(len(candidates))
    ]


def _random_orders(
    network: Network, scored_batches: Sequence[Batch], statistics_batches: Sequence[Batch]
) -> list[DrawnRow]:
    """Random swaps of units of the same shape."""
    pairs = exchangeable_pairs(network.plan)
    draw = random.Random(0)  # noqa: S311 - no secret
    return [
        _summary(
            count,
            [
                reordering_damage(network, draw.choices(pairs, k=count), scored_batches, statistics_batches)
                for _ in range(_DRAWS)
            ],
        )
        for count in _counts(len({path for pair in pairs for path in pair}) - 1)
    ]


def _counts(most: int) -> list[int]:
    """A few whole numbers, evenly spaced from 1 to the largest."""
    return sorted({round(1 + (most - 1) * k / (_STEPS - 1)) for k in range(_STEPS)}) if most else []


def _summary(count: int, damages: Sequence[Damage]) -> DrawnRow:
    """The row of several random damages of the same size."""
    frozen = [damage.frozen.error_percent for damage in damages]
    return DrawnRow(
        count=count,
        draws=len(damages),
        error_frozen_lowest=min(frozen),
        error_frozen_median=median(frozen),
        error_frozen_highest=max(frozen),
        error_reestimated_median=median(damage.reestimated.error_percent for damage in damages),
    )
