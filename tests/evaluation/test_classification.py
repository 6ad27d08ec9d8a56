"""Every image is seen once, and loss, error and predictions are those of one image after another."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from resatlas.arch.ops import Shape
from resatlas.data.dataset import ImageSet
from resatlas.data.normalisation import Affine, measured
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.classification import classification, prediction_rows
from resatlas.evaluation.logits import Predictions, predict
from resatlas.evaluation.portions import Portion
from resatlas.evaluation.predictions import Prediction, write_predictions
from resatlas.nets.network import Network, build
from resatlas.recipes.images import Standardise
from tests.data.memory import training_images

CLASSES = 4


@pytest.fixture
def network() -> Network:
    """A network whose running moments are not those of a fresh one."""
    net = build("dmrnet:depth=8,base=2", image=Shape(1, 8, 8), classes=CLASSES, seed=0)
    net.train()
    net(torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return net


def part(n: int) -> ImageSet:
    """The first n of 300 synthetic images, with ids that are not their positions."""
    whole = training_images(f"synthetic:size=8,channels=1,classes={CLASSES},images=300").take(slice(n))
    return ImageSet(images=whole.images, labels=whole.labels, ids=7 * whole.ids + 1)


def standard(images: ImageSet) -> Pipeline:
    """Images standardised by their own moments."""
    step = Standardise()
    return Pipeline(steps=(step,), normaliser=measured(step, torch.from_numpy(images.images)))


@torch.no_grad()
def one_by_one(network: Network, images: ImageSet) -> list[Prediction]:
    """A slow second opinion: each image alone, with the softmax written out; probability of the true class."""
    moments = standard(images).normaliser
    assert isinstance(moments, Affine)
    found = []
    network.eval()
    for image, label, id_ in zip(images.images, images.labels.tolist(), images.ids.tolist(), strict=True):
        x = (image.astype(np.float64) / 255 - moments.mean.item()) / moments.std.item()
        logits = network(torch.from_numpy(x).float()[None])[0].tolist()
        shares = [math.exp(logit) for logit in logits]
        found.append(
            Prediction(id=id_, true=label, predicted=logits.index(max(logits)), probability=shares[label] / sum(shares))
        )
    return found


@pytest.mark.parametrize("n", [1, 37, 256, 257, 300])
def test_loss_and_error_are_those_of_single_images(network: Network, n: int) -> None:
    """Also where the number of images is no multiple of a batch."""
    images = part(n)
    slow = one_by_one(network, images)
    values = dict(classification(predict(network, images, standard(images))))
    assert list(values) == ["loss", "error_percent", "images"]
    assert values["images"] == n
    assert values["loss"] == pytest.approx(-sum(math.log(each.probability) for each in slow) / n, rel=1e-5)
    assert values["error_percent"] == pytest.approx(100 * sum(each.true != each.predicted for each in slow) / n)


@pytest.mark.parametrize("batch", [1, 7, 36, 37, 38])
def test_every_image_is_answered_once_in_order(network: Network, batch: int) -> None:
    """Ids and labels are those of the part, at every size of a batch."""
    images = part(37)
    given = predict(network, images, standard(images), portion=Portion(size=batch))
    assert given.ids.tolist() == images.ids.tolist()
    assert given.labels.tolist() == images.labels.tolist()
    assert given.logits.shape == (37, CLASSES)


def test_the_network_is_asked_in_evaluation_mode_and_not_changed(network: Network) -> None:
    """No moment, weight or gradient changes, and asking twice gives the same answers."""
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    network.train()
    images = part(37)
    one, two = (predict(network, images, standard(images)) for _ in range(2))
    assert one.logits.equal(two.logits)
    assert not one.logits.requires_grad
    assert all(tensor.equal(before[path]) for path, tensor in network.state_dict().items())


def test_predictions_are_the_largest_logits(network: Network) -> None:
    """Class and probability of each image are those of its softmax."""
    images = part(37)
    slow = one_by_one(network, images)
    fast = list(prediction_rows(predict(network, images, standard(images))))
    assert [(each.id, each.true, each.predicted) for each in fast] == [
        (each.id, each.true, each.predicted) for each in slow
    ]
    for quick, other in zip(fast, slow, strict=True):
        assert 1 / CLASSES <= quick.probability <= 1
        if quick.predicted == other.true:
            assert quick.probability == pytest.approx(other.probability, rel=1e-4)
        else:
            assert quick.probability >= other.probability * (1 - 1e-4)


def answered(logits: list[list[float]], labels: list[int]) -> Predictions:
    """Predictions written by hand."""
    return Predictions(torch.tensor(logits), torch.tensor(labels), torch.arange(len(labels)) + 5)


def test_a_sure_and_right_network_has_no_error() -> None:
    """Loss 0 and error 0, and the other way round all wrong."""
    logits = [[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [0.0, 0.0, 100.0]]
    assert dict(classification(answered(logits, [0, 1, 2]))) == {"loss": 0.0, "error_percent": 0.0, "images": 3}
    assert dict(classification(answered(logits, [1, 2, 0]))) == {"loss": 100.0, "error_percent": 100.0, "images": 3}
    assert dict(classification(answered(logits, [0, 1, 0])))["error_percent"] == pytest.approx(100 / 3, abs=1e-12)


def test_an_undecided_network_has_the_loss_of_chance() -> None:
    """Equal logits give log(k), and the first class is predicted."""
    given = answered([[0.0] * 8] * 2, [0, 1])
    assert dict(classification(given))["loss"] == pytest.approx(math.log(8))
    every = (0.125,) * 8
    assert list(prediction_rows(given)) == [Prediction(5, 0, 0, 0.125, every), Prediction(6, 1, 0, 0.125, every)]


def test_huge_logits_have_a_finite_loss() -> None:
    """The softmax does not overflow."""
    values = dict(classification(answered([[1e30, -1e30], [0.0, 3e38]], [0, 1])))
    assert values == {"loss": 0.0, "error_percent": 0.0, "images": 2}


def read(file: Path) -> list[list[str]]:
    """The rows of a CSV file."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_the_file_of_predictions_names_classes(tmp_path: Path) -> None:
    """One row an image in their order; class names that look like formulas are made harmless."""
    file = tmp_path / "predictions.csv"
    write_predictions(file, [Prediction(9, 0, 1, 0.75), Prediction(2, 1, 1, 1.0)], ("cat, black", "=cmd()"))
    assert read(file) == [
        ["id", "true", "predicted", "probability", "label"],
        ["9", "cat, black", "'=cmd()", "0.750000", "0"],
        ["2", "'=cmd()", "'=cmd()", "1.000000", "1"],
    ]


