"""Saving of networks that were trained in a user's own loop."""

from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.exporting.config import read_config
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import preprocessing
from resatlas.exporting.saving import save_pretrained
from resatlas.nets.network import build
from resatlas.nets.preparation import Preparation

DESIGN = "resnet:depth=8,base=2"


@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(),
        Preparation(mean=(0.4914, 0.4822, 0.4465), std=(0.2, 0.19, 0.21)),
        Preparation(mean=(0.5,), std=(0.25,), crop_share=0.9),
    ],
)
def test_classes_and_preparation_are_saved(preparation: Preparation, tmp_path: Path) -> None:
    """Class names are saved, and pixels are prepared like torchvision's Normalize does."""
    save_pretrained(
        build(DESIGN, image=Shape(3, 8, 8), classes=2, seed=0),
        tmp_path / "net",
        classes=["cat", "=dog()"],
        preparation=preparation,
    )
    config, network = read_config(tmp_path / "net"), from_pretrained(tmp_path / "net")
    assert (config.class_names, config.training) == (("cat", "=dog()"), None)
    loaded = network.preparation
    assert isinstance(loaded, Preparation)
    assert loaded.crop_share == preparation.crop_share
    mean, std = (torch.tensor(values).expand(3)[:, None, None] for values in (preparation.mean, preparation.std))
    pixels = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(preprocessing(tmp_path / "net")(pixels), (pixels / 255 - mean) / std)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"classes": ["cat"]}, "got 1 class names for a network with 2 outputs"),
        ({"classes": "ab"}, "a sequence of texts"),
        ({"classes": [1, 2]}, "a sequence of texts"),
        ({"preparation": Preparation(mean=(0.5, 0.5))}, "mean has 2 numbers; the network's images have 3 channels"),
        ({"preparation": Preparation(std=(0.0,))}, "a std must be above 0; got 0"),
        ({"preparation": Preparation(mean=(float("nan"),))}, "finite numbers"),
        ({"preparation": Preparation(crop_share=1.5)}, "crop_share must be between 1/16 and 1; got 1.5"),
    ],
)
def test_invalid_classes_and_preparations_are_refused(more: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(UsageError, match=reason):
        save_pretrained(build(DESIGN, image=Shape(3, 8, 8), classes=2, seed=0), tmp_path / "net", **more)
    assert list(tmp_path.iterdir()) == []


def test_classes_of_a_run_cannot_be_replaced(tmp_path: Path) -> None:
    """A run has its own classes."""
    with pytest.raises(UsageError, match="a run already has its classes"):
        save_pretrained(tmp_path / "run", tmp_path / "net", classes=["cat", "dog"])
