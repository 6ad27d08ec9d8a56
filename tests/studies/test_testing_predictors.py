"""`evaluate` tests saved networks and words, which have no run, on the data that they or --data name."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import resatlas
from resatlas.cli.main import main
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.errors import DataError, UnknownName, UsageError
from resatlas.studies.subject import EvaluationOptions
from tests.exporting.subjects import needs
from tests.weights.tiny_words import PYTORCHCV, TORCHVISION, Shelf, shelf

DATA = "synthetic:images=64"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


def test_a_word_is_tested_on_its_data(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is that of the file's network on all test images; the published figure stands beside it."""
    assert main(["evaluate", PYTORCHCV, "--data", DATA, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    test = resolve(DATA).read().test
    assert isinstance(test, ImageSet)
    images = (torch.from_numpy(test.images) / 255 - 0.5) / 0.25
    with torch.no_grad():
        predicted = machine.networks[PYTORCHCV].eval()(images).argmax(dim=1)
    wrong = (predicted != torch.tensor(test.labels)).double().mean().item()
    assert data["error_percent"] == pytest.approx(100 * wrong)
    assert data["images"] == len(test)
    assert data["predictions"] is None
    assert data["note"] == "published: 7.5 % error on synthetic, whole images"


def test_predictions_are_written_where_the_user_says(machine: Shelf, tmp_path: Path) -> None:
    """There is no run to keep them, so only --out writes a file, with one line for each image."""
    out = tmp_path / "out"
    [evaluation] = resatlas.evaluate([TORCHVISION], EvaluationOptions(data=DATA, out=out))
    assert evaluation.file.parent == out
    assert len(evaluation.file.read_text(encoding="utf-8").splitlines()) == 1 + evaluation.values["images"]
    assert not list(machine.own.glob("*.csv"))


def test_a_saved_network_and_a_word_are_rows_of_one_table(
    machine: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The saved network of a word has the word's error; its classes are found by their names."""
    classes = list(resolve(DATA).classes)
    preparation = resatlas.Preparation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    resatlas.save_pretrained(
        machine.networks[PYTORCHCV], tmp_path / "saved", classes=classes[::-1], preparation=preparation
    )
    command = ["evaluate", PYTORCHCV, str(tmp_path / "saved"), "--data", DATA, "--json"]
    assert main([*command, "--protocol", "centre"]) == 0
    word, saved = json.loads(capsys.readouterr().out)
    assert word["images"] == saved["images"]
    assert saved["loss"] != pytest.approx(word["loss"]), "its classes have other names, so other columns count"
    resatlas.save_pretrained(machine.networks[PYTORCHCV], tmp_path / "same", classes=classes, preparation=preparation)
    assert main(["evaluate", str(tmp_path / "same"), "--data", DATA, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(word["loss"])


REFUSED = (
    (EvaluationOptions(statistics="reestimated"), UsageError, "needs the training images of a run"),
    (EvaluationOptions(data="digits:size=32"), UsageError, "images of digits:size=32 are 1x32x32"),
    (EvaluationOptions(data="synthetic:classes=12"), DataError, 'has no class "wave 10"'),
    (EvaluationOptions(protocols=("multi-scale",)), UsageError, "needs photographs larger"),
    (EvaluationOptions(test_batch=0), UsageError, "--test-batch must be between"),
)


@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_what_a_word_cannot_be_tested_with_is_refused(
    options: EvaluationOptions, error: type[Exception], sentence: str, machine: Shelf
) -> None:
    """Each option that needs a run or other images, in one line."""
    assert machine.server.asked == []
    with pytest.raises(error, match=sentence):
        resatlas.evaluate([PYTORCHCV], options)


@pytest.mark.usefixtures("machine")
def test_engine_and_epoch_hold_without_a_run_too() -> None:
    """An unknown engine and the best epoch of weights that have one are refused, as for a run."""
    with pytest.raises(UnknownName, match='no engine "tpu"'):
        resatlas.evaluate([TORCHVISION], EvaluationOptions(data=DATA, engine="tpu"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has the weights of one epoch; leave out --of best"):
        resatlas.evaluate([TORCHVISION], EvaluationOptions(data=DATA, of="best"))


@pytest.mark.usefixtures("machine")
@needs("onnx", "onnxscript", "onnxruntime")
def test_an_engine_tests_a_word(tmp_path: Path) -> None:
    """The answers are torch's; the two files of predictions have different names."""
    both = [
        resatlas.evaluate([TORCHVISION], EvaluationOptions(data=DATA, out=tmp_path, engine=engine))[0]
        for engine in ("torch", "onnxruntime")
    ]
    assert both[0].values["loss"] == pytest.approx(both[1].values["loss"], rel=1e-4)
    assert both[0].file != both[1].file
    assert "onnxruntime" in both[1].file.name


def test_an_ensemble_is_made_of_runs(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A word in it is named, before anything is downloaded."""
    assert main(["evaluate", PYTORCHCV, TORCHVISION, "--ensemble"]) == 2
    assert f"{PYTORCHCV} is a saved network or a word" in capsys.readouterr().err
    assert machine.server.asked == []


def test_a_saved_network_without_data_needs_them(machine: Shelf, tmp_path: Path) -> None:
    """The error names the option."""
    resatlas.save_pretrained(machine.networks[PYTORCHCV], tmp_path / "saved", preparation=resatlas.Preparation())
    with pytest.raises(UsageError, match="are not those of a known data set; evaluate takes --data DATA"):
        resatlas.evaluate([tmp_path / "saved"])
