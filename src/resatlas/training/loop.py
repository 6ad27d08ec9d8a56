"""The training loop."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from resatlas.data.batches import Batch, Resident, Source, batches
from resatlas.data.dataset import ImageFiles, ImageSet
from resatlas.data.order import batch_positions, derive
from resatlas.data.pipeline import Pipeline
from resatlas.data.placing import placed
from resatlas.errors import NonFiniteError
from resatlas.nets.norm_groups import RunningStatistics, running_statistics
from resatlas.recipes import recipe as recipes
from resatlas.recipes import schedule
from resatlas.recipes.recipe import Precision, Recipe
from resatlas.training.average import follow
from resatlas.training.distributed import ALONE, World, exchange_if_last
from resatlas.training.evidence import evidence
from resatlas.training.host import numbers
from resatlas.training.loss import loss_of
from resatlas.training.mixing import Mixture, mixed, mixture
from resatlas.training.optimizer import follow_rate, forget_momenta
from resatlas.training.precision import autocast, overflowed, unscaled
from resatlas.training.skipping import attempt
from resatlas.training.state import Tally, TrainState

CPU = torch.device("cpu")


class Amount(NamedTuple):
    """The loss (float64) and the number of errors of a process's part of a batch, on the device and not yet read.

    `parts` are the losses that it is the sum of; with one loss alone there are none.
    """

    loss: Tensor
    errors: Tensor
    parts: Mapping[str, Tensor] = MappingProxyType({})


class Learner(Protocol):
    """What is learnt: the batches of an epoch, and the gradients of one. Everything else of the loop is the same."""

    def batches(self, state: TrainState, training: "TrainingPlan") -> Iterator[Any]:
        """The remaining batches of the current epoch , this process's share of each, on its device.

        The loop reads the `ids` of a batch, (n,), and nothing else.
        """
        ...

    def backward(
        self,
        network: nn.Module,
        batch: Any,  # noqa: ANN401 - one of its own batches
        training: "TrainingPlan",
        *,
        count: int,
        step: int,
        scale: Callable[[Tensor], Tensor],
    ) -> Amount:
        """The amount of this process's part of a batch of `count` images; its gradients are accumulated.

        The loss is the contribution of this part to the mean over the batch. Gradients are those of the loss scaled by
        `scale` and multiplied by the world size, since DDP averages them over the processes. Random numbers are those
        of torch's generator, which the loop seeds at each step.
        """
        ...


class Classifying:
    """One label per image."""

    def batches(self, state: TrainState, training: "TrainingPlan") -> Iterator[Batch]:
        """As `epoch`."""
        return epoch(state, training)

    def backward(
        self,
        network: nn.Module,
        batch: Batch,
        training: "TrainingPlan",
        *,
        count: int,
        step: int,
        scale: Callable[[Tensor], Tensor],
    ) -> Amount:
        """As `backward`, with the mixture of the step."""
        how = mixture(training.recipe, seed=training.seed, step=step)
        return backward(network, batch, training, count=count, how=how, scale=scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPlan:
    """The input of the loop: recipe, seed, training images, their pipeline, and the processes that take part.

    The loop counts the images, the learner reads them.

    `learner` is what is learnt from the images, one label per image by default.
    """

    recipe: Recipe
    seed: int
    images: Sized
    pipeline: Pipeline
    learner: Learner = field(default_factory=Classifying)
    layout: torch.memory_format = torch.contiguous_format
    precision: Precision = "fp32"
    device: torch.device = CPU
    world: World = ALONE
    wrapped: nn.Module | None = None
    """The network of the state wrapped for several processes; None if there is one process."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return recipes.steps_per_epoch(self.recipe, len(self.images))

    @property
    def steps(self) -> int:
        """Batches of the whole training."""
        return recipes.steps_in_all(self.recipe, len(self.images))

    @property
    def epochs(self) -> int:
        """Epochs of the whole training; the last may be cut short."""
        return recipes.epochs_begun(self.recipe, len(self.images))

    def progress(self, step: int) -> Fraction:
        """The share of the training that determines the learning rate of a step, counted from 0."""
        return schedule.progress(self.recipe.schedule, step=step, steps=self.steps, epoch=self.steps_per_epoch)

    def size(self, batch: int) -> int:
        """The images of a batch, counted from 0, over all processes."""
        return min(self.recipe.batch, len(self.images) - batch % self.steps_per_epoch * self.recipe.batch)


