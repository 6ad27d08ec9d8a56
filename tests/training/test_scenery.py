"""Batches of images with objects: pixels and answers belong together, whatever the sizes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from resatlas.data.annotated import resolve_annotated
from resatlas.data.boxes import AnnotatedImages
from resatlas.data.normalisation import UNTOUCHED
from resatlas.data.pipeline import Pipeline
from resatlas.recipes.detection import Detect, Segment
from resatlas.recipes.images import Flip, PadCrop, Step
from resatlas.training.detecting import Scenes
from resatlas.training.scenery import Scenery
from tests.data.annotated import annotation, image, write_coco, write_images
from tests.data.pictures import picture

OUTLINE = [4, 5, 14, 5, 14, 13, 4, 13]
CROWD = [20, 2, 28, 2, 28, 8, 20, 8]


@pytest.fixture
def images(tmp_path: Path) -> AnnotatedImages:
    """Three images to test on: an owl and a crowd, none, and a dog in a larger image."""
    objects = [
        annotation(1, category=90, segmentation=[OUTLINE]),
        annotation(2, iscrowd=1, bbox=[20, 2, 8, 6], segmentation=[CROWD]),
        annotation(3, image=3, category=7, segmentation=[OUTLINE]),
    ]
    entries = [image(1, "a.png"), image(2, "b.png"), image(3, "c.png", 26, 36)]
    root = write_coco(tmp_path, objects, images=entries)
    write_images(root / "val2017", "c.png", size=(36, 26))
    return resolve_annotated(str(root), masks="with masks").read().test


def batches(images: AnnotatedImages, task: Detect | Segment, *steps: Step, epoch: int = 0) -> Iterator[Scenes]:
    """The batches of an epoch, of which the first has all images."""
    pipeline = Pipeline(steps=steps, normaliser=UNTOUCHED)
    scenery = Scenery(images=images, pipeline=pipeline, mirror="allowed", task=task, leftover="kept")
    return scenery.batches(seed=0, epoch=epoch, batch=3, start=0, share=lambda positions: positions)


def in_order(scenes: Scenes) -> tuple[list[Tensor], list[Tensor]]:
    """Images and answers of a segmentation by the positions of the images."""
    order = scenes.ids.argsort().tolist()
    assert isinstance(scenes.answers, Tensor)
    return [scenes.images[k] for k in order], [scenes.answers[k] for k in order]


def targets(scenes: Scenes) -> dict[int, dict[str, Tensor]]:
    """The answers of a detection by the positions of the images."""
    assert not isinstance(scenes.answers, Tensor)
    return dict(zip(scenes.ids.tolist(), scenes.answers, strict=True))


def expected(label: int, height: int, width: int) -> np.ndarray:
    """The classes of an image with one object, padded to 36 x 30."""
    classes = np.full((36, 30), 255)
    classes[:height, :width] = 0
    if label:
        classes[5:13, 4:14] = label
    return classes


def test_images_of_several_sizes_are_padded_without_a_class(images: AnnotatedImages) -> None:
    """Rows are rows, labels are those of the categories, a crowd has none, an empty image is ground."""
    [scenes] = batches(images, Segment())
    pixels, classes = in_order(scenes)
    first = expected(3, 20, 30)
    first[2:8, 20:28] = 255
    assert (classes[0].numpy() == first).all()
    assert (classes[1].numpy() == expected(0, 20, 30)).all()
    assert (classes[2].numpy() == expected(2, 36, 26)).all()
    assert [tuple(image.shape) for image in pixels] == [(3, 36, 30)] * 3
    third = np.asarray(picture(0, size=(36, 26))).transpose(2, 0, 1) / 255
    assert np.abs(pixels[2][:, :, :26].numpy() - third).max() < 1e-6
    assert not pixels[2][:, :, 26:].any()


def test_classes_move_with_the_pixels(images: AnnotatedImages) -> None:
    """A mirrored image has mirrored classes, and what a crop brings in has none."""
    owl = images.take(np.array([0]))
    straight, [classes] = in_order(next(batches(owl, Segment())))
    sides: set[bool] = set()
    for epoch in range(6):
        [scenes] = batches(owl, Segment(), Flip(), epoch=epoch)
        pixels, moved = in_order(scenes)
        mirrored = not pixels[0].equal(straight[0])
        sides.add(mirrored)
        assert moved[0].equal(classes.flip(1) if mirrored else classes)
        assert pixels[0].equal(straight[0].flip(2) if mirrored else straight[0])
    assert sides == {False, True}
    [scenes] = batches(images.take(np.array([1])), Segment(), PadCrop())
    [pixels], [classes] = in_order(scenes)
    black = (pixels == 0).all(dim=0)
    assert black.any()
    assert (classes[black] == 255).all()
    assert (classes[~black] == 0).all()


def test_empty_images_are_a_batch(images: AnnotatedImages) -> None:
    """Without boxes for a detector, and all ground for a segmenter."""
    empty = images.take(np.array([1]))
    [scenes] = batches(empty, Detect())
    assert targets(scenes)[0]["boxes"].shape == (0, 4)
    [scenes] = batches(empty, Segment())
    assert not torch.as_tensor(scenes.answers).any()


def test_a_detector_keeps_the_sizes(images: AnnotatedImages) -> None:
    """A list of images, whose boxes are those of the annotations."""
    [scenes] = batches(images, Detect())
    shapes = {k: tuple(image.shape) for k, image in zip(scenes.ids.tolist(), scenes.images, strict=True)}
    assert shapes == {0: (3, 20, 30), 1: (3, 20, 30), 2: (3, 36, 26)}
    assert targets(scenes)[2]["boxes"].tolist() == [[4, 5, 14, 13]]
    assert targets(scenes)[0]["ignore"].tolist() == [False, True]
