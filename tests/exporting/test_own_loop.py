"""Networks that were trained elsewhere, saved with what their users know of them."""

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
def test_what_its_user_knows_comes_back(preparation: Preparation, tmp_path: Path) -> None:
    """Names of classes, and pixels that are prepared as torchvision's Normalize does."""
    save_pretrained(
        build(DESIGN, image=Shape(3, 8, 8), classes=2, seed=0),
        tmp_path / "net",
        classes=["cat", "=dog()"],
        preparation=preparation,
    )
    config, network = read_config(tmp_path / "net"), from_pretrained(tmp_path / "net")
    assert (config.class_names, config.training) == (("cat", "=dog()"), None)
    back = network.preparation
    assert isinstance(back, Preparation)
    assert back.crop_share == preparation.crop_share
    mean, std = (torch.tensor(values).expand(3)[:, None, None] for values in (preparation.mean, preparation.std))
    pixels = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(preprocessing(tmp_path / "net")(pixels), (pixels / 255 - mean) / std)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"classes": ["cat"]}, "1 classes are named, and the network has 2 outputs"),
        ({"classes": "ab"}, "a sequence of texts"),
        ({"classes": [1, 2]}, "a sequence of texts"),
        ({"preparation": Preparation(mean=(0.5, 0.5))}, "mean has 2 numbers; the network's images have 3 channels"),
        ({"preparation": Preparation(std=(0.0,))}, "a std lies above 0"),
        ({"preparation": Preparation(mean=(float("nan"),))}, "finite numbers"),
        ({"preparation": Preparation(crop_share=1.5)}, "crop_share lies between 1/16 and 1; 1.5 does not"),
    ],
)
def test_what_does_not_suit_is_refused(more: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """In words, and nothing is written."""
    with pytest.raises(UsageError, match=reason):
        save_pretrained(build(DESIGN, image=Shape(3, 8, 8), classes=2, seed=0), tmp_path / "net", **more)
    assert list(tmp_path.iterdir()) == []


def test_a_run_knows_its_classes(tmp_path: Path) -> None:
    """So no others are taken for it."""
    with pytest.raises(UsageError, match="a run knows its classes"):
        save_pretrained(tmp_path / "run", tmp_path / "net", classes=["cat", "dog"])
