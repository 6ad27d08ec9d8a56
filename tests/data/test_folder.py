"""A folder of images is listed without opening one, in an order that nothing changes, or refused with a way out."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from resatlas.arch.ops import Shape
from resatlas.data import imagenet as module
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageFiles, Part, hold_back
from resatlas.data.folder import folder, substitute
from resatlas.data.imagenet import imagenet
from resatlas.data.photograph import decoded
from resatlas.errors import DataError, UsageError
from tests.data.pictures import write, write_parts


def in_files(part: Part | None) -> ImageFiles:
    """The part, which lies in files."""
    assert isinstance(part, ImageFiles)
    return part


def train(root: Path) -> ImageFiles:
    """The images to train on."""
    return in_files(folder(root).read().train)


def refusal(root: Path) -> str:
    """The refusal of the folder in one line."""
    with pytest.raises(DataError) as error:
        folder(root).read()
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_folder_is_described_without_its_images(tmp_path: Path) -> None:
    """Shape, classes and parts are known; files may be anything, since none is opened."""
    for file in ("train/dog/b.jpg", "train/cat/a.JPEG", "train/dog/a.webp", "val/cat/x.PNG"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    data = folder(tmp_path, size=96)
    assert (data.image, data.classes) == (Shape(3, 96, 96), ("cat", "dog"))
    parts = data.read()
    first = in_files(parts.train)
    assert first.files == ("cat/a.JPEG", "dog/a.webp", "dog/b.jpg")
    assert (first.labels.tolist(), first.ids.tolist(), first.shape) == ([0, 1, 1], [0, 1, 2], data.image)
    assert in_files(parts.test).path(0) == tmp_path / "val/cat/x.PNG"
    assert parts.validation is None


def test_val_is_for_validation_where_there_is_a_test(tmp_path: Path) -> None:
    """Three folders are three parts; of two, the second is tested on, whichever it is."""
    three = folder(write_parts(tmp_path / "three", parts=("train", "val", "test")))
    assert "tested on its test" in three.note
    parts = three.read()
    assert in_files(parts.validation).root.name == "val"
    assert in_files(parts.test).root.name == "test"
    for name in ("val", "test"):
        two = folder(write_parts(tmp_path / name, parts=("train", name)))
        assert f"tested on its {name}" in two.note
        assert in_files(two.read().test).root.name == name
        assert two.read().validation is None


def test_the_order_is_that_of_bytes(tmp_path: Path) -> None:
    """Capitals, digits, accents, characters outside 16 bits and stray bytes stand in the order of their bytes."""
    names = ["Z", "a", "B", "10", "9", "é", "ｚ", "🐈", os.fsdecode(b"\xff")]
    for name in names:
        write(tmp_path / "train" / "cat" / f"{name}.png")
    for name in ("Ω", "Zoo", "dog"):
        write(tmp_path / "train" / name / "1.png")
    write(tmp_path / "val" / "cat" / "1.png")
    assert folder(tmp_path).classes == ("Zoo", "cat", "dog", "Ω")
    listed = [Path(file).stem for file in train(tmp_path).files if file.startswith("cat/")]
    assert listed == sorted(names, key=os.fsencode)


def test_odd_names_are_found_again(tmp_path: Path) -> None:
    """Newlines, spaces and stray bytes in names lead to the file."""
    write_parts(tmp_path)
    names = ("two\nlines.png", " .png", os.fsdecode(b"\xe9.png"), "a:b,c=d.png")
    for name in names:
        write(tmp_path / "train" / "cat" / name)
    part = train(tmp_path)
    assert {f"cat/{name}" for name in names} < set(part.files)
    assert all(decoded(part.path(k)).shape == (3, 6, 9) for k in range(len(part)))


def test_what_is_hidden_or_no_image_is_left_out(tmp_path: Path) -> None:
    """Files of the system, texts and other formats are passed over in silence, and so are files in no class."""
    write_parts(tmp_path, 1)
    for name in (".hidden.png", "._0.png", "Thumbs.db", "notes.txt", "moving.gif", "png", "jpg."):
        (tmp_path / "train" / "cat" / name).touch()
    write(tmp_path / "train" / ".cache" / "a.png")
    write(tmp_path / "train" / "in no class.png")
    assert train(tmp_path).files == ("cat/0.png", "dog/0.png")


def test_folders_in_a_class_belong_to_it(tmp_path: Path) -> None:
    """Subfolders are listed, also with an ending of images; hidden ones are not."""
    write_parts(tmp_path, 1)
    for name in ("young/a.png", "young/er/b.png", "odd.png/c.png", ".hidden/d.png"):
        write(tmp_path / "train" / "cat" / name)
    assert train(tmp_path).files == (
        "cat/0.png",
        "cat/odd.png/c.png",
        "cat/young/a.png",
        "cat/young/er/b.png",
        "dog/0.png",
    )


def test_links_are_followed(tmp_path: Path) -> None:
    """Parts, classes and images may be links; a broken one is an image that cannot be read."""
    real = write_parts(tmp_path / "real", 1)
    root = tmp_path / "linked"
    (root / "train").mkdir(parents=True)
    (root / "val").symlink_to(real / "val")
    (root / "train" / "dog").symlink_to(real / "train" / "dog")
    (root / "train" / "cat").mkdir()
    (root / "train" / "cat" / "linked.png").symlink_to(real / "train" / "cat" / "0.png")
    (root / "train" / "cat" / "broken.png").symlink_to(root / "nowhere")
    part = train(root)
    assert part.files == ("cat/broken.png", "cat/linked.png", "dog/0.png")
    assert decoded(part.path(1)).tolist() == decoded(real / "train/cat/0.png").tolist()
    assert len(folder(root).read().test) == 2


def test_loops_of_links_end(tmp_path: Path) -> None:
    """Links to a folder above, to itself and to a neighbour add nothing twice."""
    write_parts(tmp_path, 1)
    cat = tmp_path / "train" / "cat"
    (cat / "up").symlink_to(tmp_path / "train")
    (cat / "root").symlink_to(tmp_path)
    (cat / "again").symlink_to(cat)
    (cat / "self").symlink_to(cat / "self")
    write(cat / "more" / "1.png")
    (cat / "more" / "back").symlink_to(cat)
    (cat / "other").symlink_to(cat / "more")
    assert train(tmp_path).files == ("cat/0.png", "cat/more/1.png", "dog/0.png")


def test_a_class_that_links_upwards_is_empty(tmp_path: Path) -> None:
    """A class folder that is its own part has no images."""
    write_parts(tmp_path, 1)
    (tmp_path / "train" / "loop").symlink_to(tmp_path / "train")
    assert "classes without an image: loop" in refusal(tmp_path)


def test_a_part_may_lack_classes(tmp_path: Path) -> None:
    """Labels are those of train's classes in every part."""
    shutil.rmtree(write_parts(tmp_path, 3) / "val" / "cat")
    assert folder(tmp_path).read().test.labels.tolist() == [1, 1, 1]


