"""How many tensors run through the network side by side, and how their shortcuts meet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Literal, NamedTuple, get_args

from resatlas.errors import DesignError

Skip = Literal["mean", "identity", "swap", "projector"]
"""What stream k adds to its body, of the shortcuts s_1, …, s_K of a unit:

mean       (s_1 + … + s_K) / K: merge-and-run
identity   s_k: K networks side by side until they join
swap       s_(k+1), and s_1 for the last stream
projector  its part of P·(s_1, …, s_K): P a fixed random orthogonal projection of all channels of all streams,
           of the rank that the mean has (the channels of one stream), the same in all units of one width
"""

SKIPS: tuple[Skip, ...] = get_args(Skip)

Adds = Literal["own", Skip]
"""What a stream adds to its body; "own" is that of a network of one stream, whose paths name no streams."""


class Mixing(NamedTuple):
    """t = M·s: what K streams add to their bodies, of the shortcuts s_1, …, s_K of a unit.

    M = rows/over, exactly. Where channels are "projected" it gives the shares of the streams alone: a random orthogonal
    projection of all channels of all streams, of the same rank, stands in its place.
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
    """A way of sharing shortcuts: its matrix for K streams, its word before a printed shortcut, and itself in words."""

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
    """The matrix of a rule for so many streams."""
    return RULES[adds].mixing(count)


@cache
def averaged(matrix: Mixing) -> Mixing:
    """The mean of what the streams add, as a matrix of one row in lowest terms."""
    row = [sum(column) for column in zip(*matrix.rows, strict=True)]
    over = matrix.over * len(matrix.rows)
    common = gcd(over, *row)
    return matrix._replace(rows=(tuple(share // common for share in row),), over=over // common)


Join = Literal["merge", "sum", "concat", "logits"]
"""How the streams end, with t_k what stream k adds to its body H_k in the last unit:

merge   after_sum(mean of t_k + H_1 + … + H_K), one tensor
sum     after_sum((H_1 + t_1) + … + (H_K + t_K)), one tensor
concat  the K tensors after_sum(H_k + t_k) side by side
logits  each tensor to a classifier of its own; the network gives the mean of their logits
"""


@dataclass(frozen=True, slots=True)
class Single:
    """One tensor: every residual network but DMRNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeAndRun:
    """K streams: y_k = after_sum(H_k(x_k) + what `skip` makes of the streams' shortcuts).

    They start from one stem, or each from its own.
    Source: DMRNet (arXiv:1611.07718), section 3; the join rules from the authors' code, zlmzju/fusenet
    (merge: network/cross.py; sum: first commit; concat: symbol_cross.py of the IJCAI version). Table 5 compares
    identity with mean, and shared with separate stems and classifiers.
    Differs: how the paper reads separate classifiers is not known; the mean of logits is our choice, and so are swap
    and projector, which tell merging from mixing and from rank.
    """

    count: int = 2
    join: Join = "merge"
    skip: Skip = "mean"
    stems: Literal["shared", "separate"] = "shared"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 64:
            raise DesignError(f"merge-and-run has 1 to 64 streams; {self.count} is outside")


Streams = Single | MergeAndRun
