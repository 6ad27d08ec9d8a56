"""The speed of reading photographs: ours against torchvision's ImageFolder and transforms, at equal numbers of workers.

Both decode the same JPEGs, crop a random area, mirror and normalise, in batches of the same size and in random order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from resatlas.analysis.probes import Fact
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.rows import Measured, View
from resatlas.bench.stopwatch import AGAINST_PEER, against_peer, alternate
from resatlas.data import catalog as datasets
from resatlas.data.batch import Batch
from resatlas.data.batches import batches, pipeline_for
from resatlas.recipes import catalog as recipes
from resatlas.recipes.constants import IMAGENET
from resatlas.recipes.images import AreaCrop
from resatlas.runs.environment import installed_version
from resatlas.values.table import Column, Table

PHOTOGRAPHS = 768
"""Photographs of an epoch: 24 batches, some seconds."""

_SIZES = ((640, 427), (427, 640), (1600, 1200))
"""Width and height of the photographs: as COCO's and Flickr's, upright too, and as from a phone."""

_CLASSES = ("cat", "dog")
_RECIPE = "fine-tune"
_SIDE = 224
_BATCH = 32
_ROUNDS = 5

COLUMNS = (
    Column("width", "pixels"),
    Column("height", "pixels"),
    Column("batch", "images"),
    Column("workers", "processes"),
    *AGAINST_PEER,
    Column("rounds", "rounds"),
)


def measure(options: Options, on_advance: Advance) -> Measured:
    """Both loaders in turns, for each size of photographs."""
    batch, rounds, workers = options.batch or _BATCH, options.rounds or _ROUNDS, contest.threads()
    rows = [_row(*size, batch=batch, rounds=rounds, workers=workers, on_advance=on_advance) for size in _SIZES]
    return Measured(
        question="photographs",
        title=f"Photographs in files made into batches of {_SIDE}x{_SIDE}: decoded, cropped, mirrored, normalised",
        rows=Table(title="Photographs", columns=COLUMNS, rows=tuple(rows)),
        views=(View("Images a second", tuple(column.name for column in COLUMNS)),),
        facts=(
            Fact(name="photographs", unit="images", value=PHOTOGRAPHS),
            Fact(name="torchvision", unit="", value=installed_version("torchvision")),
            Fact(name="pillow", unit="", value=installed_version("pillow")),
        ),
        notes=(
            "ours: the reading processes of a training with the recipe fine-tune, started for each epoch. peer: "
            "torchvision.datasets.ImageFolder and transforms.v2 (RandomResizedCrop of the same areas, "
            "RandomHorizontalFlip, ToImage, ToDtype, Normalize) on PIL images, in a DataLoader with persistent "
            "workers. The files are JPEGs of smooth noise, and in the system's cache; low and high are quartiles over "
            "rounds of one epoch each.",
        ),
    )


def _row(width: int, height: int, *, batch: int, rounds: int, workers: int, on_advance: Advance) -> tuple[float, ...]:
    with written(width, height, PHOTOGRAPHS) as folder:
        ours, peer = Reading(folder, batch, workers), loader(folder, batch, workers)
        seconds = alternate(
            {"ours": ours.epoch, "peer": lambda: list(peer)},
            rounds=rounds,
            on_advance=lambda done, total: on_advance(f"{width}x{height}", done, total),
        )
    return (width, height, batch, workers, *against_peer(PHOTOGRAPHS // batch * batch, seconds), rounds)


@contextmanager
def written(width: int, height: int, count: int) -> Iterator[Path]:
    """A folder `train` with photographs of smooth noise, and `val` with one of each class."""
    draw = np.random.default_rng(0)
    with TemporaryDirectory(prefix="resatlas-photographs-") as name:
        root = Path(name)
        for part, images in (("train", count), ("val", len(_CLASSES))):
            for k in range(images):
                file = root / part / _CLASSES[k % len(_CLASSES)] / f"{k}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                coarse = Image.fromarray(draw.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
                coarse.resize((width, height), Image.Resampling.BICUBIC).save(file, quality=90)
        yield root


class Reading:
    """Ours: the batches of a training on a folder, epoch by epoch."""

    def __init__(self, folder: Path, batch: int, workers: int) -> None:
        data = datasets.resolve(f"{folder}:size={_SIDE}")
        self.part = data.read().train
        self.pipeline = pipeline_for(recipes.resolve(_RECIPE), data, self.part, workers=workers)
        self.batch, self.epochs = batch, 0

    def epoch(self) -> list[Batch]:
        """The batches of the next epoch."""
        self.epochs += 1
        return list(batches(self.part, self.pipeline, seed=0, epoch=self.epochs, batch=self.batch))


def loader(folder: Path, batch: int, workers: int) -> "DataLoader[tuple[Tensor, int]]":
    """The same steps by torchvision."""
    [area] = [step for step in recipes.resolve(_RECIPE).steps if isinstance(step, AreaCrop)]
    aspect = float(area.ratio)
    steps = v2.Compose(
        [
            v2.RandomResizedCrop(_SIDE, scale=(float(area.least), 1.0), ratio=(1 / aspect, aspect)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([mean / 255 for mean in IMAGENET.mean], [deviation / 255 for deviation in IMAGENET.std]),
        ]
    )
    return DataLoader(
        ImageFolder(folder / "train", steps),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
    )
