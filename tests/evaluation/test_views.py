"""Every view equals a slow description of itself: crop by crop, by Pillow, on real photographs."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from resatlas.data.dataset import ImageFiles, ImageSet
from resatlas.data.normalisation import Affine, Whitening
from resatlas.errors import UsageError
from resatlas.evaluation.classification import classification
from resatlas.evaluation.crops import croppings_of, five_crops, scaled
from resatlas.evaluation.logits import Predictions, predict
from resatlas.evaluation.portions import Portion
from resatlas.evaluation.protocol import view_of
from resatlas.nets.network import Network
from resatlas.recipes.images import Centre, MultiScale, TenCrops, View
from tests.evaluation.photographs import (
    CLASSES,
    NORMALISER,
    PIPELINE,
    SIZE,
    in_files,
    logits,
    photographs,
    resized,
    softmax,
    trained,
)

CLOSE = 0.009
"""Of a logarithm of a probability: Pillow's own integer arithmetic differs from torch's by a level of 255."""


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    """The photographs in files."""
    return in_files(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def network() -> Network:
    """A network in evaluation mode."""
    return trained()


@pytest.fixture(scope="module")
def given(network: Network, part: ImageFiles) -> Callable[[str], Predictions]:
    """The answers under a protocol, given once."""

    @cache
    def asked(text: str) -> Predictions:
        return predict(network, part, PIPELINE, view_of(text))

    return asked


def nearest(value: float) -> int:
    """The whole number that is nearest."""
    return int(value + 0.5)


def middle(image: np.ndarray, crop: int) -> np.ndarray:
    """The centre of an image."""
    h, w = image.shape[:2]
    top, left = round((h - crop) / 2), round((w - crop) / 2)
    return image[top : top + crop, left : left + crop]


def one_crop(image: np.ndarray, side: int, crop: int) -> list[np.ndarray]:
    """The centre of the image with that shorter side."""
    return [middle(resized(image, side), crop)]


def with_mirrored(crops: list[np.ndarray]) -> list[np.ndarray]:
    """Each crop and its mirror image."""
    return [each for crop in crops for each in (crop, crop[:, ::-1])]


def ten(image: np.ndarray, side: int) -> list[np.ndarray]:
    """Four corners and the centre, and their mirror images."""
    large = resized(image, side)
    h, w = large.shape[:2]
    corners = [(0, 0), (0, w - SIZE), (h - SIZE, 0), (h - SIZE, w - SIZE)]
    return with_mirrored([large[y : y + SIZE, x : x + SIZE] for y, x in corners] + [middle(large, SIZE)])


def slow(network: Network, crops: list[np.ndarray], mean_of: str) -> np.ndarray:
    """The logarithm of what the crops say on average, one crop after another."""
    total = np.zeros(CLASSES)
    for crop in crops:
        said = logits(network, crop)
        total += said if mean_of == "logits" else softmax(said)
    return np.log(softmax(total / len(crops)) if mean_of == "logits" else total / len(crops))


SIDE = nearest(SIZE * 256 / 224)
LARGE = nearest(SIZE * 320 / 224)
SCALES = [nearest(SIZE * side / 224) for side in (224, 256, 384, 480, 640)]

CROPS: dict[str, tuple[Callable[[np.ndarray], list[np.ndarray]], str]] = {
    "centre": (lambda image: one_crop(image, SIDE, SIZE), "softmax"),
    "centre:shorter=300": (lambda image: one_crop(image, nearest(SIZE * 300 / 224), SIZE), "softmax"),
    "full-320": (lambda image: one_crop(image, LARGE, LARGE), "softmax"),
    "flips": (lambda image: with_mirrored(one_crop(image, SIDE, SIZE)), "softmax"),
    "flips:mean_of=logits": (lambda image: with_mirrored(one_crop(image, SIDE, SIZE)), "logits"),
    "ten-crops": (lambda image: ten(image, SIDE), "softmax"),
    "ten-crops:mean_of=logits": (lambda image: ten(image, SIDE), "logits"),
    "multi-scale": (lambda image: [resized(image, side) for side in SCALES], "softmax"),
    "multi-scale:mean_of=logits": (lambda image: [resized(image, side) for side in SCALES], "logits"),
    "multi-scale:flips=with": (lambda image: with_mirrored([resized(image, side) for side in SCALES]), "softmax"),
}


@pytest.mark.parametrize("text", CROPS)
def test_a_view_is_its_crops_one_after_another(
    text: str, network: Network, part: ImageFiles, given: Callable[[str], Predictions]
) -> None:
    """Logarithms of probabilities, labels and ids of three photographs."""
    crops, mean_of = CROPS[text]
    quick = given(text)
    assert quick.ids.tolist() == part.ids.tolist()
    assert quick.labels.tolist() == part.labels.tolist()
    expected = np.stack([slow(network, crops(image), mean_of) for image in photographs()])
    found = quick.logits.double().log_softmax(dim=1).numpy()
    assert np.abs(found - expected).max() < CLOSE
    loss = dict(classification(quick))["loss"]
    own = [expected[k, label] for k, label in enumerate(part.labels.tolist())]
    assert loss == pytest.approx(-sum(own) / len(own), abs=CLOSE)


def test_the_views_differ_by_more_than_they_are_off(given: Callable[[str], Predictions]) -> None:
    """Else the test before would take one for another."""
    found = [given(text).logits.double().log_softmax(dim=1) for text in CROPS]
    assert min(float((one - other).abs().max()) for one, other in combinations(found, 2)) > 2 * CLOSE


def windowed(network: Network, image: np.ndarray, side: int) -> list[np.ndarray]:
    """The logits of every window of 8 x 8 places of the last map (the map of a 32-pixel image), place by place."""
    large = np.array(resized(image, side))
    x = torch.from_numpy(large).permute(2, 0, 1).float()[None] / 255
    with torch.no_grad():
        maps = network.forward_features((x - NORMALISER.mean) / NORMALISER.std)
        linear = network.head.linear
        assert isinstance(linear, torch.nn.Linear)
        before = [each for name, each in network.head.named_children() if name not in ("pool", "linear")]
        for each in before:
            maps = each(maps)
        edge = SIZE // 4
        return [
            F.linear(maps[0, :, y : y + edge, x : x + edge].mean(dim=(1, 2)), linear.weight, linear.bias)
            .double()
            .numpy()
            for y in range(maps.shape[2] - edge + 1)
            for x in range(maps.shape[3] - edge + 1)
        ]


@pytest.mark.parametrize("mean_of", ["softmax", "logits"])
def test_windows_are_the_head_at_every_place(mean_of: str, network: Network, part: ImageFiles) -> None:
    """The mean over the windows of a scale, then over scales."""
    view = view_of(f"multi-scale:shorter=224+256+384,places=windows,mean_of={mean_of}")
    found = predict(network, part, PIPELINE, view).logits.double().log_softmax(dim=1)
    for image, row in zip(photographs(), found.numpy(), strict=True):
        scales = []
        for side in SCALES[:3]:
            said = windowed(network, image, side)
            scales.append(np.mean([each if mean_of == "logits" else softmax(each) for each in said], axis=0))
        mean = np.mean(scales, axis=0)
        expected = np.log(softmax(mean) if mean_of == "logits" else mean)
        assert np.abs(row - expected).max() < CLOSE


@pytest.mark.parametrize(
    "design", ["resnet:depth=8,base=4", "dmrnet:depth=8,base=4", "dmrnet:depth=8,base=4,ends=separate"]
)
def test_one_window_is_the_whole_map(design: str, part: ImageFiles) -> None:
    """On squares of the training's size, and for networks of several streams or heads: pooled and windows are one."""
    network = trained(design)
    square = replace(part, files=part.files[:1], labels=part.labels[:1], ids=part.ids[:1])
    images = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(9))
    from resatlas.evaluation.sliding import window_logits

    with torch.no_grad():
        found = window_logits(network, images)
        assert found.shape == (3, 1, CLASSES)
        assert torch.allclose(found[:, 0], network(images), atol=1e-5)
        wide = window_logits(network, torch.cat([images, images], dim=3))
    assert wide.shape[1] == SIZE // 4 + 1
    assert len(square) == 1


