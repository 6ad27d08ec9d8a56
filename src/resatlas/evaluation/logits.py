"""The logits of a network for every image of a part, each counted once, under any view and over any world size."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from resatlas.data.batches import views
from resatlas.data.dataset import ImageFiles, Part
from resatlas.data.loading import Batch, loaded
from resatlas.data.pipeline import Pipeline
from resatlas.errors import DataError
from resatlas.evaluation.crops import Cropping, croppings_of, mean_of_crops, normalised_as
from resatlas.evaluation.portions import Portion
from resatlas.evaluation.sliding import window_logits
from resatlas.nets.network import Network
from resatlas.recipes.images import MeanOf, MultiScale, View
from resatlas.values.pulse import PULSE

OnImages = Callable[[int, int], None]
"""Called with the number of images predicted so far and the total; each pass over an image counts."""

T = TypeVar("T")


class Predictions(NamedTuple):
    """The logits of every image of a part, with labels and ids; where probabilities are averaged, their logarithms."""

    logits: Float[Tensor, "n k"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]


@runtime_checkable
class Processes(Protocol):
    """The processes that evaluate together, seen from one of them."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """The world size."""
        ...

    def gathered(self, own: T) -> list[T]:
        """The values of all processes, in the order of ranks."""
        ...


def no_progress(predicted: int, total: int) -> None:
    """Ignore the progress."""


@torch.no_grad()
def predict(
    network: nn.Module,
    part: Part,
    pipeline: Pipeline,
    view: View | None = None,
    on_images: OnImages = no_progress,
    portion: Portion | None = None,
) -> Predictions:
    """The predictions for a part in evaluation mode, each image once, in order; under the pipeline's view or another.

    `portion` is the number of images in one forward pass, by default 256; it shrinks when memory runs out.
    """
    network.eval()
    portion = portion or Portion()
    if view is None or view == pipeline.view:
        batches = (
            Predictions(_place_logits(network, batch.images, portion)[:, 0], batch.labels, batch.ids)
            for batch in views(part, pipeline, portion.size)
        )
        return joined(list(_reported(batches, 0, len(part), on_images)))
    croppings = list(croppings_of(view, part))
    total = len(croppings) * len(part)
    members = []
    for k, cropping in enumerate(croppings):
        batches = _of_pass(network, part, pipeline, view, cropping, portion)
        members.append(joined(list(_reported(batches, k * len(part), total, on_images))))
    return mean_predictions(members, mean_of_crops(view))


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions for consecutive parts as those for the whole."""
    return Predictions(*(torch.cat(column) for column in zip(*parts, strict=True)))


def predict_together(part: Part, world: Processes, predict_part: Callable[[Part], Predictions]) -> Predictions:
    """The predictions for a part, split among the processes, in the order of the part.

    A part with fewer images than processes is predicted whole by each of them, and counted once.
    """
    if len(part) < world.size:
        return predict_part(part)
    begin, end = (k * len(part) // world.size for k in (world.rank, world.rank + 1))
    return joined(world.gathered(predict_part(part.take(slice(begin, end)))))


def mean_predictions(members: Sequence[Predictions], mean_of: MeanOf) -> Predictions:
    """The mean of several predictions for the same images, equally weighted.

    Raises: DataError if the images or their labels differ.
    """
    first = members[0]
    if any(not (member.ids.equal(first.ids) and member.labels.equal(first.labels)) for member in members):
        raise DataError(
            "predictions for different images have no mean; are these the same images, with the same labels?"
        )
    return first._replace(logits=mean(torch.stack([member.logits for member in members], dim=1), mean_of))


def restricted(predictions: Predictions, columns: Sequence[int]) -> Predictions:
    """The predictions of a network that chooses among these of its classes only; labels count them in this order."""
    return predictions._replace(logits=predictions.logits[:, list(columns)])


def mean(logits: Float[Tensor, "n m k"], mean_of: MeanOf) -> Float[Tensor, "n k"]:
    """The mean of m logits of each image, or log(mean softmax), in float64; for m = 1 the logits unchanged."""
    count = logits.shape[1]
    if count == 1:
        return logits[:, 0]
    if mean_of == "logits":
        return logits.double().mean(dim=1)
    return logits.double().log_softmax(dim=2).logsumexp(dim=1) - math.log(count)


def _of_pass(
    network: nn.Module, part: Part, pipeline: Pipeline, view: View, cropping: Cropping, portion: Portion
) -> Iterator[Predictions]:
    """The predictions for the batches of one pass, the mean over the crops of each image."""
    for batch in _batches(part, pipeline, cropping, portion.size):
        n, m = batch.images.shape[:2]
        logits = _place_logits(network, batch.images.flatten(0, 1), portion, view)
        yield Predictions(mean(logits.view(n, m * logits.shape[1], -1), mean_of_crops(view)), batch.labels, batch.ids)


def _reported(batches: Iterable[Predictions], before: int, total: int, on_images: OnImages) -> Iterator[Predictions]:
    """The batches; after each, `on_images` gets the number of images predicted, those of earlier passes included."""
    predicted = before
    for batch in batches:
        predicted += len(batch.ids)
        on_images(predicted, total)
        yield batch


def _place_logits(
    network: nn.Module, images: Float[Tensor, "n c h w"], portion: Portion, view: View | None = None
) -> Float[Tensor, "n p k"]:
    """The logits at each place of the images: one, or one for each window; computed on the network's device."""
    PULSE.beat()
    device = next(network.parameters(), images).device

    def forward(batch: Float[Tensor, "m c h w"]) -> Float[Tensor, "m p k"]:
        batch = batch.to(device, non_blocking=True)
        if isinstance(view, MultiScale) and view.places == "windows":
            return window_logits(cast("Network", network), batch).cpu()
        return network(batch)[:, None].cpu()

    return portion.apply(forward, images)


def _batches(part: Part, pipeline: Pipeline, cropping: Cropping, usual: int) -> Iterator[Batch]:
    """Every image of the part once, in order, as m crops; a batch has at most as many pixels as `usual` images."""
    limit = usual * part.shape.height * part.shape.width
    size = 1 if cropping.pixels is None else max(limit // cropping.pixels, 1)

    def make(image: Tensor, _position: int) -> Tensor:
        return normalised_as(cropping.crop(image), pipeline.normaliser, part)

    if isinstance(part, ImageFiles):
        chunks = torch.arange(len(part)).split(size)
        policy = "omit" if pipeline.unreadable == "skip" else "error"
        yield from loaded(part, make, chunks, workers=pipeline.workers, policy=policy, on_note=pipeline.on_note)
        return
    for begin in range(0, len(part), size):
        chunk = part.take(slice(begin, begin + size))
        images = torch.stack([make(image, 0) for image in torch.from_numpy(chunk.images)])
        yield Batch(images, torch.tensor(chunk.labels), torch.tensor(chunk.ids))
