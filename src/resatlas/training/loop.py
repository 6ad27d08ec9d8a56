"""The training loop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from resatlas.data.augment import allowed
from resatlas.data.batches import Batch, batches, steps_per_epoch
from resatlas.data.dataset import Mirror
from resatlas.data.order import derive
from resatlas.errors import NonFiniteError
from resatlas.recipes.recipe import Recipe
from resatlas.training.state import Tally, TrainState


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What the loop runs over: the recipe, the seed and the training images."""

    recipe: Recipe
    seed: int
    images: Batch
    mirror: Mirror
    layout: torch.memory_format = torch.contiguous_format

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return steps_per_epoch(len(self.images.labels), self.recipe.batch)

    @property
    def steps(self) -> int:
        """Batches of the whole training."""
        return self.recipe.epochs * self.steps_per_epoch

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return self.recipe.schedule.rate(step / self.steps)


def fit(
    state: TrainState,
    course: Course,
    *,
    on_step: Callable[[TrainState], None],
    on_epoch: Callable[[TrainState, Tally, float], None],
) -> TrainState:
    """Train to the end of the recipe, from wherever the state stands.

    `on_step` may raise to stop: the state is whole then, and goes on from there another time. `on_epoch` gets the
    tally and the seconds of the epoch behind it.
    """
    recipe = course.recipe
    augmentation = allowed(recipe.augmentation, course.mirror)
    while state.epoch < recipe.epochs:
        started = time.perf_counter() - state.seconds
        state.network.train()
        for batch in batches(
            course.images,
            seed=course.seed,
            epoch=state.epoch,
            batch=recipe.batch,
            augmentation=augmentation,
            start=state.batch,
        ):
            step(state, batch, course)
            state.seconds = time.perf_counter() - started
            on_step(state)
        tally, seconds = state.tally, state.seconds
        state.epoch, state.batch, state.tally, state.seconds = state.epoch + 1, 0, Tally(), 0.0
        on_epoch(state, tally, seconds)
    return state


def step(state: TrainState, batch: Batch, course: Course) -> None:
    """One update.

    Raises: NonFiniteError before the update if the loss or the norm of the gradient is not a number.
    """
    rate = course.rate(state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    torch.manual_seed(derive(course.seed, "step", state.step))  # dropout
    state.optimizer.zero_grad()
    logits = state.network(batch.images.contiguous(memory_format=course.layout))
    loss = F.cross_entropy(logits, batch.labels)
    value = loss.item()
    loss.backward()
    gradients = [weight.grad for weight in state.network.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm(gradients).item()
    for name, number in (("loss", value), ("norm of the gradient", norm)):
        if not math.isfinite(number):
            raise NonFiniteError(
                f"the {name} is {number} at step {state.step + 1:,} (epoch {state.epoch + 1}, learning rate "
                f"{rate:.4g}); nothing was updated; a lower schedule.peak may help"
            )
    state.optimizer.step()
    errors = int((logits.argmax(dim=1) != batch.labels).sum())
    state.tally.add(images=len(batch.labels), loss=value, errors=errors)
    state.batch += 1
    state.step += 1


def require_finite(state: TrainState) -> None:
    """Refuse weights that the last update or the running statistics have made useless.

    Raises: NonFiniteError with the first of them.
    """
    for path, tensor in state.network.state_dict().items():
        if not tensor.isfinite().all():
            raise NonFiniteError(
                f"{path} is not finite after step {state.step:,}; nothing was saved; a lower schedule.peak may help"
            )


def finite(values: dict[str, Any], *, of: str) -> dict[str, Any]:
    """The values themselves.

    Raises: NonFiniteError with the first that is not a number.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{name} {of} is {value}; a lower schedule.peak may help")
    return values
