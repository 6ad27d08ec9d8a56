"""VOC's layout: pixels from 1 become corners from 0, difficult objects are marked, untrusted XML ends in one line."""

import os
from pathlib import Path

import pytest

from resatlas.data.voc import CLASSES, voc
from resatlas.errors import DataError
from tests.data.annotated import voc_object, write_voc


def test_pixels_from_1_become_corners_from_0(tmp_path: Path) -> None:
    """From xmin 1 to xmax 3 are three pixels, 0 to 3; the last pixel belongs to the box; fractions stay."""
    write_voc(tmp_path, "train", {"a": voc_object()})
    write_voc(
        tmp_path, "val", {"b": voc_object(box=(1, 1, 3, 20)) + voc_object("dog", (2.5, 3, 30, 4), difficult=1), "c": ""}
    )
    parts = voc(tmp_path).read()
    assert parts.test.ids == ("b", "c")
    assert parts.test.target(0)["boxes"].tolist() == [[0, 0, 3, 20], [1.5, 2, 30, 4]]
    assert parts.test.objects.areas.tolist() == [60, 57]
    assert parts.test.target(0)["ignore"].tolist() == [False, True]
    assert parts.test.target(1)["boxes"].shape == (0, 4)
    assert parts.train.target(0)["boxes"].tolist() == [[4, 5, 14, 13]]
    assert parts.test.sample(0).image.shape == (20, 30, 3)


def test_classes_are_vocs_or_those_of_the_objects(tmp_path: Path) -> None:
    """Labels are counted from 1 in VOC's order; with a class of the user's own, those that occur, sorted by bytes."""
    write_voc(tmp_path, "train", {"a": voc_object("tvmonitor")})
    write_voc(tmp_path, "val", {"b": voc_object("cat")})
    data = voc(tmp_path)
    assert [category.name for category in data.categories] == list(CLASSES)
    assert [category.id for category in data.categories] == list(range(1, 21))
    assert data.read().train.objects.labels.tolist() == [20]
    write_voc(tmp_path, "val", {"b": voc_object("cat") + voc_object("Zebra")})
    data = voc(tmp_path)
    assert [category.name for category in data.categories] == ["Zebra", "cat", "tvmonitor"]
    assert data.read().test.objects.labels.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("lists", "train", "test"),
    [
        (("train", "val", "trainval", "test"), "trainval", "test"),
        (("train", "val"), "train", "val"),
        (("train", "test"), "train", "test"),
        (("val",), None, "val"),
    ],
)
def test_lists_are_parts(tmp_path: Path, lists: tuple[str, ...], train: str | None, test: str) -> None:
    """With a test, trainval is for training; without one, val is the test."""
    for part in lists:
        write_voc(tmp_path, part, {f"of-{part}": voc_object()})
    parts = voc(tmp_path).read()
    assert parts.test.ids == (f"of-{test}",)
    assert parts.train.ids == ((f"of-{train}",) if train else ())


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    """The lists that are needed and those that are there."""
    write_voc(tmp_path, "train", {"a": voc_object()})
    with pytest.raises(DataError, match=r"needs test.txt, or train.txt and val.txt; it has train"):
        voc(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not XML: no element found"),
        ("<annotation>", "it is not XML"),
        ("<a>" * 100_000, "it is not XML"),
        ("<a>" * 100_000 + "</a>" * 100_000, "size/width is a number of pixels from 1"),
        ('<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', "it has a document type"),
        ('<?xml version="1.0" encoding="none"?><a/>', "it is not XML"),
        (
            "<a><size><width>30</width><height>-1</height></size></a>",
            'size/height is a number of pixels from 1; got "-1"',
        ),
        ("<a><size><width>9999999</width><height>1</height></size></a>", "size/width"),
    ],
)
def test_untrusted_xml_ends_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    """Empty, unfinished, deep, with entities, without size: the file is named."""
    write_voc(tmp_path, "val", {"a": ""})
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    with pytest.raises(DataError, match=reason) as error:
        voc(tmp_path).read()
    assert str(error.value).startswith(f"{tmp_path}/Annotations/a.xml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (voc_object(""), "object 1: it has no name"),
        (voc_object(box=(1, 2, "x", 4)), 'object 1, cat: bndbox needs the numbers .* got "1", "2", "x", "4"'),
        (voc_object(box=(1, 2, "nan", 4)), "bndbox needs the numbers"),
        (voc_object(box=(1, 2, "1e999", 4)), "bndbox needs the numbers"),
        ("<object><name>cat</name></object>", "bndbox needs the numbers"),
    ],
)
def test_objects_that_cannot_be_used_are_refused(tmp_path: Path, inside: str, reason: str) -> None:
    """The object is named by its number in the file, with the remedy."""
    write_voc(tmp_path, "val", {"a": inside})
    with pytest.raises(DataError, match=reason):
        voc(tmp_path).read()


def test_boxes_from_0_are_recognised(tmp_path: Path) -> None:
    """Xmin 0 does not exist in VOC: the box is cut, and the note says what the cause may be."""
    write_voc(tmp_path, "val", {"a": voc_object(box=(0, 3, 9, 9)), "b": voc_object(box=(3, 3, 2, 9))})
    cut, left_out = sorted(voc(tmp_path).read().notes)
    assert "if this file counts from 0, add 1 to all its numbers" in cut
    assert "b.xml: object 1, cat: the box 2, 2, 0, 7 has no area" in left_out


@pytest.mark.parametrize("line", ["../a", "/etc/passwd", ".."])
def test_lists_stay_in_their_folder(tmp_path: Path, line: str) -> None:
    """A name that leads elsewhere is refused."""
    write_voc(tmp_path, "val", {"a": ""})
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text(f"{line}\n")
    with pytest.raises(DataError, match="write names of files without folders"):
        voc(tmp_path)


def test_lists_are_read_safely(tmp_path: Path) -> None:
    """A pipe does not hang; an empty list names no image; what follows a name is not read."""
    write_voc(tmp_path, "val", {"a": ""})
    listed = tmp_path / "ImageSets" / "Main" / "val.txt"
    listed.write_text("a -1\n\na  1\n")
    assert voc(tmp_path).read().test.ids == ("a",)
    listed.write_text("\n")
    with pytest.raises(DataError, match="names no image"):
        voc(tmp_path)
    listed.unlink()
    os.mkfifo(listed)
    with pytest.raises(DataError, match="a pipe"):
        voc(tmp_path)
