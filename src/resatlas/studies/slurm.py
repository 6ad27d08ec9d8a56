"""A study on a SLURM cluster: an array job whose elements carry out shares, watched through the folders of the runs.

sbatch, squeue and scancel are the engine.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resatlas.errors import BlueprintError, FolderError, Stopped, UsageError, quoted
from resatlas.runs.files import read_json, write_json, write_text
from resatlas.runs.lock import locked
from resatlas.runs.store import check_writable
from resatlas.studies.study import Study
from resatlas.studies.submitting import (
    OUTPUTS,
    OnProgress,
    Report,
    changed_since,
    check_shares,
    command,
    copy,
    frozen,
    last_words,
    submitting_from,
    unfinished,
)
from resatlas.training.signals import StopRequest, stop_on_signal
from resatlas.training.watch import NOTE_AFTER
from resatlas.values.codec import decode, encode
from resatlas.values.text import counted

FOLDER = "slurm"
"""Below the folder of the runs: the script, the job's number, a copy of the study, and the output of each element."""

SCRIPT, JOB = "job.sh", "job.json"

USUAL_JOBS = 16
"""Elements of the array, unless the caller names another number; fewer if fewer runs are left."""

_POLL_SECONDS = 2.0
_LIVE = "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING,REQUEUED,REQUEUE_HOLD,STOPPED,RESIZING,SIGNALING,STAGE_OUT"
_UNKNOWN = "Invalid job id"

_SILENCE = 900.0
"""Seconds for which SLURM may not answer while a job is watched."""

_FRUITLESS = 3
"""Restarts after which an element whose time is up before a run begins is not queued again."""

Waiting = Literal["attached", "detached"]
"""Whether the command waits for the job, or ends when it is submitted."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The contents of job.json: the number of the job, and of its elements."""

    number: str
    shares: int


def carry_out_on_slurm(
    study: Study,
    file: Path,
    folder: Path,
    *,
    jobs: int | None = None,
    words: Sequence[str] = (),
    waiting: Waiting = "attached",
    warn_after: float = NOTE_AFTER,
    on_progress: OnProgress,
) -> Job | None:
    """Submit the unfinished runs of a study, or attach to the job that has them; None if all are finished.

    `words` are further options of sbatch. A run that shows no sign of life for `warn_after` seconds is reported.
    A signal cancels the job, whose runs are saved.
    Raises: UsageError if there is no SLURM here, or if it refuses the job; FolderError; Stopped after a signal;
        ResatlasError if the job ends with unfinished runs.
    """
    check_shares(jobs)
    _check_commands()
    check_writable(folder)
    place = folder.resolve() / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    with stop_on_signal() as request:  # from here on, so that no job is left unknown
        with locked(place):  # two submissions at once: the second attaches to the job of the first
            job, what = _live_job(study, file, place), "attached to"
            if job is None:
                left = unfinished(study, folder)
                if not left:
                    return None
                with submitting_from(place), frozen(study, folder):
                    job = _submitted(study, file, place, min(jobs or USUAL_JOBS, len(left)), words)
                what = "submitted"
        report = Report(study, folder, on_progress, engine="SLURM", warn_after=warn_after)
        report.say(f"{what} SLURM's job {job.number}: {counted(job.shares, 'share')}; their output: {place}/{OUTPUTS}")
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
    if changed := changed_since(study, file, place):
        raise UsageError(
            f"{changed} has changed since job {job.number} was submitted, which still runs; restore it, or end the job "
            f"with: scancel {job.number}"
        )
    return job


def _submitted(study: Study, file: Path, place: Path, shares: int, words: Sequence[str]) -> Job:
    """A new job on a copy of the study.

    Raises: UsageError with the words of sbatch, if it refuses; OSError if the copy cannot be written; FolderError if
        job.json cannot.
    """
    copied = copy(study, file, place)
    write_text(place / SCRIPT, script(copied, place.parent, shares), within=place)
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
    python, file, words = shlex.quote(sys.executable), shlex.quote(str(study)), shlex.join(command(study, out))
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
{words} --share "$((SLURM_ARRAY_TASK_ID + 1))/{shares}" --workers "${{SLURM_CPUS_PER_TASK:-1}}" &
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


def _wait(job: Job, report: Report, place: Path, request: StopRequest) -> None:
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
    if request.signal:
        raise Stopped(f"by {request.signal.name}, {report.saved()}; rerun the command to continue")
    report.check_finished(f"job {job.number}", words=last_words(place))


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
