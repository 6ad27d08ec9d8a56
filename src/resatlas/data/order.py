"""Random numbers for data: pure functions of a seed and words that name their purpose."""

import torch
from jaxtyping import Int64
from torch import Tensor

from resatlas.values.seeds import derive as derive


def generator(seed: int, *words: str | int) -> torch.Generator:
    """A new generator on the CPU, seeded with derive(seed, *words)."""
    return torch.Generator().manual_seed(derive(seed, *words))


def order(seed: int, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """A permutation of 0…n-1: the order in which an epoch shows n images."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))


def batch_positions(seed: int, epoch: int, n: int, *, repeats: int, batch: int) -> list[Int64[Tensor, " b"]]:
    """The positions of an epoch's batches: position k + n·r is the r-th repeat of image k, counted from 0.

    Images come in the epoch's order, each `repeats` times in a row, until n positions are filled: so an epoch has as
    many batches with repeats as without, and shows a share 1/repeats of the images. Within a batch all first draws
    stand before all second ones, so that processes and groups of normalisation see different images. The last batch may
    be smaller.
    Source: "Augment your batch" (arXiv:1901.09335) and MultiGrain (arXiv:1902.05509), as DeiT's RASampler has them.
    Differs: the sampler deals the positions out to the GPUs one by one, which sets repeats apart only where there are
        as many GPUs; and it ends an epoch after a multiple of 256 images.
    """
    places = torch.arange(n)
    images, repeat = order(seed, epoch, n)[places // repeats], places % repeats
    return [
        chunk[torch.argsort(chunk // n, stable=True)] if repeats > 1 else chunk
        for chunk in (images + n * repeat).split(batch)
    ]


def occasion(epoch: int, repeat: int) -> tuple[int, ...]:
    """The words for one draw of an image in an epoch; the first repeat has the same words as without repeats."""
    return (epoch, repeat) if repeat else (epoch,)
