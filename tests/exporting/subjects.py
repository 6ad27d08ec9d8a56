"""Small trained-looking networks for tests of exports, with images of noise."""

import os

import numpy as np
import pytest
import torch

import resatlas
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.data.dataset import ImageSet
from resatlas.data.normalisation import Affine, Normaliser
from resatlas.data.pipeline import Pipeline
from resatlas.exporting.images import ExportImages
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.exporting.subject import Subject
from resatlas.recipes.images import Centre
from resatlas.runs.environment import installed_version

IMAGE = Shape(3, 8, 8)
CLASSES = tuple("abcd")
PER_CHANNEL = Affine(mean=torch.tensor([0.4, 0.5, 0.6])[:, None, None], std=torch.full((3, 1, 1), 0.25))


def subject(design: str | Plan, *, normaliser: Normaliser = PER_CHANNEL, seed: int = 0) -> Subject:
    """A network whose normalisations have statistics of some batches, and 96 images of noise."""
    network = resatlas.build(design, image=IMAGE, classes=len(CLASSES), seed=seed).train()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(16, *IMAGE, generator=draw))
    return Subject(
        name="small",
        network=network.eval(),
        preprocessing=Preprocessing(image=IMAGE, view=Centre(), normaliser=normaliser),
        classes=CLASSES,
        images=images(normaliser),
    )


def images(normaliser: Normaliser = PER_CHANNEL) -> ExportImages:
    """Training and test images of noise."""
    numbers = np.random.default_rng(0)
    part = ImageSet(
        images=numbers.integers(0, 256, (96, *IMAGE), dtype=np.uint8),
        labels=numbers.integers(0, len(CLASSES), 96),
        ids=np.arange(96),
    )
    return ExportImages(
        train=part, test=part, pipeline=Pipeline(steps=(), normaliser=normaliser), source="96 images of noise"
    )


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip where a package is missing; CI installs all but ExecuTorch, and runs the test in any case."""
    missing = [package for package in packages if not installed_version(package)]
    return pytest.mark.skipif(
        bool(missing) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(missing)}"
    )
