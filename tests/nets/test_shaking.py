"""Shake-shake and shake-drop against the authors' formulas with the same draws, and what they leave alone."""

from collections.abc import Iterator
from fractions import Fraction
from typing import get_args

import pytest
import torch
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.errors import RecipeError
from resatlas.nets.network import Network, build, set_shake, set_stochastic_depth
from resatlas.nets.shaking import shaken_bodies, shaken_residual
from resatlas.nets.unit import Unit
from resatlas.recipes.regularisers import Level, Shake, ShakeDrop, ShakeShake
from tests.oracles import straight_line

IMAGE = Shape(3, 16, 16)
IMAGES = 5
TWO_BODIES = "shake-shake:depth=14,width=16,base=4"
PYRAMID = "pyramidnet:depth=14,alpha=10,base=4"
UNITS = 6
SEED = 11

Factors = tuple[Tensor | float, Tensor | float]
"""The factors of a unit, forward and backward."""

SHARES = tuple(
    ShakeShake(forward=forward, backward=backward, level=level)
    for forward, backward in (("shake", "shake"), ("shake", "keep"), ("shake", "even"), ("even", "shake"))
    for level in ("batch", "image")
)
DROPS = (
    ShakeDrop(),
    ShakeDrop(gates="image"),
    ShakeDrop(level="batch"),
    ShakeDrop(last=Fraction(1, 5), alpha=(0.0, 1.0), beta=(-1.0, 1.0)),
    ShakeDrop(alpha=(0.0, 0.0), beta=(0.0, 0.0)),
)


def network(design: str, shake: Shake | None) -> Network:
    """A network in float64 whose norms have moved from their start."""
    built = build(design, image=IMAGE, classes=4, seed=0).double().train()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
    set_shake(built, shake)
    return built


