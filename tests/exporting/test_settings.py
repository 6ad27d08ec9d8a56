"""What other libraries read of a saved network: how its images are prepared, from the run that trained it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resatlas.errors import UsageError
from resatlas.exporting.config import Affine as Numbers
from resatlas.exporting.config import Stored, read_config
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import preparation_of, preprocessing
from resatlas.exporting.saving import save_pretrained
from resatlas.recipes.images import Centre
from tests.nets.small import small


def test_timm_prepares_images_as_the_run_did(kept: Path) -> None:
    """The mean and the deviation of the training images, not those of ImageNet; images of that size whole."""
    timm = pytest.importorskip("timm")
    told, image = timm.data.resolve_model_data_config(from_pretrained(kept)), read_config(kept).image
    assert told["input_size"] == tuple(image)
    assert told["crop_pct"] == 1.0
    pixels = torch.randint(0, 256, tuple(image), dtype=torch.uint8)
    mean, std = (torch.tensor(told[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close((pixels / 255 - mean) / std, preprocessing(kept)(pixels))


def test_photographs_are_cropped_as_the_run_crops_them(kept: Path) -> None:
    """Of a folder's photographs the centre, 224 of 256."""
    config = read_config(kept)
    assert config.training is not None
    own = replace(config, training=replace(config.training, data="pets"), view=Centre())
    found = preparation_of(own)
    assert not isinstance(found, str)
    assert found.crop_share == pytest.approx(0.875)


def test_what_timm_cannot_say_is_refused(kept: Path) -> None:
    """A mean image, or a whitening, in words and not by other numbers; nothing else of the network is refused."""
    config = read_config(kept)
    rows = (((0.5, 0.4), (0.3, 0.2)),)
    for normalisation, words in (
        (Numbers(mean=rows, std=rows), "a mean image, a number for each pixel"),
        (Stored(sha256="0" * 64), "more numbers than one for each channel"),
    ):
        network = small("resnet:depth=8,base=4")
        network.preparation = preparation_of(replace(config, normalisation=normalisation))
        with pytest.raises(UsageError, match=rf"normalised by {words}.*resatlas.preprocessing\(folder\)"):
            network.pretrained_cfg.get("mean")
        assert network.pretrained_cfg["input_size"] == (3, 16, 16)


def test_a_network_without_a_run_says_nothing(tmp_path: Path) -> None:
    """Saved from a network alone: pixels as they are."""
    save_pretrained(small("resnet:depth=8,base=4"), tmp_path / "saved")
    told = from_pretrained(tmp_path / "saved").pretrained_cfg
    assert (told["mean"], told["std"], told["crop_pct"]) == ((0.0,) * 3, (1.0,) * 3, 1.0)
