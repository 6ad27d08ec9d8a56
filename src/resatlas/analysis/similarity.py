"""Similarity of the outputs of units, within one network or between two, on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from resatlas.analysis.probed_run import Probed
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.surgery import unit_modules
from resatlas.errors import UsageError
from resatlas.nets.network import Network
from resatlas.nets.streams import run_unit, side_by_side
from resatlas.values.table import Column, Table


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Linear CKA of every unit of one network with every unit of another, from 0 to 1."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


def linear_cka(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"]) -> float:
    """|Yᵀ·X|² / (|Xᵀ·X| |Yᵀ·Y|) of centred features of the same n images, in Frobenius norms; 1 if they are equal.

    It is invariant to rotation and scaling of the features.
    Source: Kornblith et al. (arXiv:1905.00414), section 3, linear CKA.
    """
    return _alignment(_gram(x), _gram(y))


def similarity(one: Network, other: Network, images: tuple[Tensor, Tensor]) -> Similarity:
    """Linear CKA of all units on the same images, which `images` has preprocessed for each network.

    The streams of a unit are concatenated.
    """
    left, right = _grams(one, images[0]), _grams(other, images[1])
    return Similarity(
        rows=tuple(left),
        columns=tuple(right),
        values=tuple(tuple(_alignment(x, y) for y in right.values()) for x in left.values()),
    )


def probe(runs: Sequence[Probed], *, images: int | None) -> ProbeResult:
    """Linear CKA between the units of a run, and with the units of each further run.

    Raises: UsageError if the runs have different validation images.
    """
    first = runs[0]
    selections = [run.held_out(images or 256) for run in runs]
    batches = [selection.joined() for selection in selections]
    for run, batch in zip(runs, batches, strict=True):
        if not batch.ids.equal(batches[0].ids) or not batch.labels.equal(batches[0].labels):
            raise UsageError(
                f"{run.name} and {first.name} have different validation images; give runs of the same data and the "
                "same validation share"
            )
    similarities = [
        similarity(first.network, run.network, (batches[0].images, batch.images))
        for run, batch in zip(runs, batches, strict=True)
    ]
    return ProbeResult(
        question="similarity",
        title="linear CKA between units",
        runs=tuple(run.name for run in runs),
        images=selections[0].description,
        facts=tuple(_facts(runs, similarities)),
        tables=tuple(_table(_title(first, run), values) for run, values in zip(runs, similarities, strict=True)),
    )


def _facts(runs: Sequence[Probed], similarities: Sequence[Similarity]) -> list[Fact]:
    """CKA of neighbouring units of the first run, and of its last unit with that of each further run."""
    values = similarities[0].values
    steps = [values[k][k + 1] for k in range(len(values) - 1)]
    facts = [Fact(name="mean_of_neighbours", unit="CKA", value=sum(steps) / len(steps))] if steps else []
    return facts + [
        Fact(name=f"last unit with that of {run.name}", unit="CKA", value=other.values[-1][-1])
        for run, other in zip(runs[1:], similarities[1:], strict=True)
    ]


def _title(first: Probed, other: Probed) -> str:
    if other is first:
        return f"units of {first.name}"
    return f"units of {first.name} (rows) and of {other.name} (columns)"


def _table(title: str, similarity: Similarity) -> Table:
    columns = (Column("unit", ""), *(Column(path.removeprefix("stages."), "CKA") for path in similarity.columns))
    return Table(
        title=title,
        columns=columns,
        rows=tuple((path, *values) for path, values in zip(similarity.rows, similarity.values, strict=True)),
    )


@torch.no_grad()
def _grams(network: Network, images: Tensor) -> dict[str, Tensor]:
    """The centred Gram matrix of the output of each unit."""
    network.eval()
    streams = network.begin(images)
    grams: dict[str, Tensor] = {}
    for path, module in unit_modules(network).items():
        streams = run_unit(module, streams)
        grams[path] = _gram(side_by_side(streams).flatten(1))
    return grams


def _gram(features: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """The inner products of centred features, in float64."""
    centred = features.double() - features.double().mean(dim=0)
    return centred @ centred.T


def _alignment(x: Float[Tensor, "n n"], y: Float[Tensor, "n n"]) -> float:
    """The cosine between two Gram matrices; 0 if one of them is zero, since all features are then equal."""
    sizes = x.norm() * y.norm()
    return ((x * y).sum() / sizes).item() if sizes > 0 else 0.0
