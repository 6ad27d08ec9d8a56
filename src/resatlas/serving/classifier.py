"""What a server answers from: a network behind an engine, the preparation of its images, the names of its classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.inference.engines.network import run_by
from resatlas.inference.engines.packages import Engine
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network

Precision = Literal["fp32", "bf16"]
"""The arithmetic of the engine: fp32 gives the probabilities of `resatlas predict`, up to rounding."""

Logits = Callable[[Tensor], Float[Tensor, "n k"]]
"""Prepared images (n, c, h, w) -> one logit per class."""

Reader = Callable[[bytes], UInt8[Tensor, "3 h w"]]
"""The bytes of one image file -> its pixels; raises DataError with the reason."""

_PHOTOGRAPH = (640, 427)  # width and height of the photograph that warms the server


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """An image's bytes -> the network's input -> logits, one per class.

    image: the shape of the network's input.
    prepare: the bytes of one image file -> the network's input; raises DataError or UsageError with the reason.
    threads: threads of a forward pass.
    description: what `/v1/model` says.
    """

    image: Shape
    prepare: Callable[[bytes], Tensor]
    logits: Logits
    classes: tuple[str, ...]
    threads: int
    description: Mapping[str, object]


def logits_by(engine: Engine, network: Network, precision: Precision) -> Logits:
    """The logits of a network folded for inference on the CPU, computed by an engine with torch's number of threads.

    Raises: UsageError for a precision that the engine does not have.
    """
    if engine == "torch":
        return for_inference(network, precision=precision)
    if precision != "fp32":
        raise UsageError(f"--engine {engine} has no --precision {precision}; use --engine torch, or --precision fp32")
    return run_by(engine, network)


PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def warm(classifier: Classifier, *, batch: int, max_pixels: int) -> None:
    """Classify images of our own, so that the first request waits for no import and no allocation.

    Decoders are imported with the first image of their format, the resizing with the first photograph.
    """
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    _, height, width = classifier.image
    sizes = (_PHOTOGRAPH, (width, height)) if height == width else ((width, height),)
    for columns, rows in sizes:
        if columns * rows > max_pixels:
            continue
        picture = Image.fromarray(draw.integers(0, 256, (rows, columns, 3), np.uint8))
        for kind in ("PNG", "JPEG", "WEBP"):
            file = BytesIO()
            picture.save(file, kind)
            classifier.prepare(file.getvalue())
    for images in (1, batch):
        classifier.logits(torch.zeros(images, *classifier.image))
