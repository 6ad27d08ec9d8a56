"""Every image is answered by one of several processes, whatever their number."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch

from resatlas.data.dataset import ImageSet, Part
from resatlas.evaluation.logits import Predictions, predict_together

T = TypeVar("T")


class Listening:
    """One of several processes, of which those before it have given their answers."""

    def __init__(self, rank: int, size: int, given: list[Predictions]) -> None:
        self.rank, self.size, self.given = rank, size, given

    def gathered(self, own: T) -> list[T]:
        """What all have given, for the last of them."""
        self.given.append(own)  # type: ignore[arg-type]
        return list(self.given)  # type: ignore[arg-type]


def part(n: int) -> ImageSet:
    """Images whose pixels tell their number."""
    numbers = np.arange(n, dtype=np.int64)
    images = np.broadcast_to(numbers[:, None, None, None].astype(np.uint8), (n, 1, 2, 2)).copy()
    return ImageSet(images=images, labels=numbers % 3, ids=10 * numbers + 1)


def reading(asked: list[int]) -> Callable[[Part], Predictions]:
    """An answer of logits that are the pixels."""

    def answer(own: Part) -> Predictions:
        assert isinstance(own, ImageSet)
        asked.append(len(own))
        return Predictions(
            torch.from_numpy(own.images[:, 0, 0]).float(), torch.from_numpy(own.labels), torch.from_numpy(own.ids)
        )

    return answer


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n", [1, 2, 5, 7, 12, 13])
def test_shares_are_the_whole_in_order(size: int, n: int) -> None:
    """Uneven shares too; fewer images than processes are answered by each and counted once."""
    whole = part(n)
    given: list[Predictions] = []
    asked: list[int] = []
    found = [predict_together(whole, Listening(rank, size, given), reading(asked)) for rank in range(size)][-1]
    assert found.ids.tolist() == whole.ids.tolist()
    assert found.labels.tolist() == whole.labels.tolist()
    assert found.logits[:, 0].tolist() == list(range(n))
    if n >= size:
        assert sum(asked) == n
        assert max(asked) - min(asked) <= 1
