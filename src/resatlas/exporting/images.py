"""The images of an export: pixels in the network's size, for parity, for calibration and for the test of int8."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.dataset import ImageFiles, Part
from resatlas.data.loading import cropping, loaded
from resatlas.data.pipeline import Pipeline

Pixels = UInt8[Tensor, "n c h w"]

_BATCH = 64
PARITY_IMAGES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class ExportImages:
    """Training and test images, cropped as in the test of the run; `source` describes them."""

    train: Part | None
    test: Part
    pipeline: Pipeline
    source: str

    def calibrating(self, count: int) -> Pixels:
        """At most this many training images, evenly spaced.

        Raises: DataError if an image cannot be read.
        """
        assert self.train is not None  # noqa: S101 - callers check it
        return torch.cat([pixels for pixels, _ in self._batches(evenly(self.train, count))])

    def parity(self) -> Pixels:
        """At most `PARITY_IMAGES` test images, evenly spaced."""
        return torch.cat([pixels for pixels, _ in self._batches(evenly(self.test, PARITY_IMAGES))])

    def tested(self) -> Iterator[tuple[Pixels, Int64[Tensor, " n"]]]:
        """All test images with their labels, in batches."""
        return self._batches(self.test)

    def _batches(self, part: Part) -> Iterator[tuple[Pixels, Int64[Tensor, " n"]]]:
        if isinstance(part, ImageFiles):
            policy = "omit" if self.pipeline.unreadable == "skip" else "error"
            chunks = torch.arange(len(part)).split(_BATCH)
            crop = cropping(part, self.pipeline)
            for batch in loaded(part, crop, chunks, workers=self.pipeline.workers, policy=policy):
                yield batch.images, batch.labels
            return
        for begin in range(0, len(part), _BATCH):
            chunk = part.take(slice(begin, begin + _BATCH))
            yield torch.from_numpy(chunk.images), torch.tensor(chunk.labels)


def evenly(part: Part, most: int) -> Part:
    """At most this many images of a part, evenly spaced and in order."""
    count = min(most, len(part))
    return part.take(torch.tensor([k * len(part) // count for k in range(count)]).numpy())


def noise(image: Shape) -> Pixels:
    """`PARITY_IMAGES` images of random pixels, for a network whose data is not at hand; always the same."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (PARITY_IMAGES, *image), dtype=torch.uint8, generator=draw)
