"""COCO's twelve numbers against COCO's own code, VOC's AP and localisation by hand, and files that give the same AP."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from resatlas.data.boxes import AnnotatedImages, Annotations, Category, by_size
from resatlas.errors import DataError, UsageError
from resatlas.evaluation.detection import NAMES, Of, average_precision, detection, localisation, overlap, voc
from resatlas.evaluation.detections import (
    Detections,
    ImageDetections,
    merged,
    of_output,
    read_detections,
    write_detections,
)
from resatlas.evaluation.finding import figures
from resatlas.recipes.detection import Detect
from tests.evaluation.found import cocos_numbers, scene

TWO = (Category(0, "cat"), Category(5, "dog"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("of", "theirs"), [("boxes", "bbox"), ("masks", "segm")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_twelve_numbers_are_cocos(seed: int, of: Of, theirs: Literal["bbox", "segm"]) -> None:
    """With gaps and 0 among the ids of categories, crowds, ties, and images without objects, to 1e-12."""
    truth, found = scene(seed)
    ours, _ = average_precision(truth, found, of=of)
    expected = cocos_numbers(truth, found, of=theirs)
    assert 0.05 < expected[0] < 0.95
    assert [-1 if value is None else value for value in ours] == pytest.approx(expected, abs=1e-12)


def images_with(
    boxes: list[list[list[float]]], labels: list[list[int]], *, ignore: tuple[int, ...] = ()
) -> AnnotatedImages:
    """Images of 100 x 100 pixels with these corners, ids "0", "1"…; the objects numbered in `ignore` are."""
    flat = np.array([box for image in boxes for box in image], float).reshape(-1, 4)
    ids = tuple(str(k) for k in range(len(boxes)))
    return AnnotatedImages(
        categories=TWO,
        ids=ids,
        names=ids,
        sizes=np.full((len(boxes), 2), 100),
        objects=Annotations(
            starts=np.concatenate([[0], np.cumsum([len(image) for image in boxes])]).astype(np.int64),
            boxes=flat,
            labels=np.array([label for image in labels for label in image], np.int64),
            ignore=np.isin(np.arange(len(flat)), ignore),
            areas=(flat[:, 2] - flat[:, 0]) * (flat[:, 3] - flat[:, 1]),
            ids=tuple(range(len(flat))),
        ),
        read=lambda _: np.zeros((100, 100, 3), np.uint8),
    )


def found_in(truth: AnnotatedImages, rows: list[list[tuple[list[float], int, float]]]) -> Detections:
    """Detections of each image: corners, label and score."""
    images = []
    for image, own in zip(truth.ids, rows, strict=True):
        corners = np.array([box for box, _, _ in own], float).reshape(-1, 4)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        labels, scores = (
            np.array([label for _, label, _ in own], np.int64),
            np.array([score for _, _, score in own], float),
        )
        images.append(ImageDetections(image=image, boxes=boxes, labels=labels, scores=scores))
    return Detections(categories=truth.categories, images=tuple(images))


A, B, C = [10.0, 10.0, 30.0, 30.0], [40.0, 40.0, 80.0, 80.0], [5.0, 60.0, 25.0, 90.0]


def test_annotations_are_numbered_from_1() -> None:
    """Perfect boxes have AP 100, whatever their ids; numbered from 0, COCO's code takes the first for not found."""
    truth = images_with([[A], [B]], [[1], [1]])
    found = found_in(truth, [[(A, 1, 0.9)], [(B, 1, 0.8)]])
    assert dict(detection(truth, found))["ap"] == pytest.approx(100)
    masked = replace(truth.objects, masks=())
    assert masked.ids[0] == 0
    random_truth, _ = scene(0)
    perfect = Detections(
        categories=random_truth.categories,
        images=tuple(
            ImageDetections(
                image=image,
                boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
                labels=random_truth.objects.labels[random_truth.objects.of(k)],
                scores=np.linspace(1, 0.5, len(corners)),
            )
            for k, image in enumerate(random_truth.ids)
            for corners in [random_truth.objects.boxes[random_truth.objects.of(k)]]
        ),
    )
    assert average_precision(random_truth, perfect)[0][0] == pytest.approx(1)
    assert cocos_numbers(random_truth, perfect, of="bbox", first=1)[0] == pytest.approx(1)
    assert cocos_numbers(random_truth, perfect, of="bbox", first=0)[0] < 0.999


