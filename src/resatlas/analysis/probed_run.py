"""A finished run that is probed: its network and the images for its probes."""

from dataclasses import dataclass
from functools import cached_property

import torch

from resatlas.arch.plan import Plan
from resatlas.data.batches import views
from resatlas.data.dataset import Part
from resatlas.data.loading import Batch
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.portions import MOST
from resatlas.nets.network import Network
from resatlas.runs.record import Epoch, RunRecord
from resatlas.training.splits import Splits
from resatlas.training.starting import trained


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeImages:
    """Images, preprocessed as in a test, and a description of which they are."""

    batches: tuple[Batch, ...]
    description: str

    def joined(self) -> Batch:
        """All images as one batch."""
        return Batch(*(torch.cat(column) for column in zip(*self.batches, strict=True)))


@dataclass(frozen=True, eq=False)
class ProbedRun:
    """A finished run with its images. No probe except `explain` uses the test images.

    `batch_size` is the number of images in one forward pass, `of` the epoch whose weights are probed.
    """

    record: RunRecord
    splits: Splits
    batch_size: int = MOST
    of: Epoch = "last"

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.record.name

    @cached_property
    def plan(self) -> Plan:
        """The plan of its network."""
        return self.record.plan

    @cached_property
    def network(self) -> Network:
        """Its trained network, in evaluation mode."""
        return trained(self.record, self.record.experiment, self.of).eval()

    def held_out(self, most: int | None = None) -> ProbeImages:
        """At most this many validation images, or training images if the run has no validation set."""
        if self.splits.validation is None:
            return self.training(most)
        return self._images(self.splits.validation, most=most, kind="validation images")

    def training(self, most: int | None = None) -> ProbeImages:
        """At most this many training images, without augmentation."""
        return self._images(self.splits.train, most=most, kind="training images")

    def _images(self, part: Part, *, most: int | None, kind: str) -> ProbeImages:
        """At most this many images of a part, evenly spaced and in order."""
        count = min(most or len(part), len(part))
        places = torch.tensor([k * len(part) // count for k in range(count)])
        selected = part if count == len(part) else part.take(places.numpy())
        batches = views_of(selected, self.splits.pipeline, batch_size=self.batch_size)
        return ProbeImages(batches=batches, description=f"{count:,} of {len(part):,} {kind}")


def views_of(part: Part, pipeline: Pipeline, *, batch_size: int = MOST) -> tuple[Batch, ...]:
    """All images of a part in order, preprocessed as in a test."""
    return tuple(views(part, pipeline, batch_size))
