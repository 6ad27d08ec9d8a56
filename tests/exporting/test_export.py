"""Export to other formats: what is written, and that it computes what the network computes."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import resatlas
from resatlas.data.normalisation import Affine, Normaliser, Whitening
from resatlas.errors import ExportError, UsageError
from resatlas.exporting import onnx_target
from resatlas.exporting.answers import paired_interval
from resatlas.exporting.export_folder import write_export
from resatlas.exporting.subject import Subject
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.graph import onnx_bytes
from resatlas.inference.engines.sessions import Session, onnxruntime_session
from resatlas.runs.environment import installed_version
from resatlas.runs.store import Run
from tests.exporting.subjects import needs, subject

pytestmark = needs("onnx", "onnxscript", "onnxruntime")

FAMILIES = (
    "resnet:depth=8,base=4",
    "preact-resnet:depth=8,base=2",
    "wrn-10-1:base=4",
    "resnext:depth=11,cardinality=2,base=16",
    "pyramidnet:depth=8,alpha=5,base=3",
    "dmrnet:depth=8,base=4",
    "dmrnet:depth=8,base=2,streams=3,join=concat",
)

KEYS = {
    *("schema", "format", "precision", "file", "sha256", "bytes", "further", "weights_sha256", "epoch", "licence"),
    *("input", "prepare", "classes", "parity", "int8", "versions"),
}

FILES = ["README.md", "export.json", "predict.py"]


@pytest.mark.parametrize("design", FAMILIES)
def test_every_family_is_exported_with_free_sizes(design: str, tmp_path: Path) -> None:
    """The logits of all batches and sizes are within the bound, and the graph contains its normalisation."""
    small = subject(design)
    written = write_export(small, ExportOptions(dynamic="size"), tmp_path / "out")
    assert written.parity.export <= written.parity.bound
    assert written.parity.bound <= 1e-4 * written.parity.largest_logit
    session = onnxruntime_session(tmp_path / "out" / "model.onnx", threads=1)
    assert written.input.free == ("batch", "height", "width")
    pixels = torch.randint(0, 256, (3, 3, 12, 9), dtype=torch.uint8)
    normaliser = small.preprocessing.normaliser
    assert isinstance(normaliser, Affine)
    with torch.inference_mode():
        logits = small.network((pixels / 255 - normaliser.mean) / normaliser.std)
    np.testing.assert_allclose(session(pixels.numpy()), logits.numpy(), atol=1e-4, rtol=1e-4)


def test_the_same_export_twice_is_the_same_file(run: Run, tmp_path: Path) -> None:
    """Another process, in another folder, writes the same bytes."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-m", "resatlas", "export", str(run.folder), "--out", "out", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path / name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    one, other = (tmp_path / name / "out" for name in ("one", "other"))
    assert sorted(file.name for file in one.iterdir()) == sorted([*FILES, "model.onnx"])
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()
    described = json.loads((one / "export.json").read_text())
    assert described["sha256"] == hashlib.sha256((one / "model.onnx").read_bytes()).hexdigest()
    assert set(described) == KEYS


def test_a_page_is_an_export(tmp_path: Path) -> None:
    """One image at a time, pixels in; its operations in float64 are within the bound, and it needs no script."""
    small = subject("dmrnet:depth=8,base=2")
    written = write_export(small, ExportOptions(to="page"), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "classify.html", "export.json"]
    assert written.input.free == ()
    assert written.parity.export <= written.parity.bound
    assert written.sha256 == hashlib.sha256((tmp_path / "out" / "classify.html").read_bytes()).hexdigest()
    assert "opens in a browser" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "predict.py" not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "page", "input": "normalised"}, "--to page has no --input normalised; use --input pixels"),
        ({"to": "page", "dynamic": "batch"}, "--to page has no --dynamic batch; use --dynamic none"),
        ({"to": "page", "precision": "int8"}, "--to page has no --precision int8; choose --to onnx or openvino"),
    ],
)
def test_what_a_page_has_not_is_refused(options: dict[str, str], words: str) -> None:
    """With what it has."""
    with pytest.raises(UsageError, match=re.escape(words)):
        ExportOptions(**options)  # type: ignore[arg-type]


