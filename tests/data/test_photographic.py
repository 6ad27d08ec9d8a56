"""Steps on photographs: against slow or other descriptions of the same, on real photographs."""

import colorsys
import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from resatlas.data import photographic
from resatlas.data.photographic import COMPONENTS, VARIANCES, centre, coloured, placed
from resatlas.recipes.images import AreaCrop, Centre, ColourJitter, HslJitter, Lighting, ScaleCrop


@cache
def photographs() -> tuple[Tensor, ...]:
    """Two real photographs of 427 x 640 pixels."""
    return tuple(torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in load_sample_images().images)


def drawn(seed: int = 0) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("k", [0, 1])
def test_the_centre_is_that_of_pillow(k: int) -> None:
    """Shorter side 256, antialiased bilinear, the middle 224; Pillow's own integer arithmetic differs by one level."""
    image = photographs()[k]
    made = centre(image, Centre(), 224)
    resized = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((256 * 640 // 427, 256), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 224) / 2), (256 - 224) // 2
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1)
    assert made.shape == (3, 224, 224)
    assert np.abs(made.numpy().astype(int) - expected).max() <= 1


def test_an_image_of_the_size_is_whole() -> None:
    """Small images in memory are tested as they are."""
    image = photographs()[0][:, :64, :64]
    assert centre(image, Centre(), 64) is image


@pytest.mark.parametrize("step", [ScaleCrop(), ScaleCrop(stretch=Fraction(1, 4)), AreaCrop()], ids=str)
def test_crops_have_the_size_and_are_fixed_by_their_draw(step: ScaleCrop | AreaCrop) -> None:
    """The same generator gives the same pixels, others give others; size and type are those asked for."""
    for image in (photographs()[0], photographs()[1][:, :50, :], photographs()[0][:, :, :40]):
        made = [placed(image, step, 48, drawn(seed)) for seed in (0, 0, 1)]
        assert all(view.shape == (3, 48, 48) and view.dtype == torch.uint8 for view in made)
        assert made[0].equal(made[1])
    assert len({tuple(placed(photographs()[0], step, 48, drawn(seed)).flatten().tolist()) for seed in range(6)}) == 6


def ramp(height: int, width: int) -> Tensor:
    """An image whose channels tell row and column, from 0 to 255."""
    y, x = torch.arange(height)[:, None] * 255 / (height - 1), torch.arange(width)[None] * 255 / (width - 1)
    return torch.stack([y.expand(height, width), x.expand(height, width), torch.zeros(height, width)]).to(torch.uint8)


def extents(crop: Tensor) -> tuple[float, float]:
    """The shares of height and width of a ramp that a crop shows."""
    rows, columns = (crop[k].to(torch.float64) for k in (0, 1))
    return float(rows.amax() - rows.amin()) / 255, float(columns.amax() - columns.amin()) / 255


def test_areas_are_drawn_as_the_paper_says() -> None:
    """Share of the area uniform from 8 to 100 %, ratio of width and height within 3/4 to 4/3, over 400 draws.

    A draw that does not fit is drawn again. So the density at a share a of a square is that of its ratios that fit,
    min(1, log(1/a)/log(4/3)), and the part below 0.54 is 0.46/(0.67 + (1/4 - 3/4·log(4/3))/log(4/3)).
    """
    below = 0.46 / (0.67 + (1 / 4 - 3 / 4 * math.log(4 / 3)) / math.log(4 / 3))
    shown = [extents(placed(ramp(400, 400), AreaCrop(), 64, drawn(seed))) for seed in range(400)]
    areas, ratios = np.array([h * w for h, w in shown]), np.array([w / h for h, w in shown])
    assert 0.06 < areas.min() < 0.12
    assert 0.85 < areas.max() <= 1
    assert abs(np.mean(areas < 0.54) - below) < 0.08
    assert 0.7 < ratios.min() < 0.8
    assert 1.25 < ratios.max() < 1.42


def test_an_area_that_never_fits_gives_the_centre() -> None:
    """A strip too narrow for the ratios shows its middle, as wide as they allow."""
    strip = ramp(20, 400)
    made = placed(strip, AreaCrop(least=Fraction(1)), 32, drawn())
    _, columns = extents(made)
    assert columns == pytest.approx(20 * 4 / 3 / 400, abs=0.01)
    assert float(made[1].to(torch.float64).mean()) == pytest.approx(127, abs=2)


def test_scales_run_from_the_least_to_the_most() -> None:
    """The crop of 32 shows from 32/69 to 32/37 of the shorter side (8/7 and 15/7 of 32, rounded)."""
    shown = [extents(placed(ramp(300, 300), ScaleCrop(), 32, drawn(seed)))[0] for seed in range(200)]
    assert min(shown) == pytest.approx(31 / 69, abs=0.03)
    assert max(shown) == pytest.approx(31 / 37, abs=0.03)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("step", [Centre(), ScaleCrop(), ScaleCrop(stretch=Fraction(1, 4))], ids=str)
def test_a_strip_is_cropped_as_if_it_were_whole(
    step: Centre | ScaleCrop, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an image 5 to 40 times as wide as high only a part is resized, to the same pixels up to a step."""
    for height in (10, 15, 80):
        strip = ramp(height, 400).transpose(1, 2) if turned else ramp(height, 400)

        def made(image: Tensor, seed: int) -> Tensor:
            return centre(image, step, 32) if isinstance(step, Centre) else placed(image, step, 32, drawn(seed))

        views = [made(strip, seed) for seed in range(20)]
        with monkeypatch.context() as whole:
            whole.setattr(photographic, "LONG", 1000)
            expected = [made(strip, seed) for seed in range(20)]
        for one, other in zip(views, expected, strict=True):
            assert (one.to(torch.int16) - other).abs().max() <= 3


@pytest.mark.parametrize("step", [Centre(), ScaleCrop(), ScaleCrop(stretch=Fraction(9, 10))], ids=str)
@pytest.mark.parametrize("sides", [(1, 4000), (4000, 1), (2, 100)])
def test_a_strip_takes_little_memory(
    step: Centre | ScaleCrop, sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is resized to more than a few crops."""
    from torchvision.transforms.v2 import functional as V

    real = V.resize
    most: list[float] = []

    def followed(image: Tensor, size: list[int], **how: bool) -> Tensor:
        most.append(math.prod(size))
        return real(image, size, **how)

    monkeypatch.setattr(V, "resize", followed)
    strip = torch.zeros(3, *sides, dtype=torch.uint8)
    for seed in range(20):
        made = centre(strip, step, 224) if isinstance(step, Centre) else placed(strip, step, 224, drawn(seed))
        assert made.shape == (3, 224, 224)
    assert max(most) < 50 * 224**2


def test_lighting_adds_one_colour_to_every_pixel() -> None:
    """The sum of the components, each weighed by its variance and its draw."""
    image = photographs()[0][:, :8, :8].to(torch.float32) / 255
    weights = torch.randn(3, generator=drawn(3)) * 0.1
    shift = sum(float(weights[k] * VARIANCES[k]) * COMPONENTS[:, k] for k in range(3))
    made = coloured(image, Lighting(), drawn(3))
    torch.testing.assert_close(made - image, torch.as_tensor(shift)[:, None, None].expand_as(image), atol=1e-6, rtol=0)


def test_the_components_of_colour_are_orthonormal() -> None:
    """As eigenvectors of a covariance are, to the four digits that are written down."""
    torch.testing.assert_close(COMPONENTS.T @ COMPONENTS, torch.eye(3), atol=2e-4, rtol=0)


def test_jitter_keeps_grey_grey_and_stays_in_bounds() -> None:
    """Brightness, contrast and saturation keep values within 0 and 1, and saturation keeps grey."""
    image = photographs()[1][:, :32, :32].to(torch.float32) / 255
    made = [coloured(image, ColourJitter(), drawn(seed)) for seed in range(8)]
    assert all(float(view.min()) >= 0 and float(view.max()) <= 1 for view in made)
    assert len({float(view.mean()) for view in made}) == 8
    grey = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    only = ColourJitter(brightness=Fraction(0), contrast=Fraction(0))
    torch.testing.assert_close(coloured(grey, only, drawn()), grey, atol=1e-5, rtol=0)


def test_without_a_shift_hsl_is_the_identity() -> None:
    """There and back the colours are the same, greys, black and white among them."""
    image = torch.cat([photographs()[0][:, 100:140, 100:140].to(torch.float32) / 255, torch.zeros(3, 2, 40)], dim=1)
    image[:, -1] = 1
    made = coloured(image, HslJitter(hue=0, saturation=0, lightness=0), drawn())
    torch.testing.assert_close(made, image, atol=1e-5, rtol=0)


def test_hsl_moves_as_the_standard_library_does() -> None:
    """Each pixel, moved by the draws in colorsys's own hue, lightness and saturation."""
    image = photographs()[1][:, 50:56, 50:56].to(torch.float32) / 255
    step = HslJitter(hue=36, saturation=50, lightness=50)
    source = drawn(5)
    moves = [
        most * (2 * float(torch.rand((), generator=source, dtype=torch.float64)) - 1)
        for most in (0.2, 50 / 255, 50 / 255)
    ]
    made = coloured(image, step, drawn(5))
    for y in range(6):
        for x in range(6):
            h, lightness, s = colorsys.rgb_to_hls(*image[:, y, x].tolist())
            moved = ((h + moves[0]) % 1, min(max(lightness + moves[2], 0), 1), min(max(s + moves[1], 0), 1))
            assert made[:, y, x].tolist() == pytest.approx(colorsys.hls_to_rgb(*moved), abs=1e-4)


def test_ratios_are_symmetric_in_their_logarithm() -> None:
    """As many wide crops as high ones."""
    shown = [extents(placed(ramp(400, 400), AreaCrop(least=Fraction(1, 4)), 64, drawn(seed))) for seed in range(300)]
    assert abs(np.mean([math.log(w / h) for h, w in shown])) < 0.04
