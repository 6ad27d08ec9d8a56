"""A trace of some training steps, for Perfetto."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from resatlas.runs.files import write_bytes
from resatlas.runs.names import TRACE
from resatlas.runs.store import Run
from resatlas.training.execution import PROFILE_AFTER


@contextmanager
def profiling(run: Run, steps: int | None, on_note: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """A function to call after every step; the trace of `steps` steps after a warm-up is written to the run's folder.

    A trace that cannot be written is a note, and the training continues. Without steps nothing is traced.
    """
    if steps is None:
        yield lambda: None
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences a message of torch's profiler about a missing GPU
    written: list[str] = []

    def write(trace: profile) -> None:
        written.append(_written(trace, run))
        on_note(written[-1])

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    plan = schedule(skip_first=PROFILE_AFTER - 1, wait=0, warmup=1, active=steps, repeat=1)
    try:
        with profile(activities=activities, schedule=plan, on_trace_ready=write) as profiler:
            yield profiler.step
    finally:
        if not written:
            on_note(f"no trace: --profile begins after {PROFILE_AFTER} steps, and the training ended before")


def _written(trace: profile, run: Run) -> str:
    """Write the trace, and say where it is, or why it is not there."""
    file = run.folder / TRACE
    try:
        with TemporaryDirectory() as folder:
            draft = Path(folder) / TRACE
            trace.export_chrome_trace(str(draft))
            write_bytes(file, draft.read_bytes(), within=run.folder)
    except (OSError, RuntimeError) as error:
        return f"no trace: {file.name} cannot be written: {getattr(error, 'strerror', None) or error}"
    return f"{file} is the trace of the last steps; open it at https://ui.perfetto.dev"
