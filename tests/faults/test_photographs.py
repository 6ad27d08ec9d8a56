"""Folders with broken images, and the processes that read them."""

import csv
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.data.pictures import picture, write, write_parts
from tests.faults import hazards
from tests.training import processes
from tests.training.small import DESIGN, assert_same

TRAIN = (
    "train",
    DESIGN,
    "--data",
    "images:size=8",
    "--set",
    "batch=4",
    "--epochs",
    "2",
    "--save-every",
    "0",
    "--quiet",
)


def cut(file: Path) -> None:
    """A truncated JPEG."""
    picture(size=(64, 64)).save(file)
    file.write_bytes(file.read_bytes()[:-300])


def loop(file: Path) -> None:
    """A link to itself."""
    file.symlink_to(file.absolute())


def dangling(file: Path) -> None:
    """A link to a missing file."""
    file.symlink_to("nowhere")


def moving(file: Path) -> None:
    """An animated GIF under another name."""
    picture().save(file, "GIF", save_all=True, append_images=[picture(1)])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.jpg": (cut, "truncated"),
    "empty.jpg": (Path.touch, "an empty file"),
    "page.jpg": (lambda file: file.write_text("<html>not found</html>"), "a web page"),
    "moving.png": (lambda file: picture().save(file, save_all=True, append_images=[picture(1)]), "an animation"),
    "gif.jpg": (moving, "a GIF"),
    "loop.png": (loop, "symbolic links"),
    "dangling.png": (dangling, "a link to nothing"),
    "two\nlines.png": (Path.touch, "an empty file"),
}


NOT_THERE = ("loop.png", "dangling.png")
"""Files that cannot be opened; this is reported before a run starts, though training images are not decoded."""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_ends_a_training_with_its_name(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    """Exit code 3 and one line with the file and its kind."""
    make, reason = BAD[name]
    make(write_parts(tmp_path / "images", 12) / "train" / "cat" / name)
    line = refused(*TRAIN, "--out", "run", code=3)
    assert line.startswith("DataError: 1 image of " if name in NOT_THERE else "UnreadableImage: ")
    assert Path("run").exists() == (name not in NOT_THERE)
    assert f"/train/cat/{' '.join(name.split())} " in line.replace("\\n", " ")
    assert reason in line
    assert not Run(Path("run")).finished


def test_bad_images_may_be_skipped_the_same_way_by_any_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Substitutes do not depend on workers or attempts: the runs are bit-equal."""
    monkeypatch.chdir(tmp_path)
    cat = write_parts(Path("images"), 12) / "train" / "cat"
    for name, (make, _) in BAD.items():
        make(cat / name)
    for workers in ("1", "2"):
        assert main((*TRAIN, "--unreadable", "skip", "--workers", workers, "--out", f"run{workers}")) == 0
    assert_same(Run(Path("run1")), Run(Path("run2")))


def test_odd_images_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CMYK, 16 bits, palette with transparency, EXIF rotation, odd names and links that lead back."""
    monkeypatch.chdir(tmp_path)
    root = write_parts(Path("images"), 10)
    for part in ("train", "val"):
        folder = root / part / "dog"
        picture(50).convert("CMYK").save(folder / "cmyk.jpg")
        picture(51).convert("L").convert("I;16").save(folder / "deep.png")
        picture(52).quantize(4).save(folder / "palette.png", transparency=1)
        turned = Image.Exif()
        turned[0x0112] = 6  # orientation
        picture(53).save(folder / "turned.jpg", exif=turned)
        write(folder / "ñ 名 = two\nlines.png", 54)
        (folder / "linked.png").symlink_to((folder / "deep.png").absolute())
        (folder / "up").symlink_to(root.absolute())
    assert main((*TRAIN, "--out", "run")) == 0
    with Path("run/predictions.csv").open(newline="", encoding="utf-8") as rows:
        names = [row["id"] for row in csv.DictReader(rows)]
    assert "dog/ñ 名 = two\nlines.png" in names
    assert len(names) == 20 + 6


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An undisturbed run on photographs."""
    folder = tmp_path_factory.mktemp("straight")
    write_parts(folder / "images", 12)
    assert processes.run(folder, *TRAIN, "--out", "run") == processes.Ended(0, "", "")
    return Run(folder / "run")


def assert_goes_on(folder: Path, straight: Run) -> None:
    """The same command in this folder ends like the undisturbed run."""
    assert processes.run(folder, *TRAIN, "--out", "run", "--resume", "auto") == processes.Ended(0, "", "")
    assert_same(Run(folder / "run"), straight)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_reader_ends_a_training(straight: Run, tmp_path: Path, workers: str) -> None:
    """Exit code 3, one sentence, no process left; the run can be resumed."""
    write_parts(tmp_path / "images", 12)
    marker = tmp_path / "marker"
    command = (*TRAIN, "--out", "run", "--workers", workers)
    program = processes.start(tmp_path, *command, first=partial(hazards.reader_killed, marker, 3))
    ended = program.ended()
    assert (ended.code, ended.line) == (
        3,
        "DataError: a process that reads images was killed, probably for lack of memory; use fewer --workers",
    )
    assert processes.members(program.process.pid or 0) == []
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "failed"
    assert_goes_on(tmp_path, straight)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_small_shared_memory_changes_nothing(straight: Run, tmp_path: Path, workers: str) -> None:
    """If /dev/shm is too small for a batch, a training and its test still finish."""
    write_parts(tmp_path / "images", 12)
    command = (*TRAIN, "--out", "run", "--workers", workers)
    ended = processes.run(tmp_path, *command, first=partial(hazards.small_shared_memory, 4096))
    if ended.code == hazards.UNPERMITTED:
        assert not (os.environ.get("CI") and os.geteuid() == 0), "root may not mount /dev/shm here"
        pytest.skip("only root may mount another /dev/shm")
    assert ended == processes.Ended(0, "", "")
    assert_same(Run(tmp_path / "run"), straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_to_all_processes_stops_and_saves(
    straight: Run, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    """Ctrl-C and SIGTERM reach the readers too, which ignore them and print nothing."""
    write_parts(tmp_path / "images", 12)
    marker = tmp_path / "marker"
    command = (*TRAIN, "--out", "run", "--workers", workers)
    program = processes.start(tmp_path, *command, first=partial(hazards.reader_slow, marker, 3))
    assert processes.wait_for(marker.exists)
    os.killpg(program.process.pid or 0, number)
    ended = program.ended()
    assert (ended.code, ended.out) == (75, "")
    assert ended.line.startswith(f"Stopped: by {number.name} after step ")
    assert processes.wait_for(lambda: processes.members(program.process.pid or 0) == [])
    assert_goes_on(tmp_path, straight)
