"""Seeds for separate purposes, derived from the one seed of a run."""

from hashlib import blake2b


def derive(seed: int, *words: str | int) -> int:
    """A seed of 63 bits for the words: half of the first 8 bytes of blake2b(repr((seed, *words))).

    The numbers never change between versions, so that runs can be reproduced.
    """
    return int.from_bytes(blake2b(repr((seed, *words)).encode(), digest_size=8).digest(), "big") >> 1
