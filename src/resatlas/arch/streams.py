"""The number of parallel streams, and the rules that mix their shortcuts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Literal, NamedTuple, get_args

from resatlas.errors import DesignError

Skip = Literal["mean", "identity", "swap", "projector"]
"""What stream k adds to its body, computed from the shortcuts s_1, …, s_K of a unit:

mean       (s_1 + … + s_K) / K: merge-and-run
identity   s_k: K parallel networks until they join
swap       s_(k+1), and s_1 for the last stream
projector  its part of P·(s_1, …, s_K): P a fixed random orthogonal projection of all channels of all streams,
           of the rank of the mean (the channels of one stream), the same in all units of one width
"""

SKIPS: tuple[Skip, ...] = get_args(Skip)

Adds = Literal["own", Skip]
"""What a stream adds to its body; "own" is for networks with one stream, whose paths have no stream index."""


class Mixing(NamedTuple):
    """t = M·s: what K streams add to their bodies, computed from the shortcuts s_1, …, s_K of a unit.

    M = rows/over, exactly. If channels are "projected", M has only the shares of the streams: the network uses a random
    orthogonal projection of all channels of all streams, of the same rank, instead of M.
    """

    rows: tuple[tuple[int, ...], ...]
    over: int = 1
    channels: Literal["kept", "projected"] = "kept"


def _shifted(count: int, by: int) -> Mixing:
    return Mixing(tuple(tuple(int(j == (k + by) % count) for j in range(count)) for k in range(count)))


def _mean(count: int) -> Mixing:
    return Mixing(((1,) * count,) * count, over=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule for shortcuts of streams: its matrix for K streams, its prefix in a printed plan, and a description."""

    mixing: Callable[[int], Mixing]
    word: str = ""
    words: str = ""


RULES: Mapping[Adds, Rule] = {
    "own": Rule(mixing=lambda count: _shifted(count, 0)),
    "identity": Rule(mixing=lambda count: _shifted(count, 0)),
    "mean": Rule(mixing=_mean, word="mean of ", words="the mean of the streams' shortcuts"),
    "swap": Rule(
        mixing=lambda count: _shifted(count, 1),
        word="the next stream's ",
        words="each stream takes the next one's shortcut",
    ),
    "projector": Rule(
        mixing=lambda count: _mean(count)._replace(channels="projected"),
        word="projector of ",
        words="a random projector of the streams' shortcuts",
    ),
}


@cache
def mixing(adds: Adds, count: int) -> Mixing:
    """The matrix of a rule for `count` streams."""
    return RULES[adds].mixing(count)


@cache
def averaged(matrix: Mixing) -> Mixing:
    """The mean of the rows, as a matrix of one row in lowest terms."""
    row = [sum(column) for column in zip(*matrix.rows, strict=True)]
    over = matrix.over * len(matrix.rows)
    common = gcd(over, *row)
    return matrix._replace(rows=(tuple(share // common for share in row),), over=over // common)


Join = Literal["merge", "sum", "concat", "logits"]
"""How the streams end; t_k is what stream k adds to its body H_k in the last unit:

merge   after_sum(mean of t_k + H_1 + … + H_K), one tensor
sum     after_sum((H_1 + t_1) + … + (H_K + t_K)), one tensor
concat  the K tensors after_sum(H_k + t_k), concatenated
logits  each tensor goes to its own classifier; the output is the mean of their logits
"""


@dataclass(frozen=True, slots=True)
class Single:
    """One tensor: every residual network but DMRNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeAndRun:
    """K streams: y_k = after_sum(H_k(x_k) + what `skip` makes of the streams' shortcuts).

    They start from one stem, or from one each.
    Source: DMRNet (arXiv:1611.07718), section 3; the join rules from the authors' code, zlmzju/fusenet
    (merge: network/cross.py; sum: first commit; concat: symbol_cross.py of the IJCAI version). Table 5 compares
    identity with mean, and shared with separate stems and classifiers.
    Differs: how the paper reads separate classifiers is not known; the mean of logits is our choice, and so are swap
    and projector, which separate the effects of merging, mixing and rank.
    """

    count: int = 2
    join: Join = "merge"
    skip: Skip = "mean"
    stems: Literal["shared", "separate"] = "shared"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 64:
            raise DesignError(f"merge-and-run has 1 to 64 streams; got {self.count}")


Streams = Single | MergeAndRun
