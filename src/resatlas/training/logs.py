"""Logs of a training for TensorBoard and Weights & Biases; metrics.jsonl is the authoritative record."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, assert_never

from resatlas.errors import UsageError
from resatlas.runs.environment import installed_version
from resatlas.runs.experiment import to_json
from resatlas.runs.files import make_folder, remove
from resatlas.runs.store import Run
from resatlas.training.execution import Log

EVENTS = "events"
"""The folder of a run that TensorBoard reads."""

Row = Mapping[str, Any]
Write = Callable[[Row], None]

_INSTALLED_BY = {"tensorboard": "pip install resatlas[train]", "wandb": "pip install wandb"}


def logs_here(wanted: Sequence[Log] | None) -> tuple[Log, ...]:
    """The logs to write: the wanted ones, by default TensorBoard if it is installed.

    Raises: UsageError if one of them needs a package that is missing.
    """
    if wanted is None:
        return ("tensorboard",) if installed_version("tensorboard") else ()
    for log in wanted:
        if not installed_version(log):
            raise UsageError(f"--log {log} needs a package that is not installed: {_INSTALLED_BY[log]}")
    return tuple(wanted)


@contextmanager
def logging(run: Run, logs: Sequence[Log], on_note: Callable[[str], None]) -> Iterator[Write]:
    """A function that logs the row of an epoch; a log that cannot be written is closed, and the training continues."""
    writers: dict[Log, Write] = {}

    @contextmanager
    def ending_on_error(log: Log) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError:
            writers.pop(log, None)
            on_note(f"the {log} log ends: the name of its folder must be UTF-8")
        except OSError as error:
            writers.pop(log, None)
            on_note(f"the {log} log ends: {(error.strerror or str(error)).lower()}")

    def write(row: Row) -> None:
        for log, writer in tuple(writers.items()):
            with ending_on_error(log):
                writer(row)

    with ExitStack() as stack:
        for log in logs:
            with ending_on_error(log):
                writers[log] = stack.enter_context(_opened(log, run))
        yield write


def log_results(run: Run, results: Mapping[str, Any], logs: Sequence[Log], on_note: Callable[[str], None]) -> None:
    """Add the errors of a finished run and its settings to the TensorBoard log.

    To see many runs together, such as those of a study, pass their common folder to `tensorboard --logdir`.
    """
    if "tensorboard" not in logs or not (run.folder / EVENTS).is_dir():  # a note has said why the log ended before
        return
    from torch.utils.tensorboard.summary import hparams, scalar
    from torch.utils.tensorboard.writer import FileWriter

    parts = {part: results[part] for part in ("test", "validation", "train_evaluated") if part in results}
    values = {
        f"{part}_{name}": figures[name]
        for part, figures in parts.items()
        for name in ("error_percent", "loss")
        if name in figures
    }
    settings = dict(_settings(to_json(run.beginning().experiment)))
    measures = {"parameters": results["parameters"], "multiply_adds": results["multiply_adds"]}
    try:
        with closing(FileWriter(str(run.folder / EVENTS))) as writer:
            for summary in hparams({**settings, **measures}, values):
                writer.add_summary(summary)
            for name, value in values.items():
                if not name.startswith("validation"):  # the row of the last epoch has it
                    writer.add_summary(scalar(name, value), run.metrics[-1]["step"])
    except UnicodeEncodeError:  # of the folder's name; `logging` has noted it
        return
    except OSError as error:
        on_note(f"the tensorboard log lacks the results: {(error.strerror or str(error)).lower()}")


def _settings(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, bool | float | str]]:
    """The scalar values of an experiment by their dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{before}{key}.")
        elif isinstance(value, bool | int | float | str) and value != "":
            yield f"{before}{key}", value


@contextmanager
def _opened(log: Log, run: Run) -> Iterator[Write]:
    match log:
        case "tensorboard":
            with _tensorboard(run) as write:
                yield write
        case "wandb":
            with _wandb(run) as write:
                yield write
        case _:
            assert_never(log)


@contextmanager
def _tensorboard(run: Run) -> Iterator[Write]:
    """Event files, rewritten from the rows of the run, so that no epoch appears twice after a resume."""
    from torch.utils.tensorboard import SummaryWriter

    folder = run.folder / EVENTS
    remove(folder, within=run.folder)
    make_folder(folder, within=run.folder)
    writer = SummaryWriter(str(folder))

    def write(row: Row) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("epoch", "step"):
                writer.add_scalar(name, value, row["step"])
        writer.flush()

    try:
        for metrics, timing in zip(run.metrics, run.timing, strict=True):
            write({**timing, **metrics})
        yield write
    finally:
        with suppress(OSError):
            writer.close()


@contextmanager
def _wandb(run: Run) -> Iterator[Write]:
    """A run of Weights & Biases in the run's folder; nothing is uploaded unless WANDB_MODE is online."""
    import wandb  # type: ignore[import-not-found] - not a dependency of ours

    make_folder(run.folder / "wandb", within=run.folder)
    folder = run.folder.resolve()
    session = wandb.init(
        project="resatlas",
        name=run.name,
        id=hashlib.sha256(os.fsencode(folder)).hexdigest()[:16],
        resume="allow",
        dir=str(folder),
        mode=os.environ.get("WANDB_MODE", "offline"),
        config=to_json(run.beginning().experiment),
        settings=wandb.Settings(silent=True),
    )

    def write(row: Row) -> None:
        session.log({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    try:
        yield write
    finally:
        with suppress(OSError):
            session.finish()
