"""Top-5, calibration and confusion equal loops over single images; answers that join, average and leave classes out."""

import math

import pytest
import torch

from resatlas.errors import DataError
from resatlas.evaluation.calibration import BINS, calibration, reliability
from resatlas.evaluation.classification import classification
from resatlas.evaluation.confusion import Missed, Taken, confusion, missed, taken
from resatlas.evaluation.logits import Predictions, joined, mean, mean_predictions, restricted
from resatlas.evaluation.ranking import ranks, top5

NOT_A_NUMBER = float("nan")


def drawn(n: int = 60, k: int = 8, seed: int = 0) -> Predictions:
    """Random predictions, confident of some."""
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=draw)
    return Predictions(logits, torch.randint(k, (n,), generator=draw), torch.arange(n))


def answered(logits: list[list[float]], labels: list[int]) -> Predictions:
    """Predictions written by hand."""
    return Predictions(torch.tensor(logits), torch.tensor(labels), torch.arange(len(labels)))


def test_the_true_class_is_among_the_first_five() -> None:
    """By sorting the classes of each image."""
    given = drawn()
    wrong = 0
    for row, label in zip(given.logits.tolist(), given.labels.tolist(), strict=True):
        wrong += label not in sorted(range(8), key=lambda k, row=row: -row[k])[:5]
    assert 0 < wrong < 60
    assert dict(top5(given)) == {"top5_error_percent": pytest.approx(100 * wrong / 60)}


def test_five_classes_have_no_top_five() -> None:
    """It would be no error at all."""
    assert dict(top5(drawn(k=5))) == {}


def test_the_first_rank_is_the_predicted_class() -> None:
    """Among equal logits the first class; what is no number is never right."""
    given = answered([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, NOT_A_NUMBER, 1.0]], [0, 1, 1])
    assert ranks(given).tolist() == [0, 1, 2]
    given = drawn()
    wrong = dict(classification(given))["error_percent"]
    assert 100 * float((ranks(given) > 0).double().mean()) == pytest.approx(wrong)


def slow_calibration(given: Predictions) -> float:
    """The mean distance of accuracy and confidence, image by image and bin by bin."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(given.logits.tolist(), given.labels.tolist(), strict=True):
        shares = [math.exp(each - max(row)) for each in row]
        sure = max(shares) / sum(shares)
        right = row.index(max(row)) == label
        place = next(b for b in range(1, BINS + 1) if sure <= b / BINS)
        bins.setdefault(place, []).append((sure, right))
    total = 0.0
    for each in bins.values():
        accuracy = sum(right for _, right in each) / len(each)
        total += len(each) * abs(accuracy - sum(sure for sure, _ in each) / len(each))
    return 100 * total / len(given.labels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_calibration_is_that_of_single_images(seed: int) -> None:
    """Fifteen bins of equal width."""
    given = drawn(seed=seed)
    assert dict(calibration(given)) == {"calibration_error_percent": pytest.approx(slow_calibration(given), rel=1e-5)}
    assert sum(each.images for each in reliability(given)) == 60


def test_a_network_that_is_as_sure_as_right_is_calibrated() -> None:
    """Of four images of which it is half sure, two are right; of sure ones all; bins hold their upper ends."""
    half = answered([[0.0, 0.0]] * 4, [0, 0, 1, 1])
    assert dict(calibration(half))["calibration_error_percent"] == pytest.approx(0)
    assert reliability(half)[7].images == 4  # (7/15, 8/15]
    assert dict(calibration(answered([[0.0, 1000.0]], [1])))["calibration_error_percent"] == 0
    assert dict(calibration(answered([[0.0, 1000.0]], [0])))["calibration_error_percent"] == 100
    third = answered([[0.0, 0.0, 0.0]], [0])
    assert [each.images for each in reliability(third)].index(1) in (4, 5)  # 1/3 is 5/15 up to a rounding


def test_confusion_counts_every_image_once() -> None:
    """Pair by pair."""
    given = drawn()
    counts = confusion(given)
    pairs = list(zip(given.labels.tolist(), given.logits.argmax(dim=1).tolist(), strict=True))
    assert [[pairs.count((true, predicted)) for predicted in range(8)] for true in range(8)] == counts.tolist()
    assert sum(each.images for each in missed(counts)) == 60
    wrong = sum(each.images for each in taken(counts))
    assert 100 * wrong / 60 == pytest.approx(dict(classification(given))["error_percent"])


def test_confusions_are_told_most_frequent_first() -> None:
    """Classes without images have no error."""
    given = answered([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [0, 0, 0, 1])
    counts = confusion(given)
    assert missed(counts) == (Missed(0, 3, 100.0), Missed(1, 1, 0.0))
    assert taken(counts) == (Taken(0, 1, 2), Taken(0, 2, 1))


def test_a_mean_of_softmax_is_no_mean_of_logits() -> None:
    """Each written out; probabilities that underflow leave no infinity."""
    logits = torch.tensor([[[0.0, 1.0, 3.0], [2.0, -1.0, 0.5]]])
    shares = [[math.exp(each) for each in row] for row in logits[0].tolist()]
    expected = [sum(row[k] / sum(row) for row in shares) / 2 for k in range(3)]
    assert mean(logits, "softmax").exp()[0].tolist() == pytest.approx(expected)
    assert mean(logits, "logits")[0].tolist() == [1.0, 0.0, 1.75]
    assert mean(torch.tensor([[[0.0, 2000.0], [0.0, 2000.0]]]), "softmax")[0].tolist() == [-2000.0, 0.0]


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    """Network by network and image by image; different images have no mean."""
    members = [drawn(seed=seed)._replace(labels=drawn().labels) for seed in (0, 1, 2)]
    found = mean_predictions(members, "softmax")
    for k in range(60):
        expected = sum(each.logits[k].double().softmax(dim=0) for each in members) / 3
        assert torch.allclose(found.logits[k].exp(), torch.as_tensor(expected), atol=1e-12)
    with pytest.raises(DataError, match="different images"):
        mean_predictions([members[0], members[1]._replace(ids=members[1].ids + 1)], "softmax")
    with pytest.raises(DataError, match="different images"):
        mean_predictions([members[0], members[1]._replace(labels=1 + members[1].labels)], "softmax")


def test_a_network_of_more_classes_may_choose_among_some() -> None:
    """The softmax is that of these classes alone, in their order."""
    given = answered([[9.0, 1.0, 2.0, 0.0]], [1])
    found = restricted(given, (3, 2))
    assert found.logits.tolist() == [[0.0, 2.0]]
    expected = math.log(math.exp(0) + math.exp(2)) - 2
    assert dict(classification(found))["loss"] == pytest.approx(expected)


def test_shares_join_to_the_whole() -> None:
    """In order, and none twice."""
    whole = drawn(10)
    parts = [Predictions(*(column[a:b] for column in whole)) for a, b in ((0, 3), (3, 4), (4, 10))]
    assert all(one.equal(other) for one, other in zip(joined(parts), whole, strict=True))
