"""The machine's convolution peak: multiply-adds per second of large convolutions, forward and backward.

It tells a user whether faster code is possible: a network near the peak is as fast as this machine allows. The share of
a training step is 3 · multiply-adds of the network · images per second ÷ peak: the backward pass of a convolution
computes two products of the size of its forward pass, the gradients of its maps and of its weights.
"""

from collections.abc import Callable, Mapping

from resatlas.bench.crew import Contender, crews
from resatlas.bench.stopwatch import alternate
from resatlas.bench.tasks import Convolution
from resatlas.recipes.recipe import Precision

SHAPES = ((128, 32, 16), (256, 16, 32))
"""Channels, side of the maps, images: 2.4 and 4.8 · 10⁹ multiply-adds forward; the faster is the peak.

Channels are multiples of the width of vector and matrix units, and each value that is read is used in hundreds of
products.
"""

_PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")

_ROUNDS = 3

_PASSES = 3
"""One forward, and two of the same cost backward."""


def peaks(*, cores: int, on_advance: Callable[[int, int], object]) -> Mapping[Precision, float]:
    """Multiply-adds per second at each precision, with one process of one thread per core: the best of all rounds."""
    tasks = {
        f"{precision} {channels}": Convolution(channels=channels, side=side, images=images, precision=precision)
        for precision in _PRECISIONS
        for channels, side, images in SHAPES
    }
    with crews({name: Contender(task=task, processes=cores, threads=1) for name, task in tasks.items()}) as crew:
        for member in crew.values():
            member.warm()
        seconds = alternate(crew, rounds=_ROUNDS, uncounted=0, on_advance=on_advance)
        rates = {
            name: cores * crew[name].steps * task.multiply_adds / min(seconds[name]) for name, task in tasks.items()
        }
    return {
        precision: max(rate for name, rate in rates.items() if tasks[name].precision == precision)
        for precision in _PRECISIONS
    }


def share_percent(*, multiply_adds: int, images_per_second: float, peak: float) -> float:
    """The share of the peak that a network's training reaches."""
    return 100 * _PASSES * multiply_adds * images_per_second / peak
