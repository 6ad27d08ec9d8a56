"""Images that are in two parts: one file, a link to it, or a copy."""

import json
import os
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.data.coco import coco
from resatlas.data.segments import segmented
from resatlas.data.voc import voc
from resatlas.errors import DataError
from tests.data import test_segments
from tests.data.annotated import image, voc_object, write_coco, write_images, write_voc
from tests.data.pictures import picture


def trainval_2014(root: Path) -> Path:
    """COCO's images of 2014 in one folder: trainval has those of val too."""
    write_images(root / "images", "a.png", "b.png", "c.png")
    (root / "annotations").mkdir()
    for part, names in (("trainval2014", "abc"), ("val2014", "bc")):
        entries = [image(ord(name), f"{name}.png") for name in names]
        lists = {"images": entries, "annotations": list[object](), "categories": [{"id": 1, "name": "cat"}]}
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(lists))
    return root


def test_trainval_and_val_share_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The images of val are those of trainval: named and refused, by reading and by `data check`."""
    root = trainval_2014(tmp_path)
    sentence = "images: b.png, c.png: 2 images of test also in train; leave each in one part"
    with pytest.raises(DataError, match=sentence):
        coco(root).read()
    assert main(["data", "check", str(root)]) == 3
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_the_image_itself(link: object, tmp_path: Path) -> None:
    """Of a folder of links each names the image that it leads to."""
    root = write_coco(write_coco(tmp_path, part="train2017"), part="val2017")
    (root / "val2017" / "b.png").unlink()
    link(root / "train2017" / "b.png", root / "val2017" / "b.png")  # type: ignore[operator]
    with pytest.raises(DataError, match=r"val2017: b.png: 1 image of test also in train"):
        coco(root).read()


def test_copies_are_noted(tmp_path: Path) -> None:
    """One name and id in two folders may be two images, as a.png is; if the bytes are equal, the note names them."""
    root = write_coco(write_coco(tmp_path, part="train2017"), part="val2017")
    [note] = coco(root).read().notes
    assert "val2017: a.png: its copy with the same id is in train, and 2 images of test in all may have one" in note
    for k, name in enumerate(("a.png", "b.png")):
        picture(k + 7, size=(20, 30)).save(root / "val2017" / name)
    assert not coco(root).read().notes


def test_lists_of_voc_share_no_image(tmp_path: Path) -> None:
    """A name in two lists."""
    write_voc(tmp_path, "train", {"a": voc_object(), "b": voc_object()})
    write_voc(tmp_path, "val", {"b": voc_object(), "c": voc_object()})
    with pytest.raises(DataError, match=r"JPEGImages: b.jpg: 1 image of test also in train"):
        voc(tmp_path).read()


def test_folders_of_masks_share_no_image(tmp_path: Path) -> None:
    """A folder that is a link to the other one."""
    root = test_segments.write(tmp_path, "train", "a", "b")
    for kind in ("images", "masks"):
        (root / kind / "val").symlink_to(root / kind / "train")
    with pytest.raises(DataError, match=r"2 images of test also in train"):
        segmented(root).read()
