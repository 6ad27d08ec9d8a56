"""The text of a width rule: constants, and for a pyramid the width of unit k."""

from fractions import Fraction
from typing import assert_never

from resatlas.arch.widths import AdditivePyramid, MultiplicativePyramid, PerStage, Pyramid, pyramid_width
from resatlas.nets.eject.subject import Subject
from resatlas.nets.eject.writing import function


def width_constants(subject: Subject) -> list[str]:
    """The numbers of the rule."""
    rule = subject.blueprint.widths
    match rule:
        case PerStage(widths):
            return [f"WIDTHS = {widths}  # channels that each stage puts out"]
        case AdditivePyramid():
            said = "channels that the widths gain from the first unit to the last"
        case MultiplicativePyramid():
            said = "factor by which the widths grow from the first unit to the last"
        case _:
            assert_never(rule)
    over = f", {rule.alpha.denominator}" if rule.alpha.denominator > 1 else ""
    lines = [f"ALPHA = Fraction({rule.alpha.numerator}{over})  # {said}"]
    if rule.start != subject.blueprint.stem.width:
        lines.insert(0, f"START = {rule.start}  # where the widths start")
    return ["N = sum(UNITS)", *lines]


def width_function(subject: Subject) -> str:
    """The width of unit k in a pyramid; empty where each stage has one width."""
    rule = subject.blueprint.widths
    match rule:
        case PerStage():
            return ""
        case AdditivePyramid():
            said, body = _additive(subject, rule)
        case MultiplicativePyramid():
            said, body = _multiplicative(subject, rule)
        case _:
            assert_never(rule)
    to = f"multiple of {rule.multiple_of}" if rule.multiple_of > 1 else "whole number"
    rounded = f"{said}, rounded {'to the nearest' if rule.rounding == 'half-up' else 'down to a'} {to}"
    times = f"{rule.expansion} times {rounded}" if rule.expansion > 1 else rounded
    doc = f"Channels that unit k = 1, ..., N puts out: {times}."
    return function("width(k: int) -> int", doc, body)


def _additive(subject: Subject, rule: AdditivePyramid) -> tuple[str, list[str]]:
    line = f"{_start(subject, rule)} + ALPHA * k / N"
    steps = f"({line}) / {rule.multiple_of}" if rule.multiple_of > 1 else line
    whole = f"floor({steps}{' + Fraction(1, 2)' if rule.rounding == 'half-up' else ''})"
    return line, [f"return {_times(rule)}{_at_least_one(subject, rule, whole)}"]


def _multiplicative(subject: Subject, rule: MultiplicativePyramid) -> tuple[str, list[str]]:
    start = _start(subject, rule)
    unit = f" / {rule.multiple_of}" if rule.multiple_of > 1 else ""
    bound = "Fraction(1, 2)" if rule.rounding == "half-up" else "Fraction(1)"
    multiple = f" * {rule.multiple_of}" if rule.multiple_of > 1 else ""
    return f"{start} * ALPHA^(k/N)", [
        f"whole = max(floor({start} * float(ALPHA) ** (k / N){unit}) - 1, 0)",
        f"while ((whole + {bound}){multiple} / {start}) ** N <= ALPHA**k:",
        "    whole += 1",
        f"return {_times(rule)}{_at_least_one(subject, rule, 'whole')}",
    ]


def _start(subject: Subject, rule: Pyramid) -> str:
    return "STEM" if rule.start == subject.blueprint.stem.width else "START"


def _times(rule: Pyramid) -> str:
    factors = [str(each) for each in (rule.expansion, rule.multiple_of) if each > 1]
    return " * ".join([*factors, ""])


def _at_least_one(subject: Subject, rule: Pyramid, whole: str) -> str:
    """The same, with the least width of one step where the rule would give none."""
    total = len(subject.units)
    first = pyramid_width(rule, 1, total) // rule.expansion // rule.multiple_of
    half = Fraction(1, 2) if rule.rounding == "half-up" else Fraction(0)
    below = first == 1 and Fraction(rule.start) / rule.multiple_of + half < 1
    return f"max({whole}, 1)" if below else whole
