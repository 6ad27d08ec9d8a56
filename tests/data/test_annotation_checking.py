"""`resatlas data check` on annotations: a line for every fault with file, annotation, remedy, and the exit code 3."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.data.annotation_checking import checked_annotations
from tests.data.annotated import annotation, image, voc_object, write_coco, write_images, write_voc
from tests.data.pictures import picture

Say = Callable[..., str]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[int], list[str]]:
    """A function that checks the folder and returns the lines of faults."""

    def run(code: int = 3) -> list[str]:
        assert main(("data", "check", str(tmp_path))) == code
        lines = capsys.readouterr().out.splitlines()
        return lines[: next(k for k, line in enumerate(lines) if line.startswith("objects"))]

    return run


FILE = "annotations/instances_val2017.json"
FIRST = "annotation 1 (a.png):"
NUMBERS = "annotation 1: its bbox is four finite numbers, x, y, width, height; correct it"
NO_AREA = "has no area; give it a width and a height, or remove it"
ANEW = "draw the mask anew"
SIDES = 'image 2 of the list: "b.png" needs its width and height in pixels, whole numbers from 1'
LEADS_OUT = "leads out of the folder of images; name it relative to that"
TAKE_OUT = "add the image, or take it and its objects out of the annotations"


def test_whole_annotations_have_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gaps in the ids of categories, the id 0, crowds and images without objects are no faults, but counted."""
    write_coco(tmp_path, [annotation(1), annotation(2, category=90, iscrowd=1), annotation(3, category=7)])
    assert main(("data", "check", str(tmp_path))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "objects                         test",
        "cat                                1",
        "dog                                1",
        "owl                                1",
        "(crowds and difficult objects)     1",
        "(images)                           2",
        "(images without objects)           1",
        "0 faults",
    ]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"bbox": [4, 5, 0, 8]}, f"{FIRST} the box 4, 5, 0, 8 {NO_AREA}"),
        ({"bbox": [4, 5, -2, 8]}, f"{FIRST} the box 4, 5, -2, 8 {NO_AREA}"),
        ({"bbox": [40, 5, 2, 8]}, "annotation 1 (a.png): the box 40, 5, 2, 8 is outside of the image, 30 x 20"),
        (
            {"bbox": [25, 15, 30, 20]},
            f"{FIRST} the box 25, 15, 30, 20 leaves the image, 30 x 20; bbox is x, y, width, height",
        ),
        ({"bbox": [-5, 5, 9, 8]}, "annotation 1 (a.png): the box -5, 5, 9, 8 leaves the image, 30 x 20; correct it"),
        ({"bbox": [4, 5, float("nan"), 8]}, NUMBERS),
        ({"bbox": [4, 5, float("inf"), 8]}, NUMBERS),
        ({"bbox": [4, 5, 9]}, NUMBERS),
        ({"bbox": [4, 5, 10**400, 8]}, NUMBERS),
        ({"bbox": [4, True, 9, 8]}, NUMBERS),
        ({"bbox": None}, NUMBERS),
        ({"image_id": 77}, "annotation 1: no image has the id 77; correct it, or remove the annotation"),
        (
            {"image_id": "1"},
            "annotation 1: no image has the id '1', but one has 1: write both as numbers or both as texts",
        ),
        ({"image_id": [1]}, "annotation 1: image_id and category_id are whole numbers or texts"),
        ({"category_id": 1}, "annotation 1: no category has the id 1; correct it, or remove the annotation"),
        ({"iscrowd": 2}, "annotation 1: its iscrowd is 0 or 1; correct it"),
        ({"iscrowd": [0]}, "annotation 1: its iscrowd is 0 or 1; correct it"),
        ({"area": -1}, "annotation 1: its area is not a number from 0; that of its box is taken"),
        (
            {"segmentation": []},
            f"{FIRST} its segmentation is polygons of three corners or more, or size and counts; add it",
        ),
        (
            {"segmentation": [[1, 2, 3, 4]]},
            f"{FIRST} its segmentation is polygons of three corners or more, or size and counts; add it",
        ),
        (
            {"segmentation": {"size": [30, 20], "counts": [600]}},
            f"{FIRST} its mask has the size [30, 20], its image [20, 30] (height, width); {ANEW}",
        ),
        (
            {"segmentation": {"size": [20, 30], "counts": [599]}},
            f"{FIRST} a mask of 30 x 20 pixels has runs of 600 in all; got 599; {ANEW}",
        ),
        (
            {"segmentation": {"size": [20, 30], "counts": [300, -300]}},
            f"{FIRST} its counts are whole numbers or compressed letters; {ANEW}",
        ),
        (
            {"segmentation": {"size": [20, 30], "counts": "~~"}},
            f"{FIRST} a compressed mask has letters from 0 to o; got '~'; {ANEW}",
        ),
        (
            {"segmentation": [[1, 2, 1e300, 4, 5, 6]]},
            f"{FIRST} corners of polygons are finite numbers near their image; {ANEW}",
        ),
        ({"id": None}, "annotation 1 of the list: its id is neither a whole number nor a text"),
    ],
)
def test_a_bad_annotation_has_one_line(
    tmp_path: Path, check: Callable[[int], list[str]], changed: dict[str, object], line: str
) -> None:
    """File, annotation, what is wrong and the remedy."""
    write_coco(tmp_path, [{**annotation(), **changed}])
    assert check(3) == [f"{FILE}: {line}"]


