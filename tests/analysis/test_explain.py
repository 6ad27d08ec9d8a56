"""Grad-CAM against a slow reference, and against the class activation map of a linear head."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from resatlas.analysis.explain import grad_cam, heat_map_png, most_wrong
from resatlas.nets.network import Network
from resatlas.runs.record import Guess
from tests.analysis.designs import network, noise


def slow(net: Network, images: Tensor, classes: Tensor, *, size: int) -> Tensor:
    """Grad-CAM by finite differences of the head, channel by channel and pixel by pixel."""
    with torch.no_grad():
        maps = net.forward_features(images)
        n, c, h, w = maps.shape
        cam = torch.zeros(n, h, w, dtype=maps.dtype)
        for k in range(c):
            slope = torch.zeros(n, dtype=maps.dtype)
            for i in range(h):
                for j in range(w):
                    ends = []
                    for step in (1e-6, -1e-6):
                        moved = maps.clone()
                        moved[:, k, i, j] += step
                        ends.append(net.head(moved).gather(1, classes[:, None])[:, 0])
                    slope += (ends[0] - ends[1]) / 2e-6
            cam += (slope / (h * w))[:, None, None] * maps[:, k]
        cam = cam.clamp(min=0)
        large = F.interpolate(cam[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]
        return large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-300)


@pytest.mark.parametrize(
    "design", ["resnet:depth=8,base=4", "preact-resnet:depth=8,base=4", "dmrnet:depth=8,base=4,join=concat"]
)
def test_the_slow_reference_agrees(design: str) -> None:
    """Grad-CAM equals the reference also after a norm and a ReLU, and for several streams; the maximum is 1."""
    net = network(design)
    batch = noise(3, net)
    cam = grad_cam(net, batch.images, batch.labels)
    assert cam.shape == (3, 8, 8)
    torch.testing.assert_close(cam, slow(net, batch.images, batch.labels, size=8), rtol=1e-4, atol=1e-5)
    assert cam.amax() == 1
    assert cam.min() >= 0


def test_with_a_linear_head_it_is_the_class_activation_map() -> None:
    """It is relu(w·A), since the mean of the gradient is the classifier's weight over the number of pixels."""
    net = network("resnet:depth=8,base=4")
    batch = noise(4, net)
    with torch.no_grad():
        weights = dict(net.named_parameters())["head.linear.weight"][batch.labels]
        cam = torch.einsum("nc,nchw->nhw", weights, net.forward_features(batch.images)).clamp(min=0)
        large = F.interpolate(cam[:, None], size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
    expected = large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-300)
    torch.testing.assert_close(grad_cam(net, batch.images, batch.labels), expected)


def test_streams_with_heads_of_their_own() -> None:
    """Their map is the sum of the maps of all streams."""
    net = network("dmrnet:depth=8,base=4,ends=separate")
    batch = noise(2, net)
    computed = grad_cam(net, batch.images, batch.labels)
    with torch.no_grad():
        maps = net.forward_features(batch.images).chunk(2, dim=1)
        parameters = dict(net.named_parameters())
        weights = [parameters[f"heads.{k}.linear.weight"][batch.labels] for k in range(2)]
        cam = sum(torch.einsum("nc,nchw->nhw", w, m) for w, m in zip(weights, maps, strict=True))
        large = F.interpolate(torch.as_tensor(cam).clamp(min=0)[:, None], size=(8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(computed, large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-300))


def test_the_most_confident_errors_come_first() -> None:
    """Correct predictions are left out; the errors are in decreasing order of confidence."""
    rows = [Guess("1", "a", "b", 0.5), Guess("2", "a", "a", 0.99), Guess("3", "b", "a", 0.9), Guess("4", "b", "c", 0.7)]
    assert [row.image for row in most_wrong(rows, 2)] == ["3", "4"]


def test_a_picture_shows_image_and_heat(tmp_path: Path) -> None:
    """The image is on the left; on the right it is tinted by the heat map."""
    import numpy as np
    from PIL import Image

    heat = torch.zeros(8, 8)
    heat[:, 4:] = 1
    (tmp_path / "x.png").write_bytes(heat_map_png(torch.full((1, 8, 8), 100, dtype=torch.uint8), heat))
    with Image.open(tmp_path / "x.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (128, 256, 3)
    assert (pixels[:, :128] == 100).all()
    assert (pixels[:, 128:160] == 100).all()
    assert (pixels[:, 240:, 0] > 150).all()
    assert (pixels[:, 240:, 2] < 50).all()
