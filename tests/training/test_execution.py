"""The execution of a training: determinism, device, and the lines before it starts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resatlas.cli.progress import opening
from resatlas.errors import UsageError
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training import execution
from resatlas.training.distributed import World
from resatlas.training.execution import Execution, determinism, device_of
from resatlas.training.loop import TrainingPlan
from resatlas.training.session import UNWATCHED, Watcher
from resatlas.training.state import TrainState
from tests.training import processes
from tests.training.small import DATA, DESIGN, DROPPING, EXPERIMENT, assert_same, last_checkpoint

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--quiet")


def sha256_of_weights(run: Run) -> str:
    """The sha256 of the last weights, from the manifest of the checkpoint."""
    manifest = json.loads((last_checkpoint(run) / "MANIFEST.json").read_text())
    return manifest["files"]["model.safetensors"]["sha256"]


def test_deterministic_twice_gives_the_same_hash(tmp_path: Path) -> None:
    """Two processes with one seed give the same sha256 of the weights; another seed gives another."""
    for name, seed in (("one", "0"), ("two", "0"), ("other", "1")):
        ended = processes.run(tmp_path, *TRAIN, "--deterministic", "--seed", seed, "--out", name)
        assert ended == processes.Ended(0, "", "")
    one, two, other = (sha256_of_weights(Run(tmp_path / name)) for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_a_nondeterministic_operation_is_an_error_within_only() -> None:
    """The error comes from torch; one note names the number of threads."""
    said: list[str] = []
    ambiguous = torch.tensor([0, 0, 1])
    with determinism(wanted=True, on_note=said.append), pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(4).put_(ambiguous, torch.ones(3))
    torch.zeros(4).put_(ambiguous, torch.ones(3))
    assert said == [
        "deterministic: the same seed gives the same weights to the bit on this machine, with these versions and "
        f"1 x {torch.get_num_threads()} threads"
    ]


@pytest.mark.parametrize("how", [Execution(kept="units"), Execution(kept="segments"), Execution(device="cpu")], ids=str)
def test_the_execution_changes_no_bit(how: Execution, unbroken_dropping: Run, tmp_path: Path) -> None:
    """Weights, momenta, statistics and metrics of a training with dropout are equal; env.json records the execution."""
    carry_out(prepare(DROPPING, out=tmp_path / "run", execution=replace(how, save_every=0)), watcher=UNWATCHED)
    run = Run(tmp_path / "run")
    assert_same(run, unbroken_dropping)
    recorded = json.loads((run.folder / "env.json").read_text())["execution"]
    assert (recorded["kept"], recorded["device"], recorded["processes"]) == (how.kept, "cpu", 1)
    assert recorded["threads"] == torch.get_num_threads()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused(tmp_path: Path) -> None:
    """The refusal comes before a folder is made; by default the CPU is used."""
    with pytest.raises(UsageError, match="torch finds no GPU here; omit --device or give --device cpu"):
        carry_out(prepare(EXPERIMENT, out=tmp_path / "run", execution=Execution(device="cuda")), watcher=UNWATCHED)
    assert not (tmp_path / "run").exists()
    assert device_of(None) == torch.device("cpu")


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process uses the GPU of its local rank; one process too many is refused. The test needs no GPU."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    for number in range(2):
        monkeypatch.setattr(execution, "local_rank", lambda number=number: number)
        assert device_of(None) == torch.device("cuda", number)
    assert chosen == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(execution, "local_rank", lambda: 2)
    with pytest.raises(UsageError, match="2 GPUs allow 2 processes on a machine; start fewer"):
        device_of("cuda")


@pytest.mark.parametrize(
    ("group", "size", "how"),
    [
        (None, 1, "fp32 on cpu, channels-last, 1 process, batch 16, BN statistics over 16"),
        (None, 2, "fp32 on cpu, channels-last, 2 processes, batch 8 each, BN statistics over 8"),
        (4, 1, "fp32 on cpu, channels-last, 1 process, batch 16, BN statistics over 4"),
        (4, 2, "fp32 on cpu, channels-last, 2 processes, batch 8 each, BN statistics over 4"),
    ],
)
def test_the_opening_lines_describe_the_training(group: int | None, size: int, how: str, tmp_path: Path) -> None:
    """The global batch, the share of each process, the images of one BN statistic, precision, device and layout."""
    said: list[tuple[str, str]] = []
    experiment = replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, epochs=1, norm_group=group))

    def on_start(run: Run, plan: TrainingPlan, state: TrainState) -> None:
        said.append(opening(run, replace(plan, world=World(size=size)), state))

    carry_out(prepare(experiment, out=tmp_path / "run"), watcher=Watcher(on_start=on_start))
    assert said == [
        (
            f"{DESIGN} on {DATA}, recipe quick: 84 images, 1 epoch of 5 steps, batch 16, "
            f"learning rate up to {EXPERIMENT.recipe.schedule.peak:g}, seed 0 "
            f"-> {tmp_path / 'run'}",
            how,
        )
    ]
