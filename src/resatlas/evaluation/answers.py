"""What a network answers to every image of a part, each counted once, under any view and in any number of processes."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from resatlas.data.batches import views
from resatlas.data.dataset import ImageFiles, Part
from resatlas.data.loading import Batch, Make, loaded
from resatlas.data.pipeline import Pipeline
from resatlas.errors import DataError
from resatlas.evaluation.portions import Portion
from resatlas.evaluation.showing import Showing, averaged, normalised_as, showings
from resatlas.evaluation.windows import window_logits
from resatlas.nets.network import Network
from resatlas.recipes.images import MeanOf, MultiScale, View
from resatlas.values.pulse import PULSE

Heard = Callable[[int, int], None]
"""Told how many images have been shown, and of how many; one that is shown again counts again."""

T = TypeVar("T")


class Answers(NamedTuple):
    """The logits of every image of a part, beside its labels and ids; of averaged probabilities their logarithms."""

    logits: Float[Tensor, "n k"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]


@runtime_checkable
class Processes(Protocol):
    """The processes that answer together, and which of them this is."""

    @property
    def rank(self) -> int:
        """Its number, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def gathered(self, own: T) -> list[T]:
        """What each of them has, in the order of ranks."""
        ...


def unheard(shown: int, total: int) -> None:
    """Nothing is shown."""


@torch.no_grad()
def answers(
    network: nn.Module,
    part: Part,
    pipeline: Pipeline,
    view: View | None = None,
    heard: Heard = unheard,
    portion: Portion | None = None,
) -> Answers:
    """The answers to a part in evaluation mode, each image once, in order; under the pipeline's view or another.

    `portion` is how many are shown at once, by default 256; it becomes smaller where memory runs out.
    """
    network.eval()
    portion = portion or Portion()
    if view is None or view == pipeline.view:
        shown = views(part, pipeline, portion.size)
        rows = (Answers(_said(network, each.images, portion)[:, 0], each.labels, each.ids) for each in shown)
        return joined_answers(list(_counted(rows, 0, len(part), heard)))
    several = list(showings(view, part))
    passes = []
    for k, showing in enumerate(several):
        rows = _shown(network, part, pipeline, view, showing, portion)
        passes.append(joined_answers(list(_counted(rows, k * len(part), len(several) * len(part), heard))))
    return mean_answers(passes, averaged(view))


def joined_answers(parts: Sequence[Answers]) -> Answers:
    """The answers to consecutive parts as those to the whole."""
    return Answers(*(torch.cat(column) for column in zip(*parts, strict=True)))


def answered_together(part: Part, world: Processes, answer: Callable[[Part], Answers]) -> Answers:
    """The answers to a part, each image's by one of the processes, in the order of the part.

    Fewer images than processes are answered by each of them, and counted once.
    """
    if len(part) < world.size:
        return answer(part)
    begin, end = (k * len(part) // world.size for k in (world.rank, world.rank + 1))
    return joined_answers(world.gathered(answer(part.take(slice(begin, end)))))


def mean_answers(several: Sequence[Answers], mean_of: MeanOf) -> Answers:
    """Several answers to the same images as one, each of the same weight.

    Raises: DataError if they are not to the same images.
    """
    first = several[0]
    if any(not (each.ids.equal(first.ids) and each.labels.equal(first.labels)) for each in several):
        raise DataError("answers to different images have no mean; are these the same images, with the same labels?")
    return first._replace(logits=mean(torch.stack([each.logits for each in several], dim=1), mean_of))


def restricted(given: Answers, columns: Sequence[int]) -> Answers:
    """The answers of a network that may choose among these of its classes only; labels count them in this order."""
    return given._replace(logits=given.logits[:, list(columns)])


def mean(logits: Float[Tensor, "n m k"], mean_of: MeanOf) -> Float[Tensor, "n k"]:
    """The mean of m answers to each image, or log(mean softmax), in float64; a single one as it is."""
    count = logits.shape[1]
    if count == 1:
        return logits[:, 0]
    if mean_of == "logits":
        return logits.double().mean(dim=1)
    return logits.double().log_softmax(dim=2).logsumexp(dim=1) - math.log(count)


def _shown(
    network: nn.Module, part: Part, pipeline: Pipeline, view: View, showing: Showing, portion: Portion
) -> Iterator[Answers]:
    """The answers to the batches of one pass, the mean over what is shown of each image."""
    for batch in _batches(part, pipeline, showing, portion.size):
        n, m = batch.images.shape[:2]
        logits = _said(network, batch.images.flatten(0, 1), portion, view)
        yield Answers(mean(logits.view(n, m * logits.shape[1], -1), averaged(view)), batch.labels, batch.ids)


def _counted(batches: Iterable[Answers], before: int, total: int, heard: Heard) -> Iterator[Answers]:
    """The answers as they come, of each batch of which is told how many images have been shown, with those before."""
    done = before
    for each in batches:
        done += len(each.ids)
        heard(done, total)
        yield each


def _said(
    network: nn.Module, images: Float[Tensor, "n c h w"], portion: Portion, view: View | None = None
) -> Float[Tensor, "n p k"]:
    """The logits of each place of the images that counts, of one or of every window; asked where the network is."""
    PULSE.beat()
    known = next(network.parameters(), images)

    def ask(some: Float[Tensor, "m c h w"]) -> Float[Tensor, "m p k"]:
        some = some.to(known.device, non_blocking=True)
        if isinstance(view, MultiScale) and view.places == "windows":
            return window_logits(cast("Network", network), some).cpu()
        return network(some)[:, None].cpu()

    return portion.shown(ask, images)


def _batches(part: Part, pipeline: Pipeline, showing: Showing, usual: int) -> Iterator[Batch]:
    """Every image of the part once, in order, as m crops: as many at a time as a usual batch has pixels."""
    values = usual * part.shape.height * part.shape.width
    size = 1 if showing.values is None else max(values // showing.values, 1)
    make = _made(part, pipeline, showing)
    if isinstance(part, ImageFiles):
        chunks = torch.arange(len(part)).split(size)
        policy = "omit" if pipeline.unreadable == "skip" else "error"
        yield from loaded(part, make, chunks, workers=pipeline.workers, policy=policy, on_note=pipeline.on_note)
        return
    for begin in range(0, len(part), size):
        some = part.take(slice(begin, begin + size))
        images = torch.stack([make(pixels, 0) for pixels in torch.from_numpy(some.images)])
        yield Batch(images, torch.tensor(some.labels), torch.tensor(some.ids))


def _made(part: Part, pipeline: Pipeline, showing: Showing) -> Make:
    return lambda pixels, _: normalised_as(showing.make(pixels), pipeline.normaliser, part)
