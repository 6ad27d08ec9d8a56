"""Two real photographs in files, and a network whose running statistics are not those of a fresh one."""

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.dataset import ImageFiles
from resatlas.data.normalisation import Affine, normalised, unit
from resatlas.data.pipeline import Pipeline
from resatlas.nets.network import Network, build
from resatlas.recipes.images import Standardise

SIZE = 32
CLASSES = 7

NORMALISER = Affine(
    mean=torch.tensor([0.485, 0.456, 0.406])[:, None, None], std=torch.tensor([0.229, 0.224, 0.225])[:, None, None]
)
PIPELINE = Pipeline(steps=(Standardise(),), normaliser=NORMALISER)


@cache
def photographs() -> tuple[np.ndarray, ...]:
    """A temple and a flower of 214 x 320 pixels, half their size, and the temple turned; bytes of (h, w, 3)."""
    temple, flower = (image[::2, ::2].copy() for image in load_sample_images().images)
    return temple, flower, temple.transpose(1, 0, 2)[:300].copy()


def in_files(folder: Path, size: int = SIZE) -> ImageFiles:
    """The photographs as a part of a data set, with ids that are not their positions."""
    for k, image in enumerate(photographs()):
        Image.fromarray(image).save(folder / f"{k}.png")
    return ImageFiles(
        root=folder,
        files=("0.png", "1.png", "2.png"),
        labels=np.array([3, 0, 6]),
        ids=np.array([5, 8, 2]),
        size=size,
    )


def trained(design: str = "preact-resnet:depth=8,base=4", size: int = SIZE) -> Network:
    """A network whose statistics are those of pieces of the photographs, and whose logits are some units apart."""
    network = build(design, image=Shape(3, size, size), classes=CLASSES, seed=0)
    draw = np.random.default_rng(0)
    network.train()
    with torch.no_grad():
        for path, weight in network.named_parameters():
            if "linear" in path:
                weight.mul_(6)
        for _ in range(30):
            corners = [(draw.integers(3), draw.integers(210 - size), draw.integers(210 - size)) for _ in range(8)]
            pieces = [photographs()[k][y : y + size, x : x + size] for k, y, x in corners]
            network(normalised(unit(torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2)), NORMALISER))
    return network.eval()


def resized(image: np.ndarray, side: Fraction | int) -> np.ndarray:
    """The image with that shorter side, by Pillow."""
    h, w = image.shape[:2]
    sides = (int(side) * w // min(h, w), int(side) * h // min(h, w))
    return np.asarray(Image.fromarray(image).resize(sides, Image.Resampling.BILINEAR))


@torch.no_grad()
def logits(network: Network, crop: np.ndarray, by: Affine = NORMALISER) -> np.ndarray:
    """What the network says of one crop alone, as numbers of double length."""
    image: Tensor = torch.from_numpy(np.array(crop)).permute(2, 0, 1)
    return network(normalised(unit(image)[None], by))[0].double().numpy()


def softmax(values: np.ndarray) -> np.ndarray:
    """Probabilities, written out."""
    shares = np.exp(values - values.max())
    return shares / shares.sum()
