"""Units as values: the orders of the papers, modified shortcuts in words, and what no unit can be."""

from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest

from resatlas.arch.ops import Conv, Dropout, Norm, Relu, Scale
from resatlas.arch.residual import (
    BEFORE_POOL,
    ORDERS,
    POST_ACTIVATION,
    Gating,
    Ordering,
    OrderName,
    Residual,
    Rule,
    basic,
    bottleneck,
    modified,
    with_eps,
)
from resatlas.errors import DesignError

BASIC = Residual(convs=basic())


def words(rules: tuple[Rule | Conv, ...]) -> str:
    """The operations in short."""
    return " ".join(type(rule).__name__.lower() for rule in rules)


@pytest.mark.parametrize(
    ("name", "text", "before_pool"),
    [
        ("post-activation", "conv norm relu conv norm + relu", ""),
        ("bn-after-add", "conv norm relu conv + norm relu", ""),
        ("relu-before-add", "conv norm relu conv norm relu +", ""),
        ("relu-only-preact", "relu conv norm relu conv norm +", "relu"),
        ("pre-activation", "norm relu conv norm relu conv +", "norm relu"),
        ("no-first-relu", "norm conv norm relu conv +", "norm relu"),
        ("last-norm", "norm relu conv norm relu conv norm +", "norm relu"),
        ("pyramidal", "norm conv norm relu conv norm +", "norm relu"),
    ],
)
def test_orders_are_those_of_the_papers(name: OrderName, text: str, before_pool: str) -> None:
    """Operation by operation, with what the last sum still needs before the pool.

    Source: pre-activation paper (arXiv:1603.05027), Table 2; PyramidNet (arXiv:1610.02915), units (a) to (d).
    """
    order = ORDERS[name]
    parts = (words(order.first), "conv", words(order.between), "conv", words(order.last), "+", words(order.after_sum))
    assert " ".join(part for part in parts if part) == text
    assert (order.merged, order.shortcut) == ((), ())
    assert words(BEFORE_POOL[name]) == before_pool


def test_every_order_says_what_stands_before_the_pool() -> None:
    """Names, orders and what they end in are one list."""
    assert set(get_args(OrderName)) == set(ORDERS) == set(BEFORE_POOL)


@pytest.mark.parametrize(
    ("word", "shortcut", "merged", "gate"),
    [
        ("none", (), (), None),
        ("scale-0.5-0.5", (Scale(Fraction(1, 2)),), (Scale(Fraction(1, 2)),), None),
        ("scale-0.5-1", (Scale(Fraction(1, 2)),), (), None),
        ("scale-1-0.25", (), (Scale(Fraction(1, 4)),), None),
        ("scale-2-3", (Scale(Fraction(2)),), (Scale(Fraction(3)),), None),
        ("scale-1-1", (), (), None),
        ("exclusive-gate-b0", (), (), Gating(bias=0, scales="both")),
        ("exclusive-gate-b-6", (), (), Gating(bias=-6, scales="both")),
        ("shortcut-gate-b-6.5", (), (), Gating(bias=-6.5, scales="shortcut")),
        ("shortcut-gate-b2", (), (), Gating(bias=2, scales="shortcut")),
        ("dropout-0.5", (Dropout(0.5),), (), None),
    ],
)
def test_a_word_modifies_the_shortcut(
    word: str, shortcut: tuple[Rule, ...], merged: tuple[Rule, ...], gate: Gating | None
) -> None:
    """Factors on both terms, a gate, or dropout behind the shortcut; everything else stays."""
    order = replace(POST_ACTIVATION, shortcut=shortcut, merged=merged)
    assert modified(BASIC, word) == replace(BASIC, order=order, gate=gate)


def test_modifications_stand_behind_what_is_there() -> None:
    """A norm on the merged bodies comes before their factor, dropout after a factor, and a gate stays."""
    aggregated = replace(BASIC, order=replace(POST_ACTIVATION, last=(), merged=(Norm(),)))
    assert modified(aggregated, "scale-1-0.5").order.merged == (Norm(), Scale(Fraction(1, 2)))
    both = modified(modified(modified(BASIC, "shortcut-gate-b0"), "scale-0.5-1"), "dropout-0.25")
    assert both.order.shortcut == (Scale(Fraction(1, 2)), Dropout(0.25))
    assert both.gate == Gating(bias=0, scales="shortcut")


