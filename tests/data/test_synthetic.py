"""Synthetic images are the same at every call, and show their class."""

import numpy as np
import pytest

from resatlas.arch.ops import Shape
from resatlas.data.synthetic import synthetic
from resatlas.errors import UsageError
from tests.data.memory import in_memory


def test_a_quarter_as_many_images_are_tested_on() -> None:
    """Sizes, shape and classes are those of the knobs, and no class is rarer by more than one image."""
    resolved = synthetic(size=8, channels=2, classes=3, images=50)
    parts = resolved.read()
    assert (len(parts.train), len(parts.test)) == (50, 12)
    assert resolved.image == parts.train.shape == parts.test.shape == Shape(2, 8, 8)
    assert np.bincount(parts.train.labels).tolist() == [17, 17, 16]
    assert len(resolved.classes) == 3


def test_every_call_makes_the_same_images() -> None:
    """Two readings agree in every pixel, and the parts are not each other's beginning."""
    first, second = synthetic(size=8).read(), synthetic(size=8).read()
    train, test = in_memory(first.train).images, in_memory(first.test).images
    assert np.array_equal(train, in_memory(second.train).images)
    assert np.array_equal(test, in_memory(second.test).images)
    assert not np.array_equal(train[:128], test)


def test_the_class_can_be_seen() -> None:
    """The nearest mean image of a class names the class of nearly every test image."""
    parts = synthetic(size=16).read()
    train, test = in_memory(parts.train), in_memory(parts.test)
    means = np.stack([train.images[train.labels == k].mean(0) for k in range(10)])
    distances = ((test.images[:, None] - means) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == parts.test.labels).mean() > 0.95


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"size": 3}, "size of a synthetic data set must be between 4 and 256; got 3"),
        ({"channels": 17}, "channels .* between 1 and 16; got 17"),
        ({"classes": 1}, "classes .* between 2 and 1,000; got 1$"),
        ({"images": 19}, "images .* between 20 and 100,000; got 19$"),
        ({"size": 256, "images": 1000}, "at most 134,217,728 values; 1,000 of 3x256x256 hold more"),
    ],
)
def test_a_knob_out_of_bounds_is_refused_in_words(knobs: dict[str, int], words: str) -> None:
    """The error names the knob, its bounds and what was given."""
    with pytest.raises(UsageError, match=words):
        synthetic(**knobs)
