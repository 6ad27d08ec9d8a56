"""Where a network looks: a slow reference, and what it must be where the head is linear."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from resatlas.analysis.explain import drawn, grad_cam, most_wrong
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
    """Also behind a norm and a relu, and for streams side by side; some class is looked at, none beyond 1."""
    net = network(design)
    batch = noise(3, net)
    found = grad_cam(net, batch.images, batch.labels)
    assert found.shape == (3, 8, 8)
    torch.testing.assert_close(found, slow(net, batch.images, batch.labels, size=8), rtol=1e-4, atol=1e-5)
    assert found.amax() == 1
    assert found.min() >= 0


def test_a_linear_head_makes_it_the_class_activation_map() -> None:
    """relu(w·A), since the mean of the gradient is the classifier's weight over the number of pixels."""
    net = network("resnet:depth=8,base=4")
    batch = noise(4, net)
    with torch.no_grad():
        weights = dict(net.named_parameters())["head.linear.weight"][batch.labels]
        cam = torch.einsum("nc,nchw->nhw", weights, net.forward_features(batch.images)).clamp(min=0)
        large = F.interpolate(cam[:, None], size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
    expected = large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-300)
    torch.testing.assert_close(grad_cam(net, batch.images, batch.labels), expected)


def test_streams_with_heads_of_their_own() -> None:
    """What they show is the sum of what each shows."""
    net = network("dmrnet:depth=8,base=4,ends=separate")
    batch = noise(2, net)
    found = grad_cam(net, batch.images, batch.labels)
    with torch.no_grad():
        maps = net.forward_features(batch.images).chunk(2, dim=1)
        own = dict(net.named_parameters())
        weights = [own[f"heads.{k}.linear.weight"][batch.labels] for k in range(2)]
        cam = sum(torch.einsum("nc,nchw->nhw", w, m) for w, m in zip(weights, maps, strict=True))
        large = F.interpolate(torch.as_tensor(cam).clamp(min=0)[:, None], size=(8, 8), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-300))


def test_the_surest_of_the_wrong_come_first() -> None:
    """Right answers are none; the rest by their probability."""
    rows = [Guess("1", "a", "b", 0.5), Guess("2", "a", "a", 0.99), Guess("3", "b", "a", 0.9), Guess("4", "b", "c", 0.7)]
    assert [row.image for row in most_wrong(rows, 2)] == ["3", "4"]


def test_a_picture_shows_image_and_heat(tmp_path: Path) -> None:
    """The image on the left as it is, on the right tinted where it is hot."""
    import numpy as np
    from PIL import Image

    heat = torch.zeros(8, 8)
    heat[:, 4:] = 1
    (tmp_path / "x.png").write_bytes(drawn(torch.full((1, 8, 8), 100, dtype=torch.uint8), heat))
    with Image.open(tmp_path / "x.png") as opened:
        pixels = np.asarray(opened)
    assert pixels.shape == (128, 256, 3)
    assert (pixels[:, :128] == 100).all()
    assert (pixels[:, 128:160] == 100).all()
    assert (pixels[:, 240:, 0] > 150).all()
    assert (pixels[:, 240:, 2] < 50).all()
