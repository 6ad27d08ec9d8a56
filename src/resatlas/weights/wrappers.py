"""What programs put around the names of a network's tensors, and beside them: prefixes, counters, other networks.

A prefix is found by what it leaves: taken off, the rest of most names are the network's own. So `backbone.`,
`encoder_q.`, Lightning's `model.` and names that nobody thought of are taken off alike. Where two networks stand in one
dict, as a query and a key encoder do, the one that is meant is taken or none.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from resatlas.errors import CheckpointError, quoted
from resatlas.values.weights import AVERAGED, Which

PARALLEL = ("module", "_orig_mod")
"""What DataParallel and torch.compile put into names, anywhere."""

WHOLE = ("model", "net", "network")
"""What programs call a network as a whole."""

COUNTERS = ("total_ops", "total_params", "n_averaged", "__flops__", "__params__")
"""Tensors that tools leave in a module: thop's counts, and how many weights torch averaged."""

DEEPEST = 5
"""Words of the longest prefix."""

FOLLOWS = re.compile(r"(?:^|_)(?:target|momentum|k|key|offline)(?:_|$)")
"""What a network is called that follows another one as its average, beside `AVERAGED`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Unwrapped:
    """Tensors under the names of one network, the prefix that stood before them, and how many were passed over."""

    tensors: dict[str, Tensor]
    prefix: str = ""
    counters: Mapping[str, int]
    others: Mapping[str, int]
    averaged: bool = False


def unwrapped(given: Mapping[str, Tensor], own: Iterable[Collection[str]], *, where: str, which: Which) -> Unwrapped:
    """The tensors of one network, without what stood around their names and beside them.

    `own` are the names of the network's tensors in each dialect; `which` says whether an average is meant.
    Raises: CheckpointError if there are several networks, or none that is meant.
    """
    names = [set(each) for each in own]
    known = set().union(*names)
    bare = _bare(given, where)
    counters = Counter(leaf for key in bare if (leaf := key.rpartition(".")[2]) in COUNTERS and key not in known)
    bare = {key: tensor for key, tensor in bare.items() if key in known or key.rpartition(".")[2] not in COUNTERS}
    counts = _prefixes(bare, known)
    best = max(counts.values(), default=0)
    if 2 * best <= min(len(bare), *map(len, names)):  # another network's names: they stay as they are, to be refused
        return Unwrapped(tensors=_without_whole(bare), counters=counters, others={})
    found = [prefix for prefix, count in counts.items() if 2 * count > best]
    prefix = _meant(found, where, which)
    taken = {key.removeprefix(prefix): bare[key] for key in bare if key.startswith(prefix)}
    rest = [key for key in bare if not key.startswith(prefix)]
    if not prefix:  # what is unknown here stays, to be refused, but for other whole networks
        beside = tuple(each for each in found if each)
        rest = [key for key in bare if beside and key.startswith(beside)]
        taken = {key: tensor for key, tensor in taken.items() if key not in set(rest)}
    others = Counter(key.partition(".")[0] for key in rest)
    return Unwrapped(tensors=taken, prefix=prefix, counters=counters, others=others, averaged=_is_average(prefix))


def _bare(given: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors without what is put into names anywhere."""
    found: dict[str, Tensor] = {}
    for key, tensor in given.items():
        bare = ".".join(word for word in key.split(".") if word not in PARALLEL)
        if bare in found:
            raise CheckpointError(f"{where} holds {quoted(bare)} twice, once as {quoted(key)}; pass one of the two")
        found[bare] = tensor
    return found


def _prefixes(keys: Iterable[str], known: Collection[str]) -> Counter[str]:
    """For each prefix, how many of the keys are known once it is taken off."""
    counts: Counter[str] = Counter()
    for key in keys:
        words = key.split(".")
        for length in range(min(DEEPEST + 1, len(words))):
            if ".".join(words[length:]) in known:
                counts["".join(f"{word}." for word in words[:length])] += 1
    return counts


def _meant(prefixes: list[str], where: str, which: Which) -> str:
    """The prefix of the network that is meant, of those that stand before whole ones."""
    if len(prefixes) == 1:
        return prefixes[0]
    averages = [prefix for prefix in prefixes if _is_average(prefix)]
    chosen = averages if which == "ema" and averages else [each for each in prefixes if each not in averages]
    if len(chosen) != 1:
        listed = " and ".join(quoted(each) if each else "names without a prefix" for each in prefixes)
        raise CheckpointError(f"{where} holds several networks, under {listed}; pass the one that is meant")
    return chosen[0]


def _is_average(prefix: str) -> bool:
    return any(AVERAGED.search(word) or FOLLOWS.search(word) for word in prefix.split("."))


def _without_whole(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without a word for the whole network that all names begin with."""
    first = {key.partition(".")[0] for key in given}
    if len(first) == 1 and first < set(WHOLE):
        return _without_whole({key.partition(".")[2]: tensor for key, tensor in given.items()})
    return given