def test_figures_without_objects_are_none() -> None:
    """No object is small or of the category dog: nothing is measured, and -1 does not occur."""
    truth = images_with([[B]], [[1]])
    figures = dict(detection(truth, found_in(truth, [[(B, 1, 0.9)]])))
    assert (figures["ap"], figures["ap_small"], figures["ar_small"]) == (pytest.approx(100), None, None)
    assert (figures["ap: cat"], figures["ap: dog"]) == (pytest.approx(100), None)
    assert figures["error_percent"] == pytest.approx(0)
    assert list(figures) == [*NAMES, "error_percent", "images", "ap: cat", "ap: dog"]
    empty = images_with([[]], [[]])
    assert dict(detection(empty, found_in(empty, [[]])))["ap"] is None
    none_found = dict(detection(truth, found_in(truth, [[]])))
    assert (none_found["ap"], none_found["error_percent"]) == (0, 100)


def test_the_order_of_images_changes_nothing() -> None:
    """Batches and processes hand images over in any order; ties are those of the data's order."""
    truth, found = scene(3)
    turned = Detections(categories=found.categories, images=found.images[::-1])
    assert average_precision(truth, turned) == average_precision(truth, found)
    assert list(voc(truth, turned, "area")) == list(voc(truth, found, "area"))


@pytest.mark.parametrize("masks", [False, True])
def test_a_file_gives_exactly_the_same_numbers(tmp_path: Path, masks: bool) -> None:
    """Written, read and evaluated again: bit-equal, with the user's ids and names in the file."""
    truth, found = scene(1)
    if not masks:
        found = replace(found, images=tuple(replace(image, masks=()) for image in found.images))
    write_detections(tmp_path / "detections.json", found)
    again = read_detections(tmp_path / "detections.json")
    of: Of = "masks" if masks else "boxes"
    assert list(detection(truth, again, of=of)) == list(detection(truth, found, of=of))
    data = json.loads((tmp_path / "detections.json").read_text())
    assert (data["schema"], data["categories"][0]) == (1, {"id": 0, "name": "cat"})
    assert [image["id"] for image in data["images"]] == list(truth.ids)
    assert ("segmentation" in data["images"][2]["objects"][0]) is masks


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"schema": 1', '"schema": 2', "its schema is 2, this version reads 1"),
        ('"schema": 1', '"scheme": 1', "schema is missing"),
        ('"schema": 1', '"schema": 1, "other": 3', 'no key "other"'),
        ('"category_id": 5', '"category_id": 6', "has the category 6, which is not among the categories"),
        ('"score": 0.5', '"score": NaN', "needs a bbox of four finite numbers and a score"),
        ('"score": 0.5', '"score": "high"', "needs a bbox of four finite numbers and a score"),
        ('"score": 0.5', '"scor": 0.5', "lacks score"),
        ('"score": 0.5', '"score": 0.5, "colour": 1', 'no key "colour"'),
        ('"score": 0.5', '"score": 0.5, "segmentation": {"size": [3], "counts": "0"}', "a size of height and width"),
        ('"id": "1"', '"id": "0"', "each image has its detections once"),
        ('"id": "1"', '"id": 1.5', "an id that is a whole number or a text"),
        ('"objects": []', '"objects": {}', "are a list"),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Another schema, unknown and missing keys, other kinds of values: one line with the file."""
    truth = images_with([[A], [B]], [[1], [2]])
    file = tmp_path / "detections.json"
    write_detections(file, found_in(truth, [[(B, 2, 0.5)], []]))
    read_detections(file)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=reason) as error:
        read_detections(file)
    assert str(error.value).startswith(f"{file} does not hold detections: ")


def test_every_image_counts_once() -> None:
    """Shares of any number of processes are merged; an image that is there twice, missing or foreign is named."""
    _, found = scene(2)
    ids = [image.image for image in found.images]
    for processes in (1, 2, 5):
        shares = [replace(found, images=found.images[rank::processes]) for rank in range(processes)]
        assert [image.image for image in merged(shares, ids).images] == ids
    with pytest.raises(DataError, match="two processes have detections of image 'a'"):
        merged([found, replace(found, images=found.images[:1])], ids)
    with pytest.raises(DataError, match="no process has detections of 2 images, such as 'c'"):
        merged([replace(found, images=found.images[:2])], ids[:4])
    with pytest.raises(DataError, match="of 1 images are not of this part, such as 'l'"):
        merged([found], ids[:-1])
    with pytest.raises(DataError, match="other categories"):
        merged([found, replace(found, categories=TWO, images=())], ids)


def test_detections_of_other_images_are_refused() -> None:
    """A missing image would count as one without a miss."""
    truth, found = scene(0)
    for changed, reason in (
        (replace(found, images=found.images[1:]), "1 images have no entry"),
        (
            replace(found, images=(*found.images, replace(found.images[1], image="z"))),
            "images that the data lack, such as 'z'",
        ),
        (replace(found, categories=(*found.categories, Category(3, "yak"))), "other categories"),
    ):
        with pytest.raises(DataError, match=reason):
            average_precision(truth, changed)


def test_masks_are_needed_for_ap_of_masks() -> None:
    """Boxes alone, in the data or in the detections, are refused in words."""
    truth, found = scene(0)
    bare = replace(found, images=tuple(replace(image, masks=()) for image in found.images))
    with pytest.raises(DataError, match="needs detections with masks"):
        average_precision(truth, bare, of="masks")
    with pytest.raises(DataError, match="needs data with masks"):
        average_precision(replace(truth, objects=replace(truth.objects, masks=())), found, of="masks")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the command that installs it."""
    monkeypatch.setitem(sys.modules, "faster_coco_eval.core", None)
    truth, found = scene(0)
    with pytest.raises(UsageError, match=r"pip install 'resatlas\[detect\]'"):
        average_precision(truth, found)


