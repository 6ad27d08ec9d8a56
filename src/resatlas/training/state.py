"""What a training is at one moment: everything that must survive a restart."""

from dataclasses import dataclass, field

import torch

from resatlas.nets.network import Network
from resatlas.recipes.schedule import START, Pace


@dataclass
class Tally:
    """Sums over the images seen so far in an epoch."""

    images: int = 0
    loss: float = 0.0
    errors: int = 0

    def add(self, *, images: int, loss: float, errors: int) -> None:
        """Count a batch with its mean loss."""
        self.images += images
        self.loss += loss * images
        self.errors += errors

    @property
    def mean_loss(self) -> float:
        """Mean loss an image."""
        return self.loss / max(self.images, 1)

    @property
    def error_percent(self) -> float:
        """Share of images put into a wrong class."""
        return 100 * self.errors / max(self.images, 1)


@dataclass
class TrainState:
    """The network, its optimizer, and the position in the training.

    `epoch` and `batch` count what is finished; there is no random state, since every draw is a pure function of
    seed and position. `rate` and `drops` are those of the last step, `pace` is what the schedule has heard.
    """

    network: Network
    optimizer: torch.optim.SGD
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    rate: float | None = None
    drops: int = 0
    pace: Pace = START
