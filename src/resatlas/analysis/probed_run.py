"""What is probed: a finished run, or a network without one; its network and the images for its probes."""

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

    @property
    def design(self) -> str:
        """The DESIGN text of the run."""
        return self.record.experiment.design

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
        return _held_out(self.splits, most, self.batch_size)

    def training(self, most: int | None = None) -> ProbeImages:
        """At most this many training images, without augmentation."""
        return _training(self.splits, most, self.batch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbedNetwork:
    """A trained network without a run, in evaluation mode, with the images of a data set; else as `ProbedRun`."""

    name: str
    design: str
    network: Network
    splits: Splits
    batch_size: int = MOST

    @property
    def plan(self) -> Plan:
        """The plan of the network."""
        return self.network.plan

    def held_out(self, most: int | None = None) -> ProbeImages:
        """At most this many validation images, or training images if the data set has no validation part."""
        return _held_out(self.splits, most, self.batch_size)

    def training(self, most: int | None = None) -> ProbeImages:
        """At most this many training images, without augmentation."""
        return _training(self.splits, most, self.batch_size)


Probed = ProbedRun | ProbedNetwork


def _held_out(splits: Splits, most: int | None, batch_size: int) -> ProbeImages:
    if splits.validation is None:
        return _training(splits, most, batch_size)
    return _images(splits.validation, splits.pipeline, most=most, kind="validation images", batch_size=batch_size)


def _training(splits: Splits, most: int | None, batch_size: int) -> ProbeImages:
    return _images(splits.train, splits.pipeline, most=most, kind="training images", batch_size=batch_size)


def _images(part: Part, pipeline: Pipeline, *, most: int | None, kind: str, batch_size: int) -> ProbeImages:
    """At most this many images of a part, evenly spaced and in order."""
    count = min(most or len(part), len(part))
    places = torch.tensor([k * len(part) // count for k in range(count)])
    selected = part if count == len(part) else part.take(places.numpy())
    batches = views_of(selected, pipeline, batch_size=batch_size)
    return ProbeImages(batches=batches, description=f"{count:,} of {len(part):,} {kind}")


def views_of(part: Part, pipeline: Pipeline, *, batch_size: int = MOST) -> tuple[Batch, ...]:
    """All images of a part in order, preprocessed as in a test."""
    return tuple(views(part, pipeline, batch_size))