def images() -> Tensor:
    """A batch of noise."""
    return torch.randn(IMAGES, *IMAGE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def uniform(level: Level, low: float, high: float) -> Tensor:
    """Numbers for a batch or for each image."""
    return torch.empty(1 if level == "batch" else IMAGES, 1, 1, 1, dtype=torch.float64).uniform_(low, high)


def shares(shake: ShakeShake) -> Iterator[Factors]:
    """The shares of the first body in each unit, forward and backward."""
    while True:
        forward: Tensor | float = uniform(shake.level, 0, 1) if shake.forward == "shake" else 0.5
        yield (
            forward,
            uniform(shake.level, 0, 1) if shake.backward == "shake" else {"keep": forward}.get(shake.backward, 0.5),
        )


def kept(shake: ShakeDrop, unit: int) -> float:
    """The linear rule: 1 - l/L·(1 - p_L)."""
    return 1 - unit / UNITS * (1 - float(shake.last))


def factors(shake: ShakeDrop) -> Iterator[Factors]:
    """The factors b + a - b·a of the residual in each unit, forward and backward."""
    for unit in range(1, UNITS + 1):
        gate = (uniform(shake.gates, 0, 1) < kept(shake, unit)).double()
        forward, backward = uniform(shake.level, *shake.alpha), uniform(shake.level, *shake.beta)
        yield gate + forward - gate * forward, gate + backward - gate * backward


def means(shake: ShakeDrop) -> list[float]:
    """The factors of a test, which are the means of those of a training."""
    return [kept(shake, unit) + (1 - kept(shake, unit)) * sum(shake.alpha) / 2 for unit in range(1, UNITS + 1)]


def theirs_of(state: dict[str, Tensor], shake: ShakeDrop) -> dict[str, Tensor]:
    """The weights of a network that multiplies by the mean in a test: each last norm divided by it."""
    by_unit = dict(zip([f"stages.{s}.{u}" for s in range(3) for u in range(2)], means(shake), strict=True))
    return {
        path: tensor / by_unit[path.partition(".body")[0]]
        if path.endswith(("body.norm2.weight", "body.norm2.bias"))
        else tensor
        for path, tensor in state.items()
    }


def gradients(logits: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of a weighted sum of the logits."""
    cotangent = torch.randn(logits.shape, dtype=logits.dtype, generator=torch.Generator().manual_seed(3))
    return dict(zip(leaves, torch.autograd.grad(logits, list(leaves.values()), cotangent), strict=True))


def ours(built: Network) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits in training mode, and the gradients of all weights."""
    torch.manual_seed(SEED)
    logits = built(images())
    return logits, gradients(logits, dict(built.named_parameters()))


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """The same gradient of every weight."""
    assert one.keys() == other.keys()
    for path, gradient in one.items():
        torch.testing.assert_close(
            gradient, other[path], rtol=1e-7, atol=1e-9, msg=lambda text, at=path: f"{at}: {text}"
        )


def in_theirs(built: Network, shake: Shake) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits and gradients of the authors' formulas with the weights and the draws of a network."""
    state = {path: tensor.detach().clone() for path, tensor in built.state_dict().items()}
    leaves = {path: state[path].requires_grad_() for path, _ in built.named_parameters()}
    torch.manual_seed(SEED)
    if isinstance(shake, ShakeShake):
        logits = straight_line.shake_shake(state, images(), depth=14, mode="train", draws=shares(shake))
    else:
        logits = straight_line.pyramidnet(
            theirs_of(state, shake),
            images(),
            blocks=(2, 2, 2),
            unit="basic",
            stem="cifar",
            mode="train",
            factors=factors(shake),
        )
    return logits, gradients(logits, leaves)


@pytest.mark.parametrize(
    ("design", "shake"), [*((TWO_BODIES, shake) for shake in SHARES), *((PYRAMID, shake) for shake in DROPS)], ids=str
)
def test_outputs_and_gradients_follow_the_formulas(design: str, shake: Shake) -> None:
    """Float64, the same weights and the same draws: the same logits, and the same gradient of every weight."""
    built = network(design, shake)
    logits, learnt = ours(built)
    expected, theirs = in_theirs(built, shake)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
    assert_equal(learnt, theirs)


@pytest.mark.parametrize("shake", DROPS, ids=str)
def test_a_test_has_the_mean_of_the_factors(shake: ShakeDrop) -> None:
    """The network itself is that of the authors with their factor in a test, once it is in the last norms."""
    built = network(PYRAMID, shake).eval()
    expected = straight_line.pyramidnet(
        theirs_of(built.state_dict(), shake),
        images(),
        blocks=(2, 2, 2),
        unit="basic",
        stem="cifar",
        mode="eval",
        factors=iter([(mean, mean) for mean in means(shake)]),
    )
    torch.testing.assert_close(built(images()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", get_args(Level))
@pytest.mark.parametrize("design", [TWO_BODIES, PYRAMID])
def test_every_level_keeps_the_mean(design: str, level: Level) -> None:
    """Over many draws the factors have the mean 1, forward; each level has as many numbers as it says."""
    maps = torch.ones(400, 3, 4, 4)
    torch.manual_seed(0)
    if design == TWO_BODIES:
        one, other = shaken_bodies([maps, maps], ShakeShake(level=level))
        torch.testing.assert_close(one + other, 2 * maps)
        shaken = one
    else:
        shaken = shaken_residual(maps, ShakeDrop(level=level, gates=level), 0.7)
    numbers = {"batch": 1, "image": 400, "channel": 1200, "value": 19200}[level]
    assert len(shaken.unique()) <= numbers
    assert len(shaken.unique()) > (numbers // 4 if design == TWO_BODIES else numbers // 8)
    if level != "batch":
        assert abs(shaken.mean().item() - 1) < 0.15


@pytest.mark.parametrize(("design", "shake"), [(TWO_BODIES, ShakeShake()), (PYRAMID, ShakeDrop())])
def test_nothing_else_changes(design: str, shake: Shake) -> None:
    """Keys and logits in evaluation mode are the same; without a shake, so are those in training mode."""
    plain, shaken = network(design, None), network(design, shake)
    assert plain.state_dict().keys() == shaken.state_dict().keys()
    assert plain.eval()(images()).equal(shaken.eval()(images()))
    assert not plain.train()(images()).equal(shaken.train()(images()))
    set_shake(shaken, None)
    shaken.load_state_dict(plain.state_dict())
    assert plain(images()).equal(shaken(images()))


def test_factors_of_zero_are_stochastic_depth() -> None:
    """Residuals are dropped at the rates of stochastic depth, and the others divided by the same probability."""
    zero = ShakeDrop(last=Fraction(3, 5), alpha=(0.0, 0.0), beta=(0.0, 0.0), gates="image")
    shaken, dropping = network(PYRAMID, zero), network(PYRAMID, None)
    set_stochastic_depth(dropping, Fraction(2, 5))
    units = [[module for module in built.modules() if isinstance(module, Unit)] for built in (shaken, dropping)]
    assert [unit.survival for unit in units[0]] == pytest.approx([1 - unit.drop_rate for unit in units[1]])


def test_streams_and_plain_units() -> None:
    """Streams are shaken one by one; a unit without a shortcut keeps its residual."""
    streams = network("dmrnet:depth=14,base=2", ShakeDrop(last=Fraction(1, 10)))
    torch.manual_seed(1)
    one = streams(images())
    torch.manual_seed(2)
    assert not one.equal(streams(images()))
    plain = network("plain:depth=14,base=2", ShakeDrop(last=Fraction(1, 10)))
    assert plain(images()).equal(network("plain:depth=14,base=2", None)(images()))


@pytest.mark.parametrize("design", [PYRAMID, "resnext:depth=11,cardinality=4,width=8,base=16,form=a"])
def test_shake_shake_needs_two_bodies(design: str) -> None:
    """The message has the unit, its number of bodies, and what fits."""
    with pytest.raises(RecipeError, match=r"weights the two bodies of each unit; stages\.0\.0 has (1|4) \(nearest: "):
        set_shake(build(design, image=IMAGE, classes=4, device="meta"), ShakeShake())
