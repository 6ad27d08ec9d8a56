"""Changes of finished runs are detected: by their seal, or where their files disagree."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli.main import main
from resatlas.errors import CheckpointError, FolderError, Stopped
from resatlas.runs.departures import AMENDED, UNREADABLE
from resatlas.runs.files import read_json, write_json
from resatlas.runs.names import DETECTIONS
from resatlas.runs.seal import SEAL, SEALED, write_seal
from resatlas.runs.store import Run
from resatlas.training.session import UNWATCHED
from tests.training.small import STEPS, assert_same, carried_out, last_checkpoint, signalling

RARE = (AMENDED, UNREADABLE, DETECTIONS)
"""Files of runs that were resumed with other settings, with unreadable images, or that find objects."""

WHOLE = [name for name in SEALED if name not in RARE]


@pytest.fixture
def run(unbroken: Run, tmp_path: Path) -> Run:
    """A finished run."""
    shutil.copytree(unbroken.folder, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def stopped(tmp_path: Path) -> Run:
    """A run that was stopped in its third epoch."""
    with pytest.raises(Stopped):
        carried_out(tmp_path / "stopped", watcher=signalling(2 * STEPS + 2))
    return Run(tmp_path / "stopped")


def test_a_finished_run_has_a_seal_of_every_file(run: Run) -> None:
    """The seal lists the files for readers and the manifest of the last checkpoint."""
    sealed = read_json(run.folder / SEAL)
    assert list(sealed["files"]) == WHOLE
    assert sealed["checkpoint"]["name"] == last_checkpoint(run).name
    assert run.record().seal is not None


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_sealed_file_that_changed_is_named(run: Run, name: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every reader refuses it with exit code 2."""
    file = run.folder / name
    if name in RARE:
        file.write_text("[]\n")
        last = last_checkpoint(run)
        write_seal(run.folder, checkpoint=last.name, manifest=last / "MANIFEST.json")
    if how == "changed":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    verbs = (["compare"], ["evaluate"], ["dissect", "capacity"], ["report", "--out", str(run.folder / "p.html")])
    for verb, *words in verbs:
        assert main([verb, str(run.folder), *words, "--quiet"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert name in said


@pytest.mark.parametrize("name", RARE)
def test_a_rare_file_that_was_added_is_named(run: Run, name: str) -> None:
    """A run without departures does not get some afterwards."""
    (run.folder / name).write_text("[]\n")
    with pytest.raises(FolderError, match=f"{name} was added after the run ended"):
        run.record()


def test_a_file_that_was_added_is_named(run: Run) -> None:
    """A seal lists all files of the run; other files are ignored."""
    (run.folder / "notes.txt").write_text("of mine")
    assert run.record().seal
    sealed = read_json(run.folder / SEAL)
    del sealed["files"]["predictions.csv"]
    write_json(run.folder / SEAL, sealed)
    with pytest.raises(FolderError, match=r"predictions\.csv was added after the run ended"):
        run.record()


def test_another_last_checkpoint_is_not_tested(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid checkpoint that is not the last one."""
    shutil.copytree(last_checkpoint(run), run.checkpoints / "step-00000099")
    assert main(["evaluate", str(run.folder), "--quiet"]) == 4
    assert f"is not the checkpoint that {SEAL}" in capsys.readouterr().err


EDITS: dict[str, Any] = {
    "parameters": 7,
    "multiply_adds": 7,
    "mean_path_length": 7.5,
    "seconds": 7.5,
    "images_per_second": 7.5,
    "family": "plain",
    "depth": 7,
    "design": "resnet-20",
    "data": "cifar-10",
    "recipe": "slow",
    "seed": 7,
    "epochs": 7,
}


@pytest.mark.parametrize("key", EDITS)
def test_results_without_a_seal_are_held_against_the_rest(run: Run, key: str) -> None:
    """Plan, rows, predictions and experiment determine the values."""
    (run.folder / SEAL).unlink()
    assert run.record().seal is None
    write_json(run.folder / "results.json", {**read_json(run.folder / "results.json"), key: EDITS[key]})
    with pytest.raises(FolderError, match=rf"results\.json: {key} is "):
        run.record()


def test_errors_without_a_seal_are_those_of_the_predictions(run: Run) -> None:
    """The number of images is checked too."""
    (run.folder / SEAL).unlink()
    results = read_json(run.folder / "results.json")
    write_json(run.folder / "results.json", {**results, "test": {**results["test"], "error_percent": 0.5}})
    with pytest.raises(FolderError, match=r"test\.error_percent is 0\.5, but predictions\.csv gives"):
        run.record()


def test_a_run_without_a_seal_opens_with_one_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For any number of them."""
    (run.folder / SEAL).unlink()
    shutil.copytree(run.folder, tmp_path / "other")
    assert main(["report", str(run.folder), str(tmp_path / "other"), "--out", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr().err
    assert said.count(SEAL) == said.count("\n") == 1


def test_a_crash_before_the_seal_is_made_up_for(run: Run, unbroken: Run) -> None:
    """The same command seals complete files without training."""
    (run.folder / SEAL).unlink()
    run.set_status("running", epoch=3)
    carried_out(run.folder, resume="auto")
    assert read_json(run.folder / SEAL) == read_json(unbroken.folder / SEAL)
    assert read_json(run.folder / "status.json")["status"] == "finished"


def test_rows_are_those_of_the_checkpoint(stopped: Run, unbroken: Run) -> None:
    """Later rows are removed, and the results are bit-equal."""
    state = read_json(last_checkpoint(stopped) / "state.json")
    assert set(state["rows"]) == {"metrics.jsonl", "timing.jsonl"}
    for name in state["rows"]:
        with (stopped.folder / name).open("a") as lines:
            lines.write('{"epoch": 3}\n{"epo')
    carried_out(stopped.folder, resume="auto")
    assert_same(stopped, unbroken)


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl"])
@pytest.mark.parametrize("how", ["digit", "key", "row", "file"])
def test_changed_rows_are_refused(stopped: Run, name: str, how: str) -> None:
    """A changed digit, key, row or missing file: exit code 4 and a remedy; nothing is trained."""
    file = stopped.folder / name
    text = file.read_text()
    match how:
        case "digit":
            file.write_text(text.replace("1", "2", 1))
        case "key":
            file.write_text(text.replace("epoch", "spoch", 1))
        case "row":
            file.write_text(text.split("\n", 1)[1])
        case _:
            file.unlink()
    with pytest.raises(CheckpointError, match=rf"{name} (was changed|has \d rows of the 2 ).*--out"):
        carried_out(stopped.folder, resume="auto")
    assert not stopped.finished


def test_a_checkpoint_of_an_earlier_version_resumes_with_a_line(stopped: Run, unbroken: Run) -> None:
    """Changes of rows cannot be detected, and other versions of packages are noted."""
    from resatlas.training import checkpoint

    said: list[str] = []
    folder = last_checkpoint(stopped)
    state = read_json(folder / "state.json")
    del state["rows"]
    state["versions"]["numpy"] = "1.0"
    (folder / "state.json").write_text(json.dumps(state))
    manifest = read_json(folder / "MANIFEST.json")
    manifest["files"]["state.json"] = checkpoint._seal(folder / "state.json")
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    carried_out(stopped.folder, resume="auto", watcher=replace(UNWATCHED, on_note=said.append))
    assert any("is of an earlier version" in note for note in said)
    assert any("numpy 1.0 then" in note for note in said)
    assert_same(stopped, unbroken)
