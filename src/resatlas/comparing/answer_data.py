"""An answered question as JSON values, and its pairs as the rows of a CSV."""

from collections.abc import Iterator, Sequence
from statistics import stdev
from typing import Any

from resatlas.comparing.answering import Answered
from resatlas.comparing.budgets import BUDGETS, amount_of
from resatlas.comparing.differences import Difference
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group, sizes_of
from resatlas.comparing.seconds import left_out
from resatlas.comparing.sentences import sentences
from resatlas.comparing.settled import Basis, Judged, Settled, Tested
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import presentable
from resatlas.runs.files import csv_text


def data(answered: Answered) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "question": presentable(answered.question.title),
        "data": answered.question.data,
        "images": answered.question.images,
        "level": LEVEL,
        "power": POWER,
        "asked_points": answered.points,
        "metric": answered.question.measure.metric,
        "target_percent": answered.question.measure.target_percent,
        "margin": answered.margin,
        "global_p": answered.global_p,
        "warnings": list(answered.warnings),
        "designs": [_design(group, answered) for group in answered.question.groups],
        "curves": _curves(answered.question.groups),
        "pairs": [_pair(pair, answered) for pair in answered.pairs],
        "nets": [
            {
                "first": each.first.label,
                "second": each.second.label,
                "seeds": list(each.seeds),
                "first_alone": each.first_alone,
                "second_alone": each.second_alone,
                "p_of_two_nets": each.chance,
            }
            for each in answered.nets
        ],
        "notes": list(answered.notes),
    }


def _design(group: Group, answered: Answered) -> dict[str, Any]:
    sample = group.row.test_error_percent
    return {
        "label": group.label,
        "design": group.row.design,
        "family": group.row.family,
        "recipe": group.row.recipe,
        "epochs": group.row.epochs,
        "seeds": list(group.seeds),
        "values": list(group.values),
        "diverged": list(group.diverged),
        "errors_percent": list(group.errors),
        "mean_percent": sample.mean,
        "deviation": sample.deviation,
        "parameters": group.row.parameters,
        "multiply_adds": group.row.multiply_adds,
        "seconds": group.seconds,
        "seconds_spread": list(group.seconds_spread),
        "published": [
            {
                "percent": float(each.value),
                "spread": None if each.spread is None else float(each.spread),
                "protocol": each.protocol,
                "source": each.source,
            }
            for each in answered.published[group.label]
        ],
    }


def _curves(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Of each kind with several sizes, by its labels, the mean errors over each budget."""
    kinds = [sizes_of(group, groups) for group in groups]
    return [
        {
            "labels": [group.label for group in sizes],
            "error_percent": [group.row.test_error_percent.mean for group in sizes],
            **{budget: [amount_of(group, budget) for group in sizes] for budget in BUDGETS},
        }
        for sizes in dict.fromkeys(kinds)
        if len(sizes) > 1
    ]


def _pair(pair: Judged, answered: Answered) -> dict[str, Any]:
    measure = answered.question.measure
    return {
        "first": pair.first.label,
        "second": pair.second.label,
        "claim": pair.claim,
        "verdict": pair.verdict,
        "reasons": list(pair.reasons),
        "sentences": list(sentences(pair, measure, points=answered.points, margin=answered.margin)),
        "p_at_equal_budgets": pair.chance,
        "interval_seeds": pair.trained and pair.trained.interval_seeds,
        "interval_images": pair.trained and pair.trained.interval_images,
        "verdicts": {basis: _settled(each) for basis, each in pair.verdicts.items()},
        "without_diverged": pair.survivors and {b: each.verdict for b, each in pair.survivors.verdicts.items()},
        "as_trained": None if pair.trained is None else _difference(pair.trained),
        "correlation": pair.correlation,
        "second_opinions": {each.name: {"p": each.chance, "least_p": each.least} for each in pair.opinions},
        "equal_budgets": {
            budget: found if isinstance(found, str) else [_tested(each) for each in found]
            for budget, found in pair.equal.items()
        }
        | ({"seconds": left_out(pair.first, pair.second)} if pair.equal else {}),
    }


def _settled(settled: Settled) -> dict[str, Any]:
    """A verdict with the difference on which it hangs: the one that is the least certain."""
    found = max(settled.tested, key=lambda each: each.difference.chance).difference if settled.tested else None
    return {
        "verdict": settled.verdict,
        "p_holm": settled.chance,
        "points": found and found.points,
        "interval_seeds": found and found.interval_seeds,
        "interval_images": found and found.interval_images,
        "slack": found and found.slack,
        "visible_points": found and found.visible and found.visible._asdict(),
        "nets_needed": found and found.nets._asdict(),
        "reasons": list(settled.reasons),
    }


def _tested(tested: Tested) -> dict[str, Any]:
    first, second = ((low + high) / 2 for low, high in (tested.first, tested.second))
    amount = {"amount": tested.amount, "first_percent": first, "second_percent": second}
    return {**amount, "first_bounds": tested.first, "second_bounds": tested.second, **_difference(tested.difference)}


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "points": found.points,
        "interval": [found.low, found.high],
        "interval_seeds": found.interval_seeds,
        "interval_images": found.interval_images,
        "slack": found.slack,
        "p": found.chance,
        "p_seeds": found.chance_seeds,
        "p_images": found.chance_images,
        "p_holm": found.adjusted,
        "method": found.method,
        "degrees": found.degrees,
        "visible_points": found.visible and found.visible._asdict(),
        "nets_needed": found.nets._asdict(),
    }


BASES: tuple[Basis, ...] = ("multiply-adds", "parameters", "sizes")

HEAD = (
    *("question", "data", "first", "second"),
    *(f"{side}_{what}" for side in ("first", "second") for what in ("nets", "mean_percent", "deviation")),
    *("points", "low", "high", "p", "p_holm", "method", "correlation"),
    *("visible_points", "visible_low", "visible_high", "asked_points", "nets_needed", "nets_low", "nets_high"),
    *("p_at_equal_budgets", "verdict", "reasons"),
    *("images_low", "images_high", "at_equal_multiply_adds", "at_equal_parameters", "across_sizes"),
)


def as_csv(answers: Sequence[Answered]) -> str:
    """One row a pair, numbers of six digits; empty cells for what cannot be told."""
    rows = [tuple(map(_rounded, row)) for each in answers for row in _rows(each)]
    return csv_text(HEAD, rows).rstrip("\n")


def _rounded(cell: object) -> object:
    return float(f"{cell:.6g}") if isinstance(cell, float) else cell


def _rows(answered: Answered) -> Iterator[tuple[object, ...]]:
    question = (presentable(answered.question.title), answered.question.data)
    for pair in answered.pairs:
        sides = [
            cell
            for group in (pair.first, pair.second)
            for cell in (len(group.values), group.mean, stdev(group.values) if len(group.values) > 1 else None)
        ]
        yield (
            *(*question, pair.first.label, pair.second.label, *sides, *_cells(pair, answered.points)),
            *(pair.chance, pair.verdict, "; ".join(pair.reasons)),
            *((pair.trained.interval_images if pair.trained else None) or (None, None)),
            *(pair.verdicts[basis].verdict if basis in pair.verdicts else None for basis in BASES),
        )


def _cells(pair: Judged, points: float) -> tuple[object, ...]:
    found = pair.trained
    if found is None:
        return (*(None,) * 6, pair.correlation, *(None,) * 3, points, *(None,) * 3)
    return (
        *(found.points, found.low, found.high, found.chance, found.adjusted, found.method, pair.correlation),
        *(*(found.visible or (None,) * 3), points, *found.nets),
    )