def test_weights_that_need_another_resizing_are_refused(tmp_path: Path) -> None:
    """Since predict.py and the page resize bilinearly."""
    small = subject("resnet:depth=8,base=2")
    bicubic = replace(small, preprocessing=replace(small.preprocessing, interpolation="bicubic"))
    with pytest.raises(UsageError, match="small needs bicubic resizing of its images; exports resize bilinearly"):
        write_export(bicubic, ExportOptions(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def without_weights(file: Path) -> bytes:
    """An ONNX model without the bytes of its weights, which may look like any short word."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        assert tensor.data_location == onnx.TensorProto.DEFAULT
        tensor.ClearField("raw_data")
    return model.SerializeToString()


TRACES = (rb"stack_trace", rb'File "', rb"\.py\b", rb"resatlas", rb"/tmp", rb"/home", rb"/root", rb"site-packages")


@pytest.mark.parametrize("options", [ExportOptions(dynamic="size"), ExportOptions(precision="int8", most_loss=100)])
def test_a_model_has_no_trace_of_the_machine(options: ExportOptions, tmp_path: Path) -> None:
    """No stack trace, no path, no name of a symbol such as s34, and no data in other files."""
    write_export(subject(FAMILIES[0]), options, tmp_path / "out")
    content = without_weights(tmp_path / "out" / "model.onnx")
    found = [trace for trace in (*TRACES, str(tmp_path).encode(), rb"\bs\d+\b") if re.search(trace, content)]
    assert found == []


@needs("openvino")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("design", ["preact-resnet:depth=8,base=2", "pyramidnet:depth=8,alpha=5,base=3"])
def test_openvino_computes_the_same(design: str, precision: str, tmp_path: Path) -> None:
    """Also with zero-padded shortcuts in 8 bits; its files have no path, and the same bytes when written again."""
    options = ExportOptions(to="openvino", precision=precision, most_loss=100)  # type: ignore[arg-type] - parametrised
    one, other = (write_export(subject(design), options, tmp_path / name) for name in ("one", "other"))
    assert (one.sha256, one.further) == (other.sha256, other.further)
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == sorted([*FILES, "model.bin", "model.xml"])
    text = (tmp_path / "one" / "model.xml").read_bytes()
    assert not any(re.search(trace, text) for trace in (*TRACES, str(tmp_path).encode()))


def test_torch_export_computes_the_same(tmp_path: Path) -> None:
    """A program that torch.export.load runs on any number of images, without paths of source files."""
    one, other = (
        write_export(subject(FAMILIES[5]), ExportOptions(to="torch-export"), tmp_path / name) for name in "ab"
    )
    assert one.sha256 == other.sha256
    content = (tmp_path / "a" / "model.pt2").read_bytes()
    assert not any(re.search(trace, content) for trace in (rb'File "', rb"\.py\b", rb"/tmp", rb"/root"))
    module = torch.export.load(tmp_path / "a" / "model.pt2").module()
    assert module(torch.zeros(5, 3, 8, 8, dtype=torch.uint8)).shape == (5, 4)


@pytest.mark.skipif(not installed_version("executorch"), reason="executorch is not installed; CI does not install it")
def test_executorch_computes_the_same(tmp_path: Path) -> None:
    """One image at a time, by XNNPACK."""
    options = ExportOptions(to="executorch", dynamic="none")
    one, other = (write_export(subject(FAMILIES[5]), options, tmp_path / name) for name in "ab")
    assert one.sha256 == other.sha256
    assert one.parity.export <= one.parity.bound


def test_half_precision_halves_the_weights_and_changes_nothing_else(tmp_path: Path) -> None:
    """The logits are those of the network with rounded weights, within the bound of float32."""
    design = "resnet:depth=8,base=16"
    whole = write_export(subject(design), ExportOptions(), tmp_path / "fp32")
    half = write_export(subject(design), ExportOptions(precision="fp16"), tmp_path / "fp16")
    assert half.bytes < 0.6 * whole.bytes
    assert half.parity.export <= half.parity.bound < 1e-4 * half.parity.largest_logit


def test_int8_is_small_and_measured_on_every_test_image(tmp_path: Path) -> None:
    """Lost and won answers are those of the two graphs, counted one by one."""
    small = subject("resnet:depth=8,base=16")
    whole = write_export(small, ExportOptions(), tmp_path / "fp32")
    int8 = write_export(small, ExportOptions(precision="int8", most_loss=100, calibrate=32), tmp_path / "int8")
    assert int8.bytes < 0.55 * whole.bytes
    assert small.images is not None
    [(first, labels), (second, others)] = small.images.tested()
    pixels, labels = torch.cat([first, second]).numpy(), torch.cat([labels, others]).numpy()
    right = [
        onnxruntime_session(tmp_path / name / "model.onnx", threads=1)(pixels).argmax(axis=1) == labels
        for name in ("fp32", "int8")
    ]
    assert int8.int8 is not None
    assert (int8.int8.images, int8.int8.calibrated_on) == (96, 32)
    assert int8.int8.lost == int((right[0] & ~right[1]).sum())
    assert int8.int8.won == int((right[1] & ~right[0]).sum())
    assert int8.int8.error_percent.int8 == pytest.approx(100 * (1 - right[1].mean()))
    assert int8.int8.points == pytest.approx(100 * (right[0].mean() - right[1].mean()))


def test_a_loss_that_may_be_too_large_leaves_nothing(tmp_path: Path) -> None:
    """96 images cannot show a loss below 0.1 points, so the export is refused."""
    with pytest.raises(ExportError, match=r"95 % interval .* above --most-loss 0\.1"):
        write_export(subject(FAMILIES[0]), ExportOptions(precision="int8", most_loss=0.1), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_interval_is_that_of_paired_answers() -> None:
    """Where many images were tested it is the usual one; where no answer changed it still has a width."""
    interval = paired_interval(lost=17, won=23, images=10_000)
    assert interval == pytest.approx((-0.06, -0.18, 0.07), abs=0.01)
    same = paired_interval(lost=0, won=0, images=360)
    assert same == pytest.approx((0, -0.54, 0.54), abs=0.01)
    assert paired_interval(lost=23, won=17, images=10_000).high == pytest.approx(-interval.low)


def changing(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[..., Session]:
    """A writer of ONNX whose session returns changed logits."""

    def write(small: Subject, options: ExportOptions, folder: Path) -> Session:
        content = onnx_bytes(onnx_target.graph_of(small, options))
        (folder / "model.onnx").write_bytes(content)
        session = onnxruntime_session(content, threads=1)
        return lambda images: change(session(images))

    return write


WRONG: tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], ...] = (
    lambda logits: logits + np.float32(1e-3),
    lambda logits: logits[:, ::-1].copy(),
    lambda logits: logits * np.float32(np.nan),
)


@pytest.mark.parametrize("change", WRONG)
def test_an_export_that_computes_something_else_leaves_nothing(
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits off by a thousandth, in another order or not a number are refused, and no file remains."""
    monkeypatch.setattr(onnx_target, "write", changing(change))
    with pytest.raises(ExportError, match="differs from the network"):
        write_export(subject(FAMILIES[0]), ExportOptions(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


MEAN_IMAGE = Affine(mean=torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)), std=torch.ones(3, 1, 1))
WHITENING = Whitening(mean=torch.zeros(192), matrix=torch.eye(192) * 0.1, contrast=torch.tensor(55.0))


@pytest.mark.parametrize("normaliser", [MEAN_IMAGE, WHITENING])
def test_any_normalisation_is_inside_the_graph(normaliser: Normaliser, tmp_path: Path) -> None:
    """A mean image and a whitening are exported for pixels of one size, and refused where they do not fit."""
    small = subject(FAMILIES[0], normaliser=normaliser)
    for options, reason in (
        (ExportOptions(dynamic="size"), "fits one size; use --dynamic batch"),
        (ExportOptions(input="normalised"), "use --input pixels"),
    ):
        with pytest.raises(UsageError, match=reason):
            write_export(small, options, tmp_path / "out")
    written = write_export(small, ExportOptions(), tmp_path / "out")
    assert (written.prepare.mean, written.prepare.std) == (None, None)


def test_a_saved_network_without_its_data_is_checked_on_noise(kept: Path, tmp_path: Path) -> None:
    """It is said which images were used; int8 needs images, and --data names them."""
    network = resatlas.from_pretrained(kept)
    resatlas.save_pretrained(network, tmp_path / "bare", preparation=resatlas.Preparation(), classes=tuple("abcd"))
    described = resatlas.export(tmp_path / "bare", tmp_path / "out", dynamic="none")
    assert described["parity"]["source"] == "random pixels: no data set is named"
    assert described["input"]["shape"] == [1, 1, 8, 8]
    with pytest.raises(UsageError, match=r"needs training images .* name them with --data DATA"):
        resatlas.export(tmp_path / "bare", tmp_path / "int8", precision="int8")
    assert not (tmp_path / "int8").exists()


def test_missing_images_leave_no_path(kept: Path, tmp_path: Path) -> None:
    """Where the images were searched for is said on the terminal alone."""
    network = resatlas.from_pretrained(kept)
    resatlas.save_pretrained(network, tmp_path / "bare", preparation=resatlas.Preparation(), classes=tuple("abcd"))
    config = json.loads((kept / "config.json").read_text(encoding="utf-8"))
    assert config["training"]
    changed = json.loads((tmp_path / "bare" / "config.json").read_text(encoding="utf-8"))
    changed["training"] = {**config["training"], "data": "imagenet"}
    (tmp_path / "bare" / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    described = resatlas.export(tmp_path / "bare", tmp_path / "out", to="torch-export")
    assert described["parity"]["source"] == "random pixels: the images of its data set are not at hand"
    text = (tmp_path / "out" / "export.json").read_text() + (tmp_path / "out" / "README.md").read_text()
    assert str(Path.home()) not in text


def test_calibrating_images_are_those_of_the_training(run: Run, tmp_path: Path) -> None:
    """Held-out images are not among them, and the description counts them."""
    described = resatlas.export(run.folder, tmp_path / "out", precision="int8", calibrate=1000, most_loss=100)
    assert described["int8"]["calibrated_on"] == 84  # of 96, 12 are held out
    assert described["parity"]["source"].startswith("test images of synthetic")


def _not_installed(package: str) -> None:
    """No version of any package."""
    del package


@pytest.mark.parametrize("to", TARGETS)
def test_missing_packages_are_one_line(to: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs them; nothing is read or written."""
    target = TARGETS[to]
    if not target.packages:
        pytest.skip("it needs torch alone")
    monkeypatch.setattr("resatlas.inference.engines.packages.installed_version", _not_installed)
    with pytest.raises(UsageError, match=re.escape(f"not installed: {target.install}")):
        resatlas.export(run.folder, tmp_path / "out", to=to, dynamic="none")
    assert list(tmp_path.iterdir()) == []


def test_int8_of_another_precision_is_not_measured(tmp_path: Path) -> None:
    """Only int8 has a table of answers, and its parity is that of the same graph in float32."""
    small = subject(FAMILIES[0])
    assert write_export(small, ExportOptions(), tmp_path / "a").int8 is None
    with pytest.raises(UsageError, match="needs training images"):
        write_export(replace(small, images=None), ExportOptions(precision="int8"), tmp_path / "b")
