"""Results of the probes of the demo, with made-up values, as `resatlas dissect` writes them."""

from collections.abc import Sequence

from resatlas.analysis.flow import Flow, LayerRow, UnitRow, _facts
from resatlas.analysis.lesion import ContrastRow, DrawnRow, LesionRow, _contrast_facts, _tables
from resatlas.analysis.paths import LengthRow
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.streams import BlockRow, MatrixRow
from resatlas.values.table import grouped, table

UNITS = tuple(f"stages.{stage}.{unit}" for stage in range(3) for unit in range(9))


def paths(run: str) -> ProbeResult:
    """The paths of a network of 27 units by their length."""
    rows = [
        LengthRow(
            length=2 * k + 2,
            paths=k + 1,
            share_of_paths=0.03,
            share_of_weight=0.04,
            gradient_norm=0.5,
            cosine_to_gradient=0.3,
            share_of_gradient=0.05,
        )
        for k in range(28)
    ]
    names = ("mean_path_length", "weighted_mean_path_length", "mean_path_length_of_the_gradient")
    return ProbeResult(
        question="paths",
        title="paths by length",
        runs=(run,),
        images="64 of 180 validation images",
        facts=tuple(Fact(name=name, unit="layers", value=29.0) for name in names),
        tables=(table("number, weight and gradient of the paths of each length", LengthRow, rows),),
    )


def flow(runs: Sequence[str]) -> ProbeResult:
    """The flow of some runs at the start and at the end."""
    units = tuple(
        UnitRow(unit=unit, parameter_gradient_norm=0.5, output_gradient_norm=0.1, share_of_sums_cut=0.3)
        for unit in UNITS
    )
    layers = tuple(LayerRow(layer=unit, number=k, response_deviation=0.7) for k, unit in enumerate(UNITS))
    flows = [
        ({"run": run, "moment": moment}, Flow(loss=2.3, layers=layers, units=units))
        for run in runs
        for moment in ("start", "step 114")
    ]
    return ProbeResult(
        question="flow",
        title="responses and gradients along the depth",
        runs=tuple(runs),
        images="256 of 1,257 training images",
        facts=tuple(fact for labels, own in flows for fact in _facts(labels, own)),
        tables=(
            grouped("gradients and ReLU zeros of each unit", UnitRow, [(labels, own.units) for labels, own in flows]),
            grouped("responses of each layer", LayerRow, [(labels, own.layers) for labels, own in flows]),
        ),
    )


def lesion(runs: Sequence[str], design: str) -> ProbeResult:
    """The lesions of some networks of a design."""
    contrasts = [
        ContrastRow(run=run, design=design, error_whole=1.0, contrast_frozen=40.0 + k, contrast_reestimated=3.0 + k)
        for k, run in enumerate(runs)
    ]
    rows = [
        LesionRow(
            unit=unit,
            stream="all",
            down_sampling="yes" if k % 9 == 0 else "no",
            loss_frozen=1.0,
            error_frozen=20.0,
            error_increase_frozen=19.0,
            loss_reestimated=0.5,
            error_reestimated=10.0,
            error_increase_reestimated=9.0,
        )
        for k, unit in enumerate(UNITS)
    ]
    drawn = [
        DrawnRow(
            count=count,
            draws=10,
            error_frozen_lowest=1.0,
            error_frozen_median=20.0,
            error_frozen_highest=40.0,
            error_reestimated_median=10.0,
        )
        for count in (1, 2, 3)
    ]
    return ProbeResult(
        question="lesion",
        title="units replaced by their shortcuts",
        runs=tuple(runs),
        images="180 of 180 validation images",
        facts=tuple(_contrast_facts(contrasts)),
        tables=tuple(_tables(contrasts, rows, drawn)),
        notes=(f"no two units of {runs[0]} have the same shape, so no units can be swapped",),
    )


def streams(run: str) -> ProbeResult:
    """The differences of the streams of a network."""
    rows = [BlockRow(unit=unit, difference=0.3, cosine_of_streams=0.9) for unit in UNITS]
    matrix = MatrixRow(
        skip_matrix="mean",
        run=run,
        seed=0,
        train_loss=0.1,
        validation_error=2.0,
        test_error=3.0,
        last_difference=0.3,
    )
    return ProbeResult(
        question="streams",
        title="differences between streams",
        runs=(run,),
        images="180 of 180 validation images",
        facts=(Fact(name="skip_matrix", unit="", value="mean"),),
        tables=(
            table(f"streams after each unit of {run}", BlockRow, rows),
            table("skip matrix and results of each run", MatrixRow, [matrix]),
        ),
        notes=("runs missing for the comparison; train them with several seeds, then name them with --beside:",),
    )
