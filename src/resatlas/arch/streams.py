"""How many tensors run through the network side by side, and how their shortcuts meet."""

from dataclasses import dataclass
from typing import Literal

from resatlas.errors import DesignError

Join = Literal["merge", "sum", "concat"]
"""How the streams of the last unit become one tensor, with m the mean of the shortcuts and H_k the bodies:

merge   after_sum(m + H_1 + … + H_K)
sum     after_sum((H_1 + m) + … + (H_K + m))
concat  the K tensors after_sum(H_k + m) side by side
"""


@dataclass(frozen=True, slots=True)
class Single:
    """One tensor: every residual network but DMRNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeAndRun:
    """K streams: y_k = after_sum(H_k(x_k) + mean of the streams' shortcuts).

    Source: DMRNet (arXiv:1611.07718), section 3; the join rules from the authors' code, zlmzju/fusenet
    (merge: network/cross.py; sum: first commit; concat: symbol_cross.py of the IJCAI version).
    """

    count: int = 2
    join: Join = "merge"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 64:
            raise DesignError(f"merge-and-run has 1 to 64 streams; {self.count} is outside")


Streams = Single | MergeAndRun
