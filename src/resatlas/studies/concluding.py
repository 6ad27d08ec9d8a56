"""The entries of results.json that every task has: design, data, length, size, and the means of the last epoch."""

from typing import TYPE_CHECKING, Any

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.errors import CheckpointError
from resatlas.recipes.task_cost import multiply_adds
from resatlas.runs.decoding import read_rows
from resatlas.runs.names import METRICS, TIMING
from resatlas.runs.record import EpochRow, TimingRow, best_of
from resatlas.runs.store import Run
from resatlas.values.codec import encode

if TYPE_CHECKING:
    from resatlas.studies.single import Prepared


def trained_results(run: Run, prepared: "Prepared", *, images: int) -> dict[str, Any]:
    """The entries of results.json about the training on so many images, without its tests."""
    beginning, total, lengths = run.beginning(), cost(prepared.plan), mean_lengths(prepared.plan)
    experiment = beginning.experiment
    metrics, timing = read_rows(run.folder / METRICS, EpochRow), read_rows(run.folder / TIMING, TimingRow)
    if not metrics or len(metrics) != len(timing):
        raise CheckpointError(
            f"{run.folder} has {len(metrics)} rows in {METRICS} and {len(timing)} in {TIMING}: the files were changed "
            "during the training"
        )
    last, seconds = metrics[-1], sum(row.seconds for row in timing)
    best = best_of(metrics) if beginning.keep == "best,last" else None
    return {
        "design": experiment.design,
        "family": prepared.entry.family,
        "depth": lengths.longest if prepared.entry.depth is None else prepared.entry.depth,
        "data": experiment.data,
        "recipe": experiment.recipe.name,
        "seed": experiment.seed,
        **({"weights": "average"} if experiment.recipe.average else {}),
        "epochs": last.epoch,
        **({"best": encode(best)} if best else {}),
        "parameters": total.parameters,
        "multiply_adds": multiply_adds(prepared.plan, experiment.recipe.task),
        "mean_path_length": float(lengths.mean),
        "seconds": seconds,
        "images_per_second": sum(row.images for row in timing) / max(seconds, 1e-9),
        "train": {
            "loss": last.train_loss,
            **({} if last.train_error_percent is None else {"error_percent": last.train_error_percent}),
            "images": images,
            **({} if last.skipped_steps is None else {"skipped_steps": last.skipped_steps}),
        },
    }