def test_ids_that_stand_twice(tmp_path: Path, check: Callable[[int], list[str]]) -> None:
    """Of images, annotations and categories; two images of one file."""
    write_coco(
        tmp_path,
        [annotation(1), annotation(1)],
        images=[image(1, "a.png"), image(1, "b.png"), image(2, "a.png")],
        categories=[{"id": 0, "name": "cat"}, {"id": 0, "name": "dog"}, {"id": 1}, 5],
    )
    assert sorted(check(3)) == sorted(
        f"{FILE}: {line}"
        for line in (
            "annotation 1: another annotation has the same id; number them anew",
            "b.png: the image id 1 is that of a.png too; number one anew",
            "a.png: the images 1 and 2 are one file; join their objects",
            'category 2 of the list: the id 0 is that of "cat" too; number one anew',
            "category 3 of the list: it needs an id, a whole number or a text, and a name",
            "category 4 of the list: it needs an id, a whole number or a text, and a name",
        )
    )


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (image(3, "../a.png"), f'image 2 of the list: the file_name "../a.png" {LEADS_OUT}'),
        (image(3, "/etc/passwd"), f'image 2 of the list: the file_name "/etc/passwd" {LEADS_OUT}'),
        (image(3, "b.png", width=0), SIDES),
        (image(3, "b.png", width=30.0), SIDES),
        (image(3, "b.png", width=10**30), SIDES),
        (image(None, "b.png"), "image 2 of the list: its id is neither a whole number nor a text"),
        ({"id": 3}, "image 2 of the list: the image 3 needs a file_name"),
        ([], "image 2 of the list: it is not an object with id, file_name, width and height"),
    ],
)
def test_a_bad_image_entry_has_one_line(
    tmp_path: Path, check: Callable[[int], list[str]], entry: object, line: str
) -> None:
    """The place in the list, and the remedy."""
    write_coco(tmp_path, images=[image(1, "a.png"), entry])
    assert check(3) == [f"{FILE}: {line}"]


