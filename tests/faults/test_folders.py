"""Folders of images with other layouts, names and files than ours."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.cli.main import main
from tests.data.pictures import picture, write, write_parts
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DESIGN

TRAIN = ("train", DESIGN, "--set", "batch=4", "--epochs", "1", "--out", "run")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in its own folder."""
    monkeypatch.chdir(tmp_path)


def outputs(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Both outputs of a command."""
    assert main(words) == code, capsys.readouterr()
    return "".join(capsys.readouterr())


def predicted(run: str = "run") -> list[str]:
    """The names of the tested images."""
    with Path(run, "predictions.csv").open(newline="", encoding="utf-8") as rows:
        return [row["id"] for row in csv.DictReader(rows)]


def test_the_three_parts_of_roboflow_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    """The parts train, valid and test are all used."""
    write_parts(Path("images"), 6, parts=("train", "valid", "test"))
    outputs(capsys, *TRAIN, "--data", "images:size=8")
    results = json.loads(Path("run/results.json").read_text())
    assert [results[part]["images"] for part in ("train", "validation", "test")] == [12, 12, 12]


def test_class_folders_alone_are_trained_on_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A fifth is held out for the test, and its number is in the notes of the run."""
    write_parts(Path("images"), 15, parts=(".",))
    words = "6 of 30 images are held out for the test, 20 % of each class"
    assert words in outputs(capsys, *TRAIN, "--data", "images:size=8")
    assert len(predicted()) == 6
    assert words in Path("run/experiment.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["test", "val", "."])
def test_images_to_test_on_alone_serve_evaluate(capsys: pytest.CaptureFixture[str], part: str) -> None:
    """And nothing else: training refuses them before there is a folder."""
    write_parts(Path("images"), 6)
    write_parts(Path("others"), 3, parts=(part,))
    others = "others:size=8,tested=100" if part == "." else "others:size=8"
    outputs(capsys, *TRAIN, "--data", "images:size=8")
    values = json.loads(outputs(capsys, "evaluate", "run", "--data", others, "--json").rpartition("\n}")[0] + "}")
    assert values["images"] == 6
    words = ("train", DESIGN, "--data", others, "--out", "other")
    assert "has test images but no training images" in outputs(capsys, *words, code=3)
    assert not Path("other").exists()


def test_pictures_that_are_not_read_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """In the notes of a training."""
    cat = write_parts(Path("images"), 6) / "train" / "cat"
    picture().save(cat / "a.tif")
    picture().save(cat / "b.BMP")
    words = outputs(capsys, *TRAIN, "--data", "images:size=8")
    assert "in train 1 file is not read (1 .tif), such as cat/a.tif: convert to PNG" in words
    results = json.loads(Path("run/results.json").read_text())
    assert results["train"]["images"] + results["validation"]["images"] == 13


def test_a_user_without_home_or_entry_trains(tmp_path: Path) -> None:
    """As in a container that runs under a number of its own."""
    write_parts(tmp_path / "images", 6)
    command = (*TRAIN, "--data", "images:size=8", "--quiet")
    assert processes.run(tmp_path, *command, first=hazards.unknown_user) == processes.Ended(0, "", "")


def test_large_profiles_change_no_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two megabytes, in PNG and in JPEG."""
    profile = os.urandom(2 << 20)
    for k, ending in enumerate(("png", "jpg")):
        folder = write_parts(Path("images"), 6) / "val" / "cat"
        picture(k).save(folder / f"profiled.{ending}", icc_profile=profile)
    outputs(capsys, *TRAIN, "--data", "images:size=8")
    assert len(predicted()) == 14


NAMES: dict[str, Callable[[], tuple[str, str]]] = {
    "an image": lambda: ("images", os.fsdecode(b"\xff.png")),
    "the data": lambda: (os.fsdecode(b"im\xffages"), "new.png"),
}


@pytest.mark.parametrize("what", NAMES)
def test_names_that_are_not_utf_8_end_no_training(capsys: pytest.CaptureFixture[str], what: str) -> None:
    """They stand in every text with escapes, and their files are found."""
    data, name = NAMES[what]()
    cat = write_parts(Path(data), 6) / "val" / "cat"
    write(cat / name, 99)
    out = outputs(capsys, *TRAIN, "--data", f"{data}:size=8")
    assert "\udcff" not in out
    shown = name.encode("utf-8", errors="backslashreplace").decode()
    assert f"cat/{shown}" in predicted()
    for words in (("evaluate", "run"), ("report", "run", "--out", "page.html"), ("dissect", "run", "explain")):
        outputs(capsys, *words)
    assert "cat" in outputs(capsys, "predict", "run", str(cat / name))
    assert "finished" in outputs(capsys, *TRAIN, "--data", f"{data}:size=8", "--resume", "auto")


def test_a_run_whose_folder_is_not_utf_8_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """With a word on the log that cannot be there."""
    write_parts(Path("images"), 6)
    run = os.fsdecode(b"r\xffn")
    words = ("train", DESIGN, "--set", "batch=4", "--epochs", "1", "--out", run, "--data", "images:size=8")
    assert "the name of its folder must be UTF-8" in outputs(capsys, *words, "--log", "tensorboard")
    assert len(predicted(run)) == 12
