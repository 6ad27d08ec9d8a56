"""Removal of what programs add to the tensors of a network: prefixes of names, counters, and other networks.

A prefix is recognised by the rest of the names: without it, most names are those of the network. So `backbone.`,
`encoder_q.`, Lightning's `model.` and any other prefix are removed. If a dict holds two networks, such as a query and a
key encoder, the right one is chosen if it can be recognised; otherwise both are refused.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from resatlas.errors import CheckpointError, quoted
from resatlas.values.weights import AVERAGED, Which

_PARALLEL = ("module", "_orig_mod")
"""Words that DataParallel and torch.compile insert into names, at any place."""

_WHOLE = ("model", "net", "network")
"""Prefixes that stand for the whole network."""

_COUNTERS = ("total_ops", "total_params", "n_averaged", "__flops__", "__params__")
"""Tensors that tools add to a module: thop's counts, and the number of averaged weights of torch."""

_MAX_WORDS = 5
"""The number of words in the longest prefix."""

_FOLLOWS = re.compile(r"(?:^|_)(?:target|momentum|k|key|offline)(?:_|$)")
"""Words for a network that is a moving average of another one, in addition to `AVERAGED`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unwrapped:
    """Tensors under the names of one network, the prefix that was removed, and how many tensors were ignored."""

    tensors: dict[str, Tensor]
    prefix: str = ""
    counters: Mapping[str, int]
    others: Mapping[str, int]
    averaged: bool = False


def unwrap(weights: Mapping[str, Tensor], own: Iterable[Collection[str]], *, where: str, which: Which) -> Unwrapped:
    """The tensors of one network, without prefixes of their names and without other tensors.

    `own` are the names of the network's tensors in each dialect; `which` selects an average or the raw weights.
    Raises: CheckpointError if there are several networks to choose from.
    """
    names = [set(keys) for keys in own]
    known = set().union(*names)
    bare = _without_parallel(weights, where)
    counters = Counter(leaf for key in bare if (leaf := key.rpartition(".")[2]) in _COUNTERS and key not in known)
    bare = {key: tensor for key, tensor in bare.items() if key in known or key.rpartition(".")[2] not in _COUNTERS}
    counts = _prefixes(bare, known)
    best = max(counts.values(), default=0)
    if 2 * best <= min(len(bare), *map(len, names)):  # another network's names: unchanged, so that they are refused
        return Unwrapped(tensors=_without_whole(bare), counters=counters, others={})
    prefixes = [prefix for prefix, count in counts.items() if 2 * count > best]
    prefix = _choose(prefixes, where, which)
    tensors = {key.removeprefix(prefix): bare[key] for key in bare if key.startswith(prefix)}
    rest = [key for key in bare if not key.startswith(prefix)]
    if not prefix:  # unknown names are kept, so that they are refused, except those of other whole networks
        others_prefixes = tuple(other for other in prefixes if other)
        rest = [key for key in bare if others_prefixes and key.startswith(others_prefixes)]
        tensors = {key: tensor for key, tensor in tensors.items() if key not in set(rest)}
    others = Counter(key.partition(".")[0] for key in rest)
    return Unwrapped(tensors=tensors, prefix=prefix, counters=counters, others=others, averaged=_is_average(prefix))


def _without_parallel(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors without the words of `_PARALLEL` in their names."""
    tensors: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        bare = ".".join(word for word in key.split(".") if word not in _PARALLEL)
        if bare in tensors:
            raise CheckpointError(f"{where} holds {quoted(bare)} twice, once as {quoted(key)}; pass one of the two")
        tensors[bare] = tensor
    return tensors


def _prefixes(keys: Iterable[str], known: Collection[str]) -> Counter[str]:
    """For each prefix, the number of keys that are known without it."""
    counts: Counter[str] = Counter()
    for key in keys:
        words = key.split(".")
        for length in range(min(_MAX_WORDS + 1, len(words))):
            if ".".join(words[length:]) in known:
                counts["".join(f"{word}." for word in words[:length])] += 1
    return counts


def _choose(prefixes: list[str], where: str, which: Which) -> str:
    """The one prefix of an average if `which` is "ema", else the one prefix of raw weights."""
    if len(prefixes) == 1:
        return prefixes[0]
    averages = [prefix for prefix in prefixes if _is_average(prefix)]
    chosen = averages if which == "ema" and averages else [prefix for prefix in prefixes if prefix not in averages]
    if len(chosen) != 1:
        listed = " and ".join(quoted(prefix) if prefix else "names without a prefix" for prefix in prefixes)
        raise CheckpointError(f"{where} holds several networks, under {listed}; pass only one of them")
    return chosen[0]


def _is_average(prefix: str) -> bool:
    return any(AVERAGED.search(word) or _FOLLOWS.search(word) for word in prefix.split("."))


def _without_whole(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the words of `_WHOLE` at the beginning of all names."""
    first = {key.partition(".")[0] for key in weights}
    if len(first) == 1 and first < set(_WHOLE):
        return _without_whole({key.partition(".")[2]: tensor for key, tensor in weights.items()})
    return weights
