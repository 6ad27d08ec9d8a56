"""Detection and segmentation in the training loop: bit-exact resume, the sum of losses, refused recipes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.batches import Resident
from resatlas.data.normalisation import UNTOUCHED
from resatlas.data.order import batch_positions
from resatlas.data.pipeline import Pipeline
from resatlas.errors import NonFiniteError, RecipeError, Stopped, UsageError
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import C4, Classify, Detect, Fpn, Frozen, Masks, Proposals, Regions, Segment
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.training.checkpoint import load, save
from resatlas.training.detecting import LOSSES, Finding, Scenes, check_start, first_state_of
from resatlas.training.loop import TrainingPlan, fit, step
from resatlas.training.state import Tally, TrainState

IMAGE = Shape(1, 32, 32)
RECIPE = replace(NAMED["quick"], epochs=2, batch=3, leftover="kept", mixing=(), average=None, loss=CrossEntropy())
SMALL = Detect(
    head=Fpn(channels=8, hidden=16), proposals=Proposals(before=(60, 30), after=(20, 10)), regions=Regions(sampled=16)
)
TASKS = {
    "fpn": replace(SMALL, masks=Masks(pooled=6, layers=1, width=8)),
    "c4": replace(SMALL, head=C4(pooled=4)),
    "segment": Segment(stride=2),
}


class Squares:
    """Bright squares on noise: 7 scenes, one of them empty."""

    def __init__(self, task: Detect | Segment) -> None:
        self.task = task

    def __len__(self) -> int:
        return 7

    def batches(
        self, *, seed: int, epoch: int, batch: int, start: int, share: Callable[[Tensor], Tensor]
    ) -> Iterator[Scenes]:
        """Batches of equal squares in another order each epoch."""
        for positions in batch_positions(seed, epoch, len(self), repeats=1, batch=batch)[start:]:
            images, masks, answers = zip(*(scene(int(k)) for k in share(positions)), strict=True)
            pixels = torch.stack(masks).long()
            yield Scenes(torch.stack(images), pixels if isinstance(self.task, Segment) else list(answers), positions)


def scene(k: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """An image, the mask of its square, and its objects; scene 3 has none."""
    image, mask, side = torch.randn(*IMAGE, generator=torch.Generator().manual_seed(k)), torch.zeros(*IMAGE[1:]), 8 + k
    if k == 3:
        return (
            image,
            mask,
            {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": torch.zeros(0, *IMAGE[1:]).byte()},
        )
    mask[k : k + side, 2 * k : 2 * k + side] = 1
    box = [[2.0 * k, k, 2 * k + side, k + side]]
    answer = {"boxes": torch.tensor(box), "labels": torch.tensor([1 + k % 2]), "masks": mask[None].byte()}
    return image + 3 * mask, mask, answer


def begun(task: Detect | Segment, recipe: Recipe = RECIPE) -> tuple[TrainState, TrainingPlan]:
    """The first state of a small network, and its training."""
    network = build("dmrnet:depth=8,base=4", image=IMAGE, classes=0, seed=0)
    scenes = Squares(task)
    nothing = Resident(images=torch.zeros(7, *IMAGE), labels=torch.zeros(7, dtype=torch.int64), ids=torch.arange(7))
    plan = TrainingPlan(
        recipe=recipe,
        seed=0,
        images=nothing,
        pipeline=Pipeline(steps=(), normaliser=UNTOUCHED),
        learner=Finding(scenes),
    )
    return first_state_of(network, task, recipe, classes=2, seed=0), plan


def trained(state: TrainState, plan: TrainingPlan, *, until: int | None = None) -> TrainState:
    """The state after the training, or after the step `until`."""

    def stop(state: TrainState) -> None:
        if state.step == until:
            raise Stopped("here")

    try:
        return fit(state, plan, on_step=stop, measure=lambda *_: None)
    except Stopped:
        return state


@pytest.mark.parametrize("name", TASKS)
def test_a_resumed_training_is_the_same(name: str, tmp_path: Path) -> None:
    """Stopped within an epoch, saved and loaded by another process: weights, momenta and losses are bit-equal."""
    straight = trained(*begun(TASKS[name]))
    stopped = trained(*begun(TASKS[name]), until=4)
    save(stopped, tmp_path, experiment="x")
    state, plan = begun(TASKS[name])
    torch.manual_seed(99)
    load(state, tmp_path / "step-00000004", experiment="x")
    trained(state, plan)
    assert (state.step, state.epoch) == (straight.step, straight.epoch) == (6, 2)
    expected = straight.module.state_dict()
    assert all(tensor.equal(expected[path]) for path, tensor in state.module.state_dict().items())
    first = begun(TASKS[name])[0].module.state_dict()
    changed = [path for path, tensor in first.items() if not tensor.equal(expected[path])]
    assert any(path.startswith("network.stem") for path in changed)


def test_the_loss_is_the_sum_of_the_losses() -> None:
    """Its gradients are those of the sum over the batch, and the tally has its value."""
    state, plan = begun(TASKS["fpn"])
    batch = next(plan.learner.batches(state, plan))
    torch.manual_seed(5)
    loss, errors, parts = plan.learner.backward(state.module, batch, plan, count=3, step=0, scale=lambda x: x)
    gradients = {path: weight.grad for path, weight in state.module.named_parameters()}
    other, _ = begun(TASKS["fpn"])
    torch.manual_seed(5)
    losses = other.module(batch.images, batch.answers)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert (loss, errors) == (pytest.approx(total.item()), 0)
    assert parts == pytest.approx({LOSSES[name]: part.item() for name, part in losses.items()})
    for path, weight in other.module.named_parameters():
        torch.testing.assert_close(gradients[path], weight.grad)


def test_an_epoch_that_an_earlier_version_began_has_no_parts() -> None:
    """Its first images have none, so that a mean over all of them would be wrong; the next epoch has them again."""
    begun_before = Tally(images=4, loss=8.0)
    begun_before.add(images=2, loss=1.0, errors=0, parts={"box": 1.0})
    assert begun_before.mean_parts == {}
    assert "parts" not in begun_before.as_table()
    own = Tally()
    own.add(images=2, loss=1.0, errors=0, parts={"box": 1.0})
    own.add(images=6, loss=1.0, errors=0, parts={"box": 2.0})
    assert Tally(**own.as_table()).mean_parts == {"box": 1.75}


def test_a_step_that_is_not_finite_updates_nothing() -> None:
    """Neither weights nor the position change, and the evidence has the ids of the scenes."""
    state, plan = begun(TASKS["c4"])
    batch = next(plan.learner.batches(state, plan))
    before = {path: weight.clone() for path, weight in state.module.named_parameters()}
    with pytest.raises(NonFiniteError) as refusal:
        step(state, batch._replace(images=batch.images * math.inf), plan)
    assert refusal.value.evidence is not None
    assert refusal.value.evidence["images"] == batch.ids.tolist()
    assert all(weight.equal(before[path]) for path, weight in state.module.named_parameters())


def test_frozen_norms_need_trained_weights_at_the_start() -> None:
    """After they have been loaded, they are accepted; on a resume nobody asks."""
    task = replace(SMALL, frozen=Frozen())
    state, _ = begun(task)
    with pytest.raises(UsageError, match="frozen norms need trained weights"):
        check_start(state, task)
    for path, buffer in state.network.named_buffers():
        if path.endswith("running_mean"):
            buffer.fill_(0.1)
    check_start(state, task)
    check_start(state, Classify())


def test_parts_for_one_label_are_refused() -> None:
    """The error names them, and what to leave out."""
    recipe = replace(RECIPE, repeats=2, norm_group=2)
    with pytest.raises(RecipeError, match=r"norm groups and repeats images .*, .* leave out norm_group, repeats"):
        begun(SMALL, recipe)
