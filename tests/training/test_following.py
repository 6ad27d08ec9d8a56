"""A training follows its recipe: rates, momentum, norm groups, warm-up, plateau and length."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from resatlas.data.batches import Batch
from resatlas.nets.norm_groups import RunningStatistics, running_statistics
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Standardise
from resatlas.recipes.recipe import Form, Muon, Recipe, Sgd
from resatlas.recipes.schedule import Pace, Plateau, Steps, WarmUp, shares
from resatlas.runs.store import Run
from resatlas.training.loop import backward, fit, step
from resatlas.training.optimizer import momenta, optimizer
from resatlas.training.state import TrainState
from tests.training.small import (
    EXPERIMENT,
    assert_same,
    carried_out,
    fresh,
    last_checkpoint,
    noise,
    plan_for,
    signalling,
)

TENTH = Fraction(1, 10)

FALLS = Steps(peak=TENTH, drops=shares(1, 3, of=4))

STEPS = replace(
    NAMED["quick"],
    name="steps",
    epochs=4,
    batch=16,
    steps=(Standardise(),),
    validation=Fraction(0),
    schedule=FALLS,
)
"""Four epochs of one batch; the rate drops after one and after three."""


def first_state(recipe: Recipe) -> TrainState:
    """A fresh state with the optimizer of a recipe."""
    network = fresh().network
    return TrainState(network=network, optimizer=optimizer(network, recipe))


def written_out(form: Form, *, reset: bool) -> list[torch.Tensor]:
    """The weights after STEPS by the formula of the update, parameter by parameter."""
    recipe = replace(STEPS, optimizer=Sgd(form=form), decay=NAMED["wrn-cifar"].decay)
    network = fresh().network.train()
    velocities = [torch.zeros_like(parameter) for parameter in network.parameters()]
    for rate, drop in ((0.1, False), (0.01, True), (0.01, False), (0.001, True)):
        network.zero_grad()
        backward(network, noise(16), plan_for(noise(16), recipe), count=16)
        if drop and reset:
            velocities = [torch.zeros_like(velocity) for velocity in velocities]
        with torch.no_grad():
            for weight, velocity in zip(network.parameters(), velocities, strict=True):
                gradient = weight.grad + recipe.decay.conv * weight  # type: ignore[operator]
                if form == "caffe":
                    velocity.mul_(0.9).add_(rate * gradient)
                    weight -= velocity
                else:
                    velocity.mul_(0.9).add_(gradient)
                    weight -= rate * (velocity if form == "plain" else gradient + 0.9 * velocity)
    return [parameter.detach() for parameter in network.parameters()]


def only_batch(*_: object, **__: object) -> Iterator[Batch]:
    """The same images in the same order in every epoch."""
    yield noise(16)


@pytest.mark.parametrize("form", ["plain", "nesterov", "caffe"])
@pytest.mark.parametrize("momentum", ["kept", "reset"])
def test_updates_are_those_of_the_formula(
    form: Form, momentum: Literal["kept", "reset"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every form over two drops, with the momentum kept or reset."""
    monkeypatch.setattr("resatlas.training.loop.batches", only_batch)
    recipe = replace(
        STEPS,
        optimizer=Sgd(form=form),
        decay=NAMED["wrn-cifar"].decay,
        schedule=replace(FALLS, momentum=momentum),
    )
    state = first_state(recipe)
    fit(state, plan_for(noise(16), recipe), on_step=lambda _: None, measure=lambda *_: None)
    expected = written_out(form, reset=momentum == "reset")
    for parameter, wanted in zip(state.network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, wanted, atol=1e-5, rtol=1e-4)


