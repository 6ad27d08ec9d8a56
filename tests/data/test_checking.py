"""Checking a folder opens every image and names each fault, in an order that nothing changes."""

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resatlas.data.checking import checked
from resatlas.data.dataset import ImageFiles
from resatlas.data.folder import drawn, folder
from resatlas.data.photograph import decoded
from resatlas.errors import DataError
from tests.data.pictures import picture, write, write_parts


def faults(root: Path) -> dict[str, str]:
    """The reason for each file, of which every one has a single fault."""
    found_faults = checked(root).faults
    reasons = {fault.file: fault.reason for fault in found_faults}
    assert len(reasons) == len(found_faults)
    return reasons


def test_a_whole_folder_has_no_fault(tmp_path: Path) -> None:
    """Images are counted by part and class, and nothing is wrong."""
    write(write_parts(tmp_path) / "train" / "cat" / "young" / "9.jpg", 77)
    result = checked(tmp_path)
    assert result.images == 9
    assert result.classes == {"train": {"cat": 3, "dog": 2}, "val": {"cat": 2, "dog": 2}}
    assert result.faults == ()


def test_each_unreadable_image_is_named_with_its_reason(tmp_path: Path) -> None:
    """Truncated, empty, a web page, animated, a folder, linked to nothing: each in words; odd but whole ones pass."""
    cat = write_parts(tmp_path) / "train" / "cat"
    picture(size=(64, 64)).save(cat / "whole.jpg")
    (cat / "cut.jpg").write_bytes((cat / "whole.jpg").read_bytes()[:-100])
    (cat / "empty.jpg").touch()
    picture(size=(1, 40)).save(cat / "line.png")
    (cat / "page.jpg").write_text("<html>not found</html>")
    picture().save(cat / "moving.png", save_all=True, append_images=[picture(1)])
    picture().save(cat / "moving.webp", save_all=True, append_images=[picture(1)])
    picture().save(cat / "gif.jpg", "GIF")
    (cat / "linked.jpg").symlink_to(tmp_path / "val")
    (cat / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (cat / "loop.jpg").symlink_to(cat / "loop.jpg")
    for mode, ending in (("CMYK", "jpg"), ("P", "png"), ("RGBA", "webp"), ("I;16", "png"), ("1", "png")):
        image = picture(len(mode)).convert("L").convert(mode) if mode == "I;16" else picture(len(mode)).convert(mode)
        image.save(cat / f"{mode}.{ending}")
    rest = "not a complete JPEG, PNG, WEBP or BMP"
    by_file = faults(tmp_path)
    assert "image file is truncated" in by_file.pop("train/cat/cut.jpg")
    assert by_file == {
        "train/cat/broken.jpg": "a link to nothing",
        "train/cat/empty.jpg": "an empty file",
        "train/cat/gif.jpg": f"a GIF, {rest}",
        "train/cat/line.png": "40 x 1 pixels, where a photograph has 2 a side or more",
        "train/cat/linked.jpg": "a folder, not a regular file",
        "train/cat/loop.jpg": "Too many levels of symbolic links",
        "train/cat/moving.png": "an animation of 2 frames, where one image is wanted",
        "train/cat/moving.webp": "an animation of 2 frames, where one image is wanted",
        "train/cat/page.jpg": f"a web page or a drawing, {rest}",
    }


def test_a_reason_is_that_of_reading(tmp_path: Path) -> None:
    """Training refuses a file in the words of the check."""
    file = write_parts(tmp_path) / "train" / "cat" / "empty.jpg"
    file.touch()
    (fault,) = checked(tmp_path).faults
    with pytest.raises(DataError) as error:
        decoded(file)
    assert str(error.value) == f"{tmp_path}/{fault.file} cannot be read as an image: {fault.reason}"


def test_what_lies_in_the_wrong_place_is_named(tmp_path: Path) -> None:
    """Other endings, files in no class, and links to folders that are taken."""
    cat = write_parts(tmp_path) / "train" / "cat"
    (cat / "notes.txt").touch()
    (cat / ".hidden").touch()
    (tmp_path / "train" / "labels.csv").touch()
    write(tmp_path / "val" / "stray.png", 70)
    (cat / "up").symlink_to(tmp_path)
    (tmp_path / "train" / "loop").symlink_to(tmp_path / "train")
    (tmp_path / "val" / "loop").symlink_to(tmp_path / "val" / "dog")
    assert list(faults_of_each(tmp_path)) == [
        ("train/cat/notes.txt", "no image by its ending (.jpg, .jpeg, .jpe, .jfif, .png, .webp, .bmp)"),
        ("train/cat/up", "a link to a folder that is taken already"),
        ("train/labels.csv", "in no class folder"),
        ("train/loop", "a class without images"),
        ("train/loop", "a link to a folder that is taken already"),
        ("val/loop/0.png", "also in val/dog/0.png, as dog"),
        ("val/loop/1.png", "also in val/dog/1.png, as dog"),
        ("val/stray.png", "in no class folder"),
    ]


def faults_of_each(root: Path) -> list[tuple[str, str]]:
    """(file, reason) of every fault, in order."""
    return [(fault.file, fault.reason) for fault in checked(root).faults]


def test_classes_are_compared_with_those_of_train(tmp_path: Path) -> None:
    """Empty, missing and strange classes are named, the last with the nearest of train."""
    root = write_parts(tmp_path, parts=("train", "val", "test"))
    (root / "train" / "emu").mkdir()
    (root / "val" / "dog").rename(root / "val" / "dgo")
    (root / "test" / "emu").mkdir()
    assert checked(root).classes["val"] == {"cat": 2, "dgo": 2}
    assert faults(root) == {
        "test/emu": "a class without images",
        "train/emu": "a class without images",
        "val/dgo": 'train has no class "dgo"; did you mean "dog"?',
        "val/dog": "missing, a class of train",
        "val/emu": "missing, a class of train",
    }


def test_images_of_two_parts_are_named_once(tmp_path: Path) -> None:
    """The same bytes in an earlier part are a fault, also under another class; twice in one part are not."""
    root = write_parts(tmp_path, parts=("train", "val", "test"))
    shutil.copy(root / "train/cat/0.png", root / "val/dog/copy.png")
    shutil.copy(root / "train/cat/0.png", root / "train/cat/twice.png")
    shutil.copy(root / "train/cat/0.png", root / "test/cat/copy.jpg")
    shutil.copy(root / "val/cat/1.png", root / "test/cat/other.png")
    for part in ("train", "val"):
        (root / part / "cat" / "empty.png").touch()
    assert faults(root) == {
        "test/cat/copy.jpg": "also in train/cat/0.png",
        "test/cat/other.png": "also in val/cat/1.png",
        "train/cat/empty.png": "an empty file",
        "val/cat/empty.png": "an empty file",
        "val/dog/copy.png": "also in train/cat/0.png, as cat",
    }


def test_unreadable_files_are_counted_apart(tmp_path: Path) -> None:
    """They are no images, in no count."""
    root = write_parts(tmp_path)
    (root / "train" / "cat" / "empty.png").touch()
    (root / "val" / "dog" / "0.png").write_bytes(b"")
    result = checked(root)
    assert (result.images, result.unreadable) == (7, 2)
    assert result.classes == {"train": {"cat": 2, "dog": 2}, "val": {"cat": 2, "dog": 1}}


def test_an_image_of_two_classes_is_a_fault(tmp_path: Path) -> None:
    """The same within one part; twice in one class is allowed if both are training images."""
    root = write_parts(tmp_path)
    shutil.copy(root / "train/cat/0.png", root / "train/dog/wrong.png")
    shutil.copy(root / "train/cat/0.png", root / "train/cat/twice.png")
    assert faults(root) == {"train/dog/wrong.png": "also in train/cat/0.png, as cat"}


def test_every_part_that_is_used_is_checked(tmp_path: Path) -> None:
    """For any name; class folders only are one part, and a repeated image may be in both of its halves."""
    root = write_parts(tmp_path / "named", parts=("train", "valid", "test"))
    (root / "valid" / "cat" / "empty.png").touch()
    assert list(checked(root).classes) == ["train", "valid", "test"]
    assert faults(root) == {"valid/cat/empty.png": "an empty file"}
    flat = write_parts(tmp_path / "flat", 10, parts=(".",))
    test = folder(flat).read().test
    assert isinstance(test, ImageFiles)
    tested = next(name for name in test.files if name.startswith("cat"))
    for k in range(100):
        if f"cat/again{k}.png" not in drawn_with(flat, f"cat/again{k}.png"):
            shutil.copy(flat / tested, flat / f"cat/again{k}.png")
            break
    assert checked(flat).classes == {"": {"cat": 11, "dog": 10}}
    (reason,) = faults(flat).values()
    assert reason.endswith(", and one of them is drawn for the test")
    assert checked(write_parts(tmp_path / "alone", parts=("test",))).classes == {"test": {"cat": 2, "dog": 2}}


def drawn_with(root: Path, name: str) -> tuple[str, ...]:
    """What is tested on of the class cat with one image more."""
    names = [f"cat/{k}.png" for k in range(10)]
    assert (root / names[0]).exists()
    return drawn([*names, name], 20)


def test_pictures_that_are_not_read_are_named(tmp_path: Path) -> None:
    """With what is to be done about them."""
    root = write_parts(tmp_path)
    (root / "val" / "cat" / "a.TIF").touch()
    assert faults(root) == {"val/cat/a.TIF": "of a format that is not read; convert it to PNG or JPEG"}


def test_twelve_bits_in_sixteen_are_told(tmp_path: Path) -> None:
    """As scanners and cameras of microscopes write them; black, white and all 16 bits are as they should be."""
    root = write_parts(tmp_path)
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    for name, scale in (("twelve", 65), ("sixteen", 1040), ("black", 0)):
        Image.fromarray(values * scale).save(root / "train" / "cat" / f"{name}.png")
    assert faults(root) == {
        "train/cat/twelve.png": "values up to 4,095 in 16 bits, of which the higher byte is read: nearly black; "
        "multiply them by 16"
    }


def test_classes_of_one_name_are_told(tmp_path: Path) -> None:
    """Composed and decomposed in one part; in two parts they are the same class."""
    root = write_parts(tmp_path)
    for part, name in (("train", "caf\u00e9"), ("val", "cafe\u0301")):
        write(root / part / name / "a.png", ord(part[0]))
    assert faults(root) == {}
    write(root / "train" / "cafe\u0301" / "b.png", 7)
    assert faults(root) == {"train/cafe\u0301": '"cafe\u0301" (U+0301) has the name of "caf\u00e9" (U+00E9)'}


def test_odd_names_stay_on_their_line(tmp_path: Path) -> None:
    """Newlines, escapes and stray bytes are written as escapes, in files and in classes."""
    root = write_parts(tmp_path)
    (root / "train" / "cat" / "two\nlines.jpg").touch()
    (root / "train" / "cat" / os.fsdecode(b"\xe9.jpg")).touch()
    write(root / "train" / "esc\x1b[31m" / "a.png", 90)
    result = checked(root)
    assert result.classes["train"][r"esc\x1b[31m"] == 1
    assert faults(root) == {
        r"train/cat/two\nlines.jpg": "an empty file",
        r"train/cat/\udce9.jpg": "an empty file",
        r"train/esc\x1b[31m": "a class whose name is not UTF-8 without control characters; rename it",
        r"val/esc\x1b[31m": "missing, a class of train",
    }


def test_a_closed_folder_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be listed is named, and the rest is checked."""
    closed = write_parts(tmp_path) / "train" / "cat" / "closed"
    closed.mkdir()
    scan = os.scandir

    def refusing(folder: Path) -> object:
        if folder == closed:  # root may list everything
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert faults(tmp_path) == {"train/cat/closed": "a folder that cannot be listed"}


def test_who_looks_on_hears_of_every_image(tmp_path: Path) -> None:
    """Each image is reported with the total."""
    advances: list[tuple[int, int]] = []
    checked(write_parts(tmp_path, 20), on_image=lambda looked, total: advances.append((looked, total)))
    assert advances == [(k, 80) for k in range(1, 81)]


def test_an_interruption_ends_the_check(tmp_path: Path) -> None:
    """An error of the callback is raised, and all threads end."""

    def interrupted(looked: int, total: int) -> None:
        if looked == total // 2:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        checked(write_parts(tmp_path, 20), on_image=interrupted)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_two_checks_say_the_same(tmp_path: Path) -> None:
    """Threads change neither faults nor their order."""
    root = write_parts(tmp_path, 40)
    for k in range(0, 40, 3):
        (root / "train" / "dog" / f"{k}.png").write_bytes(b"")
    assert checked(root) == checked(root)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    """Without parts or classes there is nothing to check, and the way out is that of the data set."""
    Image.new("L", (1, 1)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="needs the folders train and val"):
        checked(tmp_path)
