"""The state of a training: everything that a checkpoint must contain."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer

from resatlas.nets.network import Network
from resatlas.recipes.schedule import START, Pace


@dataclass
class Tally:
    """Sums over the images seen so far in an epoch; `substituted` are those shown in place of unreadable ones.

    `parts` are the sums of the losses that `loss` consists of, by name, where there are several and all images of the
    epoch have them: an epoch that an earlier version began has none. `norm` and `largest_norm` are the sum and the
    maximum of the norms of the gradient, before clipping, over `updates`: those since this version continues it.
    """

    images: int = 0
    loss: float = 0.0
    errors: int = 0
    substituted: int = 0
    parts: dict[str, float] = field(default_factory=dict[str, float])
    updates: int = 0
    norm: float = 0.0
    largest_norm: float = 0.0

    def add(
        self,
        *,
        images: int,
        loss: float,
        errors: int,
        parts: Mapping[str, float] = MappingProxyType({}),
        norm: float | None = None,
    ) -> None:
        """Count a batch with its mean loss, the means of its parts, and the norm of its gradient if that updated."""
        if self.parts or not self.images:
            self.parts = {name: self.parts.get(name, 0.0) + part * images for name, part in parts.items()}
        if norm is not None:
            self.updates, self.norm, self.largest_norm = (
                self.updates + 1,
                self.norm + norm,
                max(self.largest_norm, norm),
            )
        self.images += images
        self.loss += loss * images
        self.errors += errors

    @property
    def mean_loss(self) -> float:
        """Mean loss per image."""
        return self.loss / max(self.images, 1)

    @property
    def mean_parts(self) -> dict[str, float]:
        """The mean of each part of the loss per image."""
        return {name: part / max(self.images, 1) for name, part in self.parts.items()}

    @property
    def norms(self) -> dict[str, float]:
        """The mean and the largest norm of the gradient, as names and numbers of a row; empty without updates."""
        if not self.updates:
            return {}
        return {"gradient_norm": self.norm / self.updates, "largest_gradient_norm": self.largest_norm}

    @property
    def error_percent(self) -> float:
        """Percentage of misclassified images."""
        return 100 * self.errors / max(self.images, 1)

    def as_table(self) -> dict[str, Any]:
        """The sums as a checkpoint has them; without parts and updates they are those of earlier versions."""
        missing = {*(() if self.parts else ("parts",)), *(() if self.updates else ("updates", "norm", "largest_norm"))}
        return {name: value for name, value in asdict(self).items() if name not in missing}


@dataclass
class TrainState:
    """The network, its optimizer, and the position in the training.

    `epoch` and `batch` count finished epochs and batches; there is no random state, since every draw is a pure function
    of seed and position. `rate` and `drops` are those of the last step, `pace` is the state of the schedule. `average`
    is the average of the weights, if the recipe has one. `scaler` scales the loss, in fp16 only, and `overflows` counts
    the updates that it skipped. `skipped` and `skipped_in_a_row` count the steps skipped because they were not finite,
    in all and directly before this one. `seconds` are those of the epoch so far; in `paused` of
    them the process was suspended. `whole` is the detector or segmenter around the network, if there is one.
    """

    network: Network
    optimizer: Optimizer
    average: nn.Module | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    paused: float = 0.0
    tally: Tally = field(default_factory=Tally)
    rate: float | None = None
    drops: int = 0
    pace: Pace = START
    scaler: GradScaler = field(default_factory=lambda: GradScaler("cpu", enabled=False))
    overflows: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    whole: nn.Module | None = None

    @property
    def module(self) -> nn.Module:
        """What is trained: the network, or the detector or segmenter that contains it."""
        return self.whole or self.network

    @property
    def tested(self) -> nn.Module:
        """What is validated and tested: the average of the weights if there is one."""
        return self.module if self.average is None else self.average
