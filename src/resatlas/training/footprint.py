"""The memory of a training before it starts: by its plan, recipe, precision and processes. Needs no torch.

Sizes of tensors are exact: `nets.tape`, `nets.peak`. What the libraries take, and what lies idle between blocks, was
measured; benchmarks/memory.md compares the sums with trainings.
"""

from dataclasses import dataclass, fields, replace
from math import ceil, prod
from typing import Literal, assert_never

from resatlas.arch.cost import cost
from resatlas.arch.ops import Convolution, Norm, weights
from resatlas.arch.plan import Plan, layers
from resatlas.nets.peak import Kept, Peak, peak, peak_without_gradients
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.nets.tape import NARROW, WIDE, Tape, tape
from resatlas.nets.task_tape import head_norms, task_tape
from resatlas.recipes.detection import Classify, Task
from resatlas.recipes.recipe import Lamb, Muon, Precision, Recipe, Sgd
from resatlas.runs.environment import bf16_instructions

LIBRARIES = 780 << 20
"""Bytes of Python, torch and the other libraries once a training has begun.

Measured on 2026-11-29 with torch 2.14.1 for CUDA on a machine without GPU.
"""

SHARED = 355 << 20
"""Those of them that are pages of library files: processes share them, and the system drops them if it must."""

GPU_CONTEXT = 500 << 20
"""Bytes that CUDA itself takes on a GPU. Not measured: no GPU was at hand."""

_IDLE_SHARE, _IDLE_MAPS, _IDLE_COLUMNS, _MOST_IDLE_COLUMNS = 0.17, 8, 0.8, 2.0
"""Idle memory between blocks: a share of maps and gradients, and either so many of the largest map or a share of all
inputs of convolutions that are written out, whichever is more; of these at most so many times the maps.

glibc keeps a block that is too small for the next tensor. Fitted to trainings on 2026-11-29: benchmarks/memory.md.
"""

_IDLE_AGAIN = 110 << 20
"""Further idle memory where maps are computed again, fitted too: glibc is left as it is then, see `training.memory`."""

_READER = 60 << 20
"""Bytes of a process that reads images, besides what it shares with the training and its batches."""

_BATCHES_AHEAD = 2
"""Batches that each of them prepares ahead: `data.readers`."""

_COUNT = 8
"""Bytes of the number of batches that a norm has seen."""

_MUON = 4
"""Temporary copies of the kernels of one shape that Muon orthogonalises together."""

