"""The state of a training: everything that a checkpoint must contain."""

from dataclasses import dataclass, field

from torch.amp import GradScaler
from torch.optim.optimizer import Optimizer

from resatlas.nets.network import Network
from resatlas.recipes.schedule import START, Pace


@dataclass
class Tally:
    """Sums over the images seen so far in an epoch; `substituted` are those shown in place of unreadable ones."""

    images: int = 0
    loss: float = 0.0
    errors: int = 0
    substituted: int = 0

    def add(self, *, images: int, loss: float, errors: int) -> None:
        """Count a batch with its mean loss."""
        self.images += images
        self.loss += loss * images
        self.errors += errors

    @property
    def mean_loss(self) -> float:
        """Mean loss per image."""
        return self.loss / max(self.images, 1)

    @property
    def error_percent(self) -> float:
        """Percentage of misclassified images."""
        return 100 * self.errors / max(self.images, 1)


@dataclass
class TrainState:
    """The network, its optimizer, and the position in the training.

    `epoch` and `batch` count finished epochs and batches; there is no random state, since every draw is a pure function
    of seed and position. `rate` and `drops` are those of the last step, `pace` is the state of the schedule. `average`
    is the average of the weights, if the recipe has one. `scaler` scales the loss, in fp16 only, and `overflows` counts
    the updates that it skipped. `skipped` and `skipped_in_a_row` count the steps skipped because they were not finite,
    in all and directly before this one.
    """

    network: Network
    optimizer: Optimizer
    average: Network | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    rate: float | None = None
    drops: int = 0
    pace: Pace = START
    scaler: GradScaler = field(default_factory=lambda: GradScaler("cpu", enabled=False))
    overflows: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0

    @property
    def tested(self) -> Network:
        """The network to validate, test and export: the average of the weights if there is one."""
        return self.network if self.average is None else self.average
