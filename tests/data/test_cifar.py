"""Both CIFAR sets are read from the binary versions; what is missing, damaged or another file is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.data import cifar as module
from resatlas.data.cifar import CIFAR_10, CIFAR_100, IMAGE, Cifar, cifar_10, cifar_100, read
from resatlas.data.dataset import ImageSet
from resatlas.errors import DataError
from tests.data import tiny

BOTH = pytest.mark.parametrize("published", [CIFAR_10, CIFAR_100], ids=lambda published: published.name)

Put = Callable[[Cifar], tuple[Cifar, Path, dict[str, bytes]]]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a tiny version where the readers look, and gives it with its folder and its files."""
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def small(published: Cifar) -> tuple[Cifar, Path, dict[str, bytes]]:
        made, files, _ = tiny.cifar(published)
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(content)
        return made, tmp_path / made.folder, files

    return small


@BOTH
def test_records_read_as_labels_and_images(put: Put, published: Cifar) -> None:
    """The class is the last label; red, green and blue follow, each row by row; files come in their order."""
    small, _, files = put(published)
    parts = read(small)
    for part, names in ((parts.train, small.train), (parts.test, small.test)):
        assert isinstance(part, ImageSet)
        records = b"".join(files[f"{small.folder}/{name}"] for name in names)
        span = small.labels + module.PIXELS
        starts = range(0, len(records), span)
        assert part.labels.tolist() == [records[start + small.labels - 1] for start in starts]
        assert part.images[3].tobytes() == records[3 * span + small.labels : 4 * span]
        assert part.images[3, 1, 2, 5] == records[3 * span + small.labels + 1024 + 2 * 32 + 5]
        assert part.ids.tolist() == list(range(len(starts)))
        assert part.shape == IMAGE


@BOTH
def test_what_is_published_has_the_papers_sizes(published: Cifar) -> None:
    """50,000 + 10,000 images, and files of the bytes that this takes."""
    classes = len(published.classes)
    assert (published.train_images * classes, published.test_images * classes) == (50_000, 10_000)
    sizes = [member.bytes for member in published.source.members if member.bytes]
    assert sum(sizes) == 60_000 * (3072 + published.labels)


def test_the_data_sets_are_those_of_the_papers() -> None:
    """10 and 100 classes of 32x32 colour images, which may be mirrored."""
    for described, classes in ((cifar_10(), 10), (cifar_100(), 100)):
        assert len(set(described.classes)) == classes
        assert described.image == IMAGE
        assert described.mirror == "allowed"
    assert list(cifar_100().classes) == sorted(cifar_100().classes)


@BOTH
def test_a_missing_set_names_its_remedies(put: Put, published: Cifar, tmp_path: Path) -> None:
    """The command that fetches it, and the archive that can be put there."""
    assert put
    with pytest.raises(DataError) as error:
        read(published)
    for words in (f'"resatlas data fetch {published.name}"', published.archive.name, str(tmp_path), "RESATLAS_DATA"):
        assert words in str(error.value)


@BOTH
def test_each_missing_file_is_named(put: Put, published: Cifar) -> None:
    """Any file that is read can be missing."""
    small, folder, _ = put(published)
    for path in small.source.needed:
        file = folder.parent / path
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(DataError, match=f"{small.title} lacks {path}, which"):
            read(small)
        file.write_bytes(content)


@BOTH
@pytest.mark.parametrize("more", [-1, 1, -200_000])
def test_a_file_of_another_length_is_damaged(put: Put, published: Cifar, more: int) -> None:
    """A file with one byte more or less is refused with both sizes."""
    small, folder, files = put(published)
    name = small.train[0]
    content = files[f"{small.folder}/{name}"]
    (folder / name).write_bytes((content + b"\0")[: len(content) + more])
    with pytest.raises(DataError, match=rf"{name} is damaged: it has [\d,]+ bytes, [\d,]+ were published; remove"):
        read(small)


@pytest.mark.parametrize(
    ("published", "byte", "value", "words"),
    [
        (CIFAR_10, 0, 10, "image 0 has the label 10, and labels are below 10"),
        (CIFAR_100, 1, 200, "image 0 has the label 200, and labels are below 100"),
        (CIFAR_100, 0, 20, "image 0 has the label 20, and labels are below 20"),
    ],
)
def test_labels_are_in_their_range(put: Put, published: Cifar, byte: int, value: int, words: str) -> None:
    """A label outside of the classes is refused with its image."""
    small, folder, files = put(published)
    name = small.test[0]
    content = bytearray(files[f"{small.folder}/{name}"])
    content[byte] = value
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{small.folder} is damaged: {words}; remove it and fetch {small.name} again"):
        read(small)


@BOTH
def test_every_class_has_its_images(put: Put, published: Cifar) -> None:
    """A label that turned into another is found by the counts."""
    small, folder, files = put(published)
    name = small.test[0]
    content = bytearray(files[f"{small.folder}/{name}"])
    content[small.labels - 1] = (content[small.labels - 1] + 1) % len(small.classes)
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=r'class "\w+" has [02] images, 1 were published'):
        read(small)


def test_a_class_has_one_superclass(put: Put) -> None:
    """A superclass that turned into another is found, since its class has two then."""
    small, folder, files = put(CIFAR_100)
    content = bytearray(files[f"{small.folder}/train.bin"])
    content[0] = (content[0] + 1) % small.superclasses
    (folder / "train.bin").write_bytes(content)
    with pytest.raises(DataError, match="binary is damaged: images of one class have different superclasses; remove"):
        read(small)


@BOTH
def test_the_classes_are_those_of_the_file(put: Put, published: Cifar) -> None:
    """Other names, or another order, are another file."""
    small, folder, files = put(published)
    words = files[f"{small.folder}/{small.words}"]
    for other in (words.replace(b"frog", b"toad").replace(b"bear", b"bare"), b"\xff", b""):
        (folder / small.words).write_bytes(other)
        with pytest.raises(
            DataError, match=rf"{small.words} is damaged or another file: it should name {small.classes[0]}"
        ):
            read(small)