Where = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much one process of a training has at once: its images of a step, and how it computes.

    `tested` are the images of a pass of a test. `data_bytes` are those of images that lie in memory; `readers`
    processes read them from files. `scenes` are the sizes of images with objects, if objects or pixels are learnt.
    """

    batch: int
    processes: int = 1
    precision: Precision = "fp32"
    kept: Kept = "all"
    where: Where = "cpu"
    tested: int = 0
    data_bytes: int = 0
    readers: int = 0
    scenes: SceneSizes | None = None

    @property
    def share(self) -> int:
        """The images of a step in the process that has most of them."""
        return ceil(self.batch / self.processes)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes of one process of a training, at the moment at which it needs most, by what they are for.

    `maps` are those that the backward pass reads, with their gradients; `readers` are those of all processes that read
    images for it, and no part of its own.
    """

    libraries: int
    weights: int
    optimizer: int
    average: int
    exchange: int
    maps: int
    gradients: int
    batches: int
    images: int
    idle: int
    readers: int

    @property
    def total(self) -> int:
        """The bytes of the process and of those that read images for it."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def resident(self) -> int:
        """The bytes of the process itself."""
        return self.total - self.readers


def footprint(plan: Plan, recipe: Recipe, load: Load) -> Footprint:
    """The memory of one process of a training, at the moment at which a step or a test needs most.

    A step needs most near the end of its forward pass. The norm groups of a batch are passed one after another.
    """
    group = min(recipe.norm_group or load.share, load.share)
    most, image = _most(plan, recipe, load, group), _image_bytes(plan, load)
    network, learnt = _network_bytes(plan, recipe.task, load.scenes)
    batch, local = load.share * image, load.where == "cpu"
    return Footprint(
        libraries=LIBRARIES if local else GPU_CONTEXT,
        weights=network,
        optimizer=_optimizer_tensors(recipe) * learnt + _workspace(plan, recipe),
        average=network if recipe.average else 0,
        exchange=learnt if load.processes > 1 else 0,
        maps=most.maps,
        gradients=most.gradients,
        batches=batch + group * image,  # in the layout of the network, too
        images=load.data_bytes if local else 0,
        idle=_idle(most) + (load.kept != "all") * _IDLE_AGAIN if local else 0,
        readers=load.readers * (_READER + _BATCHES_AHEAD * batch) if local else 0,
    )


def machine_bytes(one: Footprint, processes: int) -> int:
    """The bytes of all processes of a training on one machine, which share the pages of library files."""
    shared = min(SHARED, one.libraries)
    return processes * (one.total - shared) + shared


def _most(plan: Plan, recipe: Recipe, load: Load, group: int) -> Peak:
    """The largest memory of maps and gradients: of a training pass, or of a test, during which gradients stay."""
    trained, tested = _passes(plan, recipe, load, group)
    most = peak(trained, kept=load.kept, accumulates=group < load.share)
    if tested is None:
        return most
    maps = peak_without_gradients(tested) + (load.tested - load.share) * _image_bytes(plan, load)
    in_test = most._replace(maps=maps, gradients=trained.weights)
    return max(most, in_test, key=lambda moment: moment.total)


def _passes(plan: Plan, recipe: Recipe, load: Load, group: int) -> tuple[Tape, Tape | None]:
    """The tape of a training pass of a norm group, and that of a test."""
    width = WIDE if load.precision == "fp32" else NARROW
    columns = load.where == "cpu" and not multiplies(load.precision)
    task = recipe.task
    if isinstance(task, Classify) or load.scenes is None:
        drops = recipe.stochastic_depth > 0
        trained = tape(plan, images=group, width=width, drops=drops, shake=recipe.shake, columns=columns)
        return trained, tape(plan, images=load.tested) if load.tested else None
    trained = task_tape(plan, task, load.scenes, images=group, width=width, columns=columns)
    return trained, task_tape(plan, task, load.scenes, images=load.tested, tested=True) if load.tested else None


def _image_bytes(plan: Plan, load: Load) -> int:
    """Bytes of an image of a batch, with the masks of its objects."""
    if load.scenes is None:
        return prod(plan.image) * WIDE
    return prod(load.scenes.sides(load.share)) * (plan.image.channels * WIDE + load.scenes.answer_bytes)


def _network_bytes(plan: Plan, task: Task, scenes: SceneSizes | None) -> tuple[int, int]:
    """The bytes of all weights and buffers, and those of the weights that are trained."""
    if isinstance(task, Classify) or scenes is None:
        parameters = cost(plan).parameters * WIDE
        return parameters + _buffers(plan), parameters
    every = task_tape(plan, replace(task, frozen=None), scenes, images=1).weights
    heads = sum(2 * channels * WIDE + _COUNT for channels in head_norms(plan, task))
    return every + _buffers(plan) + heads, task_tape(plan, task, scenes, images=1).weights


def _idle(most: Peak) -> int:
    columns = min(_IDLE_COLUMNS * most.columns, _MOST_IDLE_COLUMNS * most.maps)
    return int(_IDLE_SHARE * most.total + max(_IDLE_MAPS * most.largest, columns))


def multiplies(precision: Precision) -> bool:
    """Whether the processor multiplies in a precision."""
    return precision == "fp32" or (precision == "bf16" and bool(bf16_instructions()))


def checkpoint_bytes(plan: Plan, recipe: Recipe, scenes: SceneSizes | None = None) -> int:
    """Bytes of one checkpoint: weights and buffers, the state of the optimizer, the average."""
    network, learnt = _network_bytes(plan, recipe.task, scenes)
    return network + _optimizer_tensors(recipe) * learnt + (network if recipe.average else 0)


def _buffers(plan: Plan) -> int:
    """Bytes of the running statistics, and of the counts of batches."""
    norms = [layer.output.channels for _, layer in layers(plan) if isinstance(layer.op, Norm)]
    return sum(2 * channels * WIDE + _COUNT for channels in norms)


def _optimizer_tensors(recipe: Recipe) -> int:
    """Tensors of an optimizer's state that are as large as the parameters."""
    match recipe.optimizer:
        case Sgd(momentum=momentum):
            return int(momentum > 0)
        case Muon():
            return 1
        case Lamb():
            return 2
        case _:
            assert_never(recipe.optimizer)


def _workspace(plan: Plan, recipe: Recipe) -> int:
    """Temporary bytes of an update."""
    if not isinstance(recipe.optimizer, Muon):
        return 0
    by_shape: dict[tuple[int, ...], int] = {}
    for _, layer in layers(plan):
        if isinstance(layer.op, Convolution):
            shape = weights(layer.op, layer.input.channels, layer.output.channels)["weight"]
            by_shape[shape] = by_shape.get(shape, 0) + prod(shape) * WIDE
    return _MUON * max(by_shape.values(), default=0)
