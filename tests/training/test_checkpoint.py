"""A checkpoint is complete or absent, and the newest complete one is used."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

import resatlas
from resatlas.errors import CheckpointError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.schedule import rate
from resatlas.training import checkpoint
from resatlas.training.checkpoint import fault, load, newest_valid, save, sweep
from resatlas.training.optimizer import momenta
from resatlas.training.state import Tally, TrainState
from tests.training.breaking import Crash, failing
from tests.training.small import LAYOUTS, different, fresh, position, stepped, take_steps, tensors

FILES = ("MANIFEST.json", "model.safetensors", "optim.safetensors", "state.json")
EXPERIMENT = "0" * 64

save_state = partial(save, experiment=EXPERIMENT)


@pytest.fixture
def state() -> TrainState:
    """A state in the middle of an epoch."""
    state = stepped(3)
    state.seconds = 1.5
    return state


@pytest.fixture
def two(state: TrainState, tmp_path: Path) -> Path:
    """A folder with the checkpoints of steps 3 and 5."""
    save_state(state, tmp_path)
    take_steps(state, 2)
    save_state(state, tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    """Everything in a folder, drafts included."""
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_checkpoint_has_four_files_and_a_pointer(state: TrainState, tmp_path: Path) -> None:
    """The folder is named after its step, the manifest seals every other file, and `latest` names the folder."""
    folder = save_state(state, tmp_path)
    assert names(tmp_path) == ["latest", "step-00000003"]
    assert folder == tmp_path / "step-00000003"
    assert (tmp_path / "latest").read_text() == "step-00000003\n"
    assert names(folder) == sorted(FILES)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert manifest["schema"] == 2
    assert {name: seal["size"] for name, seal in manifest["files"].items()} == {
        name: (folder / name).stat().st_size for name in FILES if name != "MANIFEST.json"
    }
    assert fault(folder) is None


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_state_comes_back_whole(layout: torch.memory_format, tmp_path: Path) -> None:
    """Weights, buffers, momentum, position and tally are restored in the same layout, and later steps are equal."""
    state = stepped(3, layout)
    state.epoch, state.batch, state.seconds = 2, 3, 1.5
    other = fresh(layout, seed=1)
    load(other, save_state(state, tmp_path), experiment=EXPERIMENT)
    assert (other.epoch, other.batch, other.step, other.seconds) == (2, 3, 3, 1.5)
    assert other.tally == state.tally != Tally()
    take_steps(state, 2, layout)
    take_steps(other, 2, layout)
    assert different(dict(state.network.state_dict()), dict(other.network.state_dict())) == []
    assert different(momenta(state.network, state.optimizer), momenta(other.network, other.optimizer)) == []
    for one, two in zip(state.network.parameters(), other.network.parameters(), strict=True):
        assert one.stride() == two.stride()


def test_a_state_before_the_first_step_comes_back(tmp_path: Path) -> None:
    """There is no momentum before the first step, and none after loading."""
    other = fresh(seed=1)
    load(other, save_state(fresh(), tmp_path), experiment=EXPERIMENT)
    assert different(dict(fresh().network.state_dict()), dict(other.network.state_dict())) == []
    assert momenta(other.network, other.optimizer) == {}


def test_the_newest_is_found_by_its_number(two: Path) -> None:
    """Checkpoints are ordered by step number, not by name or date."""
    for step in (9, 10, 123_456_789):
        shutil.copytree(two / "step-00000003", two / f"step-{step:08d}")
    os.utime(two / "step-00000003")
    assert newest_valid(two) == (two / "step-123456789", [])
    shutil.rmtree(two / "step-123456789")
    assert newest_valid(two) == (two / "step-00000010", [])


def test_only_step_folders_count(two: Path) -> None:
    """Drafts, files and folders of other names are ignored without a note."""
    for name in (".tmp-step-00000009-1", "step-9", "step-00000009-old", "Step-00000009", "best"):
        shutil.copytree(two / "step-00000005", two / name)
    (two / "step-00000010").write_text("a file")
    (two / "latest").write_text("step-00000003\n")
    assert newest_valid(two) == (two / "step-00000005", [])


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_without_checkpoints_none_is_found(tmp_path: Path, name: str) -> None:
    """Neither an empty nor a missing folder has one."""
    (tmp_path / "empty").mkdir()
    assert newest_valid(tmp_path / name) == (None, [])


def truncated(file: Path) -> None:
    """Cut off the last ten bytes."""
    file.write_bytes(file.read_bytes()[:-10])


def halved(file: Path) -> None:
    """Cut off the second half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flipped(file: Path) -> None:
    """Flip one bit in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def emptied(file: Path) -> None:
    """Leave nothing in it."""
    file.write_bytes(b"")


def removed(file: Path) -> None:
    """Remove it."""
    file.unlink()


def replaced_by_a_folder(file: Path) -> None:
    """Put a folder in its place."""
    file.unlink()
    file.mkdir()


DAMAGES = (truncated, halved, flipped, emptied, removed, replaced_by_a_folder)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_rejected_with_its_reason(two: Path, name: str, damage: Callable[[Path], None]) -> None:
    """If a file is damaged, the previous checkpoint is used, the reason names the file, and loading is refused."""
    file = two / "step-00000005" / name
    whole = file.stat().st_size
    damage(file)
    newest, [rejected] = newest_valid(two)
    assert newest == two / "step-00000003"
    assert rejected.name == "step-00000005"
    assert rejected.reason.startswith("is damaged: ")
    assert "\n" not in rejected.reason
    assert name in rejected.reason
    if name != "MANIFEST.json" and damage in (truncated, halved, emptied):
        assert rejected.reason.endswith(f"{name} has size {file.stat().st_size:,} ≠ {whole:,}")
    if name != "MANIFEST.json" and damage is flipped:
        assert "sha256" in rejected.reason
    other = fresh(seed=1)
    before = {path: tensor.clone() for path, tensor in other.network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"^checkpoint step-00000005 is damaged"):
        load(other, two / "step-00000005", experiment=EXPERIMENT)
    assert different(before, dict(other.network.state_dict())) == []
    assert other.step == 0


@pytest.mark.parametrize("byte", range(0, 400, 23))
def test_a_flipped_bit_anywhere_in_a_manifest_is_found(two: Path, byte: int) -> None:
    """A manifest with one wrong bit at any place makes its checkpoint invalid."""
    file = two / "step-00000005" / "MANIFEST.json"
    data = bytearray(file.read_bytes())
    data[byte % len(data)] ^= 2
    file.write_bytes(data)
    assert newest_valid(two)[0] == two / "step-00000003"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        *(
            (text, "or state.json is not JSON of the expected structure")
            for text in ("[]", "{}", "null", "3", '{"schema": 1}', "[" * 10**5)
        ),
        *((f'{{"schema": 1, "files": {none}}}', "does not list model.safetensors") for none in ("[]", "{}")),
    ],
)
def test_a_manifest_of_another_form_is_damaged(two: Path, manifest: str, reason: str) -> None:
    """JSON of another structure and text that is not JSON are refused."""
    (two / "step-00000005" / "MANIFEST.json").write_text(manifest)
    newest, [rejected] = newest_valid(two)
    assert newest == two / "step-00000003"
    assert rejected.reason == f"is damaged: MANIFEST.json {reason}"


@pytest.mark.parametrize("entry", [{"size": None}, {"size": "many"}, {"sha256": None}, {"size": -1}])
def test_a_seal_of_another_form_is_damaged(two: Path, entry: dict[str, Any]) -> None:
    """A size or a hash of the wrong type makes the checkpoint invalid."""
    file = two / "step-00000005" / "MANIFEST.json"
    manifest = json.loads(file.read_text())
    manifest["files"]["state.json"].update(entry)
    file.write_text(json.dumps(manifest))
    assert newest_valid(two)[0] == two / "step-00000003"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (3, "was written by a later version of resatlas"),
        (0, "cannot be read"),
        ("1", "cannot be read"),
        (None, "cannot"),
    ],
)
def test_a_later_schema_is_refused(two: Path, schema: object, reason: str) -> None:
    """A checkpoint of an unknown schema is rejected."""
    file = two / "step-00000005" / "MANIFEST.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": schema}))
    newest, [rejected] = newest_valid(two)
    assert newest == two / "step-00000003"
    assert rejected.reason.startswith(f"of schema {schema} {reason}")
    assert rejected.reason.endswith("; this version reads 1 and 2")


def test_all_newer_rejected_checkpoints_are_returned(two: Path) -> None:
    """If none is valid, all are returned with their reasons, the newest first."""
    for name in ("step-00000003", "step-00000005"):
        emptied(two / name / "model.safetensors")
    newest, rejected = newest_valid(two)
    assert newest is None
    assert [folder.name for folder in rejected] == ["step-00000005", "step-00000003"]


def test_a_checkpoint_of_another_experiment_is_refused(two: Path) -> None:
    """Weights of equal shapes are not loaded if design, data, recipe or seed differ."""
    with pytest.raises(CheckpointError, match="step-00000005 belongs to another experiment"):
        load(fresh(), two / "step-00000005", experiment="1" * 64)


def test_two_are_kept(state: TrainState, tmp_path: Path) -> None:
    """After every save, the newest two remain."""
    for expected in (["step-00000003"], ["step-00000003", "step-00000004"], ["step-00000004", "step-00000005"]):
        save_state(state, tmp_path)
        assert names(tmp_path) == ["latest", *expected]
        take_steps(state, 1)


def test_a_valid_one_is_kept_where_the_others_are_damaged(state: TrainState, tmp_path: Path) -> None:
    """Damaged checkpoints do not count: the next older valid one is kept."""
    save_state(state, tmp_path)
    for step in (6, 7):
        shutil.copytree(tmp_path / "step-00000003", tmp_path / f"step-{step:08d}")
        emptied(tmp_path / f"step-{step:08d}" / "model.safetensors")
    take_steps(state, 5)
    save_state(state, tmp_path)
    assert names(tmp_path) == ["latest", "step-00000003", "step-00000008"]


def test_what_cannot_be_deleted_stays(two: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed delete does not fail the save."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "permission denied")

    take_steps(state, 1)
    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, refuse)
        save_state(state, two)
    assert newest_valid(two) == (two / "step-00000006", [])


def test_a_step_folder_is_never_overwritten(two: Path, state: TrainState) -> None:
    """A second save of the same step changes neither bytes nor dates of the first."""
    target = two / "step-00000005"
    before = content(target), target.stat().st_mtime_ns
    state.seconds = 99
    assert save_state(state, two) == target
    assert (content(target), target.stat().st_mtime_ns) == before


def test_a_damaged_folder_of_the_same_step_is_replaced(two: Path, state: TrainState) -> None:
    """An invalid folder does not prevent a save."""
    flipped(two / "step-00000005" / "optim.safetensors")
    assert fault(save_state(state, two)) is None


@pytest.mark.parametrize("name", ["step-00000004", ".tmp-step-00000004-1"])
def test_a_file_of_the_same_name_is_no_traceback(two: Path, state: TrainState, name: str) -> None:
    """A file with the name of a checkpoint or a draft leads to a checkpoint or a CheckpointError."""
    (two / name.replace("-1", f"-{os.getpid()}")).write_text("in the way")
    state.step = 4
    try:
        assert fault(save_state(state, two)) is None
    except CheckpointError as error:
        assert "step-00000004" in str(error)  # noqa: PT017 - both results are allowed
    assert newest_valid(two)[0] == two / "step-00000005"


def test_drafts_are_swept(two: Path) -> None:
    """Drafts of a crash are removed, and nothing else."""
    before = names(two)
    for name in (".tmp-step-00000009-1", ".tmp-step-00000010-22"):
        shutil.copytree(two / "step-00000005", two / name)
    sweep(two)
    assert names(two) == before


def operations(state: TrainState, folder: Path) -> list[str]:
    """The file operations of a save into a copy of a folder."""
    copy = folder.with_name("counted")
    shutil.copytree(folder, copy)
    with failing(-1, Crash()) as done:
        save_state(state, copy)
    return done


def test_a_crash_at_any_point_of_a_save_leaves_a_valid_checkpoint(state: TrainState, tmp_path: Path) -> None:
    """At each file operation the old checkpoint or the new one is valid; the next start removes drafts."""
    folder = tmp_path / "checkpoints"
    save_state(state, folder)
    take_steps(state, 2)
    save_state(state, folder)
    take_steps(state, 2)
    points = len(operations(state, folder))
    assert points > 15
    new = old = 0
    for k in range(points):
        run = tmp_path / str(k)
        shutil.copytree(folder, run)
        with failing(k, Crash()), pytest.raises(Crash):
            save_state(state, run)
        newest, rejected = newest_valid(run)
        assert newest in (run / "step-00000005", run / "step-00000007"), k
        assert rejected == []
        old, new = old + (newest == run / "step-00000005"), new + (newest == run / "step-00000007")
        sweep(run)
        assert not list(run.glob(".*")), f"operation {k} leaves a draft that the next start does not sweep"
        assert fault(save_state(state, run)) is None
        assert newest_valid(run) == (run / "step-00000007", [])
    assert old > 8
    assert new > 2


def test_a_full_disk_at_any_point_of_a_save_is_a_checkpoint_error(state: TrainState, tmp_path: Path) -> None:
    """Each failing file operation leads to a checkpoint or an error; old checkpoints stay, drafts do not."""
    folder = tmp_path / "checkpoints"
    save_state(state, folder)
    take_steps(state, 2)
    points = operations(state, folder)
    for k, operation in enumerate(points):
        run = tmp_path / str(k)
        shutil.copytree(folder, run)
        with failing(k, OSError(errno.ENOSPC, "No space left on device")):
            try:
                save_state(state, run)
            except CheckpointError as error:
                reason = f"{run / 'step-00000005'} cannot be written: no space left on device; the checkpoint needs "
                assert str(error).startswith(reason)  # noqa: PT017
            except OSError:
                pytest.fail(f"operation {k} of {len(points)} ({operation}) ends in an OSError")
        assert fault(run / "step-00000003") is None
        assert not list(run.glob(".*")), f"operation {k} of {len(points)} ({operation}) leaves a draft"


def test_a_full_disk_in_safetensors_is_a_checkpoint_error(
    two: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's error for a failed write becomes ours, and the draft is removed."""
    before = content(two)

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    state.step = 6
    with pytest.raises(CheckpointError, match=r"step-00000006 cannot be written: .*o space left on device"):
        save_state(state, two)
    assert content(two) == before


def test_a_folder_that_cannot_be_made_is_a_checkpoint_error(state: TrainState, tmp_path: Path) -> None:
    """Checkpoints cannot be written below a regular file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written: not a directory"):
        save_state(state, tmp_path / "file" / "checkpoints")


def test_position_and_versions_are_written_down(two: Path) -> None:
    """state.json contains position, experiment and versions."""
    state = position(two / "step-00000005")
    assert state == {
        "schema": 2,
        "experiment": EXPERIMENT,
        "normalisation": None,
        "epoch": 0,
        "batch": 5,
        "step": 5,
        "tally": state["tally"],
        "rate": rate(NAMED["quick"].schedule, Fraction(4, 3)),
        "drops": 0,
        "pace": {"warm": None, "drops": 0, "best": None, "stale": 0},
        "scaler": {},
        "overflows": 0,
        "skipped": 0,
        "skipped_in_a_row": 0,
        "world_size": 1,
        "rows": None,
        "versions": {"resatlas": resatlas.__version__, "torch": torch.__version__, "numpy": np.__version__},
    }
    assert state["tally"]["images"] == 5 * 16
    assert {name.partition(":")[0] for name in tensors(two / "step-00000005")} == {"model", "optim"}