def test_the_forms_differ_where_the_rate_drops() -> None:
    """The test above can distinguish the forms."""
    results = [written_out("plain", reset=False), written_out("caffe", reset=False), written_out("plain", reset=True)]
    for k, one in enumerate(results):
        for other in results[k + 1 :]:
            assert any((a - b).abs().max() > 1e-4 for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("rule", [Sgd(form="plain"), Muon()], ids=["sgd", "muon"])
def test_a_reset_sets_the_momentum_to_zero(rule: Sgd | Muon) -> None:
    """After the drop the velocity is the gradient of that step only."""
    recipe = replace(STEPS, schedule=replace(FALLS, momentum="reset"), optimizer=rule)
    state, plan = first_state(recipe), plan_for(noise(16), recipe)
    step(state, noise(16), plan)
    step(state, noise(16), plan)
    gradients = {path: parameter.grad for path, parameter in state.network.named_parameters()}
    decay = {id(p): group["weight_decay"] for group in state.optimizer.param_groups for p in group["params"]}
    kept = momenta(state.network, state.optimizer)
    free = [path for path, parameter in state.network.named_parameters() if not decay[id(parameter)]]
    assert free
    assert all(kept[path].equal(gradients[path]) for path in free)  # type: ignore[arg-type]


def test_groups_share_their_statistics() -> None:
    """The gradient of a batch in two groups is the mean of those of two half batches, in float64."""
    whole = noise(16)
    batch = Batch(whole.images.double(), whole.labels, whole.ids)
    halves = [Batch(*(column[part] for column in batch)) for part in (slice(8), slice(8, 16))]

    def gradients(batch: Batch, group: int | None) -> tuple[float, list[torch.Tensor]]:
        network = fresh().network.double().train()
        plan = plan_for(whole, replace(STEPS, norm_group=group))
        amount = backward(network, batch, plan, count=len(batch.labels))
        return float(amount.loss), [parameter.grad for parameter in network.parameters()]  # type: ignore[misc]

    loss, in_groups = gradients(batch, 8)
    (one, first), (other, second) = gradients(halves[0], None), gradients(halves[1], None)
    assert loss == pytest.approx((one + other) / 2, rel=1e-12)
    for mean, a, b in zip(in_groups, first, second, strict=True):
        torch.testing.assert_close(mean, (a + b) / 2, atol=1e-12, rtol=1e-10)
    _, in_one_group = gradients(batch, None)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(in_groups, in_one_group, strict=True))


def test_running_statistics_are_the_mean_over_the_groups() -> None:
    """(1 - 0.1)·old + 0.1·mean of the groups' own, and one batch is counted."""
    norm = nn.BatchNorm2d(1, affine=False).double().train()
    images = torch.tensor([1.0, 3.0, 10.0, 20.0], dtype=torch.float64).view(4, 1, 1, 1)
    norm(torch.zeros(2, 1, 1, 1, dtype=torch.float64))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(5.0)
    statistics = RunningStatistics(norm)
    for group in images.split(2):
        norm(group)
        statistics.add_pass()
    statistics.finish()
    assert running_statistics(norm) == [norm.running_mean, norm.running_var]
    assert norm.running_mean.item() == pytest.approx(0.9 * 5 + 0.1 * (2 + 15) / 2)
    assert norm.running_var.item() == pytest.approx(0.9 * 0.9 + 0.1 * (2 + 50) / 2)
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == 2


WARMING = Steps(
    peak=TENTH,
    drops=shares(3, of=4),
    warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(1, 2), below_percent=Fraction(60)),
)

FALLING = Plateau(peak=TENTH, patience=1)


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [
        (FALLS, Muon()),
        (replace(FALLS, momentum="reset"), Sgd()),
        (replace(FALLS, momentum="reset"), Sgd(form="caffe")),
        (WARMING, Sgd()),
        (FALLING, Sgd(form="caffe")),
    ],
)
def test_a_resume_restores_rate_momentum_and_pace(schedule: Steps | Plateau, rule: Sgd | Muon, tmp_path: Path) -> None:
    """After a stop before or after a drop, in a warm-up or on a plateau, the result is bit-equal."""
    recipe = replace(EXPERIMENT.recipe, epochs=4, schedule=schedule, optimizer=rule, norm_group=8)
    experiment = replace(EXPERIMENT, recipe=recipe)
    unbroken = carried_out(tmp_path / "unbroken", experiment)
    for number in (4, 5, 11):
        folder = tmp_path / f"stopped-{number}"
        with pytest.raises(Exception, match="SIGTERM"):
            carried_out(folder, experiment, watcher=signalling(number))
        carried_out(folder, experiment, resume="auto")
        assert_same(Run(folder), unbroken)


