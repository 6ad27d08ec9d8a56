"""Detectors and segmenters exported: the graph finds what the network finds."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.cli.main import main
from resatlas.data.normalisation import UNTOUCHED
from resatlas.errors import CheckpointError, ExportError, UsageError
from resatlas.exporting.found_export import FoundSubject, check_found
from resatlas.exporting.found_graph import DetectorGraph
from resatlas.exporting.found_parity import Outputs, found_parity, outputs_of
from resatlas.exporting.images import Pixels
from resatlas.exporting.reading import read_export
from resatlas.exporting.saving import save_pretrained
from resatlas.exporting.targets import ExportOptions
from resatlas.nets.detector import Detector, detector
from resatlas.recipes.detection import C4, Detect, Fpn, Masks, Resized, Segment
from resatlas.runs.store import Run
from tests.data.few_scenes import few_scenes
from tests.exporting.subjects import needs
from tests.studies.test_finding import EXPERIMENT, RECIPE, SMALL
from tests.training import small

MASKS = Masks(pooled=4, layers=1, width=4)
FPN = replace(SMALL, head=Fpn(channels=4, hidden=8, pooled=2), masks=MASKS)
C4_MASKS = replace(SMALL, masks=MASKS)
ONNX = needs("onnx", "onnxscript", "onnxruntime")


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """Five scenes for validation and six for the test."""
    with few_scenes():
        yield


def carried_out(folder: Path, task: Detect | Segment) -> Run:
    """The smallest training of a task."""
    return small.carried_out(folder, replace(EXPERIMENT, recipe=replace(RECIPE, epochs=1, task=task)))


def drawn(task: Detect) -> Detector:
    """A detector of random weights that finds many objects, with statistics that are not those of a new network."""
    torch.manual_seed(1)
    own = detector("resnet:depth=8,base=2", task, classes=3, image=Shape(3, 32, 32), seed=0).eval()
    for module in own.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_var is not None:
            torch.nn.init.uniform_(module.running_var, 0.1, 0.3)
    return own


@pytest.mark.parametrize(
    "task",
    [
        SMALL,
        C4_MASKS,
        FPN,
        replace(FPN, masks=None),
        replace(C4_MASKS, sides=Resized(shorter=45, longest=70)),
        replace(FPN, sides=Resized(shorter=20, longest=40)),
    ],
)
def test_the_graph_of_a_detector_finds_what_it_finds(task: Detect) -> None:
    """In torch: the same boxes, labels and scores, and masks up to rounding, in images of odd sizes, small ones too."""
    own, found = drawn(task), 0
    graph = DetectorGraph(own)
    for height, width in ((32, 32), (35, 29), (9, 64)):
        image = torch.rand(1, 3, height, width)
        with torch.no_grad():
            [expected] = own(image)
            outputs = graph(image)
        found += len(expected["boxes"])
        for name, output in zip(("boxes", "labels", "scores", "masks"), outputs, strict=False):
            torch.testing.assert_close(output, expected[name], atol=1e-4, rtol=1e-4)
    assert found > 10
    assert len(outputs) == (3 if task.masks is None else 4)


@ONNX
def test_a_detector_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a saved run, for images of any size; predict.py reads it without resatlas, and a server refuses it."""
    save_pretrained(carried_out(tmp_path / "run", SMALL).folder, tmp_path / "saved", licence="MIT")
    assert main(["export", str(tmp_path / "saved"), "--out", str(tmp_path / "out"), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["finds"] == "boxes"
    assert described["epoch"] == 1
    assert "Their licence: MIT." in (tmp_path / "out" / "README.md").read_text()
    assert described["input"]["shape"] == [1, 1, "height", "width"]
    assert described["parity"]["source"] == "test images of scenes:size=32,train=10"
    assert [own["of"] for own in described["parity"]["differences"]] == ["boxes", "scores"]
    assert described["parity"]["unpaired"]["export"] <= described["parity"]["unpaired"]["accepted"]
    pixels = np.random.default_rng(0).integers(0, 256, (29, 41), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    script = [sys.executable, str(tmp_path / "out" / "predict.py"), str(tmp_path / "a.png")]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == str(tmp_path / "a.png")
    assert "resatlas" not in (tmp_path / "out" / "predict.py").read_text().replace("nothing of resatlas", "")
    with pytest.raises(CheckpointError, match='it finds "boxes"; a server answers with classes'):
        read_export(tmp_path / "out")


@ONNX
def test_a_detector_that_resizes_is_exported_for_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That to which the usual image of the training is resized; without the option it is refused."""
    run = carried_out(tmp_path / "run", replace(SMALL, sides=Resized(shorter=40, longest=60)))
    assert main(["export", str(run.folder), "--out", str(tmp_path / "out")]) == 2
    assert "use --dynamic none, for images of 40 x 40 pixels" in capsys.readouterr().err
    assert main(["export", str(run.folder), "--out", str(tmp_path / "out"), "--dynamic", "none", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["input"]["shape"] == [1, 1, 40, 40]
    assert described["parity"]["unpaired"]["of"] > 0
    assert [own["of"] for own in described["parity"]["differences"]] == ["boxes", "scores"]


@ONNX
def test_a_segmenter_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With logits of every pixel, for any number of images of any size; the text names what was compared."""
    run = carried_out(tmp_path / "run", Segment(stride=2))
    assert main(["export", str(run.folder), "--out", str(tmp_path / "out")]) == 0
    assert "the export differs from float64 in logits by at most" in capsys.readouterr().out
    described = json.loads((tmp_path / "out" / "export.json").read_text())
    assert described["input"]["shape"] == ["batch", 1, "height", "width"]
    assert described["classes"][0] == "ground"
    script = [sys.executable, str(tmp_path / "out" / "predict.py"), str(tmp_path / "a.png")]
    Image.new("L", (24, 20)).save(tmp_path / "a.png")
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    assert sum(float(line.split()[0]) for line in lines[1:]) == pytest.approx(1, abs=1e-3)


def test_an_export_that_finds_something_else_is_refused() -> None:
    """Boxes moved by a tenth of a pixel, scores, an object left out, another class."""
    own = drawn(SMALL)
    images = [torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)]
    exact = outputs_of(own, UNTOUCHED, torch.float32)
    assert found_parity(own, UNTOUCHED, exact, images, source="").unpaired.of > 4
    changes: list[tuple[str, Callable[[Tensor, Tensor, Tensor], Outputs]]] = [
        ("its boxes by", lambda boxes, labels, scores: (boxes + 0.1, labels, scores)),
        ("its scores by", lambda boxes, labels, scores: (boxes, labels, scores - 0.001)),
        ("the network in", lambda boxes, labels, scores: (boxes[2:], labels[2:], scores[2:])),
        ("the network in", lambda boxes, labels, scores: (boxes, labels % 3 + 1, scores)),
    ]
    for reason, change in changes:

        def changed(pixels: Pixels, change: Callable[..., Outputs] = change) -> Outputs:
            return change(*exact(pixels))

        with pytest.raises(ExportError, match=reason):
            found_parity(own, UNTOUCHED, changed, images, source="")


def test_what_a_graph_cannot_be_is_refused_in_one_line() -> None:
    """Another format, 8 bits, several images at a time, images that the detector resizes."""
    subject = FoundSubject(
        name="run", module=drawn(SMALL), normaliser=UNTOUCHED, classes=("a", "b", "c"), images=None, source="", epoch=1
    )
    for options in (ExportOptions(to="torch-export"), ExportOptions(precision="int8")):
        with pytest.raises(UsageError, match="finds boxes, which are exported by --to onnx --precision fp32 alone"):
            check_found(subject, options)
    with pytest.raises(UsageError, match="one image at a time: use --dynamic size or none"):
        check_found(subject, ExportOptions(dynamic="batch"))
    resized = replace(subject, module=drawn(replace(SMALL, head=C4(pooled=4), sides=Resized(shorter=32, longest=64))))
    with pytest.raises(UsageError, match=r"resizes its images itself \(task.sides=resized\)"):
        check_found(resized, ExportOptions())
    check_found(resized, ExportOptions(dynamic="none"))
