"""Images with objects as batches: classes of pixels, padding, and a normalisation measured image by image."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from resatlas.data.annotated_batches import annotated_pipeline, class_map, grounded, padded
from resatlas.data.box_steps import shifted
from resatlas.data.boxes import AnnotatedImages, Annotations, Category, DetectionData, Sample
from resatlas.data.normalisation import Affine, measured
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Standardise


def sample(*objects: tuple[int, tuple[int, int, int, int], bool], sides: tuple[int, int] = (3, 4)) -> Sample:
    """A black image with objects: label, rectangle of the mask (rows from, to, columns from, to), crowd."""
    masks = np.zeros((len(objects), *sides), np.uint8)
    for mask, (_, (top, bottom, left, right), _) in zip(masks, objects, strict=True):
        mask[top:bottom, left:right] = 1
    target = {
        "boxes": torch.tensor([[left, top, right, bottom] for _, (top, bottom, left, right), _ in objects]).float(),
        "labels": torch.tensor([label for label, _, _ in objects], dtype=torch.int64),
        "ignore": torch.tensor([crowd for _, _, crowd in objects], dtype=torch.bool),
        "masks": torch.from_numpy(masks),
    }
    return Sample(torch.zeros(*sides, 3, dtype=torch.uint8), target | {"boxes": target["boxes"].reshape(-1, 4)})


def test_each_pixel_has_the_label_of_the_last_object_over_it() -> None:
    """Rows and columns as in the image, labels as in the data, crowds without a class, 0 elsewhere."""
    one = sample((2, (0, 1, 0, 3), False), (7, (0, 2, 2, 4), False), (1, (2, 3, 0, 2), True))
    assert class_map(grounded(one).target, 255).tolist() == [[2, 2, 7, 7], [0, 0, 7, 7], [255, 255, 0, 0]]


def test_an_image_without_objects_is_ground() -> None:
    """Of its own size."""
    assert class_map(grounded(sample()).target, 255).tolist() == [[0] * 4] * 3


def test_labels_may_be_beyond_a_byte() -> None:
    """The class that does not count is the task's, and 255 is a class as any other."""
    one = sample((255, (0, 1, 0, 1), False), (300, (0, 1, 1, 2), False), (1, (0, 1, 2, 3), True))
    assert class_map(grounded(one).target, -1)[0].tolist() == [255, 300, -1, 0]


def test_what_a_shift_brings_in_has_no_class() -> None:
    """Black pixels from outside are no ground that was labelled."""
    moved = shifted(grounded(sample((4, (0, 3, 3, 4), False))), -1, 2)
    assert class_map(moved.target, 255).tolist() == [[255] * 4, [0, 4, 255, 255], [0, 4, 255, 255]]


def test_padding_is_on_the_right_and_below() -> None:
    """To the largest height and the largest width of the batch, which may be of two images."""
    batch = padded([torch.ones(1, 2), torch.ones(2, 1)], 9)
    assert batch.tolist() == [[[1, 1], [9, 9]], [[1, 9], [1, 9]]]


def part(pictures: list[np.ndarray], alive: list[int]) -> AnnotatedImages:
    """Images without objects in memory; `alive` is appended the number of images that exist after each reading."""
    gone: list[int] = []

    def read(k: int) -> np.ndarray:
        image = pictures[k].copy()
        weakref.finalize(image, gone.append, k)
        alive.append(len(alive) + 1 - len(gone))
        return image

    n = len(pictures)
    return AnnotatedImages(
        categories=(Category(1, "cat"),),
        ids=tuple(range(n)),
        names=tuple(map(str, range(n))),
        sizes=np.array([image.shape[:2] for image in pictures]),
        objects=Annotations(
            starts=np.zeros(n + 1, np.int64),
            boxes=np.zeros((0, 4)),
            labels=np.zeros(0, np.int64),
            ignore=np.zeros(0, np.bool_),
            areas=np.zeros(0),
            ids=(),
        ),
        read=read,
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_a_normalisation_is_measured_image_by_image(workers: int) -> None:
    """Bit-equal to that of all pixels at once, with one image of each worker in memory."""
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (k + 2, 2 * k + 1, 3), np.uint8) for k in range(40)]
    pixels = np.concatenate([image.reshape(-1, 3) for image in pictures])
    whole = measured(Standardise(), torch.from_numpy(pixels.T.copy())[None, :, None])
    alive: list[int] = []
    images = part(pictures, alive)
    data = DetectionData(
        name="x", channels=3, categories=images.categories, mirror="allowed", note="", read=lambda: pytest.fail("read")
    )
    recipe = replace(NAMED["detect-quick"], steps=(Standardise(),))
    own = annotated_pipeline(recipe, data, images, workers=workers).normaliser
    assert isinstance(own, Affine)
    assert isinstance(whole, Affine)
    assert own.mean.equal(whole.mean)
    assert own.std.equal(whole.std)
    assert len(alive) == 40
    assert max(alive) <= workers + 1
