"""The rows of a finished epoch: its measures, and apart from them its times."""

from collections.abc import Callable, Iterator
from typing import Any

from resatlas.errors import NonFiniteError
from resatlas.runs.experiment import Experiment
from resatlas.training.loop import finite
from resatlas.training.splits import AnnotatedSplits, Splits
from resatlas.training.state import Tally, TrainState

Measures = Iterator[tuple[str, float]]
Evaluate = Callable[[TrainState], Measures]
"""The measures of a state on the images held back for validation; called only if there are any."""


def skipped_updates(state: TrainState, experiment: Experiment) -> dict[str, float]:
    """The numbers of updates skipped so far, for the row of a finished epoch, if updates may be skipped."""
    skipped = {"skipped_steps": state.skipped} if experiment.nonfinite == "skip" else {}
    scaled = {"overflows": state.overflows, "loss_scale": state.scaler.get_scale()} if state.scaler.is_enabled() else {}
    return skipped | scaled


def timing_of(state: TrainState, tally: Tally, seconds: float) -> dict[str, Any]:
    """The time of a finished epoch, as a row."""
    return {
        "epoch": state.epoch,
        "images": tally.images,
        "seconds": seconds,
        "images_per_second": tally.images / max(seconds, 1e-9),
    }


def metrics_of(state: TrainState, tally: Tally, images: Splits | AnnotatedSplits, evaluate: Evaluate) -> dict[str, Any]:
    """The row of a finished epoch; training losses and errors are means over the epoch while weights change.

    Raises: NonFiniteError
    """
    if not tally.images:
        raise NonFiniteError(f"no step of epoch {state.epoch} was finite; a lower schedule.peak may help")
    metrics = {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": state.rate,
        "train_loss": tally.mean_loss,
        **{f"train_loss_{name}": part for name, part in tally.mean_parts.items()},
        **({"train_error_percent": tally.error_percent} if isinstance(images, Splits) else {}),
        **tally.norms,
    }
    if images.validation:
        figures = evaluate(state)
        metrics.update({f"validation_{name}": value for name, value in figures if name != "images"})
    finite(metrics, of=f"after step {state.step:,}")
    return metrics if state.average is None else {**metrics, "weights": "average"}
