"""Streams: how much the streams of a merge-and-run network differ, and runs with other skip matrices."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from resatlas.analysis.probed_run import ProbedRun
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.surgery import unit_modules
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

_SCALED = "scale-0.9-1"
"""The knob `modified` of the last matrix."""


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """The outputs of the streams of one unit: distance from their mean, and cosine between two streams."""

    unit: str = of_unit("")
    difference: float = of_unit("share of the mean's norm")
    cosine_of_streams: float = of_unit("1")


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """The results of one run, with the skip matrix of its network."""

    skip_matrix: str = of_unit("")
    run: str = of_unit("")
    seed: int = of_unit("seed")
    train_loss: float | None = of_unit("nats")
    validation_error: float | None = of_unit("%")
    test_error: float | None = of_unit("%")
    last_difference: float = of_unit("share of the mean's norm")


def differences(network: Network, images: Float[Tensor, "n c h w"]) -> tuple[BlockRow, ...]:
    """The differences in every unit with several output streams, over all images together.

    difference: root mean square over the K streams of |x_k - x̄|, over |x̄|.
    Raises: DesignError for a network of one stream.
    """
    _check_streams(network.plan)
    network.eval()
    rows: list[BlockRow] = []
    with torch.no_grad():
        streams = network.begin(images)
        for path, module in unit_modules(network).items():
            streams = run_unit(module, streams)
            if len(streams) > 1:
                rows.append(_row(path, streams))
    return tuple(rows)


def _check_streams(plan: Plan) -> None:
    """Refuse a network of one stream.

    Raises: DesignError
    """
    if len(plan.stages[0][0].streams) < 2:
        raise DesignError("the network has one stream; this probe needs a merge-and-run network, as in dmrnet-14")


def skip_matrix(plan: Plan) -> str:
    """The skip matrix of a plan, with the factor of the shortcuts."""
    unit = plan.stages[0][0]
    factor = Fraction(1)
    for layer in unit.streams[0].shortcut or ():
        if isinstance(layer.op, Scale):
            factor *= layer.op.factor
    return unit.skip if factor == 1 else f"{factor} {unit.skip}"


def probe(runs: Sequence[ProbedRun], *, images: int | None) -> ProbeResult:
    """The streams of a run unit by unit, its skip matrix beside those of further runs, and a note on missing runs.

    Raises: DesignError for a network of one stream.
    """
    first = runs[0]
    for run in runs:
        _check_streams(run.plan)
    selection = first.held_out(images or 256)
    rows = [differences(run.network, run.held_out(images or 256).joined().images) for run in runs]
    matrices = [_matrix_row(run, unit_rows) for run, unit_rows in zip(runs, rows, strict=True)]
    return ProbeResult(
        question="streams",
        title="differences between streams",
        runs=tuple(run.name for run in runs),
        images=selection.description,
        facts=(Fact(name="skip_matrix", unit="", value=skip_matrix(first.plan)),),
        tables=(
            table(f"streams after each unit of {first.name}", BlockRow, rows[0]),
            table("skip matrix and results of each run", MatrixRow, matrices),
        ),
        notes=tuple(_missing_runs(first, {row.skip_matrix for row in matrices})),
    )


def _row(path: str, streams: Streams) -> BlockRow:
    values = torch.stack([stream.flatten() for stream in streams]).double()
    mean = values.mean(dim=0)
    difference = (values - mean).norm(dim=1).square().mean().sqrt() / mean.norm()
    count = len(streams)
    cosines = torch.nn.functional.cosine_similarity(values[:, None], values[None], dim=2)
    return BlockRow(
        unit=path,
        difference=difference.item(),
        cosine_of_streams=((cosines.sum() - cosines.trace()) / (count * (count - 1))).item(),
    )


def _matrix_row(run: ProbedRun, rows: Sequence[BlockRow]) -> MatrixRow:
    results = run.record.outcome
    return MatrixRow(
        skip_matrix=skip_matrix(run.plan),
        run=run.name,
        seed=run.record.experiment.seed,
        train_loss=results.train.loss,
        validation_error=results.validation.error_percent if results.validation else None,
        test_error=results.test.error_percent,
        last_difference=rows[-1].difference,
    )


def _missing_runs(run: ProbedRun, known: set[str]) -> Iterator[str]:
    """A note with the commands that train runs with the other skip matrices, since only runs show their effect."""
    missing = [matrix for matrix in MATRICES if matrix not in known]
    experiment = run.record.experiment
    design = experiment.entry.design
    if not missing:
        return
    if not isinstance(design, DmrNet):
        yield f"runs with the skip matrices {', '.join(missing)} are missing; name them with --beside"
        return
    lines = [f"  {_command(experiment, _with_matrix(design, matrix))}" for matrix in missing]
    yield "\n".join(
        ["runs missing for the comparison; train them with several seeds, then name them with --beside:", *lines]
    )


def _with_matrix(design: DmrNet, matrix: str) -> DmrNet:
    """The design with another skip matrix."""
    for skip in SKIPS:
        if skip == matrix:
            return replace(design, skip=skip, modified="none")
    return replace(design, skip="mean", modified=_SCALED)


def _command(experiment: Experiment, design: DmrNet) -> str:
    """The command that trains the design with the other settings of the experiment."""
    knobs = [
        f"{knob.name}={getattr(design, knob.name)}"
        for knob in fields(design)
        if getattr(design, knob.name) != knob.default
    ]
    design_text = f"{design.family}:{','.join(knobs)}"
    words = ["resatlas", "train", design_text, "--data", experiment.data, "--recipe", experiment.recipe.name]
    return shlex.join([*words, "--seed", str(experiment.seed)])
