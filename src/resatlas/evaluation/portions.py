"""The number of images per forward pass of a test: limited by the memory of training, smaller if memory runs out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan, layers
from resatlas.errors import UsageError
from resatlas.recipes.detection import Classify
from resatlas.recipes.recipe import Recipe
from resatlas.values.memory import out_of_memory

if TYPE_CHECKING:  # the bounds of --test-batch are checked without torch
    from torch import Tensor

MOST = 256
"""Images in one pass at most, unless --test-batch asks for more."""

_LARGEST = 65_536

_UNNOTICED = 1 << 28
"""Bytes of maps that a test may always take: importing torch takes more."""

_UNNOTICED_IMAGES = 1 << 24
"""Bytes of a batch of photographs that may always wait in memory."""

_BYTES = 4  # of a value in float32


def _no_note(note: str) -> None:
    """Ignore a note."""


@dataclass(kw_only=True)
class Portion:
    """The number of images in one pass; it shrinks, with a note, each time memory runs out."""

    size: int = MOST
    most: int | None = None
    """The largest number of images or crops for which memory sufficed, once it has run out."""
    note: Callable[[str], None] = field(default=_no_note, repr=False)

    def __post_init__(self) -> None:
        check_test_batch(self.size)

    def apply(self, forward: "Callable[[Tensor], Tensor]", images: "Tensor") -> "Tensor":
        """forward(images), in halves, quarters … when memory runs out.

        Raises: the memory error, if it occurs for a single image.
        """
        import torch

        outputs: list[Tensor] = []
        done, limit = 0, min(len(images), self.most or len(images))
        while done < len(images):
            batch = images[done : done + limit]
            try:
                outputs.append(forward(batch))
                done += len(batch)
                continue
            except (MemoryError, RuntimeError, OSError) as error:
                if len(batch) == 1 or not out_of_memory(error):
                    raise
            self.most = limit = len(batch) // 2  # after the handler: its error keeps the allocated tensors alive
            if images.device.type == "cuda" or torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            if limit < self.size:  # crops of one image may be more
                self.size = limit
                self.note(f"too little memory for {len(batch):,} test images at once; {limit:,} at once from here on")
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def check_test_batch(size: int) -> None:
    """Check the bounds of a test batch.

    Raises: UsageError
    """
    if not 1 <= size <= _LARGEST:
        raise UsageError(f"--test-batch must be between 1 and {_LARGEST:,}; got {size}")


def images_at_once(plan: Plan, recipe: Recipe, *, photographs: bool, processes: int = 1) -> int:
    """The largest power of two, up to 256, of images whose test needs no more memory than a training step.

    A training step keeps the output of every layer for each image of a pass; a test keeps the input and the output of
    the largest layer and a copy of both. Tests that need little memory are not limited. Batches of photographs are at
    most as large as those of training, since several of them wait in memory, and so are those of images with objects,
    whose regions need memory too.
    """
    share = max(recipe.batch // processes, 1)
    if not isinstance(recipe.task, Classify):
        return share
    outputs = [_values(layer.output) for _, layer in layers(plan)]
    largest = max(_values(layer.input) + _values(layer.output) for _, layer in layers(plan))
    kept = sum(outputs) * min(share, recipe.norm_group or share)
    room = max(kept * _BYTES, _UNNOTICED)
    most = min(MOST, room // (2 * largest * max(plan.stems, 1) * _BYTES))
    if photographs:
        most = min(most, max(share, _UNNOTICED_IMAGES // (_values(plan.image) * _BYTES)))
    return 1 << max(most.bit_length() - 1, 0)


def _values(shape: Shape) -> int:
    return shape.channels * shape.height * shape.width