def test_a_class_that_train_has_not_is_named_with_the_nearest(tmp_path: Path) -> None:
    """A strange folder in val is refused, even an empty one."""
    (write_parts(tmp_path) / "val" / "dgo").mkdir()
    assert f'{tmp_path}/val/dgo is out of place: train has no class "dgo"; did you mean "dog"?' in refusal(tmp_path)


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    """Every class has something to learn from."""
    (write_parts(tmp_path) / "train" / "emu").mkdir()
    (tmp_path / "train" / "emu" / "notes.txt").touch()
    assert refusal(tmp_path) == f"{tmp_path}/train has classes without an image: emu"


def test_a_part_without_images_is_refused(tmp_path: Path) -> None:
    """Class folders alone are no part."""
    write_parts(tmp_path)
    for file in (tmp_path / "val").rglob("*.png"):
        file.unlink()
    assert refusal(tmp_path) == f"{tmp_path}/val has class folders without a single image"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train1/cat/a.png", "val_2/cat/a.png"], 'rename "train1" to train and "val_2" to val'),
        (
            ["train/cat/a.png", "val/cat/a.png", "valid/cat/a.png"],
            'has "val" and "valid", two folders for one',
        ),
        (["cat/a.png"], 'it has "cat"; an image classifier needs two classes or more'),
        (["pets/cat/a.png", "pets/dog/a.png"], "did you mean {root}/pets?"),
        (["images/train/cat/a.png", "images/val/cat/a.png"], "did you mean {root}/images?"),
        (["a.png"], "it has no folders"),
        ([f"{k}/notes.txt" for k in range(7)], 'it has "0", "1", "2", "3", "4" and 2 more'),
        (["train/a.png", "val/a.png"], "{root}/train needs one folder per class; it has no folders, and images"),
        (["train/cat/a.png", "train/dog/a.png", "val/a.png"], "{root}/val needs one folder per class"),
        (["train/cat/a.png", "val/cat/a.png"], "{root}/train needs at least two class folders; it has only cat"),
    ],
)
def test_another_layout_gets_the_way_to_this_one(tmp_path: Path, files: list[str], words: str) -> None:
    """What is expected, what was found, and what to do about it, in one line."""
    for file in files:
        write(tmp_path / file) if file.endswith(".png") else (tmp_path / file).parent.mkdir()
    assert words.format(root=tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (("train", "valid", "test"), ("train", "valid", "test")),  # as Roboflow
        (("training", "testing"), ("training", None, "testing")),
        (("Train", "validation"), ("Train", None, "validation")),
        (("TRAIN", "Val", "Test"), ("TRAIN", "Val", "Test")),
    ],
)
def test_parts_may_be_called_as_people_call_them(
    tmp_path: Path, names: tuple[str, ...], roles: tuple[str | None, ...]
) -> None:
    """The usual words for each part, in any case."""
    data = folder(write_parts(tmp_path, parts=names))
    parts = data.read()
    folders = [part and in_files(part).root.name for part in (parts.train, parts.validation, parts.test)]
    assert folders == list(roles)
    assert f"tested on its {roles[2]}" in data.note
    assert parts.notes == ()


