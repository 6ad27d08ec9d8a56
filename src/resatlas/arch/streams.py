"""How many tensors run through the network side by side, and how their shortcuts meet."""

from dataclasses import dataclass
from typing import Literal, get_args

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
