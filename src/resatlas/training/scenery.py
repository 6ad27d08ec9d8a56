"""The images with objects of a run as batches for detection or segmentation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

from torch import Tensor

from resatlas.data.annotated_batches import class_map, drawn, grounded, network_pixels, padded, stacked
from resatlas.data.boxes import AnnotatedImages, Sample
from resatlas.data.dataset import Mirror
from resatlas.data.order import batch_positions
from resatlas.data.pipeline import Pipeline
from resatlas.recipes.detection import Detect, Segment
from resatlas.training.detecting import Scenes
from resatlas.values.pulse import PULSE


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenery:
    """A `SceneSource`: the draws of an image are those of seed, epoch and its index, so that a resume repeats them."""

    images: AnnotatedImages
    pipeline: Pipeline
    mirror: Mirror
    task: Detect | Segment
    leftover: Literal["dropped", "kept"] = "dropped"

    def __len__(self) -> int:
        return len(self.images)

    def batches(
        self, *, seed: int, epoch: int, batch: int, start: int, share: Callable[[Tensor], Tensor]
    ) -> Iterator[Scenes]:
        """The batches of an epoch from number `start` on, with the positions that `share` selects of each."""
        chunks = batch_positions(seed, epoch, len(self), repeats=1, batch=batch)
        if self.leftover == "dropped" and len(chunks) > 1 and len(chunks[-1]) < batch:
            chunks.pop()
        for positions in map(share, chunks[start:]):
            samples = drawn(self._sample, self.pipeline, positions.tolist(), seed=seed, epoch=epoch, mirror=self.mirror)
            images = [network_pixels(sample.image, self.pipeline.normaliser) for sample in samples]
            PULSE.beat()
            yield self._batch(images, samples, positions)

    def _sample(self, k: int) -> Sample:
        sample = self.images.sample(k)
        return grounded(sample) if isinstance(self.task, Segment) else sample

    def _batch(self, images: list[Tensor], samples: list[Sample], positions: Tensor) -> Scenes:
        match self.task:
            case Detect():
                return Scenes(stacked(images), [sample.target for sample in samples], positions)
            case Segment(unlabelled=unlabelled):
                classes = [class_map(sample.target, unlabelled) for sample in samples]
                return Scenes(padded(images, 0), padded(classes, unlabelled), positions)
            case _:
                assert_never(self.task)
