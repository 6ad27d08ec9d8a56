"""Detection and segmentation in the training loop: their batches, and what backward does with one."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, assert_never

import torch
from torch import Tensor, nn

from resatlas.data.placing import placed
from resatlas.nets.backbone import check_frozen, drawn_from
from resatlas.nets.network import Network
from resatlas.nets.norm_groups import running_statistics
from resatlas.recipes.detection import Classify, Detect, Segment, Task
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.task_check import check_recipe
from resatlas.training.distributed import exchange_if_last
from resatlas.training.loop import Amount, TrainingPlan
from resatlas.training.optimizer import optimizer
from resatlas.training.precision import autocast
from resatlas.training.state import TrainState

LOSSES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}
"""What the losses of a detector are called in the rows of a training, after `train_loss_`, by torchvision's names."""

Answers = Sequence[dict[str, Tensor]] | Tensor
"""For each image its objects, as in `nets.detector.Target`; for segmentation the classes of the pixels, (n, h, w)."""


class Scenes(NamedTuple):
    """A batch of normalised images, their answers, and their ids.

    Images of one size are a tensor (n, channels, h, w), others a list of (channels, h, w).
    """

    images: Sequence[Tensor] | Tensor
    answers: Answers
    ids: Tensor


class SceneSource(Protocol):
    """The images of a training: their number, and the batches of an epoch as pure functions of seed and position."""

    def __len__(self) -> int:
        """The number of images."""
        ...

    def batches(
        self, *, seed: int, epoch: int, batch: int, start: int, share: Callable[[Tensor], Tensor]
    ) -> Iterator[Scenes]:
        """The batches of an epoch from number `start` on, with the positions that `share` selects of each."""
        ...


class Finding:
    """Objects or classes of pixels: the loss of a batch is the sum of the losses that the module returns.

    The samples of anchors and regions are drawn from torch's generator, which the loop seeds at each step; so a
    resumed training draws the same ones. Losses are means over the samples of a process: those of several processes
    differ from those of one by more than rounding.
    """

    def __init__(self, scenes: SceneSource) -> None:
        self.scenes = scenes

    def batches(self, state: TrainState, training: TrainingPlan) -> Iterator[Scenes]:
        """The remaining batches of the current epoch, on the device of the training."""
        own = self.scenes.batches(
            seed=training.seed,
            epoch=state.epoch,
            batch=training.recipe.batch,
            start=state.batch,
            share=training.world.share,
        )
        for batch in own:
            yield moved(batch, training.device)

    def backward(
        self,
        network: nn.Module,
        batch: Scenes,
        training: TrainingPlan,
        *,
        count: int,
        step: int,  # noqa: ARG002 - nothing is mixed
        scale: Callable[[Tensor], Tensor],
    ) -> Amount:
        """The sum of the losses and each of them, 0 errors: errors are measured as AP by an evaluation."""
        with exchange_if_last(network, last=True):
            with autocast(training.precision, training.device):
                losses = network(batch.images, batch.answers)
            each = torch.stack([loss.float() for loss in losses.values()])
            share = each.sum() * (len(batch.ids) / count)
            scale(share * training.world.size).backward()
        if training.world.size > 1:
            training.world.mean(running_statistics(network))
        parts: dict[str, Tensor] = {}
        if len(losses) > 1:
            shares = each.detach() * (len(batch.ids) / count)
            parts = {LOSSES.get(name, name): part for name, part in zip(losses, shares, strict=True)}
        return Amount(share.detach().double(), torch.zeros((), device=share.device), parts)


def moved(batch: Scenes, device: torch.device) -> Scenes:
    """The batch on a device; the ids stay where they are."""
    images: Sequence[Tensor] | Tensor
    answers: Answers
    if isinstance(batch.images, Tensor):
        images = placed(batch.images, device)
    else:
        images = [placed(image, device) for image in batch.images]
    if isinstance(batch.answers, Tensor):
        answers = placed(batch.answers, device)
    else:
        answers = [{name: placed(tensor, device) for name, tensor in answer.items()} for answer in batch.answers]
    return batch._replace(images=images, answers=answers)


def first_state_of(network: Network, task: Task, recipe: Recipe, *, classes: int, seed: int) -> TrainState:
    """The state before the first step of a detector or segmenter around the network; for `Classify`, of the network.

    `classes` are those of the data: kinds of objects, or kinds of pixels. Heads are drawn from a seed derived from the
    run's. Trained weights are loaded into `state.network`; then `check_start` is for the first start, not for a resume,
    whose checkpoint has the weights of all.
    Raises: RecipeError for a recipe with parts that exist for one label per image alone; as `Detector` and `Segmenter`.
    """
    match task:
        case Classify():
            return TrainState(network=network, optimizer=optimizer(network, recipe))
        case Detect():
            from resatlas.nets.detector import Detector  # torchvision is slow to import

            check_recipe(recipe)
            with drawn_from(seed, "detector"):
                whole = Detector(network, task, classes=classes)
        case Segment():
            from resatlas.nets.segmenter import Segmenter

            check_recipe(recipe)
            with drawn_from(seed, "segmenter"):
                whole = Segmenter(network, task, classes=classes)
        case _:
            assert_never(task)
    return TrainState(network=whole.network, whole=whole, optimizer=optimizer(whole, recipe))


def check_start(state: TrainState, task: Task) -> None:
    """Refuse to freeze the norms of a network that has no trained weights.

    Raises: UsageError
    """
    if not isinstance(task, Classify):
        check_frozen(state.network, task.frozen)
