"""`resatlas study --on slurm` with stand-ins for SLURM's commands: submitted once, attached to, cancelled, refused."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.errors import ResatlasError, UsageError
from resatlas.runs import files
from resatlas.runs.store import Run
from resatlas.studies import slurm, submitting
from resatlas.studies.slurm import SCRIPT, carry_out_on_slurm, script
from resatlas.studies.study import read_study
from resatlas.studies.submitting import ClusterProgress
from tests.cluster.stand_in import install
from tests.studies import tiny
from tests.training import processes

SECONDS = 120.0


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-ins' state."""
    for name, value in install(tmp_path / "slurm-here").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "_POLL_SECONDS", 0.2)
    return tmp_path / "slurm-here"


@pytest.mark.slow
def test_a_study_is_submitted_watched_and_shown(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One array job whose elements carry out all runs; then the page. The same command again submits nothing."""
    file, out = tiny.write(tmp_path), tmp_path / "out"
    options = ("--out", str(out), "--on", "slurm", "--jobs", "2", "--sbatch", "--time=1:00 --mem=2G")
    command = ("study", str(file), *options)
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "submitted SLURM's job 100: 2 shares" in shown.err
    assert f"page: {out / 'report.html'}" in shown.out
    submitted = json.loads((cluster / "job-100").read_text())["words"]
    assert submitted[-3:-1] == ["--time=1:00", "--mem=2G"]
    assert all(Run(out / name).concluded for name in read_study(file).distinct_experiments())
    assert main((*command, "--quiet")) == 0
    assert sorted(path.name for path in cluster.glob("job-*")) == ["job-100"]


@pytest.mark.slow
def test_ctrl_c_cancels_the_job_and_saves_its_runs(cluster: Path, tmp_path: Path) -> None:
    """Exit code 75, no element left; the same command goes on."""
    text = tiny.TEXT.replace("epochs = 3", "epochs = 300")
    command = [
        *(sys.executable, "-m", "resatlas", "study", str(tiny.write(tmp_path, text)), "--out", str(tmp_path / "out")),
        *("--on", "slurm", "--jobs", "2", "--quiet"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert processes.wait_for(lambda: list((tmp_path / "out").glob("*/metrics.jsonl")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 75
    assert err.splitlines()[-1].startswith("Stopped: by SIGINT, every run saved")
    begun = [Run(path.parent) for path in (tmp_path / "out").glob("*/metrics.jsonl")]
    assert begun
    assert all(json.loads((run.folder / "status.json").read_text())["status"] == "stopped" for run in begun)
    assert subprocess.check_output([cluster / "bin" / "squeue", "--jobs", "100"], text=True) == ""


def test_two_submissions_have_one_job(cluster: Path, tmp_path: Path) -> None:
    """The second attaches to the job of the first, and refuses a study that has changed meanwhile."""
    file = tiny.write(tmp_path)
    study, notes = read_study(file), list[str]()

    def on_progress(progress: ClusterProgress) -> None:
        notes.append(progress.note)
        assert progress.states == Counter({"not begun": 4})

    (tmp_path / "out").mkdir()
    held = subprocess.Popen(["sleep", "60"])  # noqa: S607
    (cluster / "job-100").write_text(json.dumps({"pids": {"0": held.pid}, "words": []}))
    place = tmp_path / "out" / "slurm"
    (place / "study").mkdir(parents=True)
    (place / "study" / file.name).write_text(file.read_text())
    (place / "job.json").write_text('{"number": "100", "shares": 1}')
    try:
        job = carry_out_on_slurm(study, file, tmp_path / "out", waiting="detached", on_progress=on_progress)
        assert job
        assert (job.number, job.shares) == ("100", 1)
        assert notes[0].startswith("attached to SLURM's job 100: 1 share;")
        file.write_text(file.read_text().replace("seeds = 2", "seeds = 3"))
        with pytest.raises(UsageError, match=r"tiny.toml has changed since job 100 was submitted.*scancel 100"):
            carry_out_on_slurm(read_study(file), file, tmp_path / "out", waiting="detached", on_progress=on_progress)
    finally:
        held.kill()
        held.wait()


def test_a_job_that_ends_early_is_told(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the runs that are not finished and where their output is."""

    def failing(_study: Path, _out: Path, _shares: int) -> str:
        return "#!/bin/bash\nexit 1\n"

    monkeypatch.setattr(slurm, "script", failing)
    file = tiny.write(tmp_path)
    with pytest.raises(ResatlasError, match=r"job 100 has ended with unfinished runs: .* not begun and 3 more; see"):
        carry_out_on_slurm(read_study(file), file, tmp_path / "out", jobs=1, on_progress=lambda _: None)
    assert (cluster / "job-100").exists()


def test_a_time_limit_queues_the_element_again(cluster: Path, tmp_path: Path) -> None:
    """USR1 reaches the program; if that says 75, the element is requeued, and not after a cancellation."""
    program = tmp_path / "python"
    trapping = f'trap "exit 75" USR1 TERM; touch {tmp_path}/there'
    program.write_text(f"#!/bin/bash\n{trapping}\nwhile :; do sleep 0.1; done\n")
    program.chmod(0o700)
    text = script(tiny.write(tmp_path), tmp_path / "out", 3).replace(sys.executable, str(program))
    (tmp_path / "job.sh").write_text(text)
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "7"}
    for number, requeued in ((signal.SIGTERM, False), (signal.SIGUSR1, True)):
        with subprocess.Popen(["bash", str(tmp_path / "job.sh")], env=environment) as element:  # noqa: S607
            assert processes.wait_for((tmp_path / "there").exists)
            (tmp_path / "there").unlink()
            element.send_signal(number)
            assert element.wait(SECONDS) == 75
        assert (cluster / "requeued").exists() == requeued
    assert (cluster / "requeued").read_text() == "7_1\n"


