"""What the figures of a task mean, in sentences: the measure, the head that finds, the threshold of scores."""

from collections.abc import Iterator
from typing import assert_never

from resatlas.recipes.detection import Classify, Detect, Segment, Task
from resatlas.recipes.task_text import task_facts


def reading(task: Task) -> Iterator[str]:
    """Sentences for the reader of a report; none about classification.

    Source: the measures of boxes are those of COCO (cocodataset.org, detection evaluation).
    """
    match task:
        case Classify():
            return
        case Detect():
            yield f"The network finds {_finds(task)}."
            yield (
                "AP is COCO’s average precision in percent: the mean of the precision over all recalls, over classes, "
                "and over IoUs from 0.5 to 0.95; AP50 and AP75 are those at an IoU of 0.5 and 0.75. AR is the largest "
                "recall with so many boxes for each image. The test error is 100 - AP."
            )
            yield (
                "A score orders the boxes; it is not a calibrated probability. Boxes with a score below "
                f"{task.detections.score:g} are not reported; AP counts all others, at most {task.detections.most} of "
                "an image. To use the network choose a higher threshold, as with resatlas predict --score: it finds "
                "fewer objects, and fewer false boxes."
            )
        case Segment():
            yield f"The network finds {_finds(task)}."
            yield (
                "IoU of a class is the number of pixels that have it and are given it, divided by that of pixels that "
                "have it or are given it, in percent, over all test images together. Mean IoU is the mean over the "
                "classes, the ground among them. The test error is 100 - mean IoU. Every pixel is given "
                "a class: there is no score and no threshold."
            )
        case _:
            assert_never(task)


def _finds(task: Task) -> str:
    return dict(task_facts(task))["finds"]
