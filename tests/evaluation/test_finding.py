"""What is found in images and in their mirror images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resatlas.data.masks import encoded
from resatlas.data.normalisation import UNTOUCHED
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.detections import Detections
from resatlas.evaluation.finding import Found, Segmented, find
from resatlas.recipes.detection import Detect, Fpn, Segment
from resatlas.recipes.images import Centre, Flips
from resatlas.training.distributed import ALONE
from tests.evaluation.test_detection import A, B, images_with


class Bright(nn.Module):
    """Finds the bright pixels of an image as one object, which it is surer of the further left it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """One box for each image."""
        return [self.box_in(image[0] > 0.5) for image in images]

    def box_in(self, bright: Tensor) -> dict[str, Tensor]:
        """The box around the bright pixels."""
        rows, columns = (bright.any(dim=axis).nonzero().flatten() for axis in (1, 0))
        box = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        return {"boxes": box[None], "labels": torch.tensor([1]), "scores": 1 - box[:1] / 100}


class Pixels(Bright):
    """Says of every pixel whether it is bright."""

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Two logits a pixel."""
        return torch.stack([1 - images[:, 0], images[:, 0]], dim=1)


def seen(module: nn.Module, task: Detect | Segment, view: Centre | Flips) -> Found:
    """What a module finds in two images, each with an object left of the middle or right of it."""
    boxes = images_with([[A], [B]], [[1], [1]])

    def mask(k: int) -> np.ndarray:
        pixels = np.zeros((100, 100), np.uint8)
        x0, y0, x1, y1 = boxes.objects.boxes[k].astype(int)
        pixels[y0:y1, x0:x1] = 1
        return pixels

    def read(k: int) -> np.ndarray:
        return np.repeat(255 * mask(k)[..., None], 3, axis=2)

    truth = replace(boxes, objects=replace(boxes.objects, masks=(encoded(mask(0)), encoded(mask(1)))), read=read)
    pipeline = Pipeline(steps=(), normaliser=UNTOUCHED)
    return find(module, truth, pipeline, task, batch=2, processes=ALONE, view=view)


def test_an_object_in_an_image_and_in_its_mirror_image_is_one() -> None:
    """At its place in the image, with the higher of the two scores."""
    plain, both = (seen(Bright(), Detect(head=Fpn()), view) for view in (Centre(), Flips()))
    assert isinstance(plain, Detections)
    assert isinstance(both, Detections)
    for once, twice, box in zip(plain.images, both.images, (A, B), strict=True):
        assert once.corners.tolist() == twice.corners.tolist() == [box]
        assert once.scores.tolist() == pytest.approx([1 - box[0] / 100])
        assert twice.scores.tolist() == pytest.approx([max(1 - box[0] / 100, box[2] / 100)])


def test_pixels_of_an_image_and_of_its_mirror_image_are_averaged() -> None:
    """A network that sees each pixel alone gives the same classes."""
    plain, both = (seen(Pixels(), Segment(), view) for view in (Centre(), Flips()))
    assert isinstance(plain, Segmented)
    assert isinstance(both, Segmented)
    assert plain.matrix.sum() == 2 * 100 * 100
    assert plain.matrix.tolist() == both.matrix.tolist()
    for k, box in enumerate((A, B)):
        [one], [other] = plain.masks.images[k].masks, both.masks.images[k].masks
        assert plain.masks.images[k].corners.tolist() == [box]
        assert one.compressed() == other.compressed()
