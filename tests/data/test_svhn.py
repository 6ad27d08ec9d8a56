"""SVHN is read from its MATLAB files, with the extra images or without; anything else is named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resatlas.data import svhn as module
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.data.svhn import svhn
from resatlas.errors import DataError, UsageError
from tests.data import tiny

COUNTS = {"TRAIN": 12, "EXTRA": 15, "TEST": 11}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three small files, published for the length of a test."""
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed, (name, n) in enumerate(COUNTS.items()):
        file, content = tiny.svhn(getattr(module, name), n=n, seed=seed)
        monkeypatch.setattr(module, name, file)
        (tmp_path / file.official.name).write_bytes(content)
    return tmp_path


Put = Callable[[dict[str, np.ndarray]], None]


@pytest.fixture
def put(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Publishes other arrays as the test file of 11 images."""

    def other(arrays: dict[str, np.ndarray]) -> None:
        file, content = tiny.mat(module.TEST, arrays, n=COUNTS["TEST"])
        monkeypatch.setattr(module, "TEST", file)
        (folder / file.official.name).write_bytes(content)

    return other


def read(text: str) -> tuple[ImageSet, ImageSet]:
    """Both parts of a DATA text."""
    parts = resolve(text).read()
    assert isinstance(parts.train, ImageSet)
    assert isinstance(parts.test, ImageSet)
    return parts.train, parts.test


@pytest.mark.parametrize(("text", "files"), [("svhn", ("TRAIN", "EXTRA")), ("svhn:extra=0", ("TRAIN",))])
def test_extra_images_follow_the_training_images(folder: Path, text: str, files: tuple[str, ...]) -> None:
    """Parts are the files one after another, each image by colour, row and column."""
    from scipy.io import loadmat

    train, test = read(text)
    pixels = [loadmat(folder / getattr(module, name).official.name)["X"] for name in files]
    assert len(train) == sum(COUNTS[name] for name in files)
    assert len(test) == COUNTS["TEST"]
    assert train.images.shape[1:] == tuple(resolve(text).image)
    for k in range(len(train)):
        array, k_there = (pixels[0], k) if k < 12 else (pixels[1], k - 12)
        assert (train.images[k] == np.moveaxis(array[..., k_there], 2, 0)).all()
    assert train.ids.tolist() == list(range(len(train)))


def test_the_label_10_is_the_digit_0(folder: Path) -> None:
    """Labels count 1…9, 10 in the files, and 1…9, 0 as read."""
    assert folder
    assert read("svhn")[1].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_what_is_published_has_the_papers_sizes() -> None:
    """604,388 training images with extra, 73,257 without, 26,032 test images; mirrored digits are not digits."""
    assert [sum(file.images for file in module.chosen(extra)) for extra in (1, 0)] == [
        604_388 + 26_032,
        73_257 + 26_032,
    ]
    assert svhn().mirror == "forbidden"
    assert "train and extra" in svhn().note
    assert "train alone" in svhn(extra=0).note


def test_extra_is_there_or_not() -> None:
    """Other values are refused in words."""
    with pytest.raises(UsageError, match=r"extra of svhn is 1 .* or 0 .*; 2 is neither"):
        resolve("svhn:extra=2")
    assert resolve("svhn:extra=1").name == "svhn"


def test_the_extra_file_is_needed_where_it_is_read(folder: Path) -> None:
    """Without it, svhn names what gets it, and svhn:extra=0 reads."""
    (folder / "extra_32x32.mat").unlink()
    with pytest.raises(DataError, match=r'SVHN lacks extra_32x32\.mat, which is not in .*"resatlas data fetch svhn";'):
        read("svhn")
    read("svhn:extra=0")
    (folder / "test_32x32.mat").unlink()
    with pytest.raises(DataError, match=r'"resatlas data fetch svhn:extra=0"; without a network, put train_32x32\.mat'):
        read("svhn:extra=0")


@pytest.mark.parametrize("name", COUNTS)
def test_a_flipped_byte_is_found_before_the_file_is_read(folder: Path, name: str) -> None:
    """The checksum is that of the whole file."""
    file = folder / getattr(module, name).official.name
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"{file.name} is damaged or another file; md5 found"):
        read("svhn")


X = np.zeros((32, 32, 3, 11), np.uint8)
Y = np.ones((11, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X}, "should have y, 11x1 unsigned bytes"),
        ({"y": Y}, "should have X, 32x32x3x11 unsigned bytes"),
        ({"X": X[..., 1:], "y": Y[1:]}, "should have X, 32x32x3x11 unsigned bytes"),
        ({"X": X.transpose(3, 0, 1, 2), "y": Y}, "should have X, 32x32x3x11 unsigned bytes"),
        ({"X": X.astype(np.float64), "y": Y}, "should have X, 32x32x3x11 unsigned bytes"),
        ({"X": X, "y": Y[1:]}, "should have y, 11x1 unsigned bytes"),
        ({"X": X, "y": Y - 1}, "labels from 1 to 10; they go from 0 to 0"),
        ({"X": X, "y": Y * 11}, "labels from 1 to 10; they go from 11 to 11"),
    ],
)
def test_arrays_are_those_of_the_format(put: Put, arrays: dict[str, np.ndarray], words: str) -> None:
    """Missing, misshapen or mistaken arrays are named, even with the right checksum."""
    put(arrays)
    with pytest.raises(DataError, match=words):
        read("svhn")