@pytest.mark.parametrize("inner", ["", "train"])
def test_class_folders_alone_are_drawn_apart(tmp_path: Path, inner: str) -> None:
    """A fixed fifth of each class is held out for the test, and a note has the number."""
    for name, images in (("cat", 20), ("dog", 7), ("emu", 1)):
        for k in range(images):
            write(tmp_path / inner / name / f"{k}.png", k)
    data = folder(tmp_path)
    assert (data.classes, data.serves) == (("cat", "dog", "emu"), "training")
    assert "tested on 20 % of each class" in data.note
    parts = data.read()
    train, test = in_files(parts.train), in_files(parts.test)
    assert (train.labels.tolist(), test.labels.tolist()) == ([0] * 16 + [1] * 6 + [2], [0] * 4 + [1])
    assert sorted([*train.files, *test.files], key=os.fsencode) == sorted(
        [f"cat/{k}.png" for k in range(20)] + [f"dog/{k}.png" for k in range(7)] + ["emu/0.png"]
    )
    assert test.ids.tolist() == list(range(5))
    assert parts.notes == (
        f"5 of 28 images are held out for the test, 20 % of each class: {tmp_path} has no test part",
    )
    write(tmp_path / inner / "dog" / "another.png", 99)
    assert {file for file in in_files(folder(tmp_path).read().test).files if "cat" in file} == {
        file for file in test.files if "cat" in file
    }
    half = folder(tmp_path, tested=50).read()
    assert [len(half.train), len(half.test)] == [15, 14]


def test_images_to_test_on_alone_are_not_learnt(tmp_path: Path) -> None:
    """A test or val without a train, or class folders of which all are tested on."""
    for name in ("test", "val", "Testing"):
        root = write_parts(tmp_path / name, 3, parts=(name,))
        data = folder(root)
        parts = data.read()
        assert (data.serves, len(parts.train), len(parts.test)) == ("testing", 0, 6)
        with pytest.raises(DataError, match="has test images but no training images"):
            data.check_learnable()
    whole = resolve(f"{tmp_path}/test/test:tested=100")
    assert (whole.serves, len(whole.read().test)) == ("testing", 6)
    both = folder(write_parts(tmp_path / "both", 3, parts=("val", "test"))).read()
    assert in_files(both.test).root.name == "test"


