"""Loss surface around a trained network, along two random directions with filter normalisation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.probed_run import ProbedRun
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.data.loading import Batch
from resatlas.errors import UsageError
from resatlas.values.table import of_unit, table

_POINTS = 11
"""Default number of points along each direction."""

_SPAN = 1.0
"""Default distance from the middle of the grid to its edge, in filter norms."""

Direction = dict[str, Tensor]
"""The step of each parameter that moves, by its path."""


@dataclass(frozen=True, kw_only=True)
class SurfaceRow:
    """One point w + first·d_1 + second·d_2."""

    first: float = of_unit("filter norms")
    second: float = of_unit("filter norms")
    loss: float = of_unit("nats")
    error_percent: float = of_unit("%")


def direction(network: nn.Module, *, seed: int) -> Direction:
    """A random direction in which each filter, a row of a weight, moves by its own norm.

    Normalisation parameters and biases do not move.

    Source: Li et al. (arXiv:1712.09913), section 4, filter normalisation; the authors' code excludes biases and batch
        normalisation.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = {}
    for path, weight in network.named_parameters():
        if weight.dim() > 1:
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            rows, filters = noise.flatten(1), weight.detach().flatten(1)
            steps[path] = (rows * (filters.norm(dim=1) / rows.norm(dim=1))[:, None]).view(weight.shape)
    return steps


def surface(
    network: nn.Module,
    batches: Sequence[Batch],
    directions: tuple[Direction, Direction],
    *,
    points: int = _POINTS,
    span: float = _SPAN,
) -> Iterator[SurfaceRow]:
    """Loss and error on a square grid; the middle point is the network itself.

    Raises: UsageError if the number of points is even, since the grid then has no middle.
    """
    if points < 1 or points % 2 == 0:
        raise UsageError(f"points must be an odd number from 1, so that the middle is the network; got {points}")
    network.eval()
    half = points // 2
    steps = [span * k / max(half, 1) for k in range(-half, half + 1)]
    for first in steps:
        for second in steps:
            with _moved(network, [(first, directions[0]), (second, directions[1])]):
                loss, error_percent = _score(network, batches)
            yield SurfaceRow(first=first, second=second, loss=loss, error_percent=error_percent)


def probe(runs: Sequence[ProbedRun], *, images: int | None) -> ProbeResult:
    """The loss surface around the network of one run."""
    [run] = runs
    selection = run.held_out(images)
    directions = direction(run.network, seed=1), direction(run.network, seed=2)
    rows = tuple(surface(run.network, selection.batches, directions))
    middle = rows[len(rows) // 2]
    return ProbeResult(
        question="surface",
        title="the loss around the trained network",
        runs=(run.name,),
        images=selection.description,
        facts=(
            Fact(name="loss_in_the_middle", unit="nats", value=middle.loss),
            Fact(name="loss_stored_by_the_run", unit="nats", value=_stored_loss(run, images)),
            Fact(name="highest_loss", unit="nats", value=max(row.loss for row in rows)),
        ),
        tables=(table("square grid, running statistics of the middle point", SurfaceRow, rows),),
    )


def _stored_loss(run: ProbedRun, images: int | None) -> float | None:
    """The validation loss in the run's results, if it has one of the same images."""
    validation = run.record.outcome.validation
    return validation.loss if images is None and validation else None


@torch.no_grad()
def _score(network: nn.Module, batches: Sequence[Batch]) -> tuple[float, float]:
    logits, labels = torch.cat([network(b.images) for b in batches]), torch.cat([b.labels for b in batches])
    wrong = (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64)
    return F.cross_entropy(logits, labels).item(), 100 * wrong.item()


@contextmanager
def _moved(network: nn.Module, moves: Sequence[tuple[float, Direction]]) -> Iterator[None]:
    """Within this context, the weights are moved; afterwards they have exactly their old values."""
    weights = dict(network.named_parameters())
    originals = {path: weights[path].detach().clone() for path in moves[0][1]}
    try:
        with torch.no_grad():
            for length, direction in moves:
                for path, step in direction.items():
                    weights[path].add_(step, alpha=length)
        yield
    finally:
        with torch.no_grad():
            for path, original in originals.items():
                weights[path].copy_(original)
