"""VOC's masks of classes: palettes, borders that do not count, lists, and what is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resatlas.cli.main import main
from resatlas.data.annotated import has_objects, resolve_annotated
from resatlas.data.annotation_checking import checked_annotations
from resatlas.data.voc import CLASSES
from resatlas.errors import DataError, UsageError
from resatlas.recipes.detection import Detect, Masks, Segment
from resatlas.studies.single import prepare
from tests.data.annotated import voc_object, write_images, write_voc
from tests.studies.test_finding import EXPERIMENT, RECIPE, SMALL

CAT = CLASSES.index("cat") + 1
BORDER = 255


def write_segmented(root: Path, part: str, *names: str) -> Path:
    """Images of 30 x 20 pixels in VOC's layout, each with a cat on the background and a border around it."""
    masks, lists = root / "SegmentationClass", root / "ImageSets" / "Segmentation"
    for folder in (masks, lists):
        folder.mkdir(parents=True, exist_ok=True)
    write_images(root / "JPEGImages", *(f"{name}.jpg" for name in names))
    (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
    values = np.zeros((20, 30), np.uint8)
    values[4:12, 4:16] = BORDER
    values[5:11, 5:15] = CAT
    mask = Image.fromarray(values).convert("P")
    mask.putdata(values.flatten().tolist())
    mask.putpalette([value for k in range(256) for value in ((k * 37) % 256, (k * 91) % 256, (k * 151) % 256)])
    for name in names:
        mask.save(masks / f"{name}.png")
    return root


def test_masks_are_numbers_of_classes(tmp_path: Path) -> None:
    """As stored in the palette, whatever its colours; borders are ignored, and classes have VOC's names."""
    root = write_segmented(write_segmented(tmp_path / "voc", "train", "2007_000001"), "val", "2007_000002")
    assert has_objects(str(root))
    data = resolve_annotated(str(root))
    assert (data.annotated, data.pixel_classes[0], data.pixel_classes[CAT]) == ("pixels", "background", "cat")
    parts = data.read()
    assert parts.train.names == ("JPEGImages/2007_000001.jpg",)
    target = parts.test.sample(0).target
    assert target["labels"].tolist() == [CAT, BORDER]
    assert target["ignore"].tolist() == [False, True]
    assert target["masks"].flatten(1).sum(dim=1).tolist() == [60, 36]
    (root / "classes.txt").write_text("ground\n" + "".join(f"thing {k}\n" for k in range(1, 21)))
    assert resolve_annotated(str(root)).pixel_classes[CAT] == f"thing {CAT}"


def test_the_task_decides_between_boxes_and_pixels(tmp_path: Path) -> None:
    """A folder that has both gives boxes to a detector and classes to a segmenter; masks of objects are in neither."""
    root = tmp_path / "voc"
    for part, name in (("train", "a"), ("val", "b")):
        write_voc(write_segmented(root, part, name), part, {name: voc_object()})
    assert resolve_annotated(str(root)).annotated == "objects"
    assert resolve_annotated(str(root), masks="with masks").annotated == "pixels"
    experiment = replace(EXPERIMENT, data=str(root))
    pixels = replace(experiment, recipe=replace(RECIPE, task=Segment(stride=2)))
    assert prepare(pixels, out=tmp_path / "run").classes[CAT] == "cat"
    masks: Detect = replace(SMALL, masks=Masks())
    with pytest.raises(UsageError, match=r"learns boxes and masks of objects, and .* has the class of every pixel"):
        prepare(replace(experiment, recipe=replace(RECIPE, task=masks)), out=tmp_path / "run")
    assert list(checked_annotations(root).parts) == ["train", "val", "Segmentation train", "Segmentation test"]


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mask of a list, a number that is no class, a folder of boxes alone."""
    root = write_segmented(write_segmented(tmp_path / "voc", "train", "a"), "val", "b")
    assert main(["data", "check", str(root)]) == 0
    Image.fromarray(np.full((20, 30), 21, np.uint8)).save(root / "SegmentationClass" / "a.png")
    assert main(["data", "check", str(root)]) == 3
    assert "has the value 21, where 21 classes have 0 to 20 and 255 does not count" in capsys.readouterr().out
    (root / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(DataError, match=r"SegmentationClass/b.png is missing; add it, or take b from .*val.txt"):
        resolve_annotated(str(root)).read()
    boxes = write_voc(tmp_path / "boxes", "val", {"a": voc_object()})
    with pytest.raises(UsageError, match=r"VOC's boxes alone; add SegmentationClass and ImageSets/Segmentation"):
        resolve_annotated(str(boxes), masks="with masks")
