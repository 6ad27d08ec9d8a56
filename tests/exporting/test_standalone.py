"""The predict.py of an export: the same pixels and classes as `resatlas predict`, without torch."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import resatlas
from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Affine
from resatlas.data.photograph import decoded
from resatlas.data.photographic import centre
from resatlas.exporting import standalone
from resatlas.exporting.preprocessing import Preprocessing, in_channels, prepared
from resatlas.recipes.images import Centre
from resatlas.runs.store import Run
from resatlas.studies.predicting import predict
from tests.exporting.subjects import needs

NO_TORCH = """
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "resatlas"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def noise(*shape: int) -> Image.Image:
    """An image of random pixels with this shape."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def picture(folder: Path, kind: str) -> Path:
    """An image file of a kind that users have."""
    file = folder / f"{kind}.png"
    match kind:
        case "jpeg" | "webp" | "bmp":
            file = folder / f"{kind}.{kind}"
            noise(53, 40, 3).save(file)
        case "upside-down":
            file = folder / "turned.jpg"
            exif = Image.Exif()
            exif[0x0112] = 6
            noise(53, 40, 3).save(file, exif=exif)
        case "transparent":
            noise(31, 47, 4).save(file)
        case "grey":
            noise(31, 47).save(file)
        case "palette":
            noise(31, 47, 3).quantize(16).save(file)
        case "16-bit":
            Image.fromarray(np.random.default_rng(0).integers(0, 65536, (31, 47), np.uint16)).save(file)
        case "cmyk":
            file = folder / "cmyk.jpg"
            noise(31, 47, 3).convert("CMYK").save(file)
        case "tall":
            noise(400, 20, 3).save(file)
        case "wide":
            noise(20, 400, 3).save(file)
        case "exact":
            noise(16, 16, 3).save(file)
        case _:
            noise(97, 64, 3).save(file)
    return file


KINDS = (
    *("png", "jpeg", "webp", "bmp", "upside-down", "transparent", "grey"),
    *("palette", "16-bit", "cmyk", "tall", "wide", "exact"),
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_predict(kind: str, channels: int, tmp_path: Path) -> None:
    """Equal in every pixel, for each kind of file and for extreme sides."""
    file, view = picture(tmp_path, kind), Centre()
    ours = centre(in_channels(torch.from_numpy(decoded(file)), channels), view, 16)
    how = {"channels": channels, "size": [16, 16], "shorter": 18, "mean": [0.25] * channels, "std": [0.5] * channels}
    pixels = standalone.prepare(file, {"prepare": how, "input": {"kind": "pixels"}})
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0], ours.numpy())
    normaliser = Affine(mean=torch.full((channels, 1, 1), 0.25), std=torch.full((channels, 1, 1), 0.5))
    by = Preprocessing(image=Shape(channels, 16, 16), view=view, normaliser=normaliser)
    floats = standalone.prepare(file, {"prepare": how, "input": {"kind": "normalised"}})
    np.testing.assert_array_equal(floats[0], prepared(ours, by).numpy())


@needs("onnx", "onnxscript", "onnxruntime")
def test_it_runs_without_torch(run: Run, tmp_path: Path) -> None:
    """Its classes and probabilities are those of `predict`, in a process that can import neither torch nor resatlas.

    It writes no file: ONNX Runtime would leave an identifier of the machine, except under CI.
    """
    folder, file, home = tmp_path / "exported", picture(tmp_path, "png"), tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"HOME": str(home), "TMPDIR": str(home)}
    resatlas.export(run.folder, folder)
    words = [sys.executable, "-c", NO_TORCH, str(folder / "predict.py"), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.rglob("*")) == []
    first, *lines = done.stdout.splitlines()
    assert first == str(file)
    [expected] = predict(run.folder, [file])
    assert lines == [f"  {p:.4f}  {name}" for name, p in expected.classes]


def test_it_is_one_file_of_its_own() -> None:
    """It imports nothing of resatlas, so that its text can be copied."""
    text = Path(standalone.__file__).read_text(encoding="utf-8")
    assert "resatlas import" not in text
    assert "import resatlas" not in text
    spec = importlib.util.spec_from_file_location("predict", standalone.__file__)
    assert spec is not None
    assert isinstance(importlib.util.module_from_spec(spec), ModuleType)
    assert json.dumps(standalone.strip(400, 320, 150, 16))
