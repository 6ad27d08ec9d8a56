"""The speed of input pipelines: ours, in memory, against torchvision's transforms in a DataLoader with two workers.

Both pad by 4 pixels, crop, mirror and normalise the same images, random bytes of CIFAR's size and number, in batches of
the same size and in random order. Then a training takes steps, and both the wait for each batch and the step are timed.
"""

import time
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from resatlas.analysis.probes import Fact
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.rows import Measured, View
from resatlas.bench.stopwatch import AGAINST_PEER, against_peer, alternate, spread
from resatlas.data import catalog as datasets
from resatlas.data.batches import batches, pipeline_for
from resatlas.data.dataset import ImageSet
from resatlas.designs import catalog as designs
from resatlas.recipes import catalog as recipes
from resatlas.recipes.constants import CIFAR_10
from resatlas.recipes.recipe import Precision
from resatlas.runs.environment import installed_version
from resatlas.runs.experiment import Experiment
from resatlas.training.distributed import ALONE
from resatlas.training.loop import CPU, TrainingPlan, epoch, labelled, step
from resatlas.training.planning import plan_training
from resatlas.training.precision import automatic_precision
from resatlas.training.splits import Splits
from resatlas.training.starting import first_state
from resatlas.training.state import TrainState
from resatlas.values.table import Column, Table

IMAGES = 50_000
"""The images of an epoch; source: CIFAR's training part."""

_RECIPE = "fb-cifar"
"""A recipe that normalises by constants, mirrors, pads and crops."""

DESIGN = "resnet-20"

_WORKERS = 2
_BATCH = 128
_ROUNDS = 5

STEPS = 48
_FEWEST_STEPS = 8
_MOST_SECONDS = 40.0
"""Number of timed training steps; fewer, but at least `_FEWEST_STEPS`, if they take longer than `_MOST_SECONDS`."""

COLUMNS = (
    Column("batch", "images"),
    *AGAINST_PEER,
    Column("rounds", "rounds"),
    Column("wait_seconds", "s"),
    Column("step_seconds", "s"),
    Column("waiting_percent", "%"),
)
"""`wait` is the time until a training step has its batch, `step` its time from then on.

Both are medians; the percentage is a ratio of sums.
"""

_VIEWS = (
    View("Images a second", tuple(column.name for column in COLUMNS[:11])),
    View("What a training step waits for", ("batch", *(column.name for column in COLUMNS[11:]))),
)


def measure(options: Options, on_advance: Advance) -> Measured:
    """Both pipelines in turns within one run, then the training."""
    torch.set_num_threads(contest.threads())
    batch, rounds = options.batch or _BATCH, options.rounds or _ROUNDS
    images = random_images(IMAGES)
    precision, _ = automatic_precision(CPU)
    plan, state = training(images, batch=batch, precision=precision)
    loader = DataLoader(
        Photographs(images),
        batch_size=batch,
        shuffle=True,
        num_workers=_WORKERS,
        drop_last=True,
        persistent_workers=True,
    )
    seconds = alternate(
        {"ours": lambda: _count_batches(plan), "peer": lambda: _count_batches_of(loader)},
        rounds=rounds,
        on_advance=lambda done, total: on_advance("epochs", done, total),
    )
    count = len(images) // batch * batch
    times = timed_steps(state, plan, on_advance)
    row = (
        batch,
        *against_peer(count, seconds),
        rounds,
        spread(times.waits).median,
        spread(times.steps).median,
        100 * sum(times.waits) / (sum(times.waits) + sum(times.steps)),
    )
    return Measured(
        question="input",
        title=f"Images of {images.images.shape[1:]} made into batches: padded and cropped, mirrored, normalised",
        rows=Table(title="Input", columns=COLUMNS, rows=(row,)),
        views=_VIEWS,
        facts=(
            Fact(name="images", unit="images", value=len(images)),
            Fact(name="threads of ours", unit="", value=torch.get_num_threads()),
            Fact(name="workers of the peer", unit="", value=_WORKERS),
            Fact(
                name="training",
                unit="",
                value=f"{DESIGN}, {precision}, one process of all threads, {len(times.steps)} steps",
            ),
            Fact(name="torchvision", unit="", value=installed_version("torchvision")),
        ),
        notes=(
            "ours: the images are bytes in memory, and the training process transforms a whole batch at once while it "
            "waits. peer: torchvision.transforms.v2 (RandomCrop, RandomHorizontalFlip, ToImage, ToDtype, Normalize) "
            "on one image at a time, as from torchvision's CIFAR-10, in a DataLoader with persistent workers; the "
            "training process only waits. low and high are quartiles over rounds of one epoch each.",
        ),
    )


def random_images(count: int) -> ImageSet:
    """Random bytes as images of CIFAR-10."""
    draw = np.random.Generator(np.random.PCG64(0))
    shape = datasets.resolve("cifar-10").image
    images = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
    return ImageSet(images=images, labels=np.arange(count) % 10, ids=np.arange(count))


def training(images: ImageSet, *, batch: int, precision: Precision) -> tuple[TrainingPlan, TrainState]:
    """The plan and the first state of a training on the images."""
    data = datasets.resolve("cifar-10")
    recipe = replace(recipes.resolve(_RECIPE), batch=batch, norm_group=None, precision=precision, leftover="dropped")
    experiment = Experiment(design=DESIGN, data=data.name, recipe=recipe)
    pipeline = pipeline_for(recipe, data, images)
    state = first_state(designs.plan(DESIGN, image=data.image, classes=len(data.classes)), experiment)
    splits = Splits(train=images, validation=None, test=images, pipeline=pipeline)
    return plan_training(experiment, splits, ALONE, state), state


def _count_batches(plan: TrainingPlan) -> int:
    """Prepare all batches of one epoch of ours, and count them."""
    return sum(1 for _ in batches(labelled(plan.images), plan.pipeline, seed=0, epoch=0, batch=plan.recipe.batch))


def _count_batches_of(loader: "DataLoader[tuple[Tensor, int]]") -> int:
    """Prepare all batches of one epoch of a loader, and count them."""
    return sum(1 for _ in loader)


class Photographs(Dataset[tuple[Tensor, int]]):
    """Images like torchvision's CIFAR-10: one transformed PIL image and its class at a time.

    Source: torchvision/datasets/cifar.py, __getitem__.
    """

    def __init__(self, images: ImageSet) -> None:
        self._images: NDArray[np.uint8] = images.images.transpose(0, 2, 3, 1).copy()
        self._labels: list[int] = images.labels.tolist()
        side = images.images.shape[-1]
        self._transform = v2.Compose(
            [
                v2.RandomCrop(side, padding=side // 8),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([mean / 255 for mean in CIFAR_10.mean], [deviation / 255 for deviation in CIFAR_10.std]),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of each training step: the wait for its batch, and the step itself."""

    waits: tuple[float, ...]
    steps: tuple[float, ...]


def timed_steps(state: TrainState, plan: TrainingPlan, on_advance: Advance) -> Times:
    """The first steps of a training, timed within its loop; the first wait of the epoch is included."""
    state.network.train()
    waited: list[float] = []
    stepped: list[float] = []
    started = before = time.perf_counter()
    for batch in islice(epoch(state, plan), STEPS):
        begun = time.perf_counter()
        step(state, batch, plan)
        ended = time.perf_counter()
        waited.append(begun - before)
        stepped.append(ended - begun)
        on_advance("training steps", len(stepped), STEPS)
        if len(stepped) >= _FEWEST_STEPS and ended - started > _MOST_SECONDS:
            break
        before = time.perf_counter()
    return Times(waits=tuple(waited), steps=tuple(stepped))
