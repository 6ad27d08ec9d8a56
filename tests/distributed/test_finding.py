"""Two processes find objects like one: one network, every image once, one file of detections."""

import json
import shutil
from pathlib import Path

import pytest

from resatlas.runs.store import Run
from tests.data.annotated import annotation, write_coco
from tests.distributed.test_two_ranks import ended, started
from tests.training.small import different, last_checkpoint, tensors

TRAIN = (
    *("train", "resnet:depth=8,base=2", "--data", "coco", "--recipe", "detect-quick", "--epochs", "2"),
    *("--set", "batch=2", "--test-batch", "1", "--save-every", "0", "--json"),
)
TWO = ("--processes", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a training by two processes."""
    folder = tmp_path_factory.mktemp("finding")
    for part in ("train2017", "val2017"):
        write_coco(folder / "coco", [annotation(1), annotation(2, image=2, category=90)], part=part)
    code, _, err = ended(started(folder, *TRAIN, *TWO, "--out", "two"))
    assert code == 0, err
    return folder


@pytest.mark.parametrize("more", [(), TWO], ids=["one process", "two processes"])
def test_a_test_again_finds_the_same_boxes(folder: Path, more: tuple[str, ...]) -> None:
    """Both processes have tested the network that was saved, each half of the images."""
    again = f"again-{len(more)}"
    code, out, err = ended(started(folder, "evaluate", "two", "--test-batch", "1", "--out", again, "--json", *more))
    assert code == 0, err
    assert json.loads(out)["same_as_results"] is True
    written = (folder / again / "detections.json").read_text()
    assert written == (folder / "two" / "detections.json").read_text()
    assert len(json.loads(written)["images"][0]["objects"]) > 0


def test_a_resumed_training_of_two_processes_is_the_same(folder: Path) -> None:
    """From the checkpoint of the first of two epochs: weights, momenta and running statistics to the bit."""
    two, lost = Run(folder / "two"), Run(folder / "lost")
    shutil.copytree(two.folder, lost.folder)
    shutil.rmtree(last_checkpoint(lost))
    (lost.folder / "results.json").unlink()
    code, _, err = ended(started(folder, *TRAIN, *TWO, "--out", "lost", "--resume", "auto"))
    assert code == 0, err
    assert "resumes from" in err
    assert different(tensors(last_checkpoint(lost)), tensors(last_checkpoint(two))) == []
    assert (lost.folder / "detections.json").read_bytes() == (two.folder / "detections.json").read_bytes()
