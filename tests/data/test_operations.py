"""Operations on shape and colour: against torchvision's, timm's and slow descriptions of the same."""

import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from resatlas.data import operations
from resatlas.data.operations import SPACES, STRENGTHS, Operation, augmented, trivial
from resatlas.recipes.images import RandAugment, TrivialAugment
from tests.oracles.peers import library

MEAN = (124.0, 116.0, 104.0)

WIDE = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""torchvision's names, in its order, which is ours."""


@cache
def photograph() -> Tensor:
    """A real one, of 96 x 120 pixels."""
    image = Image.fromarray(load_sample_images().images[0]).resize((120, 96), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def drawn(seed: int = 0) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", WIDE)
def test_the_wide_space_is_torchvision_s(name: str) -> None:
    """Every operation at all of its strengths and both signs gives the same bytes, but for a rounding at times.

    Strengths that it meets up to a float's rounding, as 15.999999 pixels for 16, are rounded to three digits here.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import TrivialAugmentWide

    theirs = TrivialAugmentWide()
    assert tuple(theirs._AUGMENTATION_SPACE) == WIDE
    magnitudes, signed = theirs._AUGMENTATION_SPACE[name]
    magnitudes = magnitudes(STRENGTHS, 96, 120)
    ours = trivial(32)[WIDE.index(name)]
    for k in range(STRENGTHS):
        for sign in (1, -1) if signed else (1,):
            unit = 255 if name == "Solarize" else 1
            magnitude = 0.0 if magnitudes is None else round(float(magnitudes[k]) * sign * unit, 3) / unit
            expected = torch.as_tensor(
                theirs._apply_image_or_video_transform(
                    photograph(), name, magnitude, interpolation=InterpolationMode.BILINEAR, fill={}
                )
            )
            made = ours.change(photograph(), float(ours.amount(Fraction(k, STRENGTHS - 1), sign)), None)
            assert made.dtype == torch.uint8
            assert (made.to(torch.int16) - expected).abs().max() <= 1, (k, sign)
            assert made.ne(expected).float().mean() < 0.05, (k, sign)


INCREASING = {
    "AutoContrast": 0,
    "Equalize": 1,
    "Invert": 2,
    "Rotate": 3,
    "SolarizeAdd": 4,
    "ShearX": 5,
    "ShearY": 6,
    "TranslateXRel": 7,
    "TranslateYRel": 8,
    "PosterizeIncreasing": 9,
    "SolarizeIncreasing": 10,
    "BrightnessIncreasing": 11,
    "ColorIncreasing": 12,
    "ContrastIncreasing": 13,
    "SharpnessIncreasing": 14,
}
"""timm's names, and where ours stand."""

MIXED = {name.removesuffix("Increasing"): place for name, place in INCREASING.items()}


@pytest.mark.parametrize(
    ("space", "name"), [("increasing", name) for name in INCREASING] + [("mixed", name) for name in MIXED]
)
def test_the_randomised_space_is_timm_s(space: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation at several strengths and both signs, but for the roundings of Pillow and its sharp borders."""
    timm = library("timm.data.auto_augment")
    assert set(INCREASING) == set(timm._RAND_INCREASING_TRANSFORMS)
    assert set(MIXED) == set(timm._RAND_TRANSFORMS)
    known = {"increasing": INCREASING, "mixed": MIXED}[space]
    ours = SPACES[space][known[name]]
    image = Image.fromarray(photograph().permute(1, 2, 0).numpy())
    hparams = {"img_mean": (124, 116, 104), "interpolation": Image.Resampling.BILINEAR}
    black = {"PosterizeIncreasing": 10.0, "Posterize": 0.0}.get(name)  # no bit is left, which Pillow refuses
    for magnitude in {0.0, 2.5, 6.3, 7.0, 10.0} - {black}:
        for sign, number in ((1, 0.2), (-1, 0.9)):
            monkeypatch.setattr(random, "random", lambda number=number: number)  # above 0.5 it negates
            theirs = timm.AugmentOp(name, prob=1.0, magnitude=magnitude, hparams=hparams)(image)
            expected = torch.from_numpy(np.array(theirs)).permute(2, 0, 1).to(torch.int16)
            amount = float(ours.amount(magnitude / 10, -sign if name.startswith("Translate") else sign))
            made = ours.change(photograph(), amount, MEAN).to(torch.int16)
            apart = (made - expected).abs().float()
            moved = name.startswith(("Rotate", "Shear", "Translate"))
            assert apart.mean() < (1.2 if moved else 0.8), (magnitude, sign)
            assert torch.quantile(apart.flatten(), 0.97) <= 2, (magnitude, sign)


def inverted(x: int, _: float) -> int:
    """255 less the byte."""
    return 255 - x


def posterised(x: int, bits: float) -> int:
    """The byte without its lower bits."""
    step = 2 ** (8 - int(bits))
    return x // step * step


def solarised(x: int, least: float) -> int:
    """255 less the byte from a threshold on."""
    return 255 - x if x >= least else x


def brightened(x: int, amount: float) -> int:
    """More, below 128."""
    return x + int(amount) if x < 128 else x


@pytest.mark.parametrize(
    ("change", "slow", "amounts"),
    [
        (operations._inverted, inverted, (0.0,)),
        (operations._posterised, posterised, tuple(map(float, range(9)))),
        (operations._solarised, solarised, (0.0, 100.0, 100.5, 256.0)),
        (operations._brightened_below_128, brightened, (0.0, 1.0, 110.0)),
    ],
)
def test_bytes_are_mapped_one_by_one(
    change: Callable[[Tensor, float, None], Tensor], slow: Callable[[int, float], int], amounts: tuple[float, ...]
) -> None:
    """Every byte becomes what a formula says of it."""
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    for amount in amounts:
        assert change(every, amount, None).flatten().tolist() == [slow(x, amount) for x in range(256)]


def recorders(count: int, seen: list[tuple[int, float]]) -> tuple[Operation, ...]:
    """Operations that keep an image unchanged and record their name and strength."""

    def recorder(k: int) -> Operation:
        def change(image: Tensor, amount: float, _outside: object) -> Tensor:
            seen.append((k, amount))
            return image

        return Operation(change, lambda strength, sign: sign * strength)

    return tuple(recorder(k) for k in range(count))


def test_one_trivial_operation_is_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """14 operations, 31 strengths and two signs, each as often as another, over 3,000 images."""
    seen: list[tuple[int, float]] = []

    def recording(_shift: int) -> tuple[Operation, ...]:
        return recorders(14, seen)

    monkeypatch.setattr(operations, "trivial", recording)
    for seed in range(3000):
        augmented(photograph(), TrivialAugment(), drawn(seed), size=224, mean=MEAN)
    assert len(seen) == 3000
    kinds, strengths = Counter(k for k, _ in seen), Counter(round(abs(amount) * 30) for _, amount in seen)
    assert len(kinds) == 14
    assert len(strengths) == STRENGTHS
    assert sum((count - 3000 / 14) ** 2 / (3000 / 14) for count in kinds.values()) < 35  # chi-square, 0.1 % at 13
    assert sum((count - 3000 / 31) ** 2 / (3000 / 31) for count in strengths.values()) < 60  # 0.1 % at 30
    assert abs(sum(amount < 0 for _, amount in seen) / 3000 - 30 / 62) < 0.04


def test_randomised_operations_are_drawn_as_they_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two draws an image, half of them carried out, strengths normal around the magnitude and kept within 0 to 10."""
    seen: list[tuple[int, float]] = []
    monkeypatch.setattr(operations, "SPACES", {"increasing": recorders(15, seen)})
    step = RandAugment(magnitude=Fraction(7), deviation=Fraction(2))
    for seed in range(2000):
        augmented(photograph(), step, drawn(seed), size=224, mean=MEAN)
    strengths = np.array([abs(amount) * 10 for _, amount in seen])
    assert abs(len(seen) / 4000 - 1 / 2) < 0.03
    assert len({k for k, _ in seen}) == 15
    assert strengths.max() == 10  # a draw of N(7, 2²) is above 10 with probability 0.067
    assert abs(np.mean(strengths == 10) - 0.0668) < 0.02
    assert abs(np.median(strengths) - 7) < 0.2
    assert abs(np.mean(strengths < 5) - 0.1587) < 0.03


@pytest.mark.parametrize("step", [TrivialAugment(), RandAugment(magnitude=Fraction(9), count=3)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_fixed_by_its_draw(step: TrivialAugment | RandAugment, channels: int) -> None:
    """Equal generators give equal bytes, others differ, and the original image is unchanged."""
    image = photograph()[:channels]
    before, mean = image.clone(), MEAN[:channels]
    made = [augmented(image, step, drawn(seed), size=96, mean=mean) for seed in (*range(12), 3)]
    assert all(view.shape == image.shape and view.dtype == torch.uint8 for view in made)
    assert made[3].equal(made[-1])
    assert len({view.numpy().tobytes() for view in made}) > 6
    assert image.equal(before)


def test_shifts_are_shares_of_the_network_s_size() -> None:
    """The strongest is 32 pixels at 224, and 5 at 32, to either side."""
    image = torch.full((3, 40, 40), 255, dtype=torch.uint8)
    for size, most in ((224, 32), (32, 5)):
        right, left = (
            trivial(round(size / 7))[3].change(
                image, float(trivial(round(size / 7))[3].amount(Fraction(1), sign)), None
            )
            for sign in (1, -1)
        )
        assert right[0, 0].tolist() == [0] * most + [255] * (40 - most)
        assert left.equal(right.flip(2))
