"""The test images of a page, and the reasons why there are none."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resatlas.data.dataset import DataSet, Parts
from resatlas.data.digits import digits
from resatlas.errors import DataError
from resatlas.studies import pictures as module
from resatlas.studies.pictures import pictures, png
from tests.comparing.folders import EQUAL, edited, write_run


def test_pictures_are_the_images_of_these_ids(tmp_path: Path) -> None:
    """They equal those of the test part; an unknown id is left out."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])
    test = digits(16).read().test
    wanted = [str(test.ids[k]) for k in (0, 7)]
    images = pictures()(run.record(), [*wanted, "99999"])
    assert not isinstance(images, str)
    assert list(images) == wanted
    for name, k in zip(wanted, (0, 7), strict=True):
        pixels = np.asarray(Image.open(BytesIO(images[name])))
        assert np.array_equal(pixels, test.images[k][0])  # type: ignore[union-attr]


def test_colours_stay_colours() -> None:
    """Three channels are written as red, green and blue."""
    pixels = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)
    assert np.array_equal(np.asarray(Image.open(BytesIO(png(pixels)))), pixels.transpose(1, 2, 0))


def test_a_data_set_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first question that needs it, and not again for others."""
    read: list[str] = []

    def reading(data: DataSet) -> Parts:
        read.append(data.name)
        return data.read()

    monkeypatch.setattr(module, "_read", reading)
    give = pictures()
    assert read == []
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])
    give(run.record(), ["1"])
    give(run.record(), ["6"])
    assert read == ["digits:size=16"]


@pytest.mark.parametrize("data", ["/srv/secret/pets", "secret/pets:size=32", "imagenet"])
def test_files_are_not_opened(tmp_path: Path, data: str) -> None:
    """The sentence names no folder."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True], data=data)
    assert pictures()(run.record(), ["1"]) == "No pictures: a page does not read image files."


@pytest.mark.parametrize("why", ["gone", "other classes", "other images", "unknown knob"])
def test_images_that_are_not_those_of_the_test_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """The message about a missing or changed data set does not contain its folder."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])

    def gone(data: DataSet) -> Parts:
        raise DataError(f"/srv/secret/{data.name} does not exist")

    if why == "gone":
        monkeypatch.setattr(module, "_read", gone)
    changes: dict[str, dict[str, object]] = {
        "gone": {},
        "other classes": {"classes": list("abcdefghij")},
        "other images": {"images": "another digest"},
        "unknown knob": {"data": "digits:sizes=16"},
    }
    edited(run.folder / "experiment.json", **changes[why])
    reason = pictures()(run.record(), ["1"])
    assert reason == "No pictures: digits is not on this machine, or has changed since the runs were tested."


def test_images_of_two_channels_have_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one channel or three can be written as PNG."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])

    def doubled(data: DataSet) -> Parts:
        parts = data.read()
        return replace(parts, test=replace(parts.test, images=parts.test.images.repeat(2, axis=1)))  # type: ignore[union-attr, call-arg]

    monkeypatch.setattr(module, "_read", doubled)
    assert "neither greyscale nor RGB images" in str(pictures()(run.record(), ["1"]))
