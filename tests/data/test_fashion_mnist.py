"""Fashion-MNIST is found, verified and padded; what is missing or damaged is named with its remedy."""

import gzip
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from resatlas.arch.ops import Shape
from resatlas.data import fashion_mnist as module
from resatlas.data.dataset import ImageSet
from resatlas.data.fashion_mnist import fashion_mnist
from resatlas.data.official import located
from resatlas.errors import DataError


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four tiny files in the exact format, published for the length of a test; nothing is packaged."""
    draw = np.random.default_rng(0)
    published = []
    for file, n in zip(module.FILES, (6, 6, 3, 3), strict=True):
        small = replace(file, axes=(n, *file.axes[1:]))
        content = small.header + draw.integers(0, 10, small.axes, np.uint8).tobytes()
        (tmp_path / file.name).write_bytes(gzip.compress(content))
        published.append(replace(small, sha256=sha256(content).hexdigest()))
    monkeypatch.setattr(module, "FILES", tuple(published))
    monkeypatch.setattr(module, "PACKAGED", tmp_path / "nothing-packaged")
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_images_are_padded_with_two_zeros_a_side(tiny: Path) -> None:
    """The published pixels stand in the middle of a black frame."""
    train = fashion_mnist().read().train
    published = gzip.decompress((tiny / module.FILES[0].name).read_bytes())[16:]
    assert isinstance(train, ImageSet)
    assert train.images[:, 0, 2:-2, 2:-2].tobytes() == published
    assert train.images.sum() == sum(published)


def test_labels_and_ids_are_the_files(tiny: Path) -> None:
    """Labels come in the order of the file, and ids count it."""
    test = fashion_mnist().read().test
    assert test.labels.tolist() == list(gzip.decompress((tiny / module.FILES[3].name).read_bytes())[8:])
    assert test.ids.tolist() == [0, 1, 2]


def test_the_files_may_lie_in_a_folder_of_their_own(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$RESATLAS_DATA/fashion-mnist is as good as $RESATLAS_DATA."""
    (tiny / "all" / "fashion-mnist").mkdir(parents=True)
    for file in module.FILES:
        (tiny / file.name).rename(tiny / "all" / "fashion-mnist" / file.name)
    monkeypatch.setenv("RESATLAS_DATA", str(tiny / "all"))
    assert len(fashion_mnist().read().train) == 6


def test_the_package_serves_where_nothing_else_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Debian package's folder is the last that is looked at."""
    monkeypatch.delenv("RESATLAS_DATA")
    monkeypatch.setattr(module, "PACKAGED", tiny)
    assert len(fashion_mnist().read().test) == 3


def test_the_user_s_cache_is_looked_at_too(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were fetched are found where no folder is named."""
    monkeypatch.delenv("RESATLAS_DATA")
    (tiny / "cache/resatlas").mkdir(parents=True)
    (tiny / "cache/resatlas/fashion-mnist").symlink_to(tiny)
    assert len(fashion_mnist().read().test) == 3


def test_a_missing_data_set_names_its_remedies(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the commands, the way by hand, and the folders that were looked at."""
    monkeypatch.setenv("RESATLAS_DATA", str(tiny / "empty"))
    with pytest.raises(DataError) as error:
        fashion_mnist().read()
    for words in (
        'get it with "apt-get install dataset-fashion-mnist" or "resatlas data fetch fashion-mnist"',
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz",
        "RESATLAS_DATA",
        str(tiny / "empty"),
        "nothing-packaged",
    ):
        assert words in str(error.value)


def test_a_missing_file_is_named(tiny: Path) -> None:
    """The message for three of the four files differs from that for none."""
    name = module.FILES[1].name
    (tiny / name).unlink()
    with pytest.raises(DataError, match=f"Fashion-MNIST lacks {name}, which is not in .*; get it with"):
        fashion_mnist().read()


@pytest.mark.parametrize("number", range(4))
def test_a_flipped_byte_in_any_file_is_found(tiny: Path, number: int) -> None:
    """One byte of content that differs is refused with the file's name and both hashes."""
    file = module.FILES[number]
    path = tiny / file.name
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=f"{file.name} .*{file.sha256}, found {sha256(content).hexdigest()}"):
        fashion_mnist().read()


@pytest.mark.parametrize("content", [b"<html>not found</html>", gzip.compress(bytes(4000), mtime=0)[:-9]])
def test_a_cut_file_or_a_web_page_is_named(tiny: Path, content: bytes) -> None:
    """A truncated or invalid gzip file is refused with its name."""
    name = module.FILES[0].name
    (tiny / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is damaged or another file: "):
        fashion_mnist().read()


def test_the_published_files_read_whole() -> None:
    """The real set has 6,000 and 1,000 images of each class, and the published first labels."""
    try:
        located(module.source())
    except DataError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    parts = fashion_mnist().read()
    assert np.bincount(parts.train.labels).tolist() == [6000] * 10
    assert np.bincount(parts.test.labels).tolist() == [1000] * 10
    assert parts.train.shape == parts.test.shape == fashion_mnist().image == Shape(1, 32, 32)
    assert fashion_mnist().classes[parts.train.labels[0]] == "ankle boot"
