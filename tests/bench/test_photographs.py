"""Reading photographs: both sides read the same files, a batch at a time, and one row a size is measured."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from resatlas.bench import contest, photographs
from resatlas.cli.main import main


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few small photographs, one worker."""
    for name, value in {"PHOTOGRAPHS": 8, "_SIZES": ((64, 48), (48, 64))}.items():
        monkeypatch.setattr(photographs, name, value)
    monkeypatch.setattr(contest, "cores", lambda: 1)


def test_a_row_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates of both sides and their ratio."""
    assert main(("bench", "--question", "photographs", "--batch", "4", "--rounds", "1", "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["width"], row["height"], row["batch"], row["workers"]) for row in rows] == [
        (64, 48, 4, 1),
        (48, 64, 4, 1),
    ]
    for row in rows:
        assert row["over_peer"] == pytest.approx(row["images_per_second"] / row["peer_images_per_second"])


def test_both_sides_give_the_same_values(tmp_path: Path) -> None:
    """Of photographs of one colour each, which no crop and no mirror changes, each is in one batch of both."""
    for part in ("train", "val"):
        for k in range(4):
            file = tmp_path / part / "ab"[k % 2] / f"{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 48), (60 * k, 10, 250 - 60 * k)).save(file)
    ours = torch.cat([batch.images for batch in photographs.Reading(tmp_path, batch=2, workers=1).epoch()])
    peer = torch.cat([images for images, _ in photographs.loader(tmp_path, batch=2, workers=1)])
    assert ours.shape == peer.shape == (4, 3, 224, 224)
    ours, peer = (images[images[:, 0, 0, 0].argsort()] for images in (ours, peer))
    assert torch.allclose(ours, peer, atol=1e-5)
