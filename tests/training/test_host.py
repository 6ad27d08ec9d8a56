"""A training step reads its device once, and a training whose images are on the device reads nothing else there."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from resatlas.arch.ops import Shape
from resatlas.data.batches import Resident, batches
from resatlas.data.normalisation import Affine
from resatlas.data.order import batch_positions
from resatlas.data.pipeline import Pipeline
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Erase, Flip, PadCrop, Standardise
from resatlas.recipes.recipe import Precision, Recipe, Sgd
from resatlas.training import host, loop
from resatlas.training.average import average_of
from resatlas.training.loop import CPU, TrainingPlan, fit, require_finite, step
from resatlas.training.optimizer import optimizer
from resatlas.training.precision import scaler
from resatlas.training.state import TrainState
from tests.training.small import DESIGN, EXPERIMENT, fresh, noise, plan_for

META = torch.device("meta")

RECIPE = EXPERIMENT.recipe

READS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "unique_dim", "_unique2", "is_nonzero"}
"""Operations whose result the processor must know, so that it waits for the device."""


class Reads(TorchDispatchMode):
    """Counts the operations for which the processor waits."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        name = func.overloadpacket.__name__
        if name in READS:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("group", [None, 4])
def test_a_step_reads_once(precision: Precision, group: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, errors, norm and overflow come in one transfer, whatever the passes; there is no other read."""
    calls: list[int] = []

    def counted(*tensors: Tensor) -> list[float]:
        calls.append(len(tensors))
        return host.numbers(*tensors)

    monkeypatch.setattr(loop, "numbers", counted)
    state, images = fresh(), noise(16)
    state.scaler = scaler(precision, CPU)
    recipe = replace(RECIPE, optimizer=Sgd(), norm_group=group, clip=0.5)
    state.optimizer = optimizer(state.network, recipe)
    plan = replace(plan_for(images, recipe), precision=precision)
    step(state, images, plan)  # the scaler makes its tensors
    with Reads() as reads:
        step(state, images, plan)
    assert (calls, reads.names) == ([4, 4], [])
    with Reads() as reads:
        require_finite(state)
    assert (len(calls), reads.names) == (3, [])


OTHERS = {
    "quick": RECIPE,
    "lamb": replace(RECIPE, optimizer=NAMED["rsb-a3"].optimizer, mixing=NAMED["rsb-a3"].mixing, clip=0.3),
    "mixed": replace(RECIPE, mixing=NAMED["torchvision-v2"].mixing, average=NAMED["torchvision-v2"].average),
    "erased": replace(
        RECIPE,
        norm_group=4,
        steps=(*RECIPE.steps, Erase(probability=Fraction(1, 2), fill="noise")),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_epoch_on_the_device_reads_nothing_but_its_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without values, where every other read is an error, trains an epoch with its images there.

    Images of the main memory beside those of the device would be an error as well.
    """
    recipe = replace(OTHERS[name], epochs=1, batch=16)

    def without_overflow(*tensors: Tensor) -> list[float]:
        return [1.0] * (len(tensors) - 1) + [0.0]

    monkeypatch.setattr(loop, "numbers", without_overflow)
    network = build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0).to(META)
    state = TrainState(network=network, optimizer=optimizer(network, recipe))
    state.average = average_of(network) if recipe.average else None
    images = Resident(
        images=torch.zeros(48, 1, 8, 8, dtype=torch.uint8, device=META),
        labels=torch.zeros(48, dtype=torch.int64, device=META),
        ids=torch.arange(48),
    )
    plan = TrainingPlan(recipe=recipe, seed=0, images=images, pipeline=pipeline_of(recipe), device=META)
    fit(state, plan, on_step=lambda _: None, measure=lambda *_: None)
    assert (state.step, state.tally.images) == (3, 0)


def pipeline_of(recipe: Recipe) -> Pipeline:
    """The steps of a recipe on one channel."""
    return Pipeline(
        steps=recipe.steps, normaliser=Affine(mean=torch.full((1, 1, 1), 0.3), std=torch.full((1, 1, 1), 0.7))
    )


def test_augmentation_is_the_formula_to_the_bit() -> None:
    """Batches of the resident images equal those computed image by image with numbers of Python."""
    steps = (Standardise(), PadCrop(share=Fraction(1, 4)), Flip())
    pipeline = replace(pipeline_of(RECIPE), steps=steps)
    pixels = torch.arange(8 * 8 * 8, dtype=torch.int64).remainder(256).to(torch.uint8).view(8, 1, 8, 8)
    images = Resident(images=pixels, labels=torch.arange(8), ids=torch.arange(8))
    whole = next(batches(images, pipeline, seed=3, epoch=1, batch=8))
    alone = [
        next(batches(images, pipeline, seed=3, epoch=1, batch=8, share=lambda chunk, k=k: chunk[k : k + 1]))
        for k in range(8)
    ]
    assert torch.cat([batch.images for batch in alone]).equal(whole.images)
    plain = next(batches(images, replace(pipeline, steps=steps[:1]), seed=3, epoch=1, batch=8))
    order = batch_positions(3, 1, 8, repeats=1, batch=8)[0]
    assert plain.images.equal((pixels[order].float() / 255 - 0.3) / 0.7)
