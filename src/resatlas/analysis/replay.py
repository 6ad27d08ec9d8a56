"""A training once more, in a folder that is thrown away: what its network was like after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from resatlas.analysis.subject import Subject
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
    """What was found at the start and after each epoch, and whether the training was the run's own to the bit."""

    moments: tuple[tuple[str, T], ...]
    same: bool


def replayed(subject: Subject, measure: Callable[[Network], T]) -> Replay[T]:
    """What a measure finds while a run is trained once more; checkpoints keep the last moments alone.

    A measure leaves the network as it was, so the training ends where the run's did: on another machine or number of
    processes perhaps not to the bit, which `same` tells.
    """
    experiment = subject.run.experiment
    found: list[tuple[str, T]] = []
    states: list[TrainState] = []

    def begin_with(_run: Run, _course: TrainingPlan, state: TrainState) -> None:
        states.append(state)
        found.append(("start", measure(state.network)))

    def after_epoch(metrics: dict[str, Any], _timing: dict[str, Any]) -> None:
        found.append((f"epoch {metrics['epoch']}", measure(states[0].network)))

    portion = Portion(size=subject.at_once)
    with TemporaryDirectory() as folder:
        state = train(
            begin(Path(folder) / "run", experiment, subject.plan),
            experiment,
            images=subject.material,
            resume=None,
            evaluate=lambda network, part, pipeline: classification(predict(network, part, pipeline, portion=portion)),
            watcher=Watcher(on_start=begin_with, on_epoch=after_epoch),
            execution=Execution(save_every=inf),
        )
    own = subject.network.state_dict()
    return Replay(
        moments=tuple(found),
        same=all(tensor.equal(own[path]) for path, tensor in state.tested.state_dict().items()),
    )
