"""How many images a test shows at once: no more than training had memory for, and fewer where memory runs out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan, layers
from resatlas.errors import UsageError
from resatlas.recipes.recipe import Recipe
from resatlas.values.memory import out_of_memory

if TYPE_CHECKING:  # a number that is out of bounds is refused without torch
    from torch import Tensor

MOST = 256
"""Images at once where nothing stands against it."""

LARGEST = 65_536

UNNOTICED = 1 << 28
"""Bytes of maps that a test may take in any case: importing torch takes more."""

UNNOTICED_IMAGES = 1 << 24
"""Bytes of a batch of photographs that may wait in memory in any case."""

BYTES = 4  # of a value in float32


def unsaid(note: str) -> None:
    """Nothing is said."""


@dataclass(kw_only=True)
class Portion:
    """How many images are shown at once, from now on fewer wherever memory ran out, which is said."""

    size: int = MOST
    most: int | None = None
    """Images or crops of which there was memory for no more, once it has run out."""
    note: Callable[[str], None] = field(default=unsaid, repr=False)

    def __post_init__(self) -> None:
        check_test_batch(self.size)

    def shown(self, ask: "Callable[[Tensor], Tensor]", images: "Tensor") -> "Tensor":
        """What is answered to all images: at once, or in halves where memory runs out, and so on.

        Raises: the error of memory for a single image.
        """
        import torch

        found: list[Tensor] = []
        done, limit = 0, min(len(images), self.most or len(images))
        while done < len(images):
            some = images[done : done + limit]
            try:
                found.append(ask(some))
                done += len(some)
                continue
            except (MemoryError, RuntimeError, OSError) as error:
                if len(some) == 1 or not out_of_memory(error):
                    raise
            self.most = limit = len(some) // 2  # outside of the handler, whose error keeps what was allocated
            if images.device.type == "cuda" or torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            if limit < self.size:  # crops of one image may be more
                self.size = limit
                self.note(f"too little memory for {len(some):,} test images at once; {limit:,} at once from here on")
        return found[0] if len(found) == 1 else torch.cat(found)


def check_test_batch(size: int) -> None:
    """Refuse a number of images that cannot be shown at once.

    Raises: UsageError
    """
    if not 1 <= size <= LARGEST:
        raise UsageError(f"--test-batch lies between 1 and {LARGEST:,}; {size} does not")


def images_at_once(plan: Plan, recipe: Recipe, *, photographs: bool, processes: int = 1) -> int:
    """The power of two, up to 256, of images whose test takes no more memory than a training step of the recipe.

    A training step keeps the output of every layer for each image of a pass; a test has the largest layer's input,
    output and a copy of both at once. A test that takes little is not cut down. Batches of photographs, several of
    which wait in memory, are no larger than those of the training.
    """
    share = max(recipe.batch // processes, 1)
    outputs = [_values(layer.output) for _, layer in layers(plan)]
    largest = max(_values(layer.input) + _values(layer.output) for _, layer in layers(plan))
    kept = sum(outputs) * min(share, recipe.norm_group or share)
    room = max(kept * BYTES, UNNOTICED)
    most = min(MOST, room // (2 * largest * max(plan.stems, 1) * BYTES))
    if photographs:
        most = min(most, max(share, UNNOTICED_IMAGES // (_values(plan.image) * BYTES)))
    return 1 << max(most.bit_length() - 1, 0)


def _values(shape: Shape) -> int:
    return shape.channels * shape.height * shape.width