def test_pixels_are_those_of_pillow() -> None:
    """Five crops and whole scales, up to one level of 255."""
    for image in photographs():
        bytes_ = torch.from_numpy(image).permute(2, 0, 1)
        for crop, other in zip(five_crops(bytes_, SIDE, SIZE), ten(image, SIDE)[::2], strict=True):
            assert np.abs(crop.permute(1, 2, 0).numpy().astype(int) - other).max() <= 1
        for side in SCALES:
            made = scaled(bytes_, side).permute(1, 2, 0).numpy().astype(int)
            assert np.abs(made - resized(image, side)).max() <= 1


def test_a_long_strip_is_cropped_as_if_it_were_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten crops of it reach both ends; at several scales its middle is shown, four times as long as wide."""
    strip = torch.from_numpy(np.tile(photographs()[0][:40], (1, 6, 1))).permute(2, 0, 1)
    found = five_crops(strip, 37, 32)
    from resatlas.evaluation import crops

    monkeypatch.setattr(crops, "LONG", 1000)
    expected = five_crops(strip, 37, 32)
    assert (found.int() - expected).abs().float().mean() < 8
    monkeypatch.undo()
    assert scaled(strip, 20).shape == (3, 20, 80)
    assert scaled(strip, 40).equal(strip[:, :, 880:1040])


@pytest.mark.parametrize("text", ["ten-crops", "flips"])
@pytest.mark.parametrize("batch", [1, 2, 15, 40])
def test_the_size_of_a_batch_changes_nothing(
    text: str,
    batch: int,
    network: Network,
    part: ImageFiles,
    given: Callable[[str], Predictions],
) -> None:
    """Images are asked in any number at a time."""
    found = predict(network, part, PIPELINE, view_of(text), portion=Portion(size=batch))
    assert found.ids.equal(given(text).ids)
    assert torch.allclose(found.logits.double(), given(text).logits.double(), atol=1e-5)


def test_a_batch_holds_no_more_pixels_than_usual(part: ImageFiles) -> None:
    """Ten crops are counted as ten images, larger crops by their pixels."""
    values = {
        text: [cropping.pixels for cropping in croppings_of(view_of(text), part)]
        for text in ("centre", "ten-crops", "full-320")
    }
    assert values == {"centre": [SIZE**2], "ten-crops": [10 * SIZE**2], "full-320": [LARGE**2]}


def test_the_pipeline_s_own_view_is_the_usual_test(network: Network, part: ImageFiles) -> None:
    """Bit for bit, whether it is asked for or not."""
    usual = predict(network, part, PIPELINE)
    assert predict(network, part, PIPELINE, Centre()).logits.equal(usual.logits)
    wide = Centre(shorter=Fraction(300, 224))
    assert predict(network, part, replace(PIPELINE, view=wide), wide).logits.equal(
        predict(network, part, replace(PIPELINE, view=wide)).logits
    )
    assert torch.allclose(
        predict(network, part, PIPELINE, wide).logits,
        predict(network, part, replace(PIPELINE, view=wide)).logits,
        atol=1e-5,
    )


def test_images_in_memory_are_whole_and_mirrored(network: Network) -> None:
    """The mean over the image and its mirror image."""
    images = np.stack([middle(resized(image, SIDE), SIZE) for image in photographs()])
    part = ImageSet(
        images=np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels=np.array([1, 2, 3]), ids=np.array([7, 8, 9])
    )
    given = predict(network, part, PIPELINE, view_of("flips"))
    for image, row in zip(images, given.logits, strict=True):
        expected = np.log((softmax(logits(network, image)) + softmax(logits(network, image[:, ::-1]))) / 2)
        assert np.abs(row.double().numpy() - expected).max() < 1e-5
    assert given.ids.tolist() == [7, 8, 9]


@pytest.mark.parametrize("view", [TenCrops(), view_of("full-320")], ids=str)
def test_a_mean_image_is_its_colour_at_other_sizes(view: View, network: Network, part: ImageFiles) -> None:
    """Where crops have the training's size it is subtracted pixel by pixel, elsewhere its mean in each channel."""
    draw = torch.Generator().manual_seed(2)
    mean = torch.rand(3, SIZE, SIZE, generator=draw)
    by = Affine(mean=mean, std=torch.ones(3, 1, 1))
    given = predict(network, part, replace(PIPELINE, normaliser=by), view).logits.double().log_softmax(dim=1).numpy()
    flat = Affine(mean=mean.mean(dim=(1, 2), keepdim=True), std=by.std)
    for image, row in zip(photographs(), given, strict=True):
        crops = ten(image, SIDE) if isinstance(view, TenCrops) else one_crop(image, LARGE, LARGE)
        used = by if isinstance(view, TenCrops) else flat
        expected = np.log(np.mean([softmax(logits(network, crop, used)) for crop in crops], axis=0))
        assert np.abs(row - expected).max() < CLOSE


def test_whitened_images_have_one_size(network: Network, part: ImageFiles) -> None:
    """In words, since a covariance of pixels says nothing about other pixels."""
    d = 3 * SIZE * SIZE
    by = Whitening(mean=torch.zeros(d), matrix=torch.zeros(1, 1).expand(d, d), contrast=torch.tensor(1.0))
    with pytest.raises(UsageError, match="the whitening of this run fits images of 3x32x32 only"):
        predict(network, part, replace(PIPELINE, normaliser=by), MultiScale(shorter=(Fraction(2),)))
