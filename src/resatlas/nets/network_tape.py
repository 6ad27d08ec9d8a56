"""The part of a tape that is a network inside a detector or a segmenter, and layers of heads."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from resatlas.arch.ops import Convolution, GlobalPool, Op, Shape
from resatlas.arch.plan import Chain, Layer, Plan
from resatlas.nets.tape import Operation, Recorder, Tensor
from resatlas.recipes.detection import Frozen


class NetworkTape(NamedTuple):
    """The operations of the stem and of each unit of some stages, and the streams after the stem and each stage."""

    stem: Sequence[Operation]
    begun: list[Tensor]
    stages: list[Sequence[Sequence[Operation]]]
    outputs: list[list[Tensor]]

    def held(self, recorder: Recorder) -> None:
        """Hold the maps of the stem and of every stage until now, as the features of a network are."""
        recorder.record(*dict.fromkeys(maps for streams in (self.begun, *self.outputs) for maps in streams), size=0)


def record_network(plan: Plan, recorder: Recorder, batch: Tensor, *, stages: int, frozen: Frozen | None) -> NetworkTape:
    """The stem and the first stages."""
    freeze(recorder, frozen, stage=-1)
    streams = recorder.begin(plan, batch)
    made = NetworkTape(recorder.taken(), streams, [], [])
    for s, units in enumerate(plan.stages[:stages]):
        freeze(recorder, frozen, stage=s)
        streams, operations = recorder.stage(units, streams)
        made.stages.append(operations)
        made.outputs.append(streams)
    recorder.frozen = "nothing"
    return made


def freeze(recorder: Recorder, frozen: Frozen | None, *, stage: int) -> None:
    """Record what follows as a stage is trained: without weights that are frozen. The stem is stage -1."""
    if frozen is not None:
        recorder.frozen = "everything" if stage < frozen.stages and frozen.stages else "norms"


def before_pool(plan: Plan, recorder: Recorder, streams: Sequence[Tensor]) -> Tensor:
    """The maps that the global pool of each head reads, of all heads side by side."""
    chain = tuple(takewhile(lambda layer: not isinstance(layer.op, GlobalPool), plan.head))
    heads = streams if plan.heads > 1 else [recorder.joined(streams)]
    return recorder.joined([recorder.chain(chain, maps) for maps in heads])


def head_layers(shape: Shape, *steps: tuple[Op, int]) -> Chain:
    """Layers one after another on maps of `shape`, whose sides stay: operations, and the channels after them."""
    layers = []
    for op, channels in steps:
        layers.append(Layer(op.role, op, shape, shape._replace(channels=channels)))
        shape = layers[-1].output
    return tuple(layers)


def biased(kernel: int) -> Convolution:
    """A convolution with a bias."""
    return Convolution(kernel, bias=0.0)
