"""The batches of a rehearsal with objects."""

from collections.abc import Iterator
from types import SimpleNamespace

from resatlas.studies import rehearsal


def batches(state: SimpleNamespace, _training: SimpleNamespace) -> Iterator[int]:
    """An epoch of two batches, from the place where the state is."""
    yield from range(state.batch, 2)


def test_every_round_has_all_batches() -> None:
    """Steps move the state on; a data set of one batch would otherwise have none in the second round."""
    state = SimpleNamespace(batch=0)
    training = SimpleNamespace(learner=SimpleNamespace(batches=batches))
    seconds: list[float] = []
    found = rehearsal._in_turn(state, training, seconds)  # type: ignore[arg-type]
    taken = []
    for _ in range(5):
        taken.append(next(found))
        state.batch = 2
    assert taken == [0, 1, 0, 1, 0]
    assert len(seconds) == 5