def fit(
    state: TrainState,
    training: TrainingPlan,
    *,
    on_step: Callable[[TrainState], None],
    measure: Callable[[TrainState, Tally, float], float | None],
    on_epoch: Callable[[TrainState], None] = lambda _: None,
    skip: Callable[[NonFiniteError], None] | None = None,
) -> TrainState:
    """Train to the end of the recipe, from the position of the state.

    `on_step` and `on_epoch` may raise an error to stop: the state is then complete and can be resumed. `on_step` may
    subtract time that is not the training's from the seconds of the state. `measure` receives the tally and the seconds
    of the finished epoch, and returns the error of the held-out images, if there are any. A step that is not finite
    ends the training, unless `skip` accepts it.
    """
    while state.epoch < training.epochs:
        before = time.perf_counter()
        state.module.train()
        for batch in islice(training.learner.batches(state, training), training.steps - state.step):
            if skip is None:
                step(state, batch, training)
            elif error := attempt(state, partial(step, state, batch, training)):
                skip(error)
            now = time.perf_counter()
            state.seconds, before = state.seconds + now - before, now
            on_step(state)
        tally, seconds = state.tally, state.seconds
        state.epoch, state.batch, state.tally, state.seconds = state.epoch + 1, 0, Tally(), 0.0
        held_back = measure(state, tally, seconds)
        error = tally.error_percent if held_back is None else held_back
        state.pace = schedule.after_epoch(training.recipe.schedule, state.pace, error_percent=error)
        on_epoch(state)
    return state


def epoch(state: TrainState, training: TrainingPlan) -> Iterator[Batch]:
    """The remaining batches of the current epoch, this process's share of each, on its device."""
    own = batches(
        labelled(training.images),
        training.pipeline,
        seed=training.seed,
        epoch=state.epoch,
        batch=training.recipe.batch,
        leftover=training.recipe.leftover,
        start=state.batch,
        share=training.world.share,
    )
    wanted = _wanted(state, training)
    for batch in own:
        if wanted is not None:
            substituted = float((batch.ids != next(wanted)).sum())  # ids are in main memory
            state.tally.substituted += int(training.world.sums(substituted)[0])
        images, labels = (placed(tensor, training.device) for tensor in (batch.images, batch.labels))
        yield batch._replace(images=images, labels=labels)


def labelled(images: Sized) -> Source:
    """The images of a training on labels.

    Raises: TypeError if they have none.
    """
    match images:
        case Resident() | ImageSet() | ImageFiles():
            return images
        case _:
            raise TypeError(f"labels are learnt from images that have one each; got {type(images).__name__}")


def _wanted(state: TrainState, training: TrainingPlan) -> Iterator[Tensor] | None:
    """The ids of this process's remaining images, batch by batch, if unreadable images may be substituted."""
    part, recipe = training.images, training.recipe
    if not isinstance(part, ImageFiles) or training.pipeline.unreadable != "skip":
        return None
    chunks = batch_positions(
        training.seed, state.epoch, len(part), repeats=training.pipeline.repeats, batch=recipe.batch
    )
    ids = torch.from_numpy(part.ids)
    return (ids[training.world.share(chunk) % len(part)] for chunk in chunks[state.batch :])


