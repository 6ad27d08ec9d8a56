"""A part of a data set checks itself, and gives up images for validation by class."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.ops import Shape
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageFiles, ImageSet, Parts, fingerprint, hold_back
from resatlas.errors import DataError


def part(n: int = 6, classes: int = 2) -> ImageSet:
    """Black images whose classes take turns."""
    return ImageSet(images=np.zeros((n, 1, 4, 5), np.uint8), labels=np.arange(n) % classes, ids=np.arange(n) + 100)


def test_a_part_knows_its_length_and_shape() -> None:
    """A part counts its images and names the shape of each."""
    assert len(part()) == 6
    assert part().shape == Shape(1, 4, 5)


def test_taking_keeps_images_labels_and_ids_together() -> None:
    """An image keeps its label and its id wherever it is taken."""
    taken = part().take(np.array([5, 0]))
    assert taken.labels.tolist() == [1, 0]
    assert taken.ids.tolist() == [105, 100]


def files(n: int = 6, classes: int = 2) -> ImageFiles:
    """Names of files that are not there, whose classes take turns."""
    names = tuple(f"{k}.jpg" for k in range(n))
    return ImageFiles(root=Path("r"), files=names, labels=np.arange(n) % classes, ids=np.arange(n) + 100, size=32)


def test_a_fingerprint_tells_names_and_sizes(tmp_path: Path) -> None:
    """Another size, name, order, part or absence changes it; the place of the folder and the content do not."""

    def digest(sizes: dict[str, int], *, root: str = "r", order: slice = slice(None), test: slice = slice(2)) -> str:
        (tmp_path / root).mkdir(exist_ok=True)
        for name in files().files:
            (tmp_path / root / name).unlink(missing_ok=True)
        for name, size in sizes.items():
            (tmp_path / root / name).write_bytes(root.encode() * size)
        part = replace(files(), root=tmp_path / root)
        return fingerprint(Parts(train=part.take(order), test=part.take(test)))

    sizes = dict.fromkeys(files().files, 3)
    same = digest(sizes)
    assert len(same) == 64
    assert digest(sizes) == digest(sizes, root="s") == same
    others = (
        digest({**sizes, "5.jpg": 4}),
        digest({name: sizes[name] for name in files().files[1:]}),
        digest(sizes, order=slice(None, None, -1)),
        digest(sizes, order=slice(5)),
        digest(sizes, test=slice(3)),
    )
    assert len({same, *others}) == 6


def test_images_in_memory_have_no_fingerprint() -> None:
    """Their name fixes them; files beside them count alone."""
    assert fingerprint(Parts(train=part(), test=part())) == ""
    assert len(fingerprint(Parts(train=part(), test=files()))) == 64


def test_files_are_taken_as_images_are() -> None:
    """Names, labels and ids stay together, by positions, by a slice or by a mask."""
    assert (len(files()), files().shape) == (6, Shape(3, 32, 32))
    for positions in (np.array([1, 4]), slice(1, 5, 3), np.array([0, 1, 0, 0, 1, 0], bool)):
        taken = files().take(positions)
        assert (taken.files, taken.ids.tolist()) == (("1.jpg", "4.jpg"), [101, 104])
        assert taken.labels.tolist() == [1, 0]
        assert taken.path(1) == Path("r/4.jpg")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.zeros(5, np.int64)}, "labels of 6 images are 6 entries of int64"),
        ({"ids": np.arange(6.0)}, "got float64"),
        ({"labels": np.full(6, -1)}, "labels count from 0; got -1"),
        ({"size": 0}, "at least 1 pixel per side; got 0"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(change: dict[str, Any], words: str) -> None:
    """A part in files checks itself as one in memory does."""
    with pytest.raises(DataError, match=words):
        ImageFiles(**{**vars(files()), **change})


@given(n=st.integers(20, 200), share=st.fractions(Fraction(1, 8), Fraction(1, 2)))
@settings(deadline=None)  # the first split imports scikit-learn
def test_files_are_held_back_as_images_are(n: int, share: Fraction) -> None:
    """The split depends on labels only, for parts in memory and in files."""
    kept, validation = hold_back(files(n), share)
    same, held = hold_back(part(n), share)
    assert validation is not None
    assert held is not None
    assert (kept.ids.tolist(), validation.ids.tolist()) == (same.ids.tolist(), held.ids.tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.zeros((6, 1, 4, 5), np.float32)}, "images of 6 images are 6 entries of uint8 on 4 axes"),
        ({"images": np.zeros((6, 4, 5), np.uint8)}, r"got uint8 of shape \(6, 4, 5\)"),
        ({"images": np.zeros((0, 1, 4, 5), np.uint8)}, "at least 1 image"),
        ({"labels": np.zeros(5, np.int64)}, "labels of 6 images"),
        ({"labels": np.zeros(6, np.int32)}, "got int32"),
        ({"labels": np.full(6, -1)}, "labels count from 0; got -1"),
        ({"ids": np.zeros((6, 1), np.int64)}, "ids of 6 images"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    """A wrong length, type or number of axes is named."""
    with pytest.raises(DataError, match=words):
        ImageSet(**{**vars(part()), **change})


def test_an_eighth_of_the_digits_is_180_images() -> None:
    """Of 1,437 digits floor(1437/8 + 1/2) = 180 are held back, in every class its share to within one image."""
    train = resolve("digits").read().train
    kept, validation = hold_back(train, Fraction(1, 8))
    assert validation is not None
    assert (len(kept), len(validation)) == (1257, 180)
    assert sorted([*kept.ids, *validation.ids]) == train.ids.tolist()
    whole, held = np.bincount(train.labels), np.bincount(validation.labels)
    assert np.abs(held - whole / 8).max() <= 1


def test_the_held_back_images_never_change() -> None:
    """Two calls hold back the same images, in the order of the source."""
    train = resolve("digits").read().train
    (_, first), (_, second) = hold_back(train, Fraction(1, 8)), hold_back(train, Fraction(1, 8))
    assert first is not None
    assert second is not None
    assert first.ids.tolist() == second.ids.tolist() == sorted(first.ids)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 13)])
def test_a_share_of_less_than_half_an_image_holds_nothing_back(share: Fraction) -> None:
    """A count that rounds to 0 leaves the part unchanged."""
    train = part()
    assert hold_back(train, share) == (train, None)


@given(n=st.integers(20, 200), share=st.fractions(Fraction(1, 8), Fraction(1, 2)))
@settings(deadline=None)  # the first split imports scikit-learn
def test_the_count_is_the_share_rounded_half_up(n: int, share: Fraction) -> None:
    """Exactly floor(share·n + 1/2) images are held back, and no image is lost or doubled."""
    kept, validation = hold_back(part(n), share)
    assert validation is not None
    assert len(validation) == (2 * share * n + 1) // 2
    assert sorted([*kept.ids, *validation.ids]) == list(range(100, 100 + n))


@pytest.mark.parametrize(
    ("n", "classes", "held"),
    [(8, 4, [1, 0, 0, 0]), (7, 6, [1, 0, 0, 0, 0, 0]), (25, 5, [1, 1, 1, 0, 0]), (13, 12, [1] + [0] * 11)],
)
def test_small_classes_give_what_they_can(n: int, classes: int, held: list[int]) -> None:
    """Too few images for every class on both sides: the count is kept, and each class keeps an image to learn from."""
    train = part(n, classes)
    kept, validation = hold_back(train, Fraction(1, 8))
    assert validation is not None
    assert np.bincount(validation.labels, minlength=classes).tolist() == held
    assert np.bincount(kept.labels, minlength=classes).min() >= 1
    assert sorted([*kept.ids, *validation.ids]) == train.ids.tolist()


def test_classes_of_one_image_give_none() -> None:
    """They stay where the network learns from them; where no class has two images nothing is held back."""
    few = replace(part(9, 2), labels=np.array([0, 0, 0, 0, 0, 0, 0, 0, 1]))
    kept, validation = hold_back(few, Fraction(1, 4))
    assert validation is not None
    assert (validation.labels.tolist(), 1 in kept.labels) == ([0, 0], True)
    alone = part(4, 4)
    assert hold_back(alone, Fraction(1, 2)) == (alone, None)