@pytest.mark.parametrize(("restarts", "requeued"), [(2, True), (3, False)])
def test_a_time_limit_before_any_run_begins_is_told(
    cluster: Path, tmp_path: Path, restarts: int, requeued: bool
) -> None:
    """The element queues again, but not for ever."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/bash\ntouch {tmp_path}/there\nexec sleep 100\n")
    program.chmod(0o700)
    text = script(tiny.write(tmp_path), tmp_path / "out", 3).replace(sys.executable, str(program))
    (tmp_path / "job.sh").write_text(text)
    job = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "7", "SLURM_RESTART_COUNT": str(restarts)}
    with subprocess.Popen(
        ["bash", str(tmp_path / "job.sh")],  # noqa: S607
        env={**os.environ, **job},
        stderr=subprocess.PIPE,
        text=True,
    ) as element:
        assert processes.wait_for((tmp_path / "there").exists)
        element.send_signal(signal.SIGUSR1)
        _, err = element.communicate(timeout=SECONDS)
    assert element.returncode == 128 + signal.SIGUSR1
    assert (cluster / "requeued").exists() == requeued
    assert ("the time limit is too short" in err) == (not requeued)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--jobs", "0"), "--jobs must be between 1 and"),
        (("--sbatch=--partition=none",), "sbatch failed with exit code 1: sbatch: error: invalid partition"),
        (("--sbatch", "'unclosed"), "--sbatch cannot be split into words: no closing quotation"),
        (("--sbatch", "--partition=none"), "a value that begins with - is given as --sbatch=VALUE"),
        (("--share", "1/2"), "with --status or --on does not take --share"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_what_cannot_be_submitted_is_told(
    words: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line; no run begins."""
    file = tiny.write(tmp_path)
    assert main(("study", str(file), "--out", str(tmp_path / "out"), "--on", "slurm", *words)) == 2
    assert sentence in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*/experiment.json"))


@pytest.mark.parametrize("full", ["tiny.toml", SCRIPT])
def test_a_full_disk_submits_nothing(
    full: str, cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the copy or the script is written: one line, exit code 2, and no job."""
    file = tiny.write(tmp_path)

    def write_text(path: Path, content: str, *, within: Path) -> None:
        if path.name == full:
            raise OSError(28, "No space left on device", str(path))
        files.write_text(path, content, within=within)

    for module in (slurm, submitting):
        monkeypatch.setattr(module, "write_text", write_text)
    assert main(("study", str(file), "--out", str(tmp_path / "out"), "--on", "slurm")) == 2
    assert capsys.readouterr().err == (
        f"FolderError: {tmp_path / 'out' / 'slurm'} cannot be written: no space left on device; nothing is submitted\n"
    )
    assert not list(cluster.glob("job-*"))
    assert not (tmp_path / "out" / "slurm" / "job.json").exists()


def test_without_slurm_the_other_way_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shares work with any scheduler; options of SLURM need --on slurm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tiny.write(tmp_path)
    assert main(("study", str(file), "--out", str(tmp_path / "out"), "--on", "slurm")) == 2
    assert "no SLURM here: sbatch and squeue and scancel not on the PATH" in capsys.readouterr().err
    assert main(("study", str(file), "--detach")) == 2
    assert "without --on slurm does not take --detach" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