def test_the_output_of_a_detector_keeps_its_numbers() -> None:
    """Corners in float32 become x, y, width, height in float64; masks are cut at one half."""
    output = {
        "boxes": torch.tensor([[1.5, 2.25, 10.75, 20.0]]),
        "labels": torch.tensor([2]),
        "scores": torch.tensor([0.1]),
        "masks": torch.tensor([[[[0.49, 0.5], [0.9, 0.0]]]]),
    }
    image = of_output("x", output)
    assert image.boxes.tolist() == [[1.5, 2.25, 9.25, 17.75]]
    assert image.corners.tolist() == [[1.5, 2.25, 10.75, 20.0]]
    assert image.scores.tolist() == [float(np.float32(0.1))]
    assert image.masks[0].decoded().tolist() == [[0, 1], [1, 0]]
    nothing = of_output(3, {name: value[:0] for name, value in output.items()})
    assert (len(nothing), nothing.boxes.shape) == (0, (0, 4))


def test_voc_counts_eleven_points_or_the_area() -> None:
    """Right, wrong, right of three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3; by hand, both differ."""
    truth = images_with([[A, B], [C]], [[1, 1], [1]])
    found = found_in(truth, [[(A, 1, 0.9), (C, 1, 0.8), (B, 1, 0.7)], []])
    eleven, area = (dict(voc(truth, found, points)) for points in ("11 points", "area"))
    assert eleven["voc_ap_11_points: cat"] == pytest.approx(100 * (4 * 1 + 3 * 2 / 3) / 11)
    assert area["voc_ap_area: cat"] == pytest.approx(100 * (1 / 3 * 1 + 1 / 3 * 2 / 3))
    assert area["voc_ap_area: dog"] is None
    assert area["voc_ap_area"] == area["voc_ap_area: cat"]


