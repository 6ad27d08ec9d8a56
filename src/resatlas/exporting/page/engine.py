"""What computes the network in a page: an interface with two values, and what both share."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

import torch
from torch import Tensor

from resatlas.errors import CheckpointError, ResatlasError
from resatlas.exporting.page.encoding import Precision
from resatlas.exporting.preprocessing import Preprocessing, prepared
from resatlas.inference.engines.sessions import Session
from resatlas.nets.network import Network

BOUND = 1e-5
"""How far the logits of a page may be from those of torch in float64, as a share of the largest (or of 1)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Carried:
    """A network as a page carries it: a table and text for its engine, and the logits of the test pattern.

    `difference` is how far those logits are from the network's in float64. `session` computes normalised images with
    what is carried.
    """

    table: dict[str, Any]
    weights: str
    logits: Tensor
    difference: float
    session: Session


class Engine(Protocol):
    """A way to compute networks in a browser."""

    @property
    def words(self) -> str:
        """Its name on the page."""
        ...

    @property
    def most_multiply_adds(self) -> int | None:
        """The most of one image, or None if the size of networks is free."""
        ...

    @property
    def file(self) -> str:
        """The script of this package that defines `engine`."""
        ...

    @property
    def policy(self) -> tuple[str, ...]:
        """What the content policy must admit besides the scripts of the page."""
        ...

    def libraries(self) -> Sequence[str]:
        """Modules that run before the script of the page."""
        ...

    def texts(self) -> Sequence[tuple[str, str]]:
        """Ids and contents of elements that the scripts read."""
        ...

    def carried(self, network: Network, preparation: Preprocessing, precision: Precision) -> Carried:
        """The network, proved on the test pattern.

        Raises: CheckpointError if weights or logits are not finite; UsageError if the precision cannot store the
            weights; ResatlasError if the comparison fails.
        """
        ...


def source(name: str) -> str:
    """A script or a style of this package."""
    return files("resatlas.exporting.page").joinpath(name).read_text(encoding="utf-8")


def pattern(network: Network) -> Tensor:
    """The image of the comparison, which the page computes, too: pixel k is (97·k + 31·⌊k/8⌋) mod 256."""
    places = torch.arange(network.plan.image.channels * network.plan.image.height * network.plan.image.width)
    return ((97 * places + 31 * (places // 8)) % 256).to(torch.uint8).view(*network.plan.image)


def prepared_pattern(network: Network, preparation: Preprocessing) -> Tensor:
    """A batch of the test pattern alone, normalised in float32."""
    return prepared(pattern(network), preparation)[None]


def scale_of(exact: Tensor, *computed: Tensor) -> float:
    """The largest logit, or 1.

    Raises: CheckpointError if logits are not finite.
    """
    if not all(bool(logits.isfinite().all()) for logits in (exact, *computed)):
        raise CheckpointError("the logits of a test pattern are not finite numbers, so the network cannot classify")
    return max(1.0, float(exact.abs().max()))


def check_close(difference: float, scale: float, *, reason: str) -> None:
    """Refuse float32 logits that differ by more than the bound.

    Raises: ResatlasError
    """
    if difference > BOUND * scale:
        raise ResatlasError(
            f"rounded to float32, the folded weights change the logits by {difference:.1g}, more than {BOUND:g} of "
            f"the largest: {reason}"
        )
