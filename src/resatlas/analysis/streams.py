"""Streams: how far the streams of a merge-and-run network are apart, and what other skip matrices do, as runs."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.passage import unit_modules
from resatlas.analysis.subject import Subject
from resatlas.arch.ops import Scale
from resatlas.arch.plan import Plan
from resatlas.arch.streams import SKIPS
from resatlas.designs.dmrnet import DmrNet
from resatlas.errors import DesignError
from resatlas.nets.network import Network
from resatlas.nets.streams import Streams, run_unit
from resatlas.runs.experiment import Experiment
from resatlas.values.table import of_unit, table

MATRICES = (*SKIPS, "9/10 mean")
"""The skip matrices that are compared: M, the identity, the swap, a random projector of M's rank, and 0.9·M."""

SCALED = "scale-0.9-1"
"""The knob of the last."""


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """What the streams of one block put out: how far each is from their mean, and how alike two of them are."""

    unit: str = of_unit("")
    difference: float = of_unit("share of the mean's norm")
    cosine_of_streams: float = of_unit("1")


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """One run, by the matrix that its shortcuts meet in."""

    skip_matrix: str = of_unit("")
    run: str = of_unit("")
    seed: int = of_unit("seed")
    train_loss: float | None = of_unit("nats")
    validation_error: float | None = of_unit("%")
    test_error: float | None = of_unit("%")
    last_difference: float = of_unit("share of the mean's norm")


def differences(network: Network, images: Float[Tensor, "n c h w"]) -> tuple[BlockRow, ...]:
    """Every block that puts out several streams, on all images together.

    difference: root mean square over the K streams of |x_k - x̄|, over |x̄|.
    Raises: DesignError for a network of one stream.
    """
    check_streams(network.plan)
    network.eval()
    rows: list[BlockRow] = []
    with torch.no_grad():
        streams = network.begin(images)
        for path, module in unit_modules(network).items():
            streams = run_unit(module, streams)
            if len(streams) > 1:
                rows.append(_row(path, streams))
    return tuple(rows)


def check_streams(plan: Plan) -> None:
    """Refuse a network of one stream.

    Raises: DesignError
    """
    if len(plan.stages[0][0].streams) < 2:
        raise DesignError("the network has one stream; streams are those of merge-and-run networks, as in dmrnet-14")


def skip_matrix(plan: Plan) -> str:
    """The matrix in which the shortcuts of a plan meet, with the factor that each shortcut has."""
    unit = plan.stages[0][0]
    factor = Fraction(1)
    for layer in unit.streams[0].shortcut or ():
        if isinstance(layer.op, Scale):
            factor *= layer.op.factor
    return unit.skip if factor == 1 else f"{factor} {unit.skip}"


def answer(subjects: Sequence[Subject], *, images: int | None) -> Answer:
    """The streams of a run block by block; its skip matrix beside those of further runs, and which runs are missing.

    Raises: DesignError for a network of one stream.
    """
    first = subjects[0]
    for subject in subjects:
        check_streams(subject.plan)
    held = first.held_back(images or 256)
    rows = [differences(subject.network, subject.held_back(images or 256).joined().images) for subject in subjects]
    matrices = [_matrix(subject, own) for subject, own in zip(subjects, rows, strict=True)]
    return Answer(
        question="streams",
        title="how far the streams are apart",
        runs=tuple(subject.name for subject in subjects),
        images=held.words,
        facts=(Fact(name="skip_matrix", unit="", value=skip_matrix(first.plan)),),
        tables=(
            table(f"streams behind each block of {first.name}", BlockRow, rows[0]),
            table("the effect of the skip matrix, run by run", MatrixRow, matrices),
        ),
        notes=tuple(_missing(first, {row.skip_matrix for row in matrices})),
    )


def _row(path: str, streams: Streams) -> BlockRow:
    values = torch.stack([each.flatten() for each in streams]).double()
    mean = values.mean(dim=0)
    apart = (values - mean).norm(dim=1).square().mean().sqrt() / mean.norm()
    count = len(streams)
    alike = torch.nn.functional.cosine_similarity(values[:, None], values[None], dim=2)
    return BlockRow(
        unit=path,
        difference=apart.item(),
        cosine_of_streams=((alike.sum() - alike.trace()) / (count * (count - 1))).item(),
    )


def _matrix(subject: Subject, rows: Sequence[BlockRow]) -> MatrixRow:
    results = subject.run.outcome
    return MatrixRow(
        skip_matrix=skip_matrix(subject.plan),
        run=subject.name,
        seed=subject.run.experiment.seed,
        train_loss=results.train.loss,
        validation_error=results.validation.error_percent if results.validation else None,
        test_error=results.test.error_percent,
        last_difference=rows[-1].difference,
    )


def _missing(subject: Subject, known: set[str]) -> Iterator[str]:
    """The commands of the runs that are not there; an effect is that of runs, not of algebra."""
    missing = [matrix for matrix in MATRICES if matrix not in known]
    experiment = subject.run.experiment
    design = experiment.entry.design
    if not missing:
        return
    if not isinstance(design, DmrNet):
        yield f"runs with the skip matrices {', '.join(missing)} are missing; give them with --beside"
        return
    lines = [f"  {_command(experiment, _with(design, matrix))}" for matrix in missing]
    yield "\n".join(["missing for the comparison; train them, with more seeds, and give them with --beside:", *lines])


def _with(design: DmrNet, matrix: str) -> DmrNet:
    for skip in SKIPS:
        if skip == matrix:
            return replace(design, skip=skip, modified="none")
    return replace(design, skip="mean", modified=SCALED)


def _command(experiment: Experiment, design: DmrNet) -> str:
    knobs = [
        f"{each.name}={getattr(design, each.name)}"
        for each in fields(design)
        if getattr(design, each.name) != each.default
    ]
    text = f"{design.family}:{','.join(knobs)}"
    words = ["resatlas", "train", text, "--data", experiment.data, "--recipe", experiment.recipe.name]
    return shlex.join([*words, "--seed", str(experiment.seed)])