def test_a_drop_on_a_plateau_is_in_the_checkpoint_of_its_epoch(tmp_path: Path) -> None:
    """After a resume from the end of any epoch, the result is bit-equal."""
    recipe = replace(EXPERIMENT.recipe, epochs=6, schedule=FALLING)
    experiment = replace(EXPERIMENT, recipe=recipe)
    unbroken = carried_out(tmp_path / "unbroken", experiment)
    assert len({row["learning_rate"] for row in unbroken.metrics}) > 1
    for epochs in range(1, 6):
        folder = tmp_path / f"after-{epochs}"
        with pytest.raises(Exception, match="SIGTERM"):
            carried_out(folder, experiment, watcher=signalling(5 * epochs + 1))
        at = Run(folder).checkpoints / f"step-{5 * epochs:08d}"
        carried_out(folder, experiment, resume=str(at))
        assert_same(Run(folder), unbroken)


def test_a_warm_up_ends_in_a_real_training(tmp_path: Path) -> None:
    """The rates of the metrics are those of the schedule with the recorded pace."""
    for below, rates in ((101, [0.1, 0.1, 0.1, 0.01]), (0, [0.01, 0.01, 0.1, 0.01])):
        warm_up = WarmUp(rate=Fraction(1, 100), share=Fraction(1, 2), below_percent=Fraction(below))
        recipe = replace(EXPERIMENT.recipe, epochs=4, schedule=replace(WARMING, warm_up=warm_up))
        run = carried_out(tmp_path / str(below), replace(EXPERIMENT, recipe=recipe))
        assert [row["learning_rate"] for row in run.metrics] == rates


def test_a_plateau_uses_the_error_of_the_held_out_images(tmp_path: Path) -> None:
    """The error of the held-out images counts if there are any, else the training error."""
    recipe = replace(EXPERIMENT.recipe, epochs=6, schedule=Plateau(peak=TENTH, patience=1))
    for validation, column in ((Fraction(1, 8), "validation_error_percent"), (Fraction(0), "train_error_percent")):
        experiment = replace(EXPERIMENT, recipe=replace(recipe, validation=validation))
        run = carried_out(tmp_path / column, experiment)
        drops, best = 0, None
        for row in run.metrics:
            assert row["learning_rate"] == pytest.approx(0.1 * 0.1**drops)
            if best is None or row[column] < best:
                best = row[column]
            else:
                drops += 1


def test_iterations_end_a_training_within_an_epoch(tmp_path: Path) -> None:
    """Twelve steps of five per epoch are two epochs and two fifths, also after a stop in the last."""
    recipe = replace(EXPERIMENT.recipe, iterations=12)
    experiment = replace(EXPERIMENT, recipe=recipe)
    run = carried_out(tmp_path / "run", experiment)
    assert [row["step"] for row in run.metrics] == [5, 10, 12]
    assert (run.record().written["epochs"], last_checkpoint(run).name) == (3, "step-00000012")
    for number in (10, 11, 12):
        folder = tmp_path / f"stopped-{number}"
        with pytest.raises(Exception, match="SIGTERM"):
            carried_out(folder, experiment, watcher=signalling(number))
        carried_out(folder, experiment, resume="auto")
        assert_same(Run(folder), run)


def test_a_leftover_batch_is_a_step_where_it_is_kept(tmp_path: Path) -> None:
    """84 images in batches of 16 are six steps per epoch, and every image is counted."""
    recipe = replace(EXPERIMENT.recipe, leftover="kept")
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=recipe))
    assert [row["step"] for row in run.metrics] == [6, 12, 18]
    assert [row["images"] for row in run.timing] == [84] * 3


def test_the_pace_has_its_defaults_at_the_start() -> None:
    """The schedule has no state before the first step."""
    assert fresh().pace == Pace()
