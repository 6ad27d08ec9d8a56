"""The tape of a segmenter: `nets.segmenter` with sizes in the place of values."""

from math import prod
from typing import assert_never

from resatlas.arch.ops import Convolution, Dropout, Norm, Relu, Shape
from resatlas.arch.plan import Plan
from resatlas.nets.network_tape import before_pool, biased, head_layers, record_network
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.nets.tape import WIDE, Recorder, Tape, Tensor
from resatlas.recipes.detection import DeepLab, Fcn, Segment

ASPP_CHANNELS = 256
"""Channels of each part of DeepLab's head. Source: `torchvision.models.segmentation.deeplabv3`."""

_PIXEL = 24
"""Bytes of a pixel beside its logits: its class, once more if it is labelled, and the weight of its class."""


def segmenter_tape(plan: Plan, task: Segment, scenes: SceneSizes, recorder: Recorder, *, tested: bool) -> Tape:
    """The tape of a pass; strides of the plan are dilated already."""
    batch = Tensor(recorder.images * prod(plan.image) * WIDE, leaf=True)
    network = record_network(plan, recorder, batch, stages=len(plan.stages), frozen=task.frozen)
    last = plan.stages[-1][-1].output
    maps = before_pool(plan, recorder, network.outputs[-1])
    shape = last._replace(channels=plan.head[0].input.channels * plan.heads)
    match task.head:
        case Fcn():
            hidden = shape.channels // 4
            layers = (Convolution(3), hidden), (Norm(), hidden), (Relu(), hidden), (Dropout(0.1), hidden)
            maps = recorder.chain(head_layers(shape, *layers, (biased(1), scenes.classes)), maps)
        case DeepLab(rates=rates):
            maps = _deeplab(recorder, maps, shape, rates, scenes.classes)
        case _:
            assert_never(task.head)
    logits = recorder.images * scenes.classes * plan.image.height * plan.image.width * WIDE
    maps = recorder.record(maps, output=Tensor(logits, WIDE))
    if tested:
        network.held(recorder)
    else:
        shares = Tensor(logits, WIDE)
        pixels = recorder.images * plan.image.height * plan.image.width
        recorder.record(maps, output=shares, stored=(shares,), workspace=pixels * _PIXEL)
    return Tape(images=batch, stem=network.stem, stages=network.stages, head=recorder.taken())


def _deeplab(recorder: Recorder, maps: Tensor, shape: Shape, rates: tuple[int, ...], classes: int) -> Tensor:
    """Convolutions of several rates side by side, the mean of all pixels, and two convolutions."""
    own, after = ASPP_CHANNELS, ((Norm(), ASPP_CHANNELS), (Relu(), ASPP_CHANNELS))
    first = [Convolution(1), *(Convolution(3, dilation=rate) for rate in rates)]
    parts = [recorder.chain(head_layers(shape, (op, own), *after), maps) for op in first]
    pixel = Shape(shape.channels, 1, 1)
    mean = recorder.record(maps, size=recorder.images * shape.channels * recorder.width)
    mean = recorder.chain(head_layers(pixel, (Convolution(1), own), *after), mean)
    parts.append(recorder.record(mean, size=parts[0].bytes))
    joined = shape._replace(channels=own * len(parts))
    project = (Convolution(1), own), *after, (Dropout(0.5), own), (Convolution(3), own), *after, (biased(1), classes)
    return recorder.chain(head_layers(joined, *project), recorder.joined(parts))
