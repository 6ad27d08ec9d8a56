"""Looks at an image are brought back, suppressed and refined; torchvision's suppression is the reference."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.evaluation.box_merging import mirrored_back, refined, scaled_back, survivors, united, voted
from resatlas.evaluation.detections import ImageDetections, of_output
from resatlas.nets.detector import detector
from resatlas.nets.refining import candidates
from resatlas.recipes.detection import C4, Detect, Refined
from resatlas.recipes.detection import Detections as DetectionRules
from tests.evaluation.found import scene


def found(*rows: tuple[list[float], int, float], image: str = "a") -> ImageDetections:
    """Boxes as x, y, width, height, with label and score."""
    return ImageDetections(
        image=image,
        boxes=np.array([box for box, _, _ in rows], float).reshape(-1, 4),
        labels=np.array([label for _, label, _ in rows], np.int64),
        scores=np.array([score for _, _, score in rows], float),
    )


def test_looks_are_brought_back() -> None:
    """A mirror of a mirror is the first look; a scale is undone along each axis."""
    first = found(([10, 20, 30, 40], 1, 0.9))
    assert mirrored_back(first, width=100).boxes.tolist() == [[60, 20, 30, 40]]
    assert mirrored_back(mirrored_back(first, width=100), width=100).boxes.tolist() == first.boxes.tolist()
    assert scaled_back(first, across=2.0, down=0.5).boxes.tolist() == [[5, 40, 15, 80]]
    with pytest.raises(UsageError, match="above 0"):
        scaled_back(first, across=0.0, down=1.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_is_torchvisions(seed: int, threshold: float) -> None:
    """The same detections in the same order, class by class."""
    _, everything = scene(seed)
    for image in everything.images:
        distinct = ImageDetections(
            image=image.image,
            boxes=image.boxes,
            labels=image.labels,
            scores=image.scores + 1e-6 * np.arange(len(image)),  # torchvision leaves the order of ties open
        )
        corners, scores = torch.from_numpy(distinct.corners), torch.from_numpy(distinct.scores)
        theirs = batched_nms(corners, scores, torch.from_numpy(distinct.labels), threshold)
        assert survivors(distinct, threshold).tolist() == theirs.tolist()


def test_united_looks_keep_the_best() -> None:
    """Of two looks at one object the better stays, classes apart, and at most so many."""
    looks = [found(([10, 10, 20, 20], 1, 0.6), ([10, 10, 20, 20], 2, 0.5)), found(([11, 10, 20, 20], 1, 0.8))]
    together = united(looks, threshold=0.5)
    assert together.scores.tolist() == [0.8, 0.5]
    assert together.boxes.tolist()[0] == [11, 10, 20, 20]
    assert len(united(looks, threshold=0.5, most=1)) == 1
    with pytest.raises(UsageError, match="got 2 at 2 images"):
        united([looks[0], found(image="b")], threshold=0.5)
    with pytest.raises(UsageError, match="got 0 at 0 images"):
        united([], threshold=0.5)


@pytest.mark.parametrize("regression", ["none", "own"])
def test_candidates_of_a_refinement_are_those_of_both_passes(regression: str) -> None:
    """Without regression both passes are equal, and a detector finds the same; else its boxes are among them."""
    torch.manual_seed(0)
    task = Detect(head=C4(pooled=4, anchors=(Fraction(1, 4),)), detections=DetectionRules(score=0.26))
    own = detector("resnet:depth=8,base=2", task, classes=3, image=Shape(3, 32, 32), seed=0).eval()
    if regression == "none":
        for parameter in own.roi_heads.box_predictor.bbox_pred.parameters():
            torch.nn.init.zeros_(parameter)
    images = torch.rand(2, 3, 32, 40)
    with torch.no_grad():
        once = [of_output(k, output) for k, output in enumerate(own(images))]
    for k, (both, expected) in enumerate(zip(candidates(own, images), once, strict=True)):
        everything = of_output(k, both)
        assert len(everything) > len(expected) > 0
        if regression == "none":
            again = refined(everything, Refined(nms=0.5, votes=1.0), most=100)
            np.testing.assert_allclose(again.boxes, expected.boxes, atol=1e-4)
            np.testing.assert_allclose(again.scores, expected.scores, atol=1e-5)
        else:
            distance = np.abs(everything.boxes[:, None] - expected.boxes[None]).max(axis=2).min(axis=0)
            assert (distance < 1e-4).all()


def test_votes_are_weighted_by_scores() -> None:
    """A box becomes the mean of those of its class that overlap it by a half; others have no vote; scores stay."""
    everything = found(
        ([10, 10, 20, 20], 1, 0.6),
        ([14, 10, 20, 20], 1, 0.2),
        ([10, 10, 20, 20], 2, 0.9),
        ([28, 10, 20, 20], 1, 0.9),
    )
    kept = everything.take(np.array([0]))
    refined = voted(kept, everything)
    assert refined.boxes.tolist()[0] == pytest.approx([11, 10, 20, 20])
    assert refined.scores.tolist() == [0.6]
    silent = found(([10, 10, 20, 20], 1, 0.0))
    assert voted(silent, silent).boxes.tolist() == silent.boxes.tolist()
    assert len(voted(found(), everything)) == 0
    with pytest.raises(UsageError, match="'b' are refined"):
        voted(found(image="b"), everything)
    with pytest.raises(UsageError, match="from 0; got -1"):
        voted(kept, found(([10, 10, 20, 20], 1, -1.0)))
