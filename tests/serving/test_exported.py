"""A server runs an exported folder: the answers of the network, and one line for a folder that is not as written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resatlas
from resatlas import predict
from resatlas.arch.ops import Shape
from resatlas.cli.main import main
from resatlas.errors import CheckpointError, FolderError, UsageError
from resatlas.exporting.reading import read_export
from resatlas.serving.exported import exported_classifier
from resatlas.serving.image_file import image_pixels
from tests.data.pictures import picture
from tests.exporting.subjects import needs
from tests.serving.running import asked, get, request
from tests.serving.test_program import serving

pytestmark = needs("onnx", "onnxscript", "onnxruntime", "starlette", "uvicorn", "prometheus-client")


def read(content: bytes) -> torch.Tensor:
    """The pixels of an image file."""
    return torch.from_numpy(image_pixels(content, most=10**6))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of three classes."""
    folder = tmp_path_factory.mktemp("exports") / "saved"
    network = resatlas.build("resnet:depth=8,base=2", image=Shape(3, 16, 16), classes=3, seed=0)
    preparation = resatlas.Preparation(mean=(0.4,), std=(0.2,), crop_share=0.8)
    resatlas.save_pretrained(network, folder, classes=("cat", "dog", "<b>"), preparation=preparation)
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dynamic": "none"},
        {"input": "normalised"},
        {"precision": "fp16", "dynamic": "size"},
        pytest.param({"to": "openvino"}, marks=needs("openvino")),
    ],
)
def test_its_answers_are_those_of_predict(options: dict[str, str], saved: Path, tmp_path: Path) -> None:
    """For every kind of export; several images at a time."""
    out = tmp_path / "out"
    resatlas.export(saved, out, **options)  # type: ignore[arg-type]
    classifier = exported_classifier(out, read, threads=1)
    files = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for number, file in enumerate(files):
        picture(number, size=(40, 30)).save(file)
    logits = classifier.logits(torch.stack([classifier.prepare(file.read_bytes()) for file in files]))
    for row, expected in zip(logits.softmax(dim=1), predict(saved, files), strict=True):
        found = {name: float(share) for name, share in zip(classifier.classes, row, strict=True)}
        assert found == pytest.approx(dict(expected.classes), abs=1e-3 if "precision" in options else 1e-5)


def test_the_program_serves_an_export(saved: Path, tmp_path: Path) -> None:
    """From its address to the answer; /v1/model says what runs."""
    assert main(("export", str(saved), "--out", str(tmp_path / "out"), "--quiet")) == 0
    picture(1, size=(40, 30)).save(tmp_path / "a.png")
    with serving(tmp_path / "out") as program:
        answered = asked(program.port, request((tmp_path / "a.png").read_bytes()))
        described = get(program.port, "/v1/model").json
    assert answered.status == 200
    [expected] = predict(saved, [tmp_path / "a.png"])
    assert answered.json["classes"][0]["class"] == expected.classes[0][0]
    assert (described["export"], described["precision"]) == ("onnx", "fp32")


def _other_schema(folder: Path) -> None:
    _change(folder, schema=9)


def _other_bytes(folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b" ")


def _a_path(folder: Path) -> None:
    _change(folder, further={"../saved/config.json": "0" * 64})


def _no_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _another_program(folder: Path) -> None:
    import hashlib

    (folder / "model.onnx").write_bytes(b"not a model")
    _change(folder, sha256=hashlib.sha256(b"not a model").hexdigest())


def _weights_elsewhere(folder: Path) -> None:
    import hashlib

    import onnx

    model = onnx.load(folder / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    _change(folder, sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest())


def _too_few_classes(folder: Path) -> None:
    _change(folder, classes=["cat", "dog"])


def _another_image(folder: Path) -> None:
    file = folder / "export.json"
    table = json.loads(file.read_text())
    _change(folder, prepare={**table["prepare"], "size": [12, 12], "shorter": 12})


def _change(folder: Path, **values: object) -> None:
    file = folder / "export.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (_other_schema, CheckpointError, "an export has schema 1; this has"),
        (_other_bytes, CheckpointError, "its sha256 differs from the one in export.json"),
        (_a_path, CheckpointError, "is not the name of a file in the folder"),
        (_no_model, FolderError, "it has no file model.onnx"),
        (_another_program, CheckpointError, "cannot be run"),
        (_weights_elsewhere, CheckpointError, "has weights in other files"),
        (_too_few_classes, CheckpointError, r"gives \(3,\) values an image, but export.json has 2 classes"),
        (_another_image, CheckpointError, "the model does not take the images of export.json"),
    ],
)
def test_a_changed_export_is_refused(
    change: Callable[[Path], None], error: type[Exception], sentence: str, saved: Path, tmp_path: Path
) -> None:
    """Before a request is answered."""
    resatlas.export(saved, tmp_path / "out")
    change(tmp_path / "out")
    with pytest.raises(error, match=sentence):
        exported_classifier(tmp_path / "out", read, threads=1)


def test_what_a_server_cannot_run_is_named(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other formats, options that an export has decided, and verbs that need the network itself."""
    resatlas.export(saved, tmp_path / "page", to="page")
    resatlas.export(saved, tmp_path / "out")
    with pytest.raises(UsageError, match="an export to page; a server runs exports to onnx and openvino"):
        exported_classifier(tmp_path / "page", read, threads=1)
    out = str(tmp_path / "out")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    for words, sentence in (
        (("serve", out, "--port", "0", "--engine", "torch"), "an export, whose format decides: leave out --engine"),
        (("serve", out, "--port", "0", "--of", "best"), "has the weights of one epoch; leave out --of best"),
        (
            ("predict", out, str(tmp_path / "a.png")),
            "resatlas serve runs it, and the predict.py in it",
        ),
    ):
        assert main(words) == 2
        assert sentence in capsys.readouterr().err
    assert read_export(tmp_path / "out").classes == ("cat", "dog", "<b>")