def step(state: TrainState, batch: Any, training: TrainingPlan) -> None:  # noqa: ANN401 - a batch of the learner
    """Update the weights once, equally in all processes.

    Raises: NonFiniteError before the update if the loss or the norm of the gradient is not finite in any process.
    """
    recipe, progress, count = training.recipe, training.progress(state.step), training.size(state.batch)
    rate = _set_rate(state, training, progress)
    torch.manual_seed(derive(training.seed, "step", state.step, *training.world.words))  # dropout, stochastic depth
    state.optimizer.zero_grad()
    network, scale = training.wrapped or state.module, state.scaler.scale
    with training.world.exchange():
        own = training.learner.backward(network, batch, training, count=count, step=state.step, scale=scale)
    infinite = unscaled(state.scaler, state.optimizer)
    gradients = [weight.grad for weight in state.module.parameters() if weight.grad is not None]
    norm_of_all = nn.utils.get_total_norm(gradients)
    *amount, norm, found = numbers(own.loss, own.errors, *own.parts.values(), norm_of_all, infinite)
    loss, errors, *parts = training.world.sums(*amount)
    overflow = overflowed(state.scaler, infinite=found > 0, finite_loss=math.isfinite(loss))
    for name, number in (("loss", loss), ("norm of the gradient", 0.0 if overflow else norm)):
        if not math.isfinite(number):
            images = [k for ids in training.world.gathered(batch.ids.tolist()) for k in ids]
            raise NonFiniteError(
                f"the {name} is {number} at step {state.step + 1:,} (epoch {state.epoch + 1}, learning rate "
                f"{rate:.4g}); no weight was updated; nonfinite.json lists the images and norms of the step; a lower "
                "schedule.peak may help",
                evidence=evidence(state, seed=training.seed, images=images, loss=loss, norm=norm, rate=rate),
            )
    if overflow:
        state.overflows += 1
    else:
        if recipe.clip is not None and norm > recipe.clip:
            for gradient in gradients:
                gradient.mul_(recipe.clip / norm)
        state.optimizer.step()
    if recipe.average and state.average:
        follow(state.average, state.module, recipe.average, step=state.step, progress=progress)
    by_name = dict(zip(own.parts, parts, strict=True))
    state.tally.add(images=count, loss=loss, errors=int(errors), parts=by_name, norm=None if overflow else norm)
    state.batch += 1
    state.step += 1
    state.pace = schedule.after_step(
        recipe.schedule, progress, state.pace, step=state.step, error_percent=state.tally.error_percent
    )


def _set_rate(state: TrainState, training: TrainingPlan, progress: Fraction) -> float:
    """Set the learning rate for this progress; at a drop, adapt or reset the momentum."""
    plan, before = training.recipe.schedule, state.rate
    state.rate = schedule.rate(plan, progress, state.pace)
    drops = schedule.fallen(plan, progress, state.pace)
    if drops > state.drops and schedule.momentum_after_drop(plan) == "reset":
        forget_momenta(state.optimizer)
    elif before is not None:
        follow_rate(state.optimizer, before=before, now=state.rate, rule=training.recipe.optimizer)
    state.drops = drops
    for group in state.optimizer.param_groups:
        group["lr"] = state.rate
    return state.rate


def backward(
    network: nn.Module,
    batch: Batch,
    training: TrainingPlan,
    *,
    count: int,
    how: Mixture | None = None,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Amount:
    """The amount of this process's part of a batch of `count` images; its gradients are accumulated.

    There is one pass for each norm group, its images mixed according to `how`. The loss is the contribution of this
    part to the mean over the batch. Gradients are those of the loss scaled by `scale` and multiplied by the world size,
    since DDP averages them over the processes.
    """
    world, group = training.world, training.recipe.norm_group or len(batch.labels)
    passes = list(zip(batch.images.split(group), batch.labels.split(group), strict=True))
    statistics = RunningStatistics(network) if len(passes) > 1 else None
    loss = torch.zeros((), dtype=torch.float64, device=batch.labels.device)
    errors = torch.zeros((), dtype=torch.int64, device=batch.labels.device)
    for k, (images, truth) in enumerate(mixed(*pass_, how) for pass_ in passes):
        with exchange_if_last(network, last=k + 1 == len(passes)):
            with autocast(training.precision, training.device):
                logits = network(images.contiguous(memory_format=training.layout))
            share = loss_of(training.recipe.loss, logits, truth) * (len(images) / count)
            scale(share * world.size).backward()
        loss += share.detach()
        errors += (logits.argmax(dim=1) != truth.main).sum()
        if statistics:
            statistics.add_pass()
    if statistics:
        statistics.finish()
    if world.size > 1:
        world.mean(running_statistics(network))
    return Amount(loss, errors)


def require_finite(state: TrainState) -> None:
    """Check that all weights and running statistics are finite.

    Raises: NonFiniteError with the first of them.
    """
    averaged = state.average.state_dict() if state.average else {}
    tensors = [*state.module.state_dict().items(), *averaged.items()]
    checks = numbers(*(tensor.isfinite().all() for _, tensor in tensors))
    for (path, _), is_finite in zip(tensors, checks, strict=True):
        if not is_finite:
            raise NonFiniteError(
                f"{path} is not finite after step {state.step:,}; nothing was saved; a lower schedule.peak may help"
            )


def finite(values: dict[str, Any], *, of: str) -> dict[str, Any]:
    """The values unchanged.

    Raises: NonFiniteError with the first value that is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteError(f"{name} {of} is {value}; a lower schedule.peak may help")
    return values