@pytest.mark.parametrize(
    "word",
    [
        "",
        "nonsense",
        "None",
        "none ",
        "scale",
        "scale-1",
        "scale-1-",
        "scale--1-1",
        "scale-0.5-0.5-0.5",
        "scale-1e3-1",
        "scale-.5-1",
        "scale-٥-1",
        "gate-b0",
        "exclusive-gate",
        "exclusive-gate-b",
        "exclusive-gate-b--6",
        "dropout-1",
        "dropout-1.5",
        "dropout-.5",
        "dropout-0.5\n",
        "a\nb",
        "conv1x1",
    ],
)
def test_other_words_are_refused_in_one_line(word: str) -> None:
    """The message lists the words that there are, with the one given in short."""
    with pytest.raises(DesignError) as refusal:
        modified(BASIC, word)
    message = str(refusal.value)
    assert message.startswith("a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, shortcut-gate-b-6 or ")
    assert "dropout-0.5, with any numbers, or by none; got " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("scale-0-1", "a constant factor must be in (0, 1024]; got 0 (for 0, use an absent shortcut)"),
        ("scale-1-0", "a constant factor must be in (0, 1024]; got 0 (for 0, use an absent shortcut)"),
        ("scale-1-1025", "a constant factor must be in (0, 1024]; got 1025 (for 0, use an absent shortcut)"),
        ("exclusive-gate-b-65", "a gate's bias starts between -64 and 64; got -65.0"),
    ],
)
def test_numbers_of_a_modification_have_bounds(word: str, message: str) -> None:
    """A factor is positive, a bias moderate."""
    with pytest.raises(DesignError) as refusal:
        modified(BASIC, word)
    assert str(refusal.value) == message


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), -64.5])
def test_a_gate_starts_at_a_moderate_bias(bias: float) -> None:
    """Neither infinite nor not a number."""
    with pytest.raises(DesignError):
        Gating(bias=bias, scales="both")


@pytest.mark.parametrize(
    ("convs", "bodies", "message"),
    [
        ((), 1, "a unit has 1 to 512 convolutions; got 0"),
        (basic((3,) * 513), 1, "a unit has 1 to 512 convolutions; got 513"),
        ((Conv(3), Conv(3)), 1, "exactly one convolution of a unit has its stride; of these 2, 0 do"),
        ((Conv(3, strided=True),) * 2, 1, "exactly one convolution of a unit has its stride; of these 2, 2 do"),
        (basic(), 0, "a unit has 1 to 256 bodies; got 0"),
        (basic(), 257, "a unit has 1 to 256 bodies; got 257"),
    ],
)
def test_what_no_unit_can_be(convs: tuple[Conv, ...], bodies: int, message: str) -> None:
    """Too few or too many convolutions, or a stride on none or two of them."""
    with pytest.raises(DesignError) as refusal:
        Residual(convs=convs, bodies=bodies)
    assert str(refusal.value) == message


def test_bottlenecks_have_their_stride_in_one_of_two_places() -> None:
    """On the first 1x1 or on the grouped 3x3; the 1x1 up again has the whole width."""
    first, middle = (bottleneck(groups=4, strided=place) for place in ("first", "3x3"))
    assert [conv.strided for conv in first] == [True, False, False]
    assert [conv.strided for conv in middle] == [False, True, False]
    assert [(conv.kernel, conv.width, conv.groups) for conv in middle] == [
        (1, Fraction(1, 4), 1),
        (3, Fraction(1, 4), 4),
        (1, Fraction(1), 1),
    ]


def test_another_eps_reaches_every_norm_and_nothing_else() -> None:
    """with_eps changes every norm of an order; convolutions, relus and factors stay."""
    rules = (Norm(), Relu(), Scale(Fraction(1, 2)))
    renewed = (Norm(2e-5), *rules[1:])
    order = Ordering(first=rules, between=rules, last=rules, merged=(Conv(1), *rules), shortcut=rules, after_sum=rules)
    assert with_eps(order, 2e-5) == Ordering(
        first=renewed, between=renewed, last=renewed, merged=(Conv(1), *renewed), shortcut=renewed, after_sum=renewed
    )