def test_every_image_is_opened(tmp_path: Path, check: Callable[[int], list[str]]) -> None:
    """Missing, damaged, of another size, and held sideways: each with what is done."""
    names = ("a.png", "gone.png", "cut.png", "large.png", "stored.png", "mirrored.png")
    write_coco(tmp_path, images=[image(k, name) for k, name in enumerate(names)])
    folder = tmp_path / "val2017"
    write_images(folder, "large.png", size=(40, 60))
    write_images(folder, "cut.png", size=(20, 30))
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:-200])
    for name, orientation in (("stored.png", 6), ("mirrored.png", 2)):
        exif = picture().getexif()
        exif[0x0112] = orientation
        picture(size=(20, 30)).save(folder / name, exif=exif)
    lines = dict(line.split(": ", 1) for line in check(3))
    assert "truncated" in lines.pop("val2017/cut.png")
    assert lines == {
        "val2017/gone.png": f"no such file; {TAKE_OUT}",
        "val2017/large.png": "it has 60 x 40 pixels, its annotation says 30 x 20: correct width and height there, or "
        "use the image that was annotated",
        "val2017/stored.png": "EXIF orientation 6, but annotated as stored: its pixels are not turned",
        "val2017/mirrored.png": "EXIF orientation 2, which its annotated size does not decide: its pixels are turned; "
        "save it upright if its boxes are wrong then",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "cannot be read as JSON: it is not an object"),
        ('{"annotations": ' + "[" * 100_000, "too deep to be annotations"),
        ('{"images": []}', "lacks the list annotations; its keys are images"),
        ("{}", "lacks the list images; its keys are none"),
        ("", "it is not an object"),
    ],
)
def test_a_file_that_is_not_cocos_is_a_fault(
    tmp_path: Path, check: Callable[[int], list[str]], text: str, reason: str
) -> None:
    """The other part is checked all the same."""
    write_coco(tmp_path, [annotation(category=5)], part="train2017")
    write_coco(tmp_path)
    (tmp_path / FILE).write_text(text)
    first, second = check(3)
    assert first.startswith("annotations/instances_train2017.json: annotation 1: no category")
    assert second.startswith(f"{FILE}: ")
    assert reason in second


def test_faults_of_voc(tmp_path: Path, check: Callable[[int], list[str]]) -> None:
    """Boxes counted from 0, without area and outside, unreadable XML, a missing image; difficult objects are none."""
    write_voc(tmp_path, "train", {"a": voc_object(difficult=1), "gone": voc_object()})
    write_voc(
        tmp_path,
        "val",
        {
            "b": voc_object() + voc_object(box=(0, 0, 9, 9)),
            "c": voc_object(box=(9, 9, 8, 12)),
            "d": "",
            "e": voc_object(),
        },
    )
    (tmp_path / "JPEGImages" / "gone.jpg").unlink()
    (tmp_path / "Annotations" / "d.xml").write_text("<annotation>")
    (tmp_path / "Annotations" / "e.xml").unlink()
    lines = check(3)
    assert lines == [
        "Annotations/d.xml: it is not XML: no element found: line 1, column 12",
        "Annotations/e.xml: no such file; add it, or take its name from the list of ImageSets",
        "Annotations/b.xml: object 2, cat: the box -1, -1, 10, 10 leaves the image, 30 x 20; correct it; VOC counts "
        "pixels from 1: if this file counts from 0, add 1 to all its numbers",
        "Annotations/c.xml: object 1, cat: the box 8, 8, 0, 4 has no area; give it a width and a height, or remove it",
        f"JPEGImages/gone.jpg: no such file; {TAKE_OUT}",
    ]


def test_names_of_files_cannot_write_to_the_terminal(tmp_path: Path, check: Callable[[int], list[str]]) -> None:
    """Control characters of a name are escaped."""
    write_coco(tmp_path, images=[image(1, "\x1b[2J\n.png")])
    assert check(3) == ["val2017/\\x1b[2J\\n.png: no such file; " + TAKE_OUT]


def test_faults_are_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON value: parts, and each fault with its effect."""
    write_coco(tmp_path, [annotation(bbox=[4, 5, 0, 8])])
    assert main(("data", "check", str(tmp_path), "--json")) == 3
    data = json.loads(capsys.readouterr().out)
    assert data["parts"]["test"] == {"images": 2, "empty": 1, "ignored": 0, "objects": {"cat": 1, "dog": 0, "owl": 0}}
    [fault] = data["faults"]
    assert (fault["file"], fault["where"], fault["effect"]) == (FILE, "annotation 1 (a.png)", "left out")


def test_progress_counts_images(tmp_path: Path) -> None:
    """Each image once, of all parts together."""
    write_coco(write_coco(tmp_path), part="train")
    counts: list[tuple[int, int]] = []
    checked_annotations(tmp_path, on_image=lambda done, total: counts.append((done, total)))
    assert counts == [(k, 4) for k in range(1, 5)]
