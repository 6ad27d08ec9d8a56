"""The input pipelines: the same images on both sides, and the times of a few steps."""

import json
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from resatlas.bench import contest, input  # noqa: A004 - the benchmark's name
from resatlas.bench.benchmarks import Advance
from resatlas.bench.input import Photographs, Times, random_images, training
from resatlas.cli.main import main
from resatlas.data.dataset import ImageSet
from resatlas.training.loop import TrainingPlan, epoch
from resatlas.training.state import TrainState


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, few steps, one thread."""
    for name, value in {"IMAGES": 64, "STEPS": 3, "DESIGN": "resnet:depth=8,base=4"}.items():
        monkeypatch.setattr(input, name, value)
    monkeypatch.setattr(contest, "cores", lambda: 1)


def test_rates_and_the_share_of_waits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One row: both rates, their ratio within a round, and the share of waits in a step; all batches are made."""
    made: list[int] = []
    taken: list[int] = []
    timed_steps = input.timed_steps

    def turns(contenders: Mapping[str, Callable[[], int]], **_: object) -> dict[str, tuple[float, ...]]:
        made.extend(contender() for contender in contenders.values())
        return {"ours": (1, 2), "peer": (4, 16)}

    def times(state: TrainState, plan: TrainingPlan, on_advance: Advance) -> Times:
        measured = timed_steps(state, plan, on_advance)
        taken.extend((len(measured.waits), len(measured.steps)))
        assert min(measured.waits + measured.steps) > 0
        return Times(waits=(1, 2, 1), steps=(5, 6, 5))

    monkeypatch.setattr(input, "alternate", turns)
    monkeypatch.setattr(input, "timed_steps", times)
    assert main(("bench", "--question", "input", "--batch", "16", "--rounds", "2", "--json")) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert list(row) == [column.name for column in input.COLUMNS]
    assert (row["batch"], row["rounds"]) == (16, 2)
    assert (made, taken) == ([4, 4], [3, 3])
    assert (row["images_per_second"], row["peer_images_per_second"], row["over_peer"]) == (48, 10, 6)
    assert (row["over_peer_low"], row["over_peer_high"]) == (5, 7)
    assert (row["wait_seconds"], row["step_seconds"], row["waiting_percent"]) == (1, 5, 20)


def test_both_sides_give_the_same_values() -> None:
    """Normalised values are equal where no crop reaches the border; each image appears once per epoch."""
    flat = np.arange(32, dtype=np.uint8)[:, None, None, None] * np.full((1, 3, 32, 32), 8, dtype=np.uint8)
    images = ImageSet(images=flat, labels=np.arange(32) % 10, ids=np.arange(32))
    plan, state = training(images, batch=8, precision="fp32")
    ours = {
        int(k): image[:, 16, 16]
        for batch in epoch(state, plan)
        for k, image in zip(batch.ids, batch.images, strict=True)
    }
    theirs = Photographs(images)
    assert sorted(ours) == list(range(32))
    for k, colour in ours.items():
        image, label = theirs[k]
        assert image.shape == (3, 32, 32)
        assert label == k % 10
        torch.testing.assert_close(image[:, 16, 16], colour, rtol=0, atol=1e-5)


def test_both_sides_crop_and_mirror() -> None:
    """From one repeated image, both make many different views, some with padding at the border."""
    images = random_images(1)
    many = ImageSet(images=images.images.repeat(64, 0), labels=np.zeros(64, dtype=np.int64), ids=np.arange(64))
    plan, state = training(many, batch=64, precision="fp32")
    ours = next(epoch(state, plan)).images
    theirs = torch.stack([Photographs(many)[k][0] for k in range(64)])
    for views in (ours, theirs):
        assert len(torch.unique(views.flatten(1), dim=0)) > 40
        constant = (views[:, :, 0] == views[:, :, 0, :1]).all(dim=(1, 2))
        assert 0.2 < constant.float().mean() < 0.7  # 4 of 9 first rows of a crop are padding
