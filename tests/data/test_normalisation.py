"""Normalisations do what their formulas say, and come back from the file of their run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from resatlas.data import normalisation
from resatlas.data.batches import pipeline_for
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.data.normalisation import (
    Affine,
    Normaliser,
    Whitening,
    by_constants,
    constants_for,
    mean_colour,
    measured,
    normalised,
    normaliser_bytes,
    read_normaliser,
    unit,
)
from resatlas.errors import CheckpointError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.constants import IMAGENET
from resatlas.recipes.images import (
    NORMALISATIONS,
    Constants,
    Normalisation,
    Rescale,
    Standardise,
    SubtractMeanImage,
    Whiten,
)
from tests.data.memory import training_images

CONSTANTS = Constants(data="x", mean=(100.0, 50.0), std=(51.0, 25.5))

ALL: tuple[Normalisation, ...] = (Standardise(), SubtractMeanImage(), Rescale(), Whiten())


def images() -> Tensor:
    """Synthetic images of two channels, as bytes."""
    return torch.from_numpy(training_images("synthetic:size=6,channels=2,classes=3,images=60").images)


def made(step: Normalisation) -> tuple[Normaliser, Tensor]:
    """A normalisation measured on the images, and the images under it."""
    normaliser = measured(step, images())
    return normaliser, normalised(unit(images()), normaliser)


def test_constants_are_numbers_from_0_to_255() -> None:
    """(x - mean)/std of bytes."""
    under = normalised(unit(images()), by_constants(CONSTANTS))
    mean, std = (np.array(values)[:, None, None] for values in (CONSTANTS.mean, CONSTANTS.std))
    np.testing.assert_allclose(under, (images().numpy() - mean) / std, rtol=1e-5, atol=1e-6)


def test_the_mean_colour_is_told_in_bytes() -> None:
    """That of ImageNet is the usual grey; that of a mean image is its mean."""
    assert mean_colour(by_constants(IMAGENET)) == (124, 116, 104)
    halves = torch.tensor([[[0.0, 1.0]], [[0.2, 0.2]]])
    assert mean_colour(Affine(mean=halves, std=torch.ones(2, 1, 1))) == (128, 51)


def test_constants_of_other_channels_are_not_used() -> None:
    """Grey images under a recipe for colour are standardised by their own moments."""
    data = resolve("synthetic:size=8,channels=1,classes=2,images=30")
    train = data.read().train
    assert isinstance(train, ImageSet)
    own = replace(data, name="cifar-10")
    normaliser = pipeline_for(NAMED["fb-cifar"], own, train).normaliser
    assert normaliser.mean.equal(measured(Standardise(), torch.from_numpy(train.images)).mean)
    colour = replace(resolve("synthetic:size=8,channels=3,classes=2,images=30"), name="cifar-10")
    known = pipeline_for(NAMED["fb-cifar"], colour, colour.read().train).normaliser
    assert known.mean.flatten().tolist() == pytest.approx([125.3 / 255, 123 / 255, 113.9 / 255])


def test_the_mean_image_is_subtracted_pixel_by_pixel() -> None:
    """Every pixel of every channel has the mean 0 over the training images; the scale is that of x/255."""
    normaliser, under = made(SubtractMeanImage())
    assert tuple(normaliser.mean.shape) == (2, 6, 6)
    assert under.mean(dim=0).abs().max() < 1e-6
    np.testing.assert_allclose(under, images().numpy() / 255 - images().numpy().mean(0) / 255, atol=1e-6)


def test_rescaling_divides_by_255() -> None:
    """And does nothing else."""
    _, under = made(Rescale())
    assert under.equal(images().to(torch.float32) / 255)


def test_whitening_is_what_its_formula_says() -> None:
    """Against numpy in float64: contrast 55, then V·(D + 0.1)^(-1/2)·V^T of the centred vectors."""
    _, under = made(Whiten())
    vectors = images().numpy().reshape(60, -1) / 255
    vectors -= vectors.mean(1, keepdims=True)
    vectors *= 55 / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = vectors - vectors.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred / 60)
    expected = centred @ axes @ np.diag((values + 0.1) ** -0.5) @ axes.T
    np.testing.assert_allclose(under.reshape(60, -1), expected, atol=2e-4)


def test_whitened_images_have_nearly_the_identity_as_covariance() -> None:
    """Directions that vary much more than the bias have the variance 1, flat ones less."""
    _, under = made(Whiten())
    covariance = np.cov(under.reshape(60, -1).numpy().T, bias=True)
    values = np.linalg.eigvalsh(covariance)
    assert values.max() < 1.001
    assert values.max() > 0.9


@pytest.mark.parametrize("step", [SubtractMeanImage(), Whiten()], ids=lambda step: type(step).__name__)
def test_sums_are_over_chunks(step: Normalisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more images than a chunk are copied at a time, the last ones too; the numbers are those of a single sum."""
    whole, many = measured(step, images()), images().repeat(50, 1, 1, 1)
    monkeypatch.setattr(normalisation, "CHUNK", 7)
    with torch.profiler.profile(profile_memory=True) as profile:
        normaliser = measured(step, many)
    largest = max(event.self_cpu_memory_usage for event in profile.events() or ())
    torch.testing.assert_close(
        normalised(unit(images()), normaliser), normalised(unit(images()), whole), atol=1e-4, rtol=0
    )
    assert largest < many.numel()  # bytes; the covariance takes a fifth