def test_the_column_of_a_class_is_no_other_column(tmp_path: Path) -> None:
    """Whatever a class is called: as another column, a formula, several lines, or as the column of another class."""
    classes = ("id", "probability", "=cmd()", "two\nlines, or more", "p:id")
    write_predictions(tmp_path / "p.csv", prediction_rows(answered([[0.0] * 5], [3])), classes)
    [head, row] = read(tmp_path / "p.csv")
    assert head == ["id", "true", "predicted", "probability", "label", *(f"p:{name}" for name in classes)]
    assert row == ["5", classes[3], "id", "0.200000", "3", *["0.2000000000"] * 5]


def test_other_programs_take_the_probabilities_as_they_are(tmp_path: Path) -> None:
    """scikit-learn finds rows that add up to 1, the loss of the results, and labels that are indices of columns."""
    torch.manual_seed(0)
    given = Predictions(4 * torch.randn(500, 40), torch.randint(40, (500,)), torch.arange(500))
    write_predictions(tmp_path / "p.csv", prediction_rows(given), [f"class {k}" for k in range(40)])
    [head, *rows] = read(tmp_path / "p.csv")
    label, columns = head.index("label"), [k for k, name in enumerate(head) if name.startswith("p:")]
    labels = [int(row[label]) for row in rows]
    shares = [[float(row[k]) for k in columns] for row in rows]
    loss = log_loss(labels, shares, labels=range(40))  # which warns of rows that do not add up to 1
    assert loss == pytest.approx(dict(classification(given))["loss"], rel=1e-4)
    assert [classes.index(max(classes)) for classes in shares] == given.logits.argmax(dim=1).tolist()


@pytest.mark.parametrize(("images", "classes", "columns"), [(2, 100, 100), (2, 101, 0), (100_001, 100, 0)])
def test_very_many_probabilities_are_written_where_asked_for(images: int, classes: int, columns: int) -> None:
    """By itself a file has those of at most 100 classes, and at most ten million."""
    given = Predictions(torch.zeros(1, classes).expand(images, -1), torch.zeros(images).long(), torch.arange(images))
    assert len(next(prediction_rows(given)).probabilities) == columns
    assert len(next(prediction_rows(given, "every")).probabilities) == classes


class Counting(nn.Module):
    """A network that remembers how many images it saw at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits that are all zero."""
        self.seen.append(len(images))
        return torch.zeros(len(images), CLASSES)


def test_no_batch_is_larger_than_it_has_to_be() -> None:
    """300 images are one whole batch and the rest."""
    counting = Counting()
    predict(counting, part(300), standard(part(300)))
    assert counting.seen == [256, 44]
