"""The effects of a factorial study as JSON values, and as the rows of a CSV."""

from collections.abc import Sequence
from typing import Any

from resatlas.comparing.effects import Effect, half_normal, means_of
from resatlas.comparing.factorial import Factorial
from resatlas.comparing.words import presentable
from resatlas.runs.files import csv_text
from resatlas.values.codec import encode

_HEAD = ("question", "effect", "order", "estimate", "low", "high", "p", "p_holm")


def as_json(analysis: Factorial) -> dict[str, Any]:
    """The analysis as JSON values; interactions with the four means that a plot of them shows."""
    pairs = [effect.factors for effect in analysis.effects.effects if effect.order == "interaction"]
    return {
        "question": analysis.title,
        "metric": analysis.measure.metric,
        "scale": analysis.scale,
        "seeds": list(analysis.seeds),
        "factors": [encode(factor) for factor in analysis.factors],
        "cells": [
            {**cell._asdict(), "design": presentable(cell.design), "responses": cell.responses.tolist()}
            for cell in analysis.results
        ],
        "effects": [_effect(effect) for effect in analysis.effects.effects],
        "deviation": analysis.effects.deviation,
        "degrees": analysis.effects.degrees,
        "lenth": analysis.effects.lenth._asdict(),
        "half_normal": [
            {"effect": effect.name, "quantile": quantile} for quantile, effect in half_normal(analysis.effects.effects)
        ],
        "interactions": [
            {
                "factors": list(pair),
                "means": {f"{'-+'[a > 0]}{'-+'[b > 0]}": mean for (a, b), mean in _means(analysis, *pair).items()},
            }
            for pair in pairs
        ],
        "at_equal_parameters": None if analysis.covariate is None else [_effect(e) for e in analysis.covariate],
        "checks": analysis.effects.checks._asdict(),
        "notes": list(analysis.left_out),
    }


def _means(analysis: Factorial, one: str, other: str) -> dict[tuple[int, int], float]:
    return means_of(analysis.levels, analysis.values, one, other)


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "factors": list(effect.factors),
        "estimate": effect.estimate,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "p_holm": effect.adjusted,
    }


def as_csv(analyses: Sequence[Factorial]) -> str:
    """One row per effect."""
    rows = [
        (analysis.title, effect.name, effect.order, effect.estimate, effect.low, effect.high, effect.p, effect.adjusted)
        for analysis in analyses
        for effect in analysis.effects.effects
    ]
    return csv_text(_HEAD, rows).rstrip("\n")
