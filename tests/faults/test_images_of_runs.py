"""A run is read against the images that it was trained on: whoever asks of it others is told so."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli.main import main
from resatlas.data.dataset import fingerprint
from resatlas.data.folder import folder
from resatlas.runs.store import Run
from resatlas.studies.own_images import scan_parts
from tests.data.pictures import picture, write, write_parts
from tests.training.small import EXPERIMENT, carried_out

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set `images` and a finished run of it, `run`."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write_parts(Path("images"), 8)
        recipe = replace(EXPERIMENT.recipe, batch=4, epochs=1, validation=Fraction(1, 4))
        carried_out(Path("run"), replace(EXPERIMENT, data="images:size=8", recipe=recipe))
    return place


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working directory."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """The exit code of a command, and its two outputs."""

    def said(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return said


def results_of(say: Say, *words: str) -> dict[str, Any]:
    """The JSON of a command that succeeds."""
    code, out, _ = say(*words, "--json")
    assert code == 0
    return json.loads(out)


def swap_classes() -> None:
    """Give each class of val the images of the other."""
    Path("images/val/cat").rename("images/val/other")
    Path("images/val/dog").rename("images/val/cat")
    Path("images/val/other").rename("images/val/dog")


@pytest.mark.parametrize("question", ["lesion", "flow", "surface"])
def test_training_images_are_not_taken_for_those_held_back(here: Path, say: Say, question: str) -> None:
    """Eight more images in a class split anew would put images that were trained on among those held back."""
    for k in range(8):
        write(here / "images/train/cat" / f"more{k}.png", 900 + k)
    code, _, err = say("dissect", "run", question)
    assert code == 3
    assert "train has 24 images, where it had 16" in err
    assert not Path("run/dissections").exists()


def test_a_changed_training_part_is_said_by_a_test_of_unchanged_images(here: Path, say: Say) -> None:
    """The figures stand, and the note names the part that has changed since."""
    shutil.copy(here / "images/val/cat" / sorted(file.name for file in (here / "images/val/cat").iterdir())[0], "kept")
    shutil.copy("kept", here / "images/train/cat/more.png")
    results = results_of(say, "evaluate", "run")
    assert (results["test_images"], results["same_as_results"]) == ("own", True)
    assert "the test images are those of run, but images:size=8 has changed: train has" in results["note"]


def test_swapped_labels_are_refused(here: Path, say: Say) -> None:
    """Names, sizes and number are the same, the classes are not; also for the pictures of the wrong ones."""
    swap_classes()
    for words in (("evaluate", "run"), ("dissect", "run", "explain")):
        code, out, err = say(*words)
        assert (code, out) == (3, "")
        assert "test has the same images under each other's names, as after a swap of two classes" in err
    assert {file.name for file in (here / "run").glob("predictions*")} == {"predictions.csv"}


def test_another_directory_with_a_folder_of_that_name_is_told(
    here: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the path leads to other images the run is not tested on them unasked; asked for, they are others."""
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    shutil.copytree(here / "images", "images")
    swap_classes()
    assert say("evaluate", "../run")[0] == 3
    before = (here / "run/predictions.csv").read_bytes()
    results = results_of(say, "evaluate", "../run", "--data", "images:size=8")
    assert (results["test_images"], results["same_as_results"]) == ("other", None)
    assert "under each other's names" in results["note"]
    own = Run(here / "run").record().written["test"]["error_percent"]
    assert results["error_percent"] == pytest.approx(100 - own)  # of two classes
    assert Path(results["predictions"]).name.startswith("predictions-images_size_8-")
    assert (here / "run/predictions.csv").read_bytes() == before


def test_removed_images_leave_the_run_s_own_predictions(here: Path, say: Say) -> None:
    """A test on six of the eight images is refused, or beside; `compare` still reads the run."""
    before = Path("run/predictions.csv").read_bytes()
    for k in (0, 1):
        (here / "images/val/cat" / f"{k}.png").unlink()
    code, _, err = say("evaluate", "run")
    assert code == 3
    assert "test has 14 images, where it had 16" in err
    results = results_of(say, "evaluate", "run", "--data", "images:size=8")
    assert (results["images"], results["test_images"]) == (14, "other")
    with Path(results["predictions"]).open(newline="", encoding="utf-8") as lines:
        assert len(list(csv.DictReader(lines))) == 14
    assert Path("run/predictions.csv").read_bytes() == before
    assert say("report", "run", "--out", "page.html")[0] == 0


