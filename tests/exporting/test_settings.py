"""Settings of a saved network for other libraries: the preparation of images in the run that trained it."""

import re
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
    """Mean and standard deviation are those of the training images, and images of that size are not cropped."""
    timm = pytest.importorskip("timm")
    settings, image = timm.data.resolve_model_data_config(from_pretrained(kept)), read_config(kept).image
    assert settings["input_size"] == tuple(image)
    assert settings["crop_pct"] == 1.0
    pixels = torch.randint(0, 256, tuple(image), dtype=torch.uint8)
    mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    torch.testing.assert_close((pixels / 255 - mean) / std, preprocessing(kept)(pixels))


def test_photographs_are_cropped_as_the_run_crops_them(kept: Path) -> None:
    """For a folder of photographs the crop share is 224/256."""
    config = read_config(kept)
    assert config.training is not None
    own = replace(config, training=replace(config.training, data="pets"), view=Centre())
    preparation = preparation_of(own)
    assert not isinstance(preparation, str)
    assert preparation.crop_share == pytest.approx(0.875)


def test_settings_that_timm_cannot_express_are_refused(kept: Path) -> None:
    """Access to the mean is refused for a mean image or a whitening; other settings are available."""
    config = read_config(kept)
    rows = (((0.5, 0.4), (0.3, 0.2)),)
    for normalisation, words in (
        (Numbers(mean=rows, std=rows), "one number per pixel (a mean image)"),
        (Stored(sha256="0" * 64), "more than one number per channel"),
    ):
        network = small("resnet:depth=8,base=4")
        network.preparation = preparation_of(replace(config, normalisation=normalisation))
        with pytest.raises(
            UsageError, match=rf"normalised with {re.escape(words)}, .*resatlas.preprocessing\(folder\)"
        ):
            network.pretrained_cfg.get("mean")
        assert network.pretrained_cfg["input_size"] == (3, 16, 16)


def test_a_network_without_a_run_has_default_settings(tmp_path: Path) -> None:
    """Its pixels are not normalised."""
    save_pretrained(small("resnet:depth=8,base=4"), tmp_path / "saved")
    settings = from_pretrained(tmp_path / "saved").pretrained_cfg
    assert (settings["mean"], settings["std"], settings["crop_pct"]) == ((0.0,) * 3, (1.0,) * 3, 1.0)
