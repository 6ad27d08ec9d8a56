"""Detection against torchvision's detector, on sides so small that it takes seconds."""

import json
from typing import Any

import pytest
import torch

from resatlas.bench import contest, detection
from resatlas.cli.main import main
from resatlas.recipes.detection import Resized


def test_the_contenders_take_turns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each precision; ratios agree with rates, and the default is that of float32 in both rows."""
    monkeypatch.setattr(contest, "cores", lambda: 1)
    monkeypatch.setattr(detection, "PHOTOGRAPH", (24, 32))
    monkeypatch.setattr(detection, "sides", lambda: Resized(shorter=64, longest=128))
    monkeypatch.setattr(detection, "precisions_here", lambda: {"fp32": torch.float32, "bf16": torch.bfloat16})
    assert main(["bench", "--question", "detection", "--rounds", "1", "--json"]) == 0
    fp32, bf16 = json.loads(capsys.readouterr().out)
    assert list(fp32) == [column.name for column in detection.COLUMNS]
    assert [row["precision"] for row in (fp32, bf16)] == ["fp32", "bf16"]
    assert fp32["default_images_per_second"] == bf16["default_images_per_second"]
    for row in (fp32, bf16):
        ratio = row["images_per_second"] / row["default_images_per_second"]
        assert row["over_default"] == pytest.approx(ratio)
        assert row["over_tuned"] > 0
    assert main(["bench", "--question", "detection", "--compiled"]) == 2
    assert "detection compares eager networks; leave out --compiled" in capsys.readouterr().err


def test_both_sides_have_the_same_settings() -> None:
    """Those of torchvision's default, which our recipe of the same name has too."""
    both: tuple[Any, Any] = detection.detectors()
    settings = [
        (
            *(side.rpn.nms_thresh, side.rpn.score_thresh, side.rpn.min_size),
            *(side.rpn.pre_nms_top_n(), side.rpn.post_nms_top_n()),
            *(side.roi_heads.score_thresh, side.roi_heads.nms_thresh, side.roi_heads.detections_per_img),
            *(side.transform.min_size, side.transform.max_size),
            [cell.tolist() for cell in side.rpn.anchor_generator.cell_anchors],
        )
        for side in both
    ]
    assert settings[0] == settings[1]