def test_voc_leaves_difficult_objects_out_and_counts_doubles_as_wrong() -> None:
    """Neither a hit nor a miss of a difficult object counts; the second hit of any other is wrong."""
    truth = images_with([[A, B]], [[1, 1]], ignore=(1,))
    once = found_in(truth, [[(B, 1, 0.9), (A, 1, 0.8)]])
    assert dict(voc(truth, once, "area"))["voc_ap_area"] == pytest.approx(100)
    both = images_with([[A, B]], [[1, 1]])
    twice = found_in(both, [[(A, 1, 0.9), (A, 1, 0.8), (B, 1, 0.7)]])
    assert dict(voc(both, twice, "area"))["voc_ap_area"] == pytest.approx(100 * (1 / 2 + 1 / 2 * 2 / 3))
    wrong_first = found_in(truth, [[(C, 1, 0.99), (A, 1, 0.8)]])
    assert dict(voc(truth, wrong_first, "area"))["voc_ap_area"] == pytest.approx(50)
    shifted = [10.0, 10.0, 30.0, 49.0]  # an IoU of 400/780
    assert dict(voc(truth, found_in(truth, [[(shifted, 1, 0.9)]]), "area"))["voc_ap_area"] == pytest.approx(100)
    too_far = [10.0, 10.0, 30.0, 51.0]
    assert dict(voc(truth, found_in(truth, [[(too_far, 1, 0.9)]]), "area"))["voc_ap_area"] == 0


def test_the_three_measures_differ_on_the_same_detections() -> None:
    """AP50 takes 101 points, VOC 2007 eleven, VOC 2012 all: near each other and not equal."""
    truth, found = scene(2)
    truth = replace(truth, objects=replace(truth.objects, ignore=np.zeros(len(truth.objects.ids), np.bool_)))
    ap50 = dict(detection(truth, found))["ap50"]
    eleven, area = (next(voc(truth, found, points))[1] for points in ("11 points", "area"))
    assert ap50 is not None
    assert eleven is not None
    assert area is not None
    assert len({ap50, eleven, area}) == 3
    assert max(ap50, eleven, area) - min(ap50, eleven, area) < 10


def test_localisation_counts_one_box_of_each_of_five_classes() -> None:
    """The best box of each class counts: the second of a class does not; right class and place are both needed."""
    truth = images_with([[A], [A], [B, C], [A]], [[1], [1], [2, 1], [2]])
    found = found_in(
        truth,
        [
            [(A, 1, 0.9)],
            [(A, 2, 0.9), (A, 1, 0.5)],
            [(A, 1, 0.9), (C, 1, 0.8), (A, 2, 0.7)],
            [],
        ],
    )
    figures = dict(localisation(truth, found))
    assert figures == {
        "localisation_top1_error_percent": 75.0,
        "localisation_top5_error_percent": 50.0,
        "images": 4.0,
    }
    empty = images_with([[]], [[]])
    with pytest.raises(DataError, match="'0' has none"):
        list(localisation(empty, found_in(empty, [[]])))


@pytest.mark.parametrize(("labels", "measured"), [([[1], [2, 2]], True), ([[1], [2, 1]], False), ([[1], []], False)])
def test_localisation_is_measured_where_every_image_has_one_class(labels: list[list[int]], measured: bool) -> None:
    """As ImageNet's images do; elsewhere the error has no meaning."""
    truth = images_with([[A, B][: len(own)] for own in labels], labels)
    found = found_in(truth, [[(A, 1, 0.9)], []])
    values = dict(figures(truth, found, Detect()))
    assert values.get("localisation_top1_error_percent") == (50.0 if measured else None)
    assert ("localisation_top5_error_percent" in values) is measured


def test_overlap_is_intersection_over_union() -> None:
    """Equal, disjoint, half, and without area."""
    boxes = np.array([A, [10, 10, 20, 30], [50, 50, 60, 60], [0, 0, 0, 0]], float)
    assert overlap(np.array([A]), boxes).tolist() == [[1, 0.5, 0, 0]]


def test_batches_have_one_size() -> None:
    """Every image once, in batches of equal sizes: what a network sees does not depend on the others in its batch."""
    sizes = np.array([(3, 4), (4, 3), (3, 4), (3, 4), (4, 3), (5, 5)])
    batches = by_size(sizes, batch=2)
    assert sorted(np.concatenate(batches).tolist()) == list(range(6))
    assert all(len({tuple(sizes[k]) for k in batch}) == 1 and len(batch) <= 2 for batch in batches)
    assert by_size(np.zeros((0, 2), np.int64), batch=2) == ()
