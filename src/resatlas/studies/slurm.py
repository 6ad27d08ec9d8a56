"""A study on a SLURM cluster: an array job whose elements carry out shares, watched through the folders of the runs.

sbatch, squeue and scancel are the engine; each element runs `resatlas study --share I/N`. All nodes must see the folder
and the environment of this Python, under the same paths.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from resatlas.errors import BlueprintError, FolderError, ResatlasError, Stopped, UsageError, quoted
from resatlas.runs.files import read_json, remove, write_json, write_text
from resatlas.runs.frozen_plan import FILE as PLAN
from resatlas.runs.lock import locked
from resatlas.runs.store import Run, check_writable
from resatlas.studies.frozen import freeze
from resatlas.studies.sharing import MOST_SHARES
from resatlas.studies.status import study_status
from resatlas.studies.study import Study
from resatlas.training.signals import StopRequest, stop_on_signal
from resatlas.values.codec import decode, encode
from resatlas.values.reading import text
from resatlas.values.text import counted, plain

FOLDER = "slurm"
"""Below the folder of the runs: the script, the job's number, a copy of the study, and the output of each element."""

SCRIPT, JOB, STUDY = "job.sh", "job.json", "study"

USUAL_JOBS = 16
"""Elements of the array, unless the caller names another number; fewer if fewer runs are left."""

_POLL_SECONDS = 2.0
_LIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,REQUEUED,REQUEUE_HOLD,STOPPED,RESIZING,SIGNALING,STAGE_OUT"
_UNKNOWN = "Invalid job id"

_SILENCE = 900.0
"""Seconds for which SLURM may not answer while a job is watched."""

_FRUITLESS = 3
"""Restarts after which an element whose time is up before a run begins is not queued again."""

_LONGEST = 300
"""Characters of a line of output that an error repeats."""

Waiting = Literal["attached", "detached"]
"""Whether the command waits for the job, or ends when it is submitted."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The contents of job.json: the number of the job, and of its elements."""

    number: str
    shares: int


@dataclass(frozen=True, kw_only=True)
class ClusterProgress:
    """Runs by their state, the share of epochs that is done, and a permanent line, if there is one."""

    states: Counter[str]
    share: float
    note: str = ""


OnProgress = Callable[[ClusterProgress], None]


def carry_out_on_slurm(
    study: Study,
    file: Path,
    folder: Path,
    *,
    jobs: int | None = None,
    words: Sequence[str] = (),
    waiting: Waiting = "attached",
    on_progress: OnProgress,
) -> Job | None:
    """Submit the unfinished runs of a study, or attach to the job that has them; None if all are finished.

    `words` are further options of sbatch. A signal cancels the job, whose runs are saved.
    Raises: UsageError if there is no SLURM here, or if it refuses the job; FolderError; Stopped after a signal;
        ResatlasError if the job ends with unfinished runs.
    """
    if jobs is not None and not 1 <= jobs <= MOST_SHARES:
        raise UsageError(f"--jobs must be between 1 and {MOST_SHARES:,}; got {jobs:,}")
    _check_commands()
    check_writable(folder)
    place = folder.resolve() / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    with stop_on_signal() as request:  # from here on, so that no job is left unknown
        with locked(place):  # two submissions at once: the second attaches to the job of the first
            job, what = _live_job(study, file, place), "attached to"
            if job is None:
                left = [name for name in study.distinct_experiments() if not Run(folder / name).concluded]
                if not left:
                    return None
                with _frozen(study, folder):
                    job = _submitted(study, file, place, min(jobs or USUAL_JOBS, len(left)), words)
                what = "submitted"
        report = _Report(study, folder, on_progress)
        report.say(f"{what} SLURM's job {job.number}: {counted(job.shares, 'share')}; their output: {place}/*.log")
        if waiting == "attached" or request.signal:
            _wait(job, report, place, request)
    return job


def _check_commands() -> None:
    """Refuse a machine from which no job can be submitted.

    Raises: UsageError
    """
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise UsageError(
            f"no SLURM here: {' and '.join(missing)} not on the PATH; log in to a node that submits jobs, or carry out "
            "shares by any other scheduler with --share I/N"
        )


