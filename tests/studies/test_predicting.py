"""Single images are classified as test images are, whichever of a run and its export answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resatlas.errors import DataError, FolderError, UsageError
from resatlas.exporting.saving import save_pretrained
from resatlas.runs.store import Run
from resatlas.studies.predicting import image_paths, in_channels, predict
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
    """Class and probability of each are those of predictions.csv; the saved network says the same."""
    evaluate([run.folder])
    save_pretrained(run.folder, tmp_path / "saved")
    for folder in (run.folder, tmp_path / "saved"):
        found = predict(folder, [root / "val"])
        assert [each.image for each in found] == [
            str(root / "val" / line["id"]) for line in rows(run.folder / "predictions.csv")
        ]
        for each, line in zip(found, rows(run.folder / "predictions.csv"), strict=True):
            assert each.classes[0][0] == line["predicted"]
            assert each.classes[0][1] == pytest.approx(float(line["probability"]), abs=2e-6)
            assert sum(probability for _, probability in each.classes) == pytest.approx(1)
            assert {name for name, _ in each.classes} == {"cat", "dog"}


def test_the_likeliest_classes_come_first(run: Run, root: Path) -> None:
    """As many as asked for, and no more than there are."""
    [one] = predict(run.folder, [root / "val" / "cat" / "0.png"], top=1)
    [two] = predict(run.folder, [root / "val" / "cat" / "0.png"], top=9)
    assert len(one.classes) == 1
    assert len(two.classes) == 2
    assert one.classes[0] == two.classes[0]
    assert two.classes[0][1] >= two.classes[1][1]
    with pytest.raises(UsageError, match="--top must be at least 1; got 0"):
        predict(run.folder, [root / "val"], top=0)


def test_unreadable_images_keep_no_other_from_its_answer(run: Run, tmp_path: Path) -> None:
    """Each with its reason; only where none can be read there is nothing but an error."""
    good = write(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"<html>")
    found = predict(run.folder, [tmp_path / "bad.png", good, tmp_path / "missing.png"])
    assert [bool(each.classes) for each in found] == [False, True, False]
    assert "a web page or a drawing" in found[0].error
    assert "no such file" in found[2].error
    with pytest.raises(DataError, match=r"bad.png cannot be read as an image.*; nor can 1 other"):
        predict(run.folder, [tmp_path / "bad.png", tmp_path / "missing.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images: the folders have no file that ends in"):
        predict(run.folder, [tmp_path / "empty"])


def test_folders_are_listed_in_order(tmp_path: Path) -> None:
    """Images alone, folder by folder, beside files that are named."""
    for name in ("b/2.png", "b/10.png", "a.PNG", "b/c/0.jpg"):
        write(tmp_path / "in" / name)
    (tmp_path / "in" / "note.txt").write_text("")
    found = list(image_paths([tmp_path / "in", Path("x.png")]))
    assert [str(each).removeprefix(f"{tmp_path}/in/") for each in found] == [
        *("a.PNG", "b/10.png", "b/2.png", "b/c/0.jpg", "x.png"),
    ]


def test_a_network_of_one_channel_sees_brightness(grey: Run, tmp_path: Path) -> None:
    """Grey images keep their values, and colours have that of their luma, up to a rounding."""
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
    """What is neither a run folder nor a saved network, and a run that is not finished."""
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
