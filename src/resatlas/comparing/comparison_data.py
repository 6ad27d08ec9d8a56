"""A comparison as JSON values, and its pairs as the rows of a CSV."""

from collections.abc import Iterator, Sequence
from statistics import stdev
from typing import Any

from resatlas.comparing.budgets import BUDGETS, amount_of
from resatlas.comparing.compared_pair import Basis, BudgetVerdict, ComparedPair, TestedDifference
from resatlas.comparing.comparison import Comparison
from resatlas.comparing.differences import Difference
from resatlas.comparing.power import POWER
from resatlas.comparing.questions import Group, sizes_of
from resatlas.comparing.seconds import why_left_out
from resatlas.comparing.sentences import verdict_sentences
from resatlas.comparing.statistics import LEVEL
from resatlas.comparing.words import presentable
from resatlas.runs.files import csv_text


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values."""
    question = comparison.question
    return {
        "question": presentable(question.title),
        "data": question.data,
        "images": question.images,
        "level": LEVEL,
        "power": POWER,
        "asked_points": comparison.points,
        "metric": question.measure.metric,
        "target_percent": question.measure.target_percent,
        "margin": comparison.margin,
        "global_p": comparison.global_p,
        "warnings": list(comparison.warnings),
        "designs": [_design(group, comparison) for group in question.groups],
        "curves": _curves(question.groups),
        "pairs": [_pair(pair, comparison) for pair in comparison.pairs],
        "nets": [
            {
                "first": two.first.label,
                "second": two.second.label,
                "seeds": list(two.seeds),
                "first_alone": two.first_alone,
                "second_alone": two.second_alone,
                "p_of_two_nets": two.p,
            }
            for two in comparison.nets
        ],
        "notes": list(comparison.notes),
    }


def _design(group: Group, comparison: Comparison) -> dict[str, Any]:
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
                "percent": float(published.value),
                "spread": None if published.spread is None else float(published.spread),
                "protocol": published.protocol,
                "source": published.source,
            }
            for published in comparison.published[group.label]
        ],
    }


def _curves(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The mean errors of each kind with several sizes, with the labels of these and their amounts of each budget."""
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


def _pair(pair: ComparedPair, comparison: Comparison) -> dict[str, Any]:
    measure, survivors = comparison.question.measure, pair.survivors
    return {
        "first": pair.first.label,
        "second": pair.second.label,
        "claim": pair.claim,
        "verdict": pair.verdict,
        "reasons": list(pair.reasons),
        "sentences": list(verdict_sentences(pair, measure, points=comparison.points, margin=comparison.margin)),
        "p_at_equal_budgets": pair.p,
        "interval_seeds": pair.trained and pair.trained.interval_seeds,
        "interval_images": pair.trained and pair.trained.interval_images,
        "verdicts": {basis: _verdict(verdict) for basis, verdict in pair.verdicts.items()},
        "without_diverged": survivors and {basis: by.verdict for basis, by in survivors.verdicts.items()},
        "as_trained": None if pair.trained is None else _difference(pair.trained),
        "correlation": pair.correlation,
        "second_opinions": {test.name: {"p": test.p, "least_p": test.least} for test in pair.robust_tests},
        "equal_budgets": {
            budget: tested if isinstance(tested, str) else [_tested(difference) for difference in tested]
            for budget, tested in pair.equal.items()
        }
        | ({"seconds": why_left_out(pair.first, pair.second)} if pair.equal else {}),
    }


def _verdict(verdict: BudgetVerdict) -> dict[str, Any]:
    """A verdict with its least certain difference, which determines it."""
    differences = [tested.difference for tested in verdict.tested]
    difference = max(differences, key=lambda difference: difference.p, default=None)
    return {
        "verdict": verdict.verdict,
        "p_holm": verdict.p,
        "points": difference and difference.points,
        "interval_seeds": difference and difference.interval_seeds,
        "interval_images": difference and difference.interval_images,
        "slack": difference and difference.slack,
        "visible_points": difference and difference.detectable and difference.detectable._asdict(),
        "nets_needed": difference and difference.nets._asdict(),
        "reasons": list(verdict.reasons),
    }


def _tested(tested: TestedDifference) -> dict[str, Any]:
    first, second = ((low + high) / 2 for low, high in (tested.first, tested.second))
    amount = {"amount": tested.amount, "first_percent": first, "second_percent": second}
    return {**amount, "first_bounds": tested.first, "second_bounds": tested.second, **_difference(tested.difference)}


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "points": difference.points,
        "interval": [difference.low, difference.high],
        "interval_seeds": difference.interval_seeds,
        "interval_images": difference.interval_images,
        "slack": difference.slack,
        "p": difference.p,
        "p_seeds": difference.p_seeds,
        "p_images": difference.p_images,
        "p_holm": difference.p_holm,
        "method": difference.method,
        "degrees": difference.degrees,
        "visible_points": difference.detectable and difference.detectable._asdict(),
        "nets_needed": difference.nets._asdict(),
    }


_BASES: tuple[Basis, ...] = ("multiply-adds", "parameters", "sizes")

_HEAD = (
    *("question", "data", "first", "second"),
    *(f"{side}_{what}" for side in ("first", "second") for what in ("nets", "mean_percent", "deviation")),
    *("points", "low", "high", "p", "p_holm", "method", "correlation"),
    *("visible_points", "visible_low", "visible_high", "asked_points", "nets_needed", "nets_low", "nets_high"),
    *("p_at_equal_budgets", "verdict", "reasons"),
    *("images_low", "images_high", "at_equal_multiply_adds", "at_equal_parameters", "across_sizes"),
)


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as CSV: one row per pair, numbers with six digits, and an empty cell for an unknown value."""
    rows = [tuple(map(_rounded, row)) for comparison in comparisons for row in _rows(comparison)]
    return csv_text(_HEAD, rows).rstrip("\n")


def _rounded(cell: object) -> object:
    return float(f"{cell:.6g}") if isinstance(cell, float) else cell


def _rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    question = (presentable(comparison.question.title), comparison.question.data)
    for pair in comparison.pairs:
        sides = [
            cell
            for group in (pair.first, pair.second)
            for cell in (len(group.values), group.mean, stdev(group.values) if len(group.values) > 1 else None)
        ]
        yield (
            *(*question, pair.first.label, pair.second.label, *sides, *_cells(pair, comparison.points)),
            *(pair.p, pair.verdict, "; ".join(pair.reasons)),
            *((pair.trained.interval_images if pair.trained else None) or (None, None)),
            *(pair.verdicts[basis].verdict if basis in pair.verdicts else None for basis in _BASES),
        )


def _cells(pair: ComparedPair, points: float) -> tuple[object, ...]:
    difference = pair.trained
    if difference is None:
        return (*(None,) * 6, pair.correlation, *(None,) * 3, points, *(None,) * 3)
    return (
        *(difference.points, difference.low, difference.high),
        *(difference.p, difference.p_holm, difference.method, pair.correlation),
        *(*(difference.detectable or (None,) * 3), points, *difference.nets),
    )
