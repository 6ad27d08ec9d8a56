"""Skip a step whose loss or gradient is not finite: no update, and an error after too many such steps."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from resatlas.errors import NonFiniteError

if TYPE_CHECKING:  # the command line names the limits without torch
    from resatlas.training.state import TrainState

_IN_A_ROW = 10
"""The number of steps that may be skipped in a row, and in all if a training has few steps."""

_ONE_OF = 100
"""One of this many steps may be skipped if a training has many steps."""

CAP = f"at most {_IN_A_ROW} in a row, and in total {_IN_A_ROW} or 1 of {_ONE_OF}, whichever is more"


def attempt(state: "TrainState", step: Callable[[], None]) -> NonFiniteError | None:
    """Run a step; if it is not finite, restore the running statistics, advance the position, and return the error."""
    before = [buffer.clone() for buffer in state.module.buffers()]
    try:
        step()
    except NonFiniteError as error:
        for buffer, old in zip(state.module.buffers(), before, strict=True):
            buffer.copy_(old)
        state.batch, state.step = state.batch + 1, state.step + 1
        state.skipped, state.skipped_in_a_row = state.skipped + 1, state.skipped_in_a_row + 1
        return error
    state.skipped_in_a_row = 0
    return None


def require_few(state: "TrainState", error: NonFiniteError, *, steps: int) -> None:
    """Fail if more steps are skipped than a training of `steps` steps may skip.

    Raises: NonFiniteError with the same evidence.
    """
    most = max(_IN_A_ROW, steps // _ONE_OF)
    if state.skipped_in_a_row > _IN_A_ROW:
        raise NonFiniteError(f"{error}; the {_IN_A_ROW} steps before it were skipped too", evidence=error.evidence)
    if state.skipped > most:
        raise NonFiniteError(
            f"{error}; {most:,} of {steps:,} steps were skipped before it, which is the limit", evidence=error.evidence
        )
