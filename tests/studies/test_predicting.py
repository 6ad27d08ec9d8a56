"""Single images are classified as in the test, by a run and by its export."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resatlas.errors import DataError, FolderError, UsageError
from resatlas.exporting.preprocessing import in_channels
from resatlas.exporting.saving import save_pretrained
from resatlas.runs.store import Run
from resatlas.studies.predicting import image_paths, predict
from resatlas.studies.testing import evaluate
from tests.data.pictures import write, write_parts
from tests.studies.test_testing import rows
from tests.training.small import EXPERIMENT, carried_out


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cats and dogs."""
    return write_parts(tmp_path_factory.mktemp("images"), 8)


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on them."""
    recipe = replace(EXPERIMENT.recipe, batch=8, epochs=2)
    return carried_out(
        tmp_path_factory.mktemp("runs") / "run", replace(EXPERIMENT, data=f"{root}:size=8", recipe=recipe)
    )


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on images of one channel."""
    return carried_out(tmp_path_factory.mktemp("runs") / "grey")


def test_test_images_are_answered_as_in_the_test(run: Run, root: Path, tmp_path: Path) -> None:
    """Class and probability of each image equal those in predictions.csv, also for the saved network."""
    evaluate([run.folder])
    save_pretrained(run.folder, tmp_path / "saved")
    for folder in (run.folder, tmp_path / "saved"):
        predictions = predict(folder, [root / "val"])
        assert [prediction.image for prediction in predictions] == [
            str(root / "val" / line["id"]) for line in rows(run.folder / "predictions.csv")
        ]
        for prediction, line in zip(predictions, rows(run.folder / "predictions.csv"), strict=True):
            assert prediction.classes[0][0] == line["predicted"]
            assert prediction.classes[0][1] == pytest.approx(float(line["probability"]), abs=2e-6)
            assert sum(probability for _, probability in prediction.classes) == pytest.approx(1)
            assert {name for name, _ in prediction.classes} == {"cat", "dog"}


def test_the_likeliest_classes_come_first(run: Run, root: Path) -> None:
    """As many as requested, and at most the number of classes."""
    [one] = predict(run.folder, [root / "val" / "cat" / "0.png"], top=1)
    [two] = predict(run.folder, [root / "val" / "cat" / "0.png"], top=9)
    assert len(one.classes) == 1
    assert len(two.classes) == 2
    assert one.classes[0] == two.classes[0]
    assert two.classes[0][1] >= two.classes[1][1]
    with pytest.raises(UsageError, match="--top must be at least 1; got 0"):
        predict(run.folder, [root / "val"], top=0)


def test_unreadable_images_keep_no_other_from_its_answer(run: Run, tmp_path: Path) -> None:
    """Each has its reason; if no image can be read, an error is raised."""
    good = write(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"<html>")
    predictions = predict(run.folder, [tmp_path / "bad.png", good, tmp_path / "missing.png"])
    assert [bool(prediction.classes) for prediction in predictions] == [False, True, False]
    assert "a web page or a drawing" in predictions[0].error
    assert "no such file" in predictions[2].error
    with pytest.raises(DataError, match=r"bad.png cannot be read as an image.*; nor can 1 other"):
        predict(run.folder, [tmp_path / "bad.png", tmp_path / "missing.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images: the folders have no file that ends in"):
        predict(run.folder, [tmp_path / "empty"])


def test_folders_are_listed_in_order(tmp_path: Path) -> None:
    """Only images, folder by folder, together with files that are given by name."""
    for name in ("b/2.png", "b/10.png", "a.PNG", "b/c/0.jpg"):
        write(tmp_path / "in" / name)
    (tmp_path / "in" / "note.txt").write_text("")
    paths = list(image_paths([tmp_path / "in", Path("x.png")]))
    assert [str(path).removeprefix(f"{tmp_path}/in/") for path in paths] == [
        *("a.PNG", "b/10.png", "b/2.png", "b/c/0.jpg", "x.png"),
    ]


def test_a_network_of_one_channel_sees_brightness(grey: Run, tmp_path: Path) -> None:
    """Greyscale images keep their values; RGB images become their luma, up to rounding."""
    numbers = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(numbers).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([numbers] * 3, axis=2)).save(tmp_path / "same.png")
    colours = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    pixels = torch.from_numpy(colours).permute(2, 0, 1)
    [made] = in_channels(pixels, 1).numpy()
    assert np.abs(made.astype(int) - np.asarray(Image.fromarray(colours).convert("L"))).max() <= 1
    assert in_channels(pixels, 3) is pixels
    with pytest.raises(UsageError, match="4 channels"):
        in_channels(pixels, 4)
    one, other = (predict(grey.folder, [tmp_path / f"{name}.png"])[0].classes for name in ("grey", "same"))
    assert one == other


def test_folders_that_are_none_are_refused(tmp_path: Path, run: Run) -> None:
    """A folder that is neither a run nor a saved network, and an unfinished run."""
    with pytest.raises(FolderError, match="is neither a run folder nor a saved network: it does not exist"):
        predict(tmp_path / "nowhere", [tmp_path])
    with pytest.raises(FolderError, match=r"it has neither experiment.json nor config.json"):
        predict(tmp_path, [tmp_path])
    import shutil

    shutil.copytree(run.folder, tmp_path / "run")
    for name in ("results.json", "SEAL.json"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(FolderError, match="is not finished"):
        predict(tmp_path / "run", [tmp_path])
