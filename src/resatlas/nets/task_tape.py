"""The tape of whatever is learnt by a network: labels, objects or classes of pixels. Needs no torch.

What a training samples is not known beforehand: a tape has as many regions as the task samples at most, as many of them
with a mask as may be objects, and images of the largest sides. `tests/nets/test_task_tape.py` compares its peak with
torch's allocator.
"""

from math import ceil
from typing import assert_never

from resatlas.arch.dilation import with_stride
from resatlas.arch.levels import plan_levels
from resatlas.arch.plan import Plan
from resatlas.arch.sizing import sized
from resatlas.nets.detector_tape import DetectorRecorder
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.nets.segmenter_tape import ASPP_CHANNELS, segmenter_tape
from resatlas.nets.tape import WIDE, Recorder, Tape
from resatlas.recipes.detection import DeepLab, Detect, Fcn, Segment


def task_tape(
    plan: Plan,
    task: Detect | Segment,
    scenes: SceneSizes,
    *,
    images: int,
    width: int = WIDE,
    columns: bool = False,
    tested: bool = False,
) -> Tape:
    """The tape of a training pass of some images, or of a test; a value of a map has `width` bytes.

    `columns` are those of `nets.tape`.
    Raises: DesignError, ImageError if the head does not fit the network or the images.
    """
    height, width_of_image = scenes.sides(images, tested=tested)
    if isinstance(task, Detect):
        height, width_of_image = (_padded(side, plan) for side in (height, width_of_image))
    plan = sized(plan, height=height, width=width_of_image)
    recorder = Recorder(images=images, width=width, drops=False, shake=None, columns=columns)
    match task:
        case Detect():
            return DetectorRecorder(plan=plan, task=task, scenes=scenes, recorder=recorder, tested=tested).tape()
        case Segment():
            return segmenter_tape(with_stride(plan, task.stride), task, scenes, recorder, tested=tested)
        case _:
            assert_never(task)


def _padded(side: int, plan: Plan) -> int:
    """A side of a batch of a detector: a multiple of the coarsest stride."""
    stride = plan_levels(plan)[-1].stride
    return ceil(side / stride) * stride


def head_norms(plan: Plan, task: Detect | Segment) -> tuple[int, ...]:
    """The channels of each norm in the head of a task."""
    if isinstance(task, Detect):
        return ()
    match task.head:
        case Fcn():
            return (plan_levels(plan)[-1].channels // 4,)
        case DeepLab(rates=rates):
            return (ASPP_CHANNELS,) * (len(rates) + 4)
        case _:
            assert_never(task.head)
