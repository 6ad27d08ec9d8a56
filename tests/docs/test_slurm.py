"""The script for clusters, with stand-ins for SLURM's own programs: two processes on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.runs.store import Run
from tests.training.processes import wait_for
from tests.training.small import DATA, DESIGN

SCRIPT = Path(__file__).parents[2] / "docs" / "slurm.sh"

STAND_INS = {
    "srun": 'echo $$ > srun.pid; exec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then echo 127.0.0.1; else echo "$@" >> requeued; fi',
}

WORDS = (
    DESIGN,
    "--data",
    DATA,
    "--set",
    "batch=16",
    "--set",
    "norm_group=8",
    "--save-every",
    "0",
    "--quiet",
    "--log",
    "none",
)


@pytest.mark.slow
def test_a_job_is_warned_queues_again_and_goes_on(tmp_path: Path) -> None:
    """SIGUSR1 to the job's step stops both processes with a checkpoint; the job is queued again, and then finishes."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (programs / name).chmod(0o755)
    run = Run(tmp_path / "run")
    ended = submitted(tmp_path, "--epochs", "100")
    assert wait_for(lambda: len(run.metrics) > 1 if (run.folder / "metrics.jsonl").exists() else False)
    os.kill(int((tmp_path / "srun.pid").read_text()), signal.SIGUSR1)
    assert ended(120) == 0, (tmp_path / "output").read_text()
    assert json.loads((run.folder / "status.json").read_text())["status"] == "stopped"
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert not run.finished
    assert submitted(tmp_path, "--epochs", "100")(200) == 0, (tmp_path / "output").read_text()
    assert run.finished
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def submitted(folder: Path, *words: str) -> Callable[[float], int]:
    """The end of a job in a folder, which is started as SLURM does on a node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    slurm = {"SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here"}
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "output").open("a") as output:
        job = subprocess.Popen(
            ["bash", str(SCRIPT), "run", *WORDS, *words],  # noqa: S607 - whichever bash there is
            cwd=folder,
            env={**os.environ, **slurm, "PATH": path, "PORT": str(port), "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return job.wait


def test_a_job_needs_a_folder() -> None:
    """Without words it says what it wants."""
    done = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode != 0
    assert "the folder of the run" in done.stderr
