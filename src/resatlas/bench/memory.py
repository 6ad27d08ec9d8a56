"""The memory of a training as `resatlas preflight` predicts it, against the largest resident size of its process.

It tells a user how far the prediction can be trusted: in both precisions, for networks from the smallest to the deepest
and the widest of the papers, and where maps are computed again instead of stored. A second table compares the memory
that a training adds with that of another library.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from resatlas.analysis.probes import Fact
from resatlas.bench import contest, growth
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.contest import setting_of
from resatlas.bench.growth import time_in_own_process
from resatlas.bench.rows import Measured, View
from resatlas.bench.step_memory import against_peer
from resatlas.bench.tasks import IMAGE, Ours, Peer, recipe_of
from resatlas.errors import UsageError
from resatlas.nets.peak import Kept
from resatlas.recipes.recipe import Precision
from resatlas.training.footprint import LIBRARIES, Footprint, Load, footprint, multiplies
from resatlas.values.room import SETTLING
from resatlas.values.table import of_unit, table

_BATCHES = {
    "resnet-20": (128, 32),
    "resnet-56": (64, 16),
    "resnet-110": (32, 8),
    "resnet-1202": (8, 2),
    "preact-resnet-164": (16, 4),
    "wrn-16-4": (32, 8),
    "wrn-40-2": (32, 8),
    "wrn-28-10": (8, 1),
    "resnext-29-8x64d": (4, 1),
    "pyramidnet-110-a48": (32, 4),
    "dmrnet-20": (64, 16),
    "dmrnet-56": (32, 8),
}
"""Networks, and their batches in fp32 and in bf16, which is slow on a processor that does not multiply in it."""

_AGAIN: tuple[tuple[str, Kept], ...] = (
    ("preact-resnet-164", "convolutions"),
    ("wrn-16-4", "convolutions"),
    ("resnet-110", "units"),
    ("resnet-1202", "segments"),
    ("wrn-28-10", "segments"),
)
"""Networks that are also trained with maps that are computed again, in fp32."""

_STEPS = 2

_GOAL_PERCENT = 15


@dataclass(frozen=True, kw_only=True)
class Row:
    """A training step: bytes predicted and measured, of the whole process and without its libraries."""

    design: str
    precision: str
    kept: str
    batch: int = of_unit("images")
    predicted_bytes: int = of_unit("bytes")
    peak_bytes: int = of_unit("bytes")
    error_percent: float = of_unit("%")
    predicted_own_bytes: int = of_unit("bytes")
    own_bytes: int = of_unit("bytes")
    own_error_percent: float = of_unit("%")
    maps_bytes: int = of_unit("bytes")
    weights_bytes: int = of_unit("bytes")


def measure(options: Options, on_advance: Advance) -> Measured:
    """One row for each network, precision and choice of stored maps, one process after another.

    Raises: UsageError before anything is measured; ProcessLost.
    """
    if not SETTLING.exists():
        raise UsageError(f"memory needs Linux: it reads memory from {SETTLING.parent}")
    setting, tasks, steps = setting_of(options), list(_tasks(options)), options.rounds or _STEPS
    rows = []
    for k, task in enumerate(tasks):
        on_advance("networks", k, len(tasks))
        rows.append(row(task, steps))
    on_advance("networks", len(tasks), len(tasks))
    contested, means = against_peer(setting, steps=steps, rounds=options.rounds, on_advance=on_advance) or (None, ())
    whole = ("design", "precision", "kept", "batch", "predicted_bytes", "peak_bytes", "error_percent")
    own = ("design", "precision", "kept", "batch", "predicted_own_bytes", "own_bytes", "own_error_percent")
    return Measured(
        question="memory",
        title="The memory of a training, predicted and measured",
        rows=table("Rows", Row, rows),
        views=(
            View("The whole process", whole),
            View("Without Python and its libraries", own),
        ),
        further=() if contested is None else (contested,),
        facts=(*_facts(rows), *means),
        notes=(
            "Each row is a training step in a process of its own: a new Python that imports what a training imports, "
            "trains a tiny network, and then takes the steps. Measured is the largest resident size of that process "
            "(VmHWM); without libraries it is that minus the size before the network was built. Predicted is what "
            "preflight says, which knows the plan, the batch and the precision, and measures nothing.",
            "kept: all maps, those after convolutions and sums, those between units, or those between segments, as "
            "--checkpoint-activations says.",
            *(
                ()
                if multiplies("bf16")
                else (
                    "This processor does not multiply in bf16, so torch writes out the input of each convolution once "
                    "for each position of its kernel. The batches in bf16 are small for that reason.",
                )
            ),
        ),
    )


def _tasks(options: Options) -> Iterator[Ours]:
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for index, precision in enumerate(precisions):
        for design, batches in _BATCHES.items():
            yield task_of(design, options.batch or batches[index], precision)
    for design, kept in _AGAIN:
        yield task_of(design, options.batch or _BATCHES[design][0], "fp32", kept)


def task_of(design: str, batch: int, precision: Precision, kept: Kept = "all") -> Ours:
    """The training step of a row."""
    return Ours(designs=(design,), batch=batch, norm_group=None, precision=precision, kept=kept)


def row(task: Ours, steps: int) -> Row:
    """The prediction and the measurement of a task.

    Raises: ProcessLost.
    """
    [design], foreseen = task.designs, predicted(task)
    timed = time_in_own_process(task, steps, context=get_context("spawn"), target=train)
    own = foreseen.resident - foreseen.libraries
    return Row(
        design=design,
        precision=task.precision,
        kept=task.kept,
        batch=task.batch,
        predicted_bytes=foreseen.resident,
        peak_bytes=timed.peak,
        error_percent=100 * (foreseen.resident / timed.peak - 1),
        predicted_own_bytes=own,
        own_bytes=timed.memory,
        own_error_percent=100 * (own / timed.memory - 1),
        maps_bytes=foreseen.maps,
        weights_bytes=foreseen.weights,
    )


def predicted(task: Ours) -> Footprint:
    """What preflight says of a task."""
    [design] = task.designs
    load = Load(batch=task.batch, precision=task.precision, kept=task.kept, data_bytes=data_bytes(task.batch))
    return footprint(contest.plan_of(design), recipe_of(task), load)


def data_bytes(batch: int) -> int:
    """Bytes of the images of a task: as many as its batch, and a quarter to test on."""
    return batch * 5 // 4 * IMAGE.channels * IMAGE.height * IMAGE.width


def train(pipe: Connection, task: Ours | Peer, threads: int, rounds: int | None) -> None:
    """As `growth.train`, in a process that has imported what a training imports."""
    import sklearn.model_selection  # noqa: F401 - it splits the images of a training

    import resatlas.training.session  # noqa: F401 - the imports of a training

    growth.train(pipe, task, threads, rounds)


def _facts(rows: Sequence[Row]) -> Iterator[Fact]:
    for name, errors in (
        ("whole process", [row.error_percent for row in rows]),
        ("without libraries", [row.own_error_percent for row in rows]),
    ):
        within = sum(abs(error) <= _GOAL_PERCENT for error in errors)
        yield Fact(
            name=f"{name}, within {_GOAL_PERCENT} %",
            unit="",
            value=f"{within} of {len(errors)} rows; errors from {min(errors):+.0f} to {max(errors):+.0f} %",
        )
    yield Fact(name="libraries, predicted", unit="bytes", value=LIBRARIES)
    yield Fact(name="threads, of one process", unit="", value=contest.threads())
