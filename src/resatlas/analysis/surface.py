"""Surface: the loss around a trained network, along two random directions as large as its filters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.subject import Subject
from resatlas.data.loading import Batch
from resatlas.errors import UsageError
from resatlas.values.table import of_unit, table

POINTS = 11
"""Along each direction, unless told otherwise."""

SPAN = 1.0
"""How far the grid goes to each side, in lengths of the filters."""

Direction = dict[str, Tensor]
"""For each parameter that moves, by its path, where to."""


@dataclass(frozen=True, kw_only=True)
class SurfaceRow:
    """One point w + first·d_1 + second·d_2."""

    first: float = of_unit("filter norms")
    second: float = of_unit("filter norms")
    loss: float = of_unit("nats")
    error_percent: float = of_unit("%")


def direction(network: nn.Module, *, seed: int) -> Direction:
    """A random direction in which each filter, a row of a weight, moves by its own norm; norms and biases stay.

    Source: Li et al. (arXiv:1712.09913), section 4, filter normalisation; its authors' code leaves biases and batch
        normalisation out.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for path, weight in network.named_parameters():
        if weight.dim() > 1:
            drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            rows, own = drawn.flatten(1), weight.detach().flatten(1)
            found[path] = (rows * (own.norm(dim=1) / rows.norm(dim=1))[:, None]).view(weight.shape)
    return found


def surface(
    network: nn.Module,
    shown: Sequence[Batch],
    directions: tuple[Direction, Direction],
    *,
    points: int = POINTS,
    span: float = SPAN,
) -> Iterator[SurfaceRow]:
    """Loss and error on a square grid of an odd number of points, whose middle is the network itself.

    Raises: UsageError if there is no middle.
    """
    if points < 1 or points % 2 == 0:
        raise UsageError(f"a surface has an odd number of points a side, so that its middle is the network; {points}")
    network.eval()
    half = points // 2
    steps = [span * k / max(half, 1) for k in range(-half, half + 1)]
    for first in steps:
        for second in steps:
            with _moved(network, [(first, directions[0]), (second, directions[1])]):
                loss, error_percent = _score(network, shown)
            yield SurfaceRow(first=first, second=second, loss=loss, error_percent=error_percent)


def answer(subjects: Sequence[Subject], *, images: int | None) -> Answer:
    """The surface around one run's network."""
    [subject] = subjects
    held = subject.held_back(images)
    directions = direction(subject.network, seed=1), direction(subject.network, seed=2)
    rows = tuple(surface(subject.network, held.batches, directions))
    middle = rows[len(rows) // 2]
    return Answer(
        question="surface",
        title="the loss around the trained network",
        runs=(subject.name,),
        images=held.words,
        facts=(
            Fact(name="loss_in_the_middle", unit="nats", value=middle.loss),
            Fact(name="loss_stored_by_the_run", unit="nats", value=_stored(subject, images)),
            Fact(name="highest_loss", unit="nats", value=max(row.loss for row in rows)),
        ),
        tables=(table("a square grid; running statistics stay those of the middle", SurfaceRow, rows),),
    )


def _stored(subject: Subject, images: int | None) -> float | None:
    """The loss that the run noted of the same images, if it did."""
    validation = subject.run.outcome.validation
    return validation.loss if images is None and validation else None


@torch.no_grad()
def _score(network: nn.Module, shown: Sequence[Batch]) -> tuple[float, float]:
    logits, labels = torch.cat([network(b.images) for b in shown]), torch.cat([b.labels for b in shown])
    wrong = (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64)
    return F.cross_entropy(logits, labels).item(), 100 * wrong.item()


@contextmanager
def _moved(network: nn.Module, by: Sequence[tuple[float, Direction]]) -> Iterator[None]:
    """While it lasts, the weights stand elsewhere; afterwards exactly where they stood."""
    weights = dict(network.named_parameters())
    kept = {path: weights[path].detach().clone() for path in by[0][1]}
    try:
        with torch.no_grad():
            for length, direction in by:
                for path, step in direction.items():
                    weights[path].add_(step, alpha=length)
        yield
    finally:
        with torch.no_grad():
            for path, before in kept.items():
                weights[path].copy_(before)
