"""Batches are normalised, complete and found again by a resume."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.ops import Shape
from resatlas.data.augment import augment, draws
from resatlas.data.batches import Batch, Normalisation, batches, measure, normalise, steps_per_epoch, views
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.data.order import order
from resatlas.errors import DataError
from resatlas.recipes.recipe import Flip, PadCrop

BOTH = (PadCrop(), Flip())


def part(n: int = 70) -> ImageSet:
    """The first n of 70 synthetic images of two channels, with ids that are not their positions."""
    train = resolve("synthetic:size=8,channels=2,classes=3,images=70").read().train.take(slice(n))
    return ImageSet(images=train.images, labels=train.labels, ids=train.ids + 1000)


def resident(n: int = 70) -> Batch:
    """The part, normalised by its own moments."""
    return normalise(part(n), measure(part(n)))


def same(left: list[Batch], right: list[Batch]) -> bool:
    """Whether two lists of batches agree in every bit."""
    pairs = [pair for batch in zip(left, right, strict=True) for pair in zip(*batch, strict=True)]
    return all(one.equal(other) for one, other in pairs)


def test_moments_are_numpy_s() -> None:
    """Mean and standard deviation of each channel are those of the pixels over 255."""
    moments = measure(part())
    pixels = part().images / 255
    assert moments.mean == pytest.approx(pixels.mean((0, 2, 3)), rel=1e-12)
    assert moments.std == pytest.approx(pixels.std((0, 2, 3)), rel=1e-12)


def test_a_normalised_part_has_mean_0_and_standard_deviation_1() -> None:
    """Each channel of the resident images is standard, and labels and ids are as they were."""
    whole = resident()
    assert whole.images.dtype == torch.float32
    assert whole.images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (whole.images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert whole.ids.tolist() == part().ids.tolist()


def test_a_constant_channel_becomes_zero() -> None:
    """A channel without variation is not divided by zero."""
    grey = ImageSet(images=np.full((3, 1, 4, 4), 77, np.uint8), labels=np.arange(3), ids=np.arange(3))
    assert measure(grey) == Normalisation(mean=(77 / 255,), std=(1.0,))
    assert normalise(grey, measure(grey)).images.abs().max() < 1e-7


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.0,)), ((0.5, 0.5), (1.0,)), ((0.5,), (float("nan"),))])
def test_a_normalisation_checks_itself(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """A channel without its mean, or with a std of 0 or none, is refused."""
    with pytest.raises(DataError, match="a mean and a std above 0"):
        Normalisation(mean=mean, std=std)


@pytest.mark.parametrize(
    ("n", "batch", "steps"), [(1257, 128, 9), (128, 128, 1), (129, 128, 1), (5, 128, 1), (5, 1, 5)]
)
def test_an_epoch_has_whole_batches_or_one(n: int, batch: int, steps: int) -> None:
    """Steps are floor(n / batch), and one where that is none."""
    assert steps_per_epoch(n, batch) == steps


@given(n=st.integers(4, 70), batch=st.integers(1, 80))
@settings(max_examples=30, deadline=None)
def test_batches_are_full_and_show_no_image_twice(n: int, batch: int) -> None:
    """Every batch has `batch` images, or all of a smaller part; no image comes twice in an epoch."""
    shown = list(batches(resident(n), seed=0, epoch=0, batch=batch, augmentation=()))
    assert len(shown) == steps_per_epoch(n, batch)
    assert {len(images) for images, _, _ in shown} == {min(batch, n)}
    ids = torch.cat([ids for _, _, ids in shown])
    assert len(ids.unique()) == len(ids)


def test_images_labels_and_ids_stay_together() -> None:
    """The batches are the resident images in the epoch's order, each with the draws of its index."""
    whole = resident()
    shown = order(4, 2, 70)
    expected = augment(whole.images[shown], shown, draws(4, 2, 70, BOTH, Shape(2, 8, 8)))
    made = list(batches(whole, seed=4, epoch=2, batch=7, augmentation=BOTH))
    assert torch.cat([images for images, _, _ in made]).equal(expected)
    assert torch.cat([labels for _, labels, _ in made]).equal(whole.labels[shown])
    assert torch.cat([ids for _, _, ids in made]).equal(shown + 1000)


@pytest.mark.parametrize("start", [0, 1, 5, 8])
def test_an_epoch_resumes_at_any_batch(start: int) -> None:
    """Batch k is the same bits whether the epoch began at 0 or at k; past the last one nothing comes."""
    whole = resident()
    every = list(batches(whole, seed=1, epoch=3, batch=8, augmentation=BOTH))
    rest = list(batches(whole, seed=1, epoch=3, batch=8, augmentation=BOTH, start=start))
    assert same(rest, every[start:])


def test_global_randomness_does_not_matter() -> None:
    """Neither torch's global generator nor an epoch before it changes an epoch, and neither is changed."""
    whole = resident()
    before = list(batches(whole, seed=1, epoch=3, batch=8, augmentation=BOTH))
    state = torch.get_rng_state()
    list(batches(whole, seed=1, epoch=2, batch=8, augmentation=BOTH))
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(99)
    assert same(list(batches(whole, seed=1, epoch=3, batch=8, augmentation=BOTH)), before)


@pytest.mark.parametrize("batch", [1, 32, 70, 100])
def test_views_show_every_image_once_in_order(batch: int) -> None:
    """Evaluation sees each image as it is, in the order of the source, at every size of batch."""
    seen = list(views(part(), measure(part()), batch))
    for shown, whole in zip(zip(*seen, strict=True), resident(), strict=True):
        assert torch.cat(shown).equal(whole)
