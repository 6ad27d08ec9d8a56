"""The tape of a detector: `nets.detector` with sizes in the place of values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import NamedTuple, assert_never

from resatlas.arch.levels import plan_levels
from resatlas.arch.ops import Linear, MaxPool, Relu, Shape
from resatlas.arch.plan import Layer, Plan
from resatlas.arch.sizing import sized
from resatlas.errors import DesignError
from resatlas.nets.network_tape import NetworkTape, before_pool, biased, freeze, head_layers, record_network
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.nets.tape import WIDE, Operation, Recorder, Tape, Tensor
from resatlas.recipes.detection import C4, Detect, Fpn, Masks

_BOX = 4 * WIDE
"""Bytes of a box."""

_DECODED = 8 * _BOX
"""Bytes of an anchor while it becomes a proposal: itself, its shifts, its centre and sides, and the box.
Source: the temporaries of `BoxCoder.decode_single` in `torchvision.models.detection._utils`."""

_OVERLAP = 7 * WIDE
"""Bytes of an anchor and an object while their overlap is computed: corners, sides and areas.
Source: the temporaries of `torchvision.ops.box_iou`."""


class Level(NamedTuple):
    """The maps of a level, and their shape."""

    maps: Tensor
    shape: Shape


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectorRecorder:
    """Records a detector on images of the plan; methods have the names of the parts that they stand for.

    `recorder` is for whole images.
    """

    plan: Plan
    task: Detect
    scenes: SceneSizes
    recorder: Recorder
    tested: bool

    def tape(self) -> Tape:
        """The tape of a training pass, or of a test.

        Raises: DesignError if the network has no stage or level for the head.
        """
        batch = Tensor(self.recorder.images * prod(self.plan.image) * WIDE, leaf=True)
        match self.task.head:
            case C4() as head:
                return self._of_last_stage(head, batch)
            case Fpn() as head:
                return self._of_pyramid(head, batch)
            case _:
                assert_never(self.task.head)

    @property
    def regions(self) -> int:
        """The regions of an image at most."""
        in_training, in_test = self.task.proposals.after
        return in_test if self.tested else min(self.task.regions.sampled, in_training + self.scenes.objects)

    @property
    def masked(self) -> int:
        """The regions of an image that get a mask at most."""
        own = self.task.regions
        return self.task.detections.most if self.tested else int(own.sampled * own.positive)

    def _of_last_stage(self, head: C4, batch: Tensor) -> Tape:
        network = self._network(batch, stages=len(self.plan.stages) - 1)
        if not network.outputs:
            raise DesignError("C4 needs a network of at least 2 stages, since its last one runs on regions; got 1")
        level = plan_levels(self.plan)[-2]
        shape = self.plan.stages[-2][-1].output._replace(channels=level.channels)
        trunk = Level(self.recorder.joined(network.outputs[-1]), shape)
        self.proposals([trunk], anchors=len(head.anchors) * len(self.task.ratios))
        side = head.pooled * level.stride
        region = sized(self.plan, height=side, width=side)
        own = self._of_regions(self.regions)
        streams = self._entering(region, self.pool([trunk], head.pooled, own), own)
        selecting = self.recorder.taken()
        streams, last = own.stage(region.stages[-1], streams)
        features = own.end(region, streams)
        ending = len(own.operations)
        self.boxes(features, region.head[-1].output.channels)
        if self.task.masks is not None:
            own = self._of_regions(self.masked)
            streams = self._entering(region, self.pool([trunk], head.pooled, own), own)
            for unit in region.stages[-1]:
                streams = own.unit(unit, streams)
            maps = before_pool(region, own, streams)
            channels = region.head[0].input.channels * region.heads
            shape = region.stages[-1][-1].output._replace(channels=channels)
            self.masks(self.task.masks, maps, shape, self._of_regions(self.masked))
            last = [tuple(map(_without_weights, unit)) for unit in last]  # they have those of the second time
            self.recorder.operations[:ending] = map(_without_weights, self.recorder.operations[:ending])
        stages = [*network.stages, last]
        return Tape(images=batch, stem=network.stem, stages=stages, before_last=selecting, head=self.recorder.taken())

    def _of_pyramid(self, head: Fpn, batch: Tensor) -> Tape:
        network, recorder = self._network(batch, stages=len(self.plan.stages)), self.recorder
        maps = [recorder.joined(streams) for streams in network.outputs[:-1]]
        maps.append(before_pool(self.plan, recorder, network.outputs[-1]))
        read = [
            Level(maps[level.stage], self.plan.stages[level.stage][-1].output._replace(channels=level.channels))
            for level in plan_levels(self.plan)
            if level.stride >= head.finest
        ]
        if not read:
            raise DesignError(f"no level has a stride of at least {head.finest}")
        levels = self.pyramid(read, head.channels)
        if self.tested:
            network.held(recorder)
        self.proposals(levels, anchors=len(self.task.ratios))
        own = self._of_regions(self.regions)
        pooled, inputs = self.pool(levels[:-1], head.pooled, own), head.channels * head.pooled**2
        layers = (Linear(), head.hidden), (Relu(), head.hidden), (Linear(), head.hidden), (Relu(), head.hidden)
        self.boxes(own.chain(head_layers(Shape(inputs, 1, 1), *layers), pooled), head.hidden)
        if self.task.masks is not None:
            masks, own = self.task.masks, self._of_regions(self.masked)
            shape = Shape(head.channels, masks.pooled, masks.pooled)
            layers = ((biased(3), masks.width), (Relu(), masks.width)) * masks.layers
            maps_of_regions = own.chain(head_layers(shape, *layers), self.pool(levels[:-1], masks.pooled, own))
            self.masks(
                masks, maps_of_regions, shape._replace(channels=masks.width if masks.layers else head.channels), own
            )
        return Tape(images=batch, stem=network.stem, stages=network.stages, head=recorder.taken())

    def pyramid(self, read: Sequence[Level], channels: int) -> list[Level]:
        """The levels from fine to coarse, with one more that is subsampled."""
        recorder, above = self.recorder, None
        made: list[Level] = []
        for maps, shape in reversed(read):
            own = recorder.chain(head_layers(shape, (biased(1), channels)), maps)
            if above is not None:
                own = recorder.record(own, recorder.record(above, size=own.bytes), passes_on=True)
            above, shape = own, shape._replace(channels=channels)
            made.insert(0, Level(recorder.chain(head_layers(shape, (biased(3), channels)), own), shape))
        last, shape = made[-1]
        after = Shape(channels, ceil(shape.height / 2), ceil(shape.width / 2))
        return [*made, Level(recorder.layer(Layer("pool", MaxPool(1, 2), shape, after), last), after)]

    def proposals(self, levels: Sequence[Level], *, anchors: int) -> None:
        """The region proposals of every level, whose layers are the same, with `anchors` boxes at each position."""
        recorder, positions = self.recorder, 0
        scores: list[Tensor] = []
        shifts: list[Tensor] = []
        for k, (maps, shape) in enumerate(levels):
            begin = len(recorder.operations)
            channels = shape.channels
            hidden = recorder.chain(head_layers(shape, (biased(3), channels), (Relu(), channels)), maps)
            scores.append(recorder.chain(head_layers(shape, (biased(1), anchors)), hidden))
            shifts.append(recorder.chain(head_layers(shape, (biased(1), 4 * anchors)), hidden))
            if k < len(levels) - 1:
                recorder.operations[begin:] = map(_without_weights, recorder.operations[begin:])
            positions += shape.height * shape.width
        boxes = positions * anchors
        recorder.record(*scores, size=sum(own.bytes for own in scores))
        compared = 0 if self.tested else self.scenes.objects * _OVERLAP  # image by image
        workspace = boxes * max(recorder.images * _DECODED, compared)
        recorder.record(*shifts, size=sum(own.bytes for own in shifts), workspace=workspace)

    def pool(self, levels: Sequence[Level], side: int, own: Recorder) -> Tensor:
        """The maps of regions: from one level, or of several the sum over levels of those that come from it.

        How many come from which level is not known: each has the same number here.
        """
        size = own.images * levels[0].shape.channels * side**2 * own.width
        places = Tensor(own.images * (_BOX + WIDE))
        if len(levels) == 1:
            return own.record(
                levels[0].maps, size=size, stored=(places,), workspace=self._in_float(levels[0].maps, size)
            )
        pooled = Tensor(size // own.width * WIDE, leaf=True)
        for maps, _ in levels:
            part = size // len(levels)
            regions = own.record(maps, size=part, stored=(places,), workspace=self._in_float(maps, part))
            pooled = own.record(pooled, regions, size=pooled.bytes)
        return pooled

    def _in_float(self, maps: Tensor, size: int) -> int:
        """Bytes of maps and regions in float32, in which regions are pooled, if they are narrower."""
        return (maps.bytes + size) * WIDE // self.recorder.width if self.recorder.width < WIDE else 0

    def boxes(self, features: Tensor, channels: int) -> None:
        """The class and the box of each region."""
        own, classes = self._of_regions(self.regions), self.scenes.classes + 1
        shape = Shape(channels, 1, 1)
        logits = own.chain(head_layers(shape, (Linear(), classes)), features)
        if not self.tested:
            shares = Tensor(own.images * classes * WIDE)
            own.record(logits, output=shares, stored=(shares,))
        shifts = own.chain(head_layers(shape, (Linear(), 4 * classes)), features)
        if self.tested:
            own.record(shifts, workspace=own.images * classes * _DECODED)

    def masks(self, masks: Masks, maps: Tensor, shape: Shape, own: Recorder) -> None:
        """The mask of each region for each class, twice as large; a test puts those of found objects into images."""
        channels, (_, height, width) = shape.channels, self.plan.image
        large = Shape(masks.width, 2 * shape.height, 2 * shape.width)
        weights = (4 * channels + 1) * masks.width * WIDE
        large_maps = own.record(
            maps,
            size=own.images * prod(large) * own.width,
            stored=(maps,),
            weights=weights,
            workspace=2 * weights,
        )
        large_maps = own.chain(
            head_layers(large, (Relu(), masks.width), (biased(1), self.scenes.classes + 1)), large_maps
        )
        pixels = own.images * large.height * large.width * WIDE
        logits = own.record(large_maps, size=pixels)
        if self.tested:
            own.record(logits, size=own.images * height * width * WIDE, workspace=self.masked * height * width * WIDE)
        else:
            wanted = self.scenes.objects * height * width * WIDE  # the masks of an image's objects as numbers
            own.record(logits, output=Tensor(WIDE), stored=(logits, Tensor(pixels)), workspace=wanted)

    def _entering(self, region: Plan, pooled: Tensor, own: Recorder) -> list[Tensor]:
        """The streams of pooled regions that the last stage reads; it is recorded next."""
        freeze(own, self.task.frozen, stage=len(region.stages) - 1)
        count = len(region.stages[-1][0].streams)
        return [pooled] if count == 1 else [own.record(pooled, size=pooled.bytes // count) for _ in range(count)]

    def _network(self, batch: Tensor, *, stages: int) -> NetworkTape:
        return record_network(self.plan, self.recorder, batch, stages=stages, frozen=self.task.frozen)

    def _of_regions(self, count: int) -> Recorder:
        """A recorder of so many regions of each image, which records into the same tape."""
        return replace(self.recorder, images=self.recorder.images * count)


def _without_weights(operation: Operation) -> Operation:
    """An operation whose weights already have a gradient, to which another one is added."""
    return replace(operation, weights=0, workspace=operation.workspace + operation.weights)