@pytest.mark.parametrize(("tested", "words"), [(0, "1 to 100; got 0"), (101, "101"), (30, "has the test part val")])
def test_a_share_to_test_on_is_refused_where_it_means_nothing(tmp_path: Path, tested: int, words: str) -> None:
    """Outside of its bounds, or where the folder has a part for it."""
    with pytest.raises(UsageError, match=words):
        folder(write_parts(tmp_path), tested=tested)


def test_images_of_other_formats_are_counted(tmp_path: Path) -> None:
    """Text files are ignored; pictures that are not read are noted, also in a class without other images."""
    root = write_parts(tmp_path)
    for name in ("train/cat/a.tif", "train/cat/b.TIFF", "train/dog/c.gif", "train/dog/notes.txt", "train/stray.png"):
        (root / name).touch()
    assert folder(root).read().notes == (
        "in train 3 files are not read (1 .gif, 1 .tif, 1 .tiff), such as cat/a.tif: convert to PNG (resatlas data "
        "check lists all)",
        "in train 1 image is skipped, in no class folder, such as stray.png",
    )
    (root / "train" / "emu").mkdir()
    (root / "train" / "emu" / "d.tif").touch()
    assert "classes without an image: emu; in " in refusal(root)


@pytest.mark.parametrize("ending", ["jfif", "JPG", "Jpeg", "bmp", "BMP", "WebP", "PNG"])
def test_the_usual_endings_are_those_of_images(tmp_path: Path, ending: str) -> None:
    """In any case."""
    (write_parts(tmp_path) / "train" / "cat" / f"more.{ending}").touch()
    assert f"cat/more.{ending}" in train(tmp_path).files


def test_names_of_classes_are_composed(tmp_path: Path) -> None:
    """Apple's systems decompose names: one class in all parts, with a note; two in one part are refused."""
    apart, whole = "cafe\u0301", "caf\u00e9"
    for part, name in (("train", whole), ("train", "dog"), ("val", apart), ("val", "dog")):
        write(tmp_path / part / name / "a.png")
    data = folder(tmp_path)
    assert data.classes == (whole, "dog")
    parts = data.read()
    assert in_files(parts.test).files == (f"{apart}/a.png", "dog/a.png")
    assert in_files(parts.test).labels.tolist() == [0, 1]
    (note,) = parts.notes
    assert "U+0301" in note
    assert "U+00E9" in note
    write(tmp_path / "train" / apart / "b.png")
    assert f'has two class folders of the same name, "{apart}" (U+0301) and "{whole}" (U+00E9)' in refusal(tmp_path)


def test_a_folder_that_is_not_there_is_answered_with_its_neighbour(tmp_path: Path) -> None:
    """A wrong root gets the system's word and the nearest folder beside it."""
    (tmp_path / "animals").mkdir()
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "animal") == (
        f"{tmp_path}/animal cannot be listed: no such file or directory; did you mean {tmp_path}/animals?"
    )
    assert refusal(tmp_path / "file") == f"{tmp_path}/file cannot be listed: not a directory"
    assert refusal(tmp_path / "no" / "where") == f"{tmp_path}/no/where cannot be listed: no such file or directory"
    assert "file name too long" in refusal(tmp_path / ("x" * 300))
    assert "null" in refusal(tmp_path / "nu\0ll")


@pytest.mark.parametrize("name", ["two\nlines", os.fsdecode(b"\xff"), "esc\x1b[31m"])
def test_a_class_has_a_name_that_can_be_printed(tmp_path: Path, name: str) -> None:
    """Names of classes with control characters or invalid text are refused, since tables and pages show them."""
    write(write_parts(tmp_path) / "train" / name / "a.png")
    assert "is a class whose name is not UTF-8 without control characters; rename it" in refusal(tmp_path)


@pytest.mark.parametrize("size", [7, 1025, -1])
def test_a_size_out_of_bounds_is_refused(tmp_path: Path, size: int) -> None:
    """The error names the bounds."""
    with pytest.raises(UsageError, match=f"8 to 1,024 pixels per side; got {size:,}"):
        folder(write_parts(tmp_path), size=size)


