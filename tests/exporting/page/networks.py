"""Networks of every family and kind of unit, and preparations, for the tests of pages."""

from collections.abc import Callable
from fractions import Fraction

import torch

from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Affine, Whitening
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.nets.network import Network, build
from resatlas.recipes.images import Centre
from tests.inference.test_inference import DESIGNS, trained

SMALL = Shape(3, 19, 23)

PAGES = (*(name for name in DESIGNS if not name.startswith("resnet-18")), "pyramidnet:depth=8,alpha=7,base=3")
"""Designs at SMALL images, whose sides are odd in every stage."""

IMAGENET = ("resnet-18-B:base=2", "resnet-50-v1.5:base=2", "dmrnet-50-ijcai:base=2")
"""Designs whose stems have a 7x7 convolution and a max pool."""


def network(design: str, image: Shape = SMALL, classes: int = 5) -> Network:
    """A network whose norms are as after a training."""
    return trained(build(design, image=image, classes=classes, seed=0))


def preparation(image: Shape, shorter: Fraction = Fraction(8, 7)) -> Preprocessing:
    """Mean and standard deviation of each channel."""
    mean, std = torch.linspace(0.4, 0.6, image.channels), torch.linspace(0.2, 0.3, image.channels)
    return Preprocessing(
        image=image,
        view=Centre(shorter=shorter),
        normaliser=Affine(mean=mean[:, None, None], std=std[:, None, None]),
    )


def mean_image(image: Shape) -> Preprocessing:
    """One mean for each pixel."""
    mean = torch.rand(*image, generator=torch.Generator().manual_seed(2))
    return Preprocessing(image=image, view=Centre(), normaliser=Affine(mean=mean, std=torch.ones(image.channels, 1, 1)))


def whitened(image: Shape) -> Preprocessing:
    """A matrix over all values."""
    size = image.channels * image.height * image.width
    generator = torch.Generator().manual_seed(3)
    return Preprocessing(
        image=image,
        view=Centre(),
        normaliser=Whitening(
            mean=torch.randn(size, generator=generator),
            matrix=torch.eye(size) + 0.01 * torch.randn(size, size, generator=generator),
            contrast=torch.tensor(55.0),
        ),
    )


PREPARATIONS: dict[str, Callable[[Shape], Preprocessing]] = {
    "constants": preparation,
    "mean image": mean_image,
    "whitening": whitened,
}
