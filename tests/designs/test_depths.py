"""Depths of every family: which there are, and the nearest for those that there are not."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import MOST_UNITS
from resatlas.designs.catalog import resolve
from resatlas.errors import DepthError

RULES: dict[str, tuple[int, int]] = {
    "resnet:setting=cifar": (6, 2),
    "resnet:setting=cifar,unit=bottleneck": (9, 2),
    "plain:setting=cifar": (6, 2),
    "preact-resnet:setting=cifar,unit=basic": (6, 2),
    "preact-resnet:setting=cifar,unit=bottleneck": (9, 2),
    "wide-resnet:widen=1": (6, 4),
    "wide-resnet:deepening=1": (3, 4),
    "wide-resnet:deepening=3": (9, 4),
    "wide-resnet:deepening=4": (12, 4),
    "resnext:setting=cifar": (9, 2),
    "pyramidnet:alpha=48": (6, 2),
    "pyramidnet:alpha=48,unit=bottleneck": (9, 2),
    "dmrnet:version=cifar": (6, 2),
    "dilnet:branches=2": (6, 2),
}
"""step and rest of depth = step·n + rest, n = 1, 2, …; n units stand in each of three stages."""

TABLES: dict[str, tuple[int, ...]] = {
    "resnet:setting=imagenet": (18, 34, 50, 101, 152, 200),
    "plain:setting=imagenet": (18, 34, 50, 101, 152, 200),
    "preact-resnet:setting=imagenet": (18, 34, 50, 101, 152, 200),
    "wide-resnet:setting=imagenet": (18, 34, 50, 101, 152, 200),
    "resnext:setting=imagenet": (50, 101, 152, 200),
    "pyramidnet:setting=imagenet,alpha=300": (18, 34, 50, 101, 152, 200),
    "dmrnet:version=v2": (44,),
    "dmrnet:version=ijcai": (50,),
}

DEEPEST = MOST_UNITS // 3


def refusal(text: str) -> str:
    """The message of a refused depth."""
    with pytest.raises(DepthError) as error:
        resolve(text)
    return str(error.value)


def nearest(message: str) -> list[int]:
    """The depths that a refusal offers."""
    offered = re.search(r"\(nearest: ([\d, ]+)\)$", message)
    assert offered
    return [int(word) for word in offered[1].split(", ")]


@pytest.mark.parametrize("family", RULES)
def test_depths_follow_the_rule(family: str) -> None:
    """From -10 to 60, the depths that exist are step·n + rest, with n units a stage."""
    step, rest = RULES[family]
    by_family = {}
    for depth in range(-10, 61):
        try:
            by_family[depth] = resolve(f"{family},depth={depth}").blueprint.units
        except DepthError as error:
            assert f"has depth {step}n + {rest}; {depth} is not" in str(error)  # noqa: PT017 - most depths are refused
    assert by_family == {step * n + rest: (n, n, n) for n in range(1, 60) if step * n + rest <= 60}


@pytest.mark.parametrize("family", RULES)
@given(depth=st.integers(-(10**12), 10**12) | st.integers(-50, 500))
@settings(max_examples=25, deadline=None)
def test_the_nearest_depths_are_offered(family: str, depth: int) -> None:
    """What a refusal offers exists, and nothing nearer does."""
    step, rest = RULES[family]
    below = min(max((depth - rest) // step, 1), DEEPEST)
    around = {step * n + rest for n in (below, min(below + 1, DEEPEST))}
    text = f"{family},depth={depth}"
    if depth in around:
        assert resolve(text).depth == depth
    elif (depth - rest) % step == 0 and depth > max(around):
        assert str(max(around)) in refusal(text)
    else:
        offered = nearest(refusal(text))
        assert min(abs(near - depth) for near in offered) == min(abs(near - depth) for near in around)
        assert [resolve(f"{family},depth={near}").depth for near in offered] == offered


@pytest.mark.parametrize("family", TABLES)
def test_depths_of_a_table_are_the_table_s(family: str) -> None:
    """From 0 to 250, the depths that exist are those listed; the others offer the nearest of them."""
    built = []
    for depth in range(251):
        try:
            built.append(resolve(f"{family},depth={depth}").depth)
        except DepthError as error:
            [near] = nearest(str(error))
            assert abs(near - depth) == min(abs(listed - depth) for listed in TABLES[family])
    assert tuple(built) == TABLES[family]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resnet-30", "a ResNet for CIFAR has depth 6n + 2; 30 is not (nearest: 26, 32)"),
        ("resnet-0", "a ResNet for CIFAR has depth 6n + 2; 0 is not (nearest: 8)"),
        ("resnet:depth=-4", "a ResNet for CIFAR has depth 6n + 2; -4 is not (nearest: 8)"),
        ("plain-21", "a plain network for CIFAR has depth 6n + 2; 21 is not (nearest: 20, 26)"),
        ("resnet-21-bottleneck", "a ResNet of bottlenecks for CIFAR has depth 9n + 2; 21 is not (nearest: 20, 29)"),
        ("preact-resnet-111", "a pre-activation ResNet for CIFAR has depth 6n + 2; 111 is not (nearest: 110, 116)"),
        ("wrn-30-10", "a wide ResNet has depth 6n + 4; 30 is not (nearest: 28, 34)"),
        ("cifar-wrn-50-2", "a wide ResNet has depth 6n + 4; 50 is not (nearest: 46, 52)"),
        ("wrn-40-2-l5", "a wide ResNet has depth 15n + 4; 40 is not (nearest: 34, 49)"),
        ("resnext-30-32x4d", "a ResNeXt for CIFAR has depth 9n + 2; 30 is not (nearest: 29, 38)"),
        ("pyramidnet-111-a48", "a PyramidNet for CIFAR has depth 6n + 2; 111 is not (nearest: 110, 116)"),
        ("dmrnet-25", "a DMRNet for CIFAR has depth 6n + 2; 25 is not (nearest: 20, 26)"),
        ("dilnet-25", "a DILNet has depth 6n + 2; 25 is not (nearest: 20, 26)"),
        ("dmrnet-50-v2", "a DMRNet v2 for ImageNet has depth 44; got 50 (nearest: 44)"),
        ("resnet-50-ijcai", "the IJCAI version's ResNet has depth 98; got 50 (nearest: 98)"),
        (
            "imagenet-resnet-20",
            "a ResNet for ImageNet has depth 18, 34, 50, 101, 152, 200; got 20 (nearest: 18)",
        ),
    ],
)
def test_a_depth_that_is_none_is_told(text: str, words: str) -> None:
    """The family's rule, the depth given, and the nearest."""
    assert refusal(text) == words


def test_a_depth_that_is_too_deep_is_told_as_such() -> None:
    """A depth that follows the rule is not said to break it."""
    depth = 6 * (DEEPEST + 1) + 2
    assert f"{depth} is not" not in refusal(f"resnet-{depth}")


@pytest.mark.timeout(60)
def test_absurd_depths_are_refused_at_once() -> None:
    """Numbers that no memory holds units for end in one line."""
    for text in ("resnet-9999999999", "wrn-9999999999-10", "resnet:depth=999999999999999999999"):
        assert len(refusal(text)) < 200
