"""A RUN, the FOLDER of a saved network and a WORD are accepted alike wherever a trained network is needed."""

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resatlas
from resatlas.cli.main import main
from resatlas.errors import FolderError
from resatlas.exporting.preprocessing import prepared
from resatlas.runs.names import FIRST
from resatlas.studies.predictors import class_names, kind_of, predictor_of
from resatlas.weights import words
from resatlas.weights.words import table
from tests.exporting.subjects import needs
from tests.weights.tiny_words import PYTORCHCV, TIMM, TORCHVISION, Shelf, shelf


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("word", [TORCHVISION, TIMM, PYTORCHCV])
def test_a_word_classifies(word: str, machine: Shelf, picture: Path) -> None:
    """The probabilities are those of the network of the file on the image as the word prepares it."""
    [image] = resatlas.predict(word, [picture], top=10)
    predictor = predictor_of(word)
    pixels = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)
    with torch.no_grad():
        logits = machine.networks[word].eval()(prepared(pixels, predictor.preprocessing)[None])
    probabilities = logits.softmax(dim=1)[0]
    assert dict(image.classes) == pytest.approx(dict(zip(predictor.classes, probabilities.tolist(), strict=True)))


@needs("onnx", "onnxscript", "onnxruntime")
@pytest.mark.usefixtures("machine")
def test_a_word_is_exported(tmp_path: Path) -> None:
    """Checked on test images of its own data; the folder has the name of the word."""
    described = resatlas.export(TORCHVISION, tmp_path / "out")
    assert described["parity"]["export"] <= described["parity"]["bound"]
    assert described["parity"]["source"].startswith("test images of synthetic")
    assert "# torchvision/tiny\\@V1, exported to onnx" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_the_verb_takes_a_word(machine: Shelf, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`predict WORD IMAGE` downloads once and says from where and under which licence; --offline then suffices."""
    assert main(["predict", TORCHVISION, str(picture), "--offline"]) == 4
    assert "--offline forbids a download" in capsys.readouterr().err
    assert main(["predict", TORCHVISION, str(picture)]) == 0
    output = capsys.readouterr()
    assert f"{machine.server.site}tiny-" in output.err
    assert "licence mit" in output.err
    assert main(["predict", TORCHVISION, str(picture), "--offline", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["classes"]) == 5


def test_bicubic_and_bilinear_differ(machine: Shelf, picture: Path) -> None:
    """The interpolation is the word's; both are antialiased as Pillow does it, within a step of rounding."""
    assert machine.server.asked == []
    pixels = torch.from_numpy(np.array(Image.open(picture))).permute(2, 0, 1)
    from resatlas.data.photographic import centre
    from resatlas.recipes.images import Centre

    photo = Image.open(picture)
    for name, how in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        ours = centre(pixels, Centre(shorter=Fraction(36, 32)), 32, name).permute(1, 2, 0).numpy()
        theirs = np.array(photo.resize((54, 36), how).crop((11, 2, 43, 34)))
        assert np.abs(ours.astype(int) - theirs).max() <= 2, name


def test_a_network_of_the_package_is_read_like_a_saved_one(
    machine: Shelf, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """resatlas/NAME is a folder of `save_pretrained` with its card; no server is asked, and its digest is checked."""
    folder = machine.home / "zoo" / "tiny"
    network = machine.networks[TORCHVISION]
    resatlas.save_pretrained(network, folder, classes=list("abcdefghij"), preparation=resatlas.Preparation())
    monkeypatch.setattr(words, "own_words", lambda: {"resatlas/tiny": folder})
    for module in ("obtaining",):
        monkeypatch.setattr(f"resatlas.weights.{module}.own_words", words.own_words)
    monkeypatch.setattr("resatlas.studies.predictors.own_words", words.own_words)
    monkeypatch.setattr("resatlas.cli.weights_verb.own_words", words.own_words)
    words._by_name.cache_clear()
    [image] = resatlas.predict("resatlas/tiny", [picture], access="offline")
    assert {name for name, _ in image.classes} <= set("abcdefghij")
    assert main(["weights", "list", "resatlas/*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["file"] == str(folder / "model.safetensors")
    assert resatlas.build("resnet-18-B:base=2", weights="resatlas/tiny", image=network.plan.image, classes=10)
    (folder / "model.safetensors").write_bytes(machine.content[TIMM])
    assert main(["weights", "check", "resatlas/tiny"]) == 4
    assert machine.server.asked == []


def test_what_exists_is_a_folder(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder is never taken for a word, even if it has the name of one; what is neither is refused in one line."""
    saved = machine.home / "saved"
    resatlas.save_pretrained(machine.networks[TIMM], saved, preparation=resatlas.Preparation())
    assert kind_of(saved) == "saved"
    assert kind_of(TORCHVISION) == "word"
    shutil.copytree(saved, machine.home / "timm" / "tiny.a_in1k")
    assert main(["predict", "nothing", "x.png"]) == 2
    assert "it does not exist (words for published weights: resatlas weights list)" in capsys.readouterr().err
    assert main(["predict", "torchvision/tiny@V7", "x.png"]) == 2
    assert 'did you mean "torchvision/tiny@V1"' in capsys.readouterr().err


def test_classes_have_their_names() -> None:
    """ImageNet's names are torchvision's, CIFAR's those of the data set; other classes are numbered."""
    assert class_names(table()["torchvision/resnet18@V1"])[:2] == ("tench", "goldfish")
    assert class_names(table()["pytorchcv/resnet20_cifar10"])[0] == "airplane"
    assert class_names(table()["pytorchcv/resnet10_cub"])[199] == "class 199"


def test_a_report_of_a_word_needs_no_download(machine: Shelf, tmp_path: Path) -> None:
    """Its row of the table is enough."""
    assert main(["report", TORCHVISION, PYTORCHCV, "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert TORCHVISION in text
    assert words.table()[TORCHVISION].digest in text
    assert machine.server.asked == []


def test_a_folder_of_runs_names_them(tmp_path: Path) -> None:
    """Since one of them is meant."""
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / FIRST).write_text("{}")
    with pytest.raises(FolderError, match=r"neither a run folder nor a saved network: .*; it holds the runs first, …"):
        kind_of(tmp_path / "runs")
