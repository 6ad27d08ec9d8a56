"""Results of threads are returned in order, and an error ends the work."""

import pytest

from resatlas.values.threaded import CHUNK, threaded


def test_results_are_in_order():
    """For any number of threads, also for more tasks than a thread takes at once."""
    tasks = range(5 * CHUNK + 3)
    for threads in (0, 1, 4):
        assert list(threaded(lambda k: k * k, tasks, threads=threads)) == [k * k for k in tasks]
    assert list(threaded(str, [], threads=2)) == []


def test_an_error_is_raised_where_its_result_is_waited_for():
    """The results before its chunk are given."""

    def inverse(k: int) -> float:
        return 1 / (CHUNK + 1 - k)

    started = []
    with pytest.raises(ZeroDivisionError):
        started.extend(threaded(inverse, range(3 * CHUNK), threads=2))
    assert threaded(inverse, [0], threads=1).__next__() == 1 / (CHUNK + 1)
