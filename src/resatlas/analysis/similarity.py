"""Similarity: which units of one network, or of two, put out alike representations of the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.passage import unit_modules
from resatlas.analysis.subject import Subject
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
    """|Yᵀ·X|² / (|Xᵀ·X| |Yᵀ·Y|) of centred features of the same n images, in Frobenius norms; 1 for equal ones.

    Neither rotations nor scales of the features change it.
    Source: Kornblith et al. (arXiv:1905.00414), section 3, linear CKA.
    """
    return _alignment(_gram(x), _gram(y))


def similarity(one: Network, other: Network, shown: tuple[Tensor, Tensor]) -> Similarity:
    """Linear CKA of all units on the same images, as each of the two networks takes them; streams side by side."""
    left, right = _grams(one, shown[0]), _grams(other, shown[1])
    return Similarity(
        rows=tuple(left),
        columns=tuple(right),
        values=tuple(tuple(_alignment(x, y) for y in right.values()) for x in left.values()),
    )


def answer(subjects: Sequence[Subject], *, images: int | None) -> Answer:
    """The units of a run with each other, and with those of each further run.

    Raises: UsageError if the runs hold back different images.
    """
    first = subjects[0]
    shown = [subject.held_back(images or 256) for subject in subjects]
    batches = [each.joined() for each in shown]
    for subject, batch in zip(subjects, batches, strict=True):
        if not batch.ids.equal(batches[0].ids) or not batch.labels.equal(batches[0].labels):
            raise UsageError(
                f"{subject.name} and {first.name} hold back different images; give runs of the same data and the "
                "same share for validation"
            )
    found = [
        similarity(first.network, subject.network, (batches[0].images, batch.images))
        for subject, batch in zip(subjects, batches, strict=True)
    ]
    return Answer(
        question="similarity",
        title="linear CKA between units",
        runs=tuple(subject.name for subject in subjects),
        images=shown[0].words,
        facts=tuple(_facts(subjects, found)),
        tables=tuple(
            _table(f"units of {first.name} (rows) and of {subject.name} (columns)", each)
            for subject, each in zip(subjects, found, strict=True)
        ),
    )


def _facts(subjects: Sequence[Subject], found: Sequence[Similarity]) -> list[Fact]:
    """How alike neighbours are in the run, and its last unit is to that of each further run."""
    own = found[0].values
    steps = [own[k][k + 1] for k in range(len(own) - 1)]
    facts = [Fact(name="mean_of_neighbours", unit="CKA", value=sum(steps) / len(steps))] if steps else []
    return facts + [
        Fact(name=f"last unit with that of {subject.name}", unit="CKA", value=each.values[-1][-1])
        for subject, each in zip(subjects[1:], found[1:], strict=True)
    ]


def _table(title: str, found: Similarity) -> Table:
    columns = (Column("unit", ""), *(Column(path.removeprefix("stages."), "CKA") for path in found.columns))
    return Table(
        title=title,
        columns=columns,
        rows=tuple((path, *values) for path, values in zip(found.rows, found.values, strict=True)),
    )


@torch.no_grad()
def _grams(network: Network, images: Tensor) -> dict[str, Tensor]:
    """The centred Gram matrix of what each unit puts out."""
    network.eval()
    streams = network.begin(images)
    found: dict[str, Tensor] = {}
    for path, module in unit_modules(network).items():
        streams = run_unit(module, streams)
        found[path] = _gram(side_by_side(streams).flatten(1))
    return found


def _gram(features: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """The inner products of centred features, in float64."""
    centred = features.double() - features.double().mean(dim=0)
    return centred @ centred.T


def _alignment(x: Float[Tensor, "n n"], y: Float[Tensor, "n n"]) -> float:
    """The cosine between two Gram matrices; 0 where all images look alike."""
    sizes = x.norm() * y.norm()
    return ((x * y).sum() / sizes).item() if sizes > 0 else 0.0
