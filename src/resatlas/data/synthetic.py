"""Synthetic images, which need no file: for tests, benchmarks and first steps."""

import math
from functools import partial
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 1 << 27  # values of the training part: 128 MiB as bytes, four times as much while they are made


def synthetic(size: int = 32, channels: int = 3, classes: int = 10, images: int = 512) -> DataSet:
    """`images` to train on and a quarter of that to test on: waves of one shape a class, in noise.

    Raises: UsageError if a knob is out of bounds.
    """
    bounds = {
        "size": (size, 4, 256),
        "channels": (channels, 1, 16),
        "classes": (classes, 2, 1000),
        "images": (images, 2 * classes, 100_000),
    }
    for name, (value, least, most) in bounds.items():
        if not least <= value <= most:
            raise UsageError(f"{name} of a synthetic data set must be between {least:,} and {most:,}; got {value:,}")
    shape = Shape(channels, size, size)
    if images * math.prod(shape) > _LARGEST:
        raise UsageError(f"synthetic training images hold at most {_LARGEST:,} values; {images:,} of {shape} hold more")
    return DataSet(
        name="synthetic",
        image=shape,
        classes=tuple(f"wave {k}" for k in range(classes)),
        mirror="forbidden",
        note="made-up waves in noise: errors say that training works, and nothing about real images",
        read=partial(read, shape, classes=classes, images=images),
    )


def read(shape: Shape, *, classes: int, images: int) -> Parts:
    """Both parts, the same at every call: noise is drawn for the training images first."""
    import numpy as np

    draw = np.random.Generator(np.random.PCG64(0))
    means = _waves(draw, shape, classes)
    sizes = (images, images // 4)
    train, test = (part(draw, means, np.arange(n)) for n in sizes)
    return Parts(train=train, test=test)


def _waves(draw: "np.random.Generator", shape: Shape, classes: int) -> "NDArray[np.float32]":
    """128 + 48·cos(fy·y + fx·x + phase), with the frequencies of the class and a phase for each of its channels.

    Shape: (classes, c, h, w).
    """
    import numpy as np

    fy, fx = draw.uniform(-2, 2, (2, classes, 1, 1, 1))  # periods an image: smooth, and apart from class to class
    phase = draw.uniform(0, 1, (classes, shape.channels, 1, 1))
    y = np.arange(shape.height)[:, None] / shape.height
    x = np.arange(shape.width) / shape.width
    return (128 + 48 * np.cos(2 * math.pi * (fy * y + fx * x + phase))).astype(np.float32)


def part(draw: "np.random.Generator", means: "NDArray[np.float32]", ids: "NDArray[np.int64]") -> ImageSet:
    """One image for each id: its class's wave plus noise of standard deviation 32."""
    import numpy as np

    labels = ids % len(means)
    noisy = draw.standard_normal((len(ids), *means.shape[1:]), dtype=np.float32)
    noisy *= 32
    noisy += means[labels]
    return ImageSet(images=noisy.clip(0, 255).astype(np.uint8), labels=labels, ids=ids)
