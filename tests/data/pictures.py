"""Small image files for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, *, size: tuple[int, int] = (6, 9)) -> Image.Image:
    """Noise in RGB of this height and width."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def write(file: Path, seed: int = 0) -> Path:
    """A picture in a new file, in the format of its ending; folders on the way are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(file)
    return file


def write_parts(root: Path, images: int = 2, *, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """A data set of the classes cat and dog, with so many different images a class in each part."""
    for k, (part, name) in enumerate((part, name) for part in parts for name in ("cat", "dog")):
        for i in range(images):
            write(root / part / name / f"{i}.png", seed=100 * k + i)
    return root