def test_images_are_held_back_by_class(tmp_path: Path) -> None:
    """Files split for validation as arrays do."""
    part = train(write_parts(tmp_path, 8))
    kept, validation = hold_back(part, Fraction(1, 4))
    held = in_files(validation)
    assert (len(kept), held.labels.tolist()) == (12, [0, 0, 1, 1])
    assert held.files == tuple(part.files[k] for k in held.ids)
    assert held.root == part.root


def test_substitutes_are_the_others_of_the_class(tmp_path: Path) -> None:
    """Those that follow, then those before, and never another class."""
    part = train(write_parts(tmp_path, 4))
    assert [list(substitute(part, k)) for k in (0, 2, 3, 5)] == [[1, 2, 3], [3, 0, 1], [0, 1, 2], [6, 7, 4]]
    mixed = part.take(np.array([7, 0, 6, 1, 5]))
    assert list(substitute(mixed, 2)) == [4, 0]
    assert list(substitute(part.take(np.array([0, 5])), 1)) == []


def test_listing_does_not_wait_for_pixels(tmp_path: Path) -> None:
    """Neither torch nor numpy nor Pillow is needed to describe a folder."""
    program = (
        "import sys; from resatlas.data.catalog import resolve; resolve(sys.argv[1]); "
        "sys.exit(', '.join({'torch', 'numpy', 'PIL'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", program, write_parts(tmp_path)], check=True)


def test_a_data_text_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a slash, as a dot, or by being there; a name of a data set comes first; colons may be in a folder's name."""
    monkeypatch.chdir(write_parts(tmp_path / "mine"))
    write_parts(tmp_path / "mine" / "a:size=9")
    write_parts(tmp_path / "mine" / "digits")
    for text in (".", "../mine", f"{tmp_path}/mine", "a:size=9", "./a:size=9", "digits/"):
        assert resolve(text).name == text
        assert resolve(text).image == Shape(3, 224, 224)
        assert resolve(f"{text}:size=096").name == f"{text}:size=96"
        assert resolve(f"{text}:size=96").image == Shape(3, 96, 96)
    assert resolve("digits").image.channels == 1
    assert resolve(".").classes == ("cat", "dog")
    with pytest.raises(UsageError, match=r'did you mean "size"\?'):
        resolve(".:sise=9")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ImageNet of empty files, two to train on and one to test on a class."""
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path))
    monkeypatch.setattr(module, "IMAGES", {"train": 2000, "val": 1000})
    for name in imagenet().classes:
        for file in (f"train/{name}/{name}_1.JPEG", f"train/{name}/{name}_2.JPEG", f"val/{name}/ILSVRC2012_val_1.JPEG"):
            (tmp_path / "imagenet" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "imagenet" / file).touch()
    (tmp_path / "imagenet" / "test").mkdir()
    return tmp_path / "imagenet"


def test_imagenet_has_its_thousand_classes(published: Path) -> None:
    """Ids are in order, test images without labels are left alone, and the validation images are tested on."""
    data = resolve("imagenet:size=64")
    assert (data.name, data.image) == ("imagenet:size=64", Shape(3, 64, 64))
    assert data.classes == tuple(sorted(data.classes))
    assert (len(data.classes), data.classes[0], data.classes[-1]) == (1000, "n01440764", "n15075141")
    parts = data.read()
    assert (len(parts.train), len(parts.test), parts.validation) == (2000, 1000, None)
    assert in_files(parts.test).root == published / "val"


def test_another_imagenet_is_refused(published: Path) -> None:
    """A class or an image too few is named, and how to use the folder all the same."""
    (published / "val" / "n01440764" / "ILSVRC2012_val_1.JPEG").unlink()
    with pytest.raises(
        DataError, match=r"val should have the 1,000 images of ImageNet; it has 999 .*--data .*/imagenet/"
    ):
        imagenet().read()
    shutil.rmtree(published / "train" / "n01440764")
    with pytest.raises(DataError, match=r"1,000 classes of ImageNet, .*; n01440764 is missing"):
        imagenet().read()


def test_a_missing_imagenet_says_where_it_is_to_be_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the site, the folders and the layout."""
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError) as error:
        imagenet().read()
    for words in ("image-net.org", f"{tmp_path}/imagenet", "train/n01440764/*.JPEG", "RESATLAS_DATA"):
        assert words in str(error.value)
