"""Skip a step whose loss or gradient is not finite: no update, and an error after too many of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from resatlas.errors import NonFiniteError

if TYPE_CHECKING:  # the command line names the limits without torch
    from resatlas.training.state import TrainState

IN_A_ROW = 10
"""How many steps may be skipped in a row, and in all where a training has few steps."""

ONE_OF = 100
"""Of how many steps one may be skipped, where a training has many."""

CAP = f"at most {IN_A_ROW} in a row, and in all {IN_A_ROW} or one of {ONE_OF}"


def attempt(state: "TrainState", step: Callable[[], None]) -> NonFiniteError | None:
    """The error of a step that was skipped, with the running statistics as before it and the position after it."""
    before = [buffer.clone() for buffer in state.network.buffers()]
    try:
        step()
    except NonFiniteError as error:
        for buffer, old in zip(state.network.buffers(), before, strict=True):
            buffer.copy_(old)
        state.batch, state.step = state.batch + 1, state.step + 1
        state.skipped, state.skipped_in_a_row = state.skipped + 1, state.skipped_in_a_row + 1
        return error
    state.skipped_in_a_row = 0
    return None


def require_few(state: "TrainState", error: NonFiniteError, *, steps: int) -> None:
    """Fail after more skipped steps than a training of `steps` steps may have.

    Raises: NonFiniteError with the same evidence.
    """
    most = max(IN_A_ROW, steps // ONE_OF)
    if state.skipped_in_a_row > IN_A_ROW:
        raise NonFiniteError(f"{error}; {IN_A_ROW} steps before it were left out already", evidence=error.evidence)
    if state.skipped > most:
        raise NonFiniteError(
            f"{error}; {most:,} of {steps:,} steps were left out already, which is the most", evidence=error.evidence
        )