def test_different_tests_have_different_files(here: Path, say: Say) -> None:
    """Other images under one path, protocols and ensembles never meet in one file."""
    names: list[str] = []
    for k in range(2):
        picture(700 + k).save(here / "images/val/cat/0.png")
        for protocol in ("centre", "flips"):
            results = results_of(say, "evaluate", "run", "--data", "images:size=8", "--protocol", protocol)
            names.append(results["predictions"])
    assert len(set(names)) == 4
    assert all(Path(name).exists() for name in names)


def test_the_run_s_own_test_is_checked_and_not_written_again(here: Path, say: Say) -> None:
    """It equals results.json, which is said; no file changes."""
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in (here / "run").glob("*.*")}
    found = results_of(say, "evaluate", "run")
    assert (found["test_images"], found["same_as_results"]) == ("own", True)
    assert found["predictions"] == "run/predictions.csv"
    assert "same as results.json" in say("evaluate", "run")[1]
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in (here / "run").glob("*.*")} == before


@pytest.mark.parametrize("spelled", ["images", "images/", "./images", "{here}/images", "../here/images"])
def test_a_data_set_is_its_images_and_not_its_path(here: Path, say: Say, spelled: str) -> None:
    """However the folder is spelled, its images are the run's own, and the run's training can be continued on it."""
    data = f"{spelled.format(here=here)}:size=8"
    results = results_of(say, "evaluate", "run", "--data", data)
    assert (results["test_images"], results["same_as_results"]) == ("own", True)
    words = ("--set", "batch=4", "--set", "validation=1/4", "--epochs", "1", "--out", "run", "--resume", "auto")
    code, _, err = say("train", EXPERIMENT.design, "--data", data, *words)
    assert (code, "nothing is left to train" in err) == (0, True)


def test_a_copy_of_the_folder_is_the_same_data_set(here: Path, say: Say) -> None:
    """Its times and its place say nothing."""
    shutil.copytree("images", here / "copied")
    assert results_of(say, "evaluate", "run", "--data", "copied:size=8")["test_images"] == "own"


def test_from_a_subfolder_the_error_names_the_working_directory(
    here: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what to give."""
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    for words in (("evaluate", "../run"), ("dissect", "../run", "lesion"), ("train", "resnet-20", "--data", "images")):
        code, _, err = say(*words)
        assert code in (2, 3)
        assert f"the working directory is {here / 'below'}" in err


def test_statistics_are_those_of_the_training_s_own_images(here: Path, say: Say) -> None:
    """With one image replaced by another of the same size they cannot be estimated again."""
    file = here / "images/train/dog/3.png"
    content = bytearray(file.read_bytes())
    file.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    code, _, err = say("evaluate", "run", "--norm-statistics", "reestimated")
    assert code == 3
    assert "train has images of the same names with other content" in err
    assert results_of(say, "evaluate", "run")["test_images"] == "own"  # which the test images still are


def test_runs_of_earlier_versions_are_checked_by_their_one_digest(here: Path, say: Say) -> None:
    """It knows names and sizes of all parts; where there is none, that is said."""
    file = here / "run/experiment.json"
    record = json.loads(file.read_text())
    record["images"] = fingerprint(folder(Path("images"), size=8).read())
    file.write_text(json.dumps(record))
    (here / "run/SEAL.json").unlink(missing_ok=True)
    assert results_of(say, "evaluate", "run")["test_images"] == "own"
    write(here / "images/train/cat/more.png")
    assert say("evaluate", "run")[0] == 3
    record["images"] = ""
    file.write_text(json.dumps(record))
    results = results_of(say, "evaluate", "run")
    assert results["test_images"] == "unrecorded"
    assert "has no record of its images" in results["note"]


def test_a_run_records_the_fingerprint_of_each_part(here: Path) -> None:
    """Which is that of any copy, and of the files that lie there."""
    shutil.copytree("images", "copied")
    record = json.loads((here / "run/experiment.json").read_text())
    looked = scan_parts(folder(Path("copied"), size=8).read())
    assert {role: str(each.fingerprint) for role, each in looked.items()} == record["images"]
    assert set(record["images"]) == {"train", "test"}