def _live_job(study: Study, file: Path, place: Path) -> Job | None:
    """The job of this folder, if it has elements that wait or run.

    Raises: UsageError if the study has changed since its submission; FolderError if job.json cannot be read.
    """
    if not (place / JOB).exists():
        return None
    try:
        job = decode(Job, read_json(place / JOB), where=JOB)
    except BlueprintError as error:
        raise FolderError(f"{place / JOB}: {error}") from None
    if not _live(job):
        return None
    for name, content in _files(study, file).items():
        copy = place / STUDY / name
        if not copy.is_file() or text(copy) != content:
            raise UsageError(
                f"{file.parent / name} has changed since job {job.number} was submitted, which still runs; restore it, "
                f"or end the job with: scancel {job.number}"
            )
    return job


@contextmanager
def _frozen(study: Study, folder: Path) -> Iterator[None]:
    """Freeze the plan of a study; if its submission is refused, a plan that was not frozen before is not."""
    before = (folder / PLAN).exists()
    freeze(study, folder)
    try:
        yield
    except ResatlasError:
        if not before:
            remove(folder / PLAN, within=folder)
        raise


def _files(study: Study, file: Path) -> dict[str, str]:
    """The study's file and those of its designs, by their paths below the folder of the study.

    Raises: UsageError for a design outside of that folder.
    """
    names = [file.name, *(blueprint.file for blueprint in study.blueprints)]
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UsageError(f"{name} is outside the folder of {file.name}; move it there, so that the job has a copy")
    return {name: text(file.parent / name) for name in names}


