"""Folders of images and masks: pairs by name, classes by a file, and every mismatch in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resatlas.cli.main import main
from resatlas.data.annotated_batches import class_map, grounded
from resatlas.data.boxes import AnnotatedImages
from resatlas.data.identity import annotated_digests, changed_annotations
from resatlas.data.segments import is_segmented, mask_values, segmented, write_mask
from resatlas.errors import DataError
from tests.data.annotated import write_images
from tests.data.pictures import picture


def write(root: Path, part: str = "val", *names: str) -> Path:
    """A part with images and masks of 20 x 30 pixels, and three classes."""
    names = names or ("a", "b")
    write_images(root / "images" / part, *(f"{name}.jpg" for name in names))
    (root / "masks" / part).mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        classes = np.full((20, 30), k % 3, np.uint8)
        classes[0] = 255
        write_mask(root / "masks" / part / f"{name}.png", classes)
    (root / "classes.txt").write_text("ground\ncat\ndog\n")
    return root


def read(root: Path) -> AnnotatedImages:
    """The part to test on."""
    return segmented(root).read().test


def values(part: AnnotatedImages, k: int) -> list[list[int]]:
    """The class of each pixel of image k as training has them, with 255 for what does not count."""
    return class_map(grounded(part.sample(k)).target, 255).tolist()


def test_pairs_by_name(tmp_path: Path) -> None:
    """Parts as in other folders; values as stored, 255 among them."""
    assert not is_segmented(tmp_path)
    write(write(tmp_path), "train", "c", "d", "e")
    assert is_segmented(tmp_path)
    data = segmented(tmp_path)
    parts = data.read()
    assert (len(parts.train), len(parts.test), parts.validation) == (3, 2, None)
    assert data.pixel_classes == parts.test.pixel_classes == ("ground", "cat", "dog")
    sample = parts.test.sample(1)
    assert (tuple(sample.image.shape), sample.image.dtype) == ((20, 30, 3), torch.uint8)
    assert values(parts.test, 1) == [[255] * 30, *[[1] * 30] * 19]
    assert sample.target["labels"].tolist() == [1, 255]
    assert sample.target["boxes"].tolist() == [[0, 1, 30, 20], [0, 0, 30, 1]]


def test_a_palette_gives_its_numbers(tmp_path: Path) -> None:
    """VOC's masks have palettes: the number of the colour is the class."""
    write(tmp_path)
    classes = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    image = Image.fromarray(classes)
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [0] * 759)
    assert image.mode == "P"
    image.save(tmp_path / "masks" / "val" / "a.png")
    assert values(read(tmp_path), 0) == classes.tolist()


def test_a_photograph_lies_as_its_mask(tmp_path: Path) -> None:
    """Held sideways: turned if the mask is upright, as stored if the mask is."""
    write(tmp_path)
    stored = picture(3, size=(20, 30))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / "images" / "val" / "a.jpg", exif=exif, quality=100)
    assert read(tmp_path).sample(0).image.shape == (20, 30, 3)
    write_mask(tmp_path / "masks" / "val" / "a.png", np.zeros((30, 20), np.uint8))
    assert read(tmp_path).sample(0).image.shape == (30, 20, 3)


def test_mismatches_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing mask, another size, a value without a class, colours, damage: in a sample and by `data check`."""
    write(tmp_path)
    mask = tmp_path / "masks" / "val" / "a.png"
    for wrong, reason in (
        (np.zeros((20, 31), np.uint8), "30 x 20 pixels, its mask 31 x 20; draw the mask at the image's size"),
        (np.full((20, 30), 3, np.uint8), "has the value 3, where 3 classes have 0 to 2 and 255 does not count"),
        (np.zeros((20, 30, 3), np.uint8), "8-bit grey levels or a palette; it has the mode RGB"),
    ):
        Image.fromarray(wrong).save(mask)
        with pytest.raises(DataError, match=reason) as error:
            read(tmp_path).sample(0)
        assert str(error.value).startswith((f"{tmp_path}/images/val/a.jpg: ", f"the mask {mask} "))
        assert main(["data", "check", str(tmp_path)]) == 3
        first, *_ = capsys.readouterr().out.splitlines()
        assert first.startswith("images/val/a.jpg: ")
        assert reason in first
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be used"):
        mask_values(mask, 3)
    mask.unlink()
    with pytest.raises(DataError, match=r"images/val/a.jpg has no mask; add .*masks/val/a.png \(1 of 2 lack one\)"):
        read(tmp_path)


def test_a_whole_folder_has_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`data check` counts the images of each class."""
    write(write(tmp_path), "train", "c", "d", "e")
    assert main(["data", "check", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cat", "1", "1"] in rows
    assert ["dog", "1", "0"] in rows
    assert rows[-1] == ["0", "faults"]


def test_masks_are_part_of_the_data(tmp_path: Path) -> None:
    """One changed value is another mask, and no other object."""
    write(tmp_path)
    before = annotated_digests("test", read(tmp_path))
    classes = np.zeros((20, 30), np.uint8)
    write_mask(tmp_path / "masks" / "val" / "a.png", classes)
    assert list(changed_annotations(before, annotated_digests("test", read(tmp_path)))) == [("test", "masks")]


@pytest.mark.parametrize("names", ["", "one\n", "a\nb\na\n", "\n".join(map(str, range(256)))])
def test_classes_have_names(tmp_path: Path, names: str) -> None:
    """Two to 255 different ones."""
    write(tmp_path)
    (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(DataError, match="needs 2 to 255 different names"):
        segmented(tmp_path).read()


def test_parts_are_needed(tmp_path: Path) -> None:
    """Train alone has nothing to test on."""
    write(tmp_path, "train")
    with pytest.raises(DataError, match='needs the folders train and val; it has "train"'):
        segmented(tmp_path).read()
