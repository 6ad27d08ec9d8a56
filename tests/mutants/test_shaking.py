"""Plausible slips in how residuals are shaken: each is seen in outputs, gradients, or a test.

A slip is made in the value, or in the functions that draw and weigh; what is right are the authors' formulas.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from resatlas.nets import shaking, unit
from resatlas.nets.network import Network, set_shake
from resatlas.recipes.regularisers import Shake, ShakeDrop, ShakeShake
from tests.nets.test_shaking import PYRAMID, TWO_BODIES, images, in_theirs, network, ours

SHARES, DROP = ShakeShake(), ShakeDrop()

Slip = Callable[[pytest.MonkeyPatch, Network], None]
"""What is done to a shaken network; its first line says what goes wrong."""


def weighing(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Slip:
    """Other weights, made of those forward and backward."""

    def slip(patch: pytest.MonkeyPatch, _: Network) -> None:
        right = shaking.weighted

        def wrong(x: Tensor, *, forward: Tensor, backward: Tensor) -> Tensor:
            forward, backward = change(forward, backward)
            return right(x, forward=forward, backward=backward)

        patch.setattr(shaking, "weighted", wrong)

    return slip


def valued(**changes: Any) -> Slip:  # noqa: ANN401 - fields of either value
    """A value with other fields."""

    def slip(_: pytest.MonkeyPatch, built: Network) -> None:
        for module in built.modules():
            if isinstance(module, unit.Unit):
                module.shake = replace(module.shake, **changes)  # type: ignore[type-var]

    return slip


def same_share(patch: pytest.MonkeyPatch, _: Network) -> None:
    """Both bodies have the share of the first."""
    right = shaking.shaken_bodies

    def wrong(bodies: list[Tensor], shake: ShakeShake) -> list[Tensor]:
        state = torch.get_rng_state()
        first, _ = right(bodies, shake)
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        other, _ = right(bodies[::-1], shake)
        torch.set_rng_state(after)
        return [first, other]

    patch.setattr(unit, "shaken_bodies", wrong)


def other_way(_: pytest.MonkeyPatch, built: Network) -> None:
    """The first unit is dropped most, and the last least."""
    units = [module for module in built.modules() if isinstance(module, unit.Unit)]
    for module, kept in zip(units, [module.survival for module in units][::-1], strict=True):
        module.survival = kept


def counted_from_zero(_: pytest.MonkeyPatch, built: Network) -> None:
    """Unit l of L has the probability of unit l - 1."""
    units = [module for module in built.modules() if isinstance(module, unit.Unit)]
    for module, kept in zip(units, [1.0, *(module.survival for module in units[:-1])], strict=True):
        module.survival = kept


def exchanged(patch: pytest.MonkeyPatch, _: Network) -> None:
    """A residual is kept with the probability to drop it."""
    right = shaking.shaken_residual

    def wrong(residual: Tensor, shake: ShakeDrop, kept: float) -> Tensor:
        return right(residual, shake, 1 - kept)

    patch.setattr(unit, "shaken_residual", wrong)


def undivided(patch: pytest.MonkeyPatch, _: Network) -> None:
    """Training does not divide by the mean of the factors."""

    def wrong(_shake: ShakeDrop, _kept: float) -> float:
        return 1.0

    patch.setattr(ShakeDrop, "expected", wrong)


def in_a_test(_: pytest.MonkeyPatch, built: Network) -> None:
    """Residuals are shaken in a test too."""
    for module in built.modules():
        if isinstance(module, unit.Unit):
            module.train = lambda *_, module=module: module  # type: ignore[method-assign]
            module.training = True


SLIPS: tuple[tuple[str, str, Shake, Slip], ...] = (
    ("gradients have the shares of the forward pass", TWO_BODIES, SHARES, weighing(lambda a, _: (a, a))),
    ("shares are not doubled for the mean", TWO_BODIES, SHARES, weighing(lambda a, b: (a / 2, b / 2))),
    ("both bodies have one share", TWO_BODIES, SHARES, same_share),
    ("one share for a whole batch", TWO_BODIES, SHARES, valued(level="batch")),
    ("even shares forward", TWO_BODIES, SHARES, valued(forward="even")),
    ("bodies are shaken in a test too", TWO_BODIES, SHARES, in_a_test),
    ("gradients have the factor of the forward pass", PYRAMID, DROP, weighing(lambda a, _: (a, a))),
    ("training does not divide by the mean", PYRAMID, DROP, undivided),
    ("the first unit is dropped most", PYRAMID, DROP, other_way),
    ("units are counted from zero", PYRAMID, DROP, counted_from_zero),
    ("kept with the probability to drop", PYRAMID, DROP, exchanged),
    ("a gate for each image", PYRAMID, DROP, valued(gates="image")),
    ("factors from 0 to 1, as in Shake-Shake", PYRAMID, DROP, valued(alpha=(0.0, 1.0))),
    ("gradients have factors from -1 to 1 too", PYRAMID, DROP, valued(beta=(-1.0, 1.0))),
    ("residuals are shaken in a test too", PYRAMID, DROP, in_a_test),
)


def killers(built: Network, shake: Shake) -> Iterator[str]:
    """The names of the checks that see a difference from the authors' formulas."""
    logits, learnt = ours(built)
    expected, theirs = in_theirs(built, shake)
    if not torch.allclose(logits, expected, rtol=1e-9, atol=1e-9):
        yield "outputs"
    if any(not torch.allclose(learnt[path], theirs[path], rtol=1e-7, atol=1e-9) for path in learnt):
        yield "gradients"
    batch = images()
    built.eval()
    if not built(batch).equal(built(batch)):
        yield "evaluation"


@pytest.mark.parametrize(("what", "design", "shake", "slip"), SLIPS, ids=[slip[0] for slip in SLIPS])
def test_every_slip_is_caught(
    what: str, design: str, shake: Shake, slip: Slip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check sees it; one in gradients alone leaves the outputs."""
    built = network(design, shake)
    slip(monkeypatch, built)
    found = set(killers(built, shake))
    assert found, what
    if what.startswith("gradients"):
        assert found == {"gradients"}


@pytest.mark.parametrize(("design", "shake"), [(TWO_BODIES, SHARES), (PYRAMID, DROP)])
def test_the_right_network_passes(design: str, shake: Shake) -> None:
    """No check sees a difference where there is none."""
    built = network(design, None)
    set_shake(built, shake)
    assert list(killers(built, shake)) == []
