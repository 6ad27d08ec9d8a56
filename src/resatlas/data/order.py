"""Every random number on the data is a pure function of a seed and of words that say what it is for."""

from hashlib import blake2b

import torch
from jaxtyping import Int64
from torch import Tensor


def derive(seed: int, *words: str | int) -> int:
    """A seed of 63 bits for what the words name: half of the first 8 bytes of blake2b(repr((seed, *words))).

    The numbers never change: runs of every later version draw as those of this one.
    """
    return int.from_bytes(blake2b(repr((seed, *words)).encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *words: str | int) -> torch.Generator:
    """A fresh generator on the CPU, seeded with derive(seed, *words)."""
    return torch.Generator().manual_seed(derive(seed, *words))


def order(seed: int, epoch: int, n: int) -> Int64[Tensor, " n"]:
    """A permutation of 0…n-1: the order in which an epoch shows n images."""
    return torch.randperm(n, generator=generator(seed, "order", epoch))