def test_a_flat_image_stays_flat_under_whitening() -> None:
    """No contrast is not divided by zero."""
    normaliser, _ = made(Whiten())
    flat = torch.full((1, 2, 6, 6), 0.25)
    assert normalised(flat, normaliser).isfinite().all()


@pytest.mark.parametrize("step", ALL, ids=lambda step: type(step).__name__)
def test_a_normalisation_comes_back_from_its_file(step: Normalisation, tmp_path: Path) -> None:
    """Kind and numbers are the same to the bit, and nothing else lies beside the file."""
    normaliser, under = made(step)
    file = tmp_path / "normalisation.safetensors"
    file.write_bytes(normaliser_bytes(normaliser))
    assert normalised(unit(images()), read_normaliser(file)).equal(under)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 100])
def test_a_damaged_file_is_told(content: bytes | None, tmp_path: Path) -> None:
    """A missing, empty or strange file is one sentence."""
    file = tmp_path / "normalisation.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="is missing or damaged"):
        read_normaliser(file)


def test_a_file_without_its_kind_is_told(tmp_path: Path) -> None:
    """Numbers alone do not say what is done with them."""
    from safetensors.torch import save_file

    file = tmp_path / "normalisation.safetensors"
    save_file({"mean": torch.zeros(1, 1, 1)}, file)
    with pytest.raises(CheckpointError, match="is missing or damaged"):
        read_normaliser(file)


@pytest.mark.parametrize(
    ("recipe", "data", "photographs", "expected"),
    [
        ("fb-cifar", "cifar-10", False, "cifar-10"),
        ("fb-cifar", "cifar-100", False, "cifar-100"),
        ("dmrnet-svhn", "svhn:extra=0", False, "svhn"),
        ("fb-cifar", "fashion-mnist", False, None),
        ("fb-imagenet", "imagenet:size=64", True, "imagenet"),
        ("fb-imagenet", "my/photographs", True, "imagenet"),
        ("fb-imagenet", "cifar-10", False, None),
        ("quick", "my/photographs", True, None),
        ("wrn-svhn", "svhn", False, None),
    ],
)
def test_constants_go_by_the_name_of_the_data(recipe: str, data: str, photographs: bool, expected: str | None) -> None:
    """Knobs do not matter; folders of photographs take ImageNet's; without any, the images are measured."""
    step = next(step for step in NAMED[recipe].steps if isinstance(step, NORMALISATIONS))
    constants = constants_for(step, data, photographs=photographs)
    assert (constants and constants.data) == expected


def test_kinds_are_what_they_are_called() -> None:
    """Only whitening mixes pixels."""
    assert [type(measured(step, images())) for step in ALL] == [Affine, Affine, Affine, Whitening]
