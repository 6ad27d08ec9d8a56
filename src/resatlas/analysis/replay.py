"""Repeat a training in a temporary folder, to measure its network after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from resatlas.analysis.probed_run import ProbedRun
from resatlas.evaluation.classification import classification
from resatlas.evaluation.logits import predict
from resatlas.evaluation.portions import Portion
from resatlas.nets.network import Network
from resatlas.runs.store import Run, begin
from resatlas.training.execution import Execution
from resatlas.training.loop import TrainingPlan
from resatlas.training.session import Watcher, train
from resatlas.training.state import TrainState

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Replay(Generic[T]):
    """Measurements at the start and after each epoch, and whether the training was bit-equal to that of the run."""

    moments: tuple[tuple[str, T], ...]
    same: bool


def replayed(run: ProbedRun, measure: Callable[[Network], T]) -> Replay[T]:
    """Train a run again and measure its network after each epoch, since only the last checkpoints are kept.

    `measure` must not change the network. On the same machine and number of processes the training is bit-equal to that
    of the run; `same` says whether it was.
    """
    experiment = run.record.experiment
    moments: list[tuple[str, T]] = []
    states: list[TrainState] = []

    def measure_start(_run: Run, _course: TrainingPlan, state: TrainState) -> None:
        states.append(state)
        moments.append(("start", measure(state.network)))

    def measure_epoch(metrics: dict[str, Any], _timing: dict[str, Any]) -> None:
        moments.append((f"epoch {metrics['epoch']}", measure(states[0].network)))

    portion, pipeline = Portion(size=run.batch_size), run.splits.pipeline
    held_back = run.splits.validation or run.splits.test  # the test images are not used: without the first, no measure
    with TemporaryDirectory() as folder:
        state = train(
            begin(Path(folder) / "run", experiment, run.plan),
            experiment,
            images=run.splits,
            resume=None,
            evaluate=lambda state: classification(predict(state.tested, held_back, pipeline, portion=portion)),
            watcher=Watcher(on_start=measure_start, on_epoch=measure_epoch),
            execution=Execution(save_every=inf),
        )
    weights = run.network.state_dict()
    return Replay(
        moments=tuple(moments),
        same=all(tensor.equal(weights[path]) for path, tensor in state.tested.state_dict().items()),
    )