def _submitted(study: Study, file: Path, place: Path, shares: int, words: Sequence[str]) -> Job:
    """A new job; its study is a copy, so that a change of the file does not reach elements that begin later.

    Raises: UsageError with the words of sbatch, if it refuses; FolderError if nothing can be written.
    """
    for left in (place / STUDY, *place.glob("*.log")):  # of an earlier job
        remove(left, within=place)
    for name, content in _files(study, file).items():
        (place / STUDY / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(place / STUDY / name, content, within=place)
    write_text(place / SCRIPT, script(place / STUDY / file.name, place.parent, shares), within=place)
    array = ("--parsable", f"--array=0-{shares - 1}", f"--output={place}/%a.log", f"--job-name=resatlas-{study.name}")
    answer = _asked("sbatch", *array, *words, str(place / SCRIPT))
    job = Job(number=answer.strip().partition(";")[0], shares=shares)
    if not job.number.isdecimal():
        raise UsageError(f"sbatch has answered without the number of a job: {quoted(answer.strip())}")
    try:
        write_json(place / JOB, encode(job), within=place)
    except (OSError, FolderError) as error:
        _asked("scancel", job.number)
        raise FolderError(f"{place / JOB} cannot be written, so job {job.number} is cancelled: {error}") from None
    return job


def script(study: Path, out: Path, shares: int) -> str:
    """The script of an element: its share, saved before the time is up and queued again, saved when it is cancelled."""
    python, file = shlex.quote(sys.executable), shlex.quote(str(study))
    command = shlex.join([sys.executable, "-m", "resatlas", "study", str(study), "--out", str(out), "--quiet"])
    return f"""#!/usr/bin/env bash
# A share of a study. Before its time is up SLURM sends USR1: its runs are saved, and the element queues again.
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -u
[[ -x {python} ]] || {{ echo "node $(hostname) has no Python at "{python} >&2; exit 1; }}
[[ -r {file} ]] || {{ echo "node $(hostname) does not see "{file} >&2; exit 1; }}
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-1}}"
{command} --share "$((SLURM_ARRAY_TASK_ID + 1))/{shares}" --workers "${{SLURM_CPUS_PER_TASK:-1}}" &
child=$!
time_is_up=
trap 'time_is_up=yes; kill -USR1 "$child"' USR1
trap 'kill -TERM "$child"' TERM
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break # a signal ends the wait, not the child
done
if [[ $time_is_up && $code == 138 && "${{SLURM_RESTART_COUNT:-0}}" -ge {_FRUITLESS} ]]; then # 138: before any run began
    echo "the time limit is too short: it is up before a run begins, again and again; use a longer --time" >&2
elif [[ $time_is_up && ($code == 75 || $code == 138) ]]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
"""


class _Report:
    """What is said while the job runs, read from the folders of the runs."""

    def __init__(self, study: Study, folder: Path, on_progress: OnProgress) -> None:
        self._study, self._folder, self._on_progress = study, folder, on_progress
        self._finished: set[str] | None = None

    def say(self, note: str = "") -> None:
        """The progress now, with a line for each run that has finished since the last time."""
        table = study_status(self._study, self._folder)
        states = {str(row[0]): str(row[1]) for row in table.rows}
        finished = {name for name, state in states.items() if state == "finished"}
        new = sorted(finished - self._finished) if self._finished is not None else []
        self._finished = finished
        done = sum(int(row[2] or 0) for row in table.rows)
        epochs = sum(int(row[3] or 0) for row in table.rows)
        share = min(done / epochs, 1.0) if epochs else 0.0
        for line in [note, *(f"{name} is finished" for name in new)]:
            self._on_progress(ClusterProgress(states=Counter(states.values()), share=share, note=line))

    def unfinished(self) -> list[str]:
        """The runs that are not finished, with their states and reasons."""
        rows = study_status(self._study, self._folder).rows
        return [f"{row[0]} {row[1]}" + (f" ({row[5]})" if row[5] else "") for row in rows if row[1] != "finished"]


def _wait(job: Job, report: _Report, place: Path, request: StopRequest) -> None:
    """Report until no element waits or runs; a signal cancels the job.

    Raises: Stopped; ResatlasError with the last line of an element, if runs are not finished; UsageError if SLURM has
        not answered for long.
    """
    cancelled, answered, why = False, time.monotonic(), ""
    while True:
        try:
            if request.signal and not cancelled:
                _asked("scancel", job.number)
                cancelled = True
                report.say(f"job {job.number} is cancelled; its runs are saved")
            elements = _live(job)
            if not elements:
                break
            answered, before, why = time.monotonic(), why, _why_waiting(elements)
            if why and why != before:
                report.say(why)
        except UsageError as error:  # its controller may be restarted, which does not end the job
            if request.signal or time.monotonic() - answered > _SILENCE:
                raise
            report.say(f"{error}; job {job.number} may still run, and SLURM is asked again")
        report.say()
        time.sleep(_POLL_SECONDS / 4 if cancelled else _POLL_SECONDS)
    report.say()
    unfinished = report.unfinished()
    if request.signal:
        raise Stopped(f"by {request.signal.name}, every run saved; rerun the command to continue")
    if unfinished:
        more = f" and {len(unfinished) - 1:,} more" if len(unfinished) > 1 else ""
        raise ResatlasError(
            f"job {job.number} has ended with unfinished runs: {unfinished[0]}{more}; {_last_words(place)}; rerun the "
            "command to continue"
        )


def _last_words(place: Path) -> str:
    """The last line of the output of an element that has said something, and where the others are."""
    for log in sorted(place.glob("*.log"), key=lambda file: (len(file.stem), file.stem)):
        with suppress(OSError, ValueError):
            lines = text(log).strip().splitlines()
            if lines:
                return f"{log} ends with: {plain(lines[-1])[:_LONGEST]}"
    return f"see {place}/*.log"


def _live(job: Job) -> list[tuple[str, str]]:
    """State and reason of each element of the job that waits or runs.

    Raises: UsageError if SLURM does not answer.
    """
    done = _run("squeue", "--noheader", "--array", "--jobs", job.number, "--states", _LIVE, "--format", "%T %r")
    if done.returncode == 0:
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        return [(state, reason.strip()) for state, _, reason in lines if state]
    if _UNKNOWN in done.stderr:
        return []
    raise UsageError(_refusal("squeue", done))


def _why_waiting(elements: Sequence[tuple[str, str]]) -> str:
    """SLURM's reasons why elements wait in its queue, if it has given some."""
    reasons = Counter(reason for state, reason in elements if state == "PENDING" and reason != "None")
    words = [f"{counted(count, 'share')} ({reason})" for reason, count in sorted(reasons.items())]
    return f"in SLURM's queue: {', '.join(words)}" if words else ""


def _asked(*words: str) -> str:
    """The answer of a command of SLURM.

    Raises: UsageError with its last line.
    """
    done = _run(*words)
    if done.returncode:
        raise UsageError(_refusal(words[0], done))
    return done.stdout


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    """A command of SLURM, carried out; Ctrl-C in a terminal reaches only this process, which cancels the job."""
    return subprocess.run(words, capture_output=True, text=True, check=False, start_new_session=True)  # noqa: S603


def _refusal(name: str, done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["it printed nothing"]
    return f"{name} failed with exit code {done.returncode}: {lines[-1]}"
