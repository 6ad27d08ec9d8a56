"""The loop learns, is reproducible to the bit, and stops before an update that is not finite."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Affine
from resatlas.errors import NonFiniteError
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Standardise
from resatlas.recipes.recipe import Decay
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.recipes.schedule import OneCycle, rate
from resatlas.runs.store import Run
from resatlas.training.loop import TrainingPlan, fit
from resatlas.training.optimizer import optimizer
from resatlas.training.session import Watcher
from resatlas.training.state import Tally, TrainState
from tests.training.small import (
    EXPERIMENT,
    STEPS,
    assert_same,
    carried_out,
    different,
    last_checkpoint,
    noise,
    plan_for,
    tensors,
)

NOISE = replace(
    NAMED["quick"],
    epochs=80,
    batch=16,
    loss=CrossEntropy(),
    steps=(Standardise(),),
    decay=Decay(),
    validation=Fraction(0),
)

FAMILIES = (
    "resnet:depth=8,base=8",
    "plain:depth=8,base=8",
    "preact-resnet:depth=8,base=8",
    "wide-resnet:depth=10,base=8,widen=1",
    "resnext:depth=11,base=8,cardinality=2,width=8",
    "pyramidnet:depth=8,base=8,alpha=12",
    "dmrnet:depth=8,base=8",
    "dilnet:depth=8,base=8",
)


@pytest.mark.parametrize("design", FAMILIES, ids=lambda design: design.partition(":")[0])
def test_one_batch_is_fitted(design: str) -> None:
    """Eighty steps on sixteen images of noise bring the loss near 0, in every family."""
    network = build(design, image=Shape(1, 8, 8), classes=4, seed=0)
    state = TrainState(network=network, optimizer=optimizer(network, NOISE))
    losses: list[float] = []
    fit(
        state,
        plan_for(noise(16), NOISE),
        on_step=lambda _: None,
        measure=lambda _, tally, __: losses.append(tally.mean_loss),
    )
    assert losses[0] > 1
    assert losses[-1] < 0.05


def test_an_epoch_shows_each_image_at_most_once_and_counts_it() -> None:
    """The tally covers the full batches of an epoch and is reset for the next."""
    network = build("resnet:depth=8,base=2", image=Shape(1, 8, 8), classes=4, seed=0)
    recipe = replace(NOISE, epochs=2)
    state = TrainState(network=network, optimizer=optimizer(network, recipe))
    seen: list[tuple[int, int, int]] = []
    tallies: list[Tally] = []
    fit(
        state,
        plan_for(noise(40), recipe),
        on_step=lambda now: seen.append((now.epoch, now.batch, now.step)),
        measure=lambda _, tally, __: tallies.append(tally),
    )
    assert seen == [(0, 1, 1), (0, 2, 2), (1, 1, 3), (1, 2, 4)]
    assert [tally.images for tally in tallies] == [32, 32]
    assert (state.epoch, state.batch, state.step, state.tally) == (2, 0, 4, Tally())


def test_the_tally_has_the_norms_of_updates_alone() -> None:
    """The mean and the largest of an epoch; a step without an update has none, wherever it is."""
    tally = Tally()
    for norm in (None, 3.0, 1.0):
        tally.add(images=2, loss=1.0, errors=0, norm=norm)
    assert tally.norms == {"gradient_norm": 2.0, "largest_gradient_norm": 3.0}
    assert Tally(**tally.as_table()) == tally
    begun_before = Tally(images=4, loss=8.0)
    assert begun_before.norms == {}
    assert "norm" not in begun_before.as_table()


def test_the_same_seed_gives_the_same_run(unbroken: Run, tmp_path: Path) -> None:
    """Weights, momentum, metrics, predictions and results are equal to the bit."""
    assert_same(carried_out(tmp_path / "again"), unbroken)


def test_another_seed_gives_another_run(unbroken: Run, tmp_path: Path) -> None:
    """Every weight tensor that is random or trained differs."""
    other = carried_out(tmp_path / "other", replace(EXPERIMENT, seed=1))
    one, two = tensors(last_checkpoint(unbroken)), tensors(last_checkpoint(other))
    same = set(one) - set(different(one, two))
    assert same == {name for name in one if name.endswith("num_batches_tracked")}
    assert other.metrics != unbroken.metrics


def test_metrics_and_timing_have_a_row_an_epoch(unbroken: Run) -> None:
    """Metrics are in metrics.jsonl, times only in timing.jsonl."""
    assert [(row["epoch"], row["step"]) for row in unbroken.metrics] == [(1, STEPS), (2, 2 * STEPS), (3, 3 * STEPS)]
    assert {tuple(row) for row in unbroken.metrics} == {
        (
            "epoch",
            "step",
            "learning_rate",
            "train_loss",
            "train_error_percent",
            "gradient_norm",
            "largest_gradient_norm",
            "validation_loss",
            "validation_error_percent",
        )
    }
    assert {tuple(row) for row in unbroken.timing} == {("epoch", "images", "seconds", "images_per_second")}
    assert [row["images"] for row in unbroken.timing] == [STEPS * 16] * 3
    rates = [rate(EXPERIMENT.recipe.schedule, Fraction(step - 1, 3 * STEPS)) for step in (5, 10, 15)]
    assert [row["learning_rate"] for row in unbroken.metrics] == rates


def parameters(state: TrainState) -> dict[str, torch.Tensor]:
    """A copy of every parameter."""
    return {path: parameter.detach().clone() for path, parameter in state.network.named_parameters()}


def test_a_nonfinite_loss_stops_before_the_update(unbroken: Run, tmp_path: Path) -> None:
    """Parameters stay as they were; the last checkpoint is unchanged, and the training can be resumed from it."""
    plans: list[TrainingPlan] = []
    states: list[TrainState] = []
    before: list[dict[str, torch.Tensor]] = []

    def on_start(_run: Run, plan: TrainingPlan, state: TrainState) -> None:
        plans.append(plan)
        states.append(state)

    def on_step(state: TrainState) -> None:
        if state.step == STEPS + 2:
            before.append(parameters(state))
            normaliser = plans[0].pipeline.normaliser
            assert isinstance(normaliser, Affine)
            normaliser.mean[:] = torch.nan

    folder = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=rf"the loss is nan at step {STEPS + 3} \(epoch 2, learning rate 0\.\d+\)"):
        carried_out(folder, watcher=Watcher(on_start=on_start, on_step=on_step))
    assert different(parameters(states[0]), before[0]) == []
    run = Run(folder)
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["error"]) == ("failed", "NonFiniteError")
    assert not run.finished
    assert last_checkpoint(run).name == f"step-{STEPS:08d}"
    assert_same(carried_out(folder, resume="auto"), unbroken)


def test_a_nonfinite_gradient_stops_before_the_update(tmp_path: Path) -> None:
    """A finite loss with an infinite gradient is refused like a loss that is not finite."""
    states: list[TrainState] = []

    def on_start(_run: Run, _plan: TrainingPlan, state: TrainState) -> None:
        states.append(state)
        [*_, last] = state.network.parameters()

        def overflow(gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.inf if state.step == STEPS + 2 else gradient

        last.register_hook(overflow)

    before: list[dict[str, torch.Tensor]] = []

    def on_step(state: TrainState) -> None:
        if state.step == STEPS + 2:
            before.append(parameters(state))

    with pytest.raises(NonFiniteError):
        carried_out(tmp_path / "run", watcher=Watcher(on_start=on_start, on_step=on_step))
    assert states[0].step == STEPS + 2
    assert different(parameters(states[0]), before[0]) == []


@pytest.mark.parametrize("steps_of_epoch", [1, 2, 3])
def test_no_training_finishes_with_nonfinite_weights(tmp_path: Path, steps_of_epoch: int) -> None:
    """A rate that is far too high raises the error, also if only the last update shows it."""
    recipe = NAMED["quick"]
    recipe = replace(recipe, epochs=2, batch=84 // steps_of_epoch, schedule=OneCycle(peak=1e30, rise=Fraction(1, 2)))
    folder = tmp_path / "run"
    with pytest.raises(NonFiniteError):
        carried_out(folder, replace(EXPERIMENT, recipe=recipe))
    assert not Run(folder).finished
    for name in ("metrics.jsonl", "results.json"):
        assert not (folder / name).exists() or "NaN" not in (folder / name).read_text()
