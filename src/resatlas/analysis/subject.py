"""A finished run as it is dissected: its network, and the images that questions are put on."""

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
from resatlas.runs.record import RunRecord
from resatlas.training.splits import Splits
from resatlas.training.starting import trained


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Images as the network takes them in a test, and in words which they are."""

    batches: tuple[Batch, ...]
    words: str

    def joined(self) -> Batch:
        """All of them as one batch."""
        return Batch(*(torch.cat(column) for column in zip(*self.batches, strict=True)))


@dataclass(frozen=True, eq=False)
class Subject:
    """A finished run with its images. The test images stay untouched: no question is tuned or answered on them.

    `at_once` is how many images are in one pass.
    """

    run: RunRecord
    material: Splits
    at_once: int = MOST

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.run.name

    @cached_property
    def plan(self) -> Plan:
        """The plan of its network."""
        return self.run.plan

    @cached_property
    def network(self) -> Network:
        """Its trained network, in evaluation mode."""
        return trained(self.run, self.run.experiment).eval()

    def held_back(self, most: int | None = None) -> Shown:
        """Up to so many validation images, or training images where the run held none back."""
        if self.material.validation is None:
            return self.learnt(most)
        return self._shown(self.material.validation, most=most, kind="validation images")

    def learnt(self, most: int | None = None) -> Shown:
        """Up to so many of the images that it learnt from, as in a test."""
        return self._shown(self.material.train, most=most, kind="training images")

    def _shown(self, part: Part, *, most: int | None, kind: str) -> Shown:
        """Up to so many images of a part, evenly spaced through it and in its order."""
        count = min(most or len(part), len(part))
        places = torch.tensor([k * len(part) // count for k in range(count)])
        some = part if count == len(part) else part.take(places.numpy())
        shown = views_of(some, self.material.pipeline, at_once=self.at_once)
        return Shown(batches=shown, words=f"{count:,} of {len(part):,} {kind}")


def views_of(part: Part, pipeline: Pipeline, *, at_once: int = MOST) -> tuple[Batch, ...]:
    """Every image of a part as the network takes it in a test, in order."""
    return tuple(views(part, pipeline, at_once))
