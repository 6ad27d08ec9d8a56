"""Verbs that use the weights of a run take those of its best epoch if asked, and leave what belongs to the last."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resatlas import from_pretrained, predict, save_pretrained
from resatlas.analysis.probed_run import ProbedRun
from resatlas.analysis.replay import replayed
from resatlas.cli.main import main
from resatlas.errors import UsageError
from resatlas.exporting.config import read_config
from resatlas.runs.store import Run
from resatlas.training.starting import trained
from tests.training.small import DATA, DESIGN, LONG, carried_out, different

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose best epoch is the third of six."""
    return carried_out(tmp_path_factory.mktemp("best") / "run", LONG, keep="best,last")


@pytest.fixture
def run(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole.folder, "run")
    return Path("run")


def said(capsys: Captured, *words: str) -> Any:  # noqa: ANN401 - JSON
    """The JSON of a command."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_tests_the_best(run: Path, capsys: Captured) -> None:
    """Another error than that of the last epoch, another file of predictions, and a note; results.json is untouched."""
    before = {name: (run / name).read_bytes() for name in ("results.json", "predictions.csv")}
    last, best = said(capsys, "evaluate", "run"), said(capsys, "evaluate", "run", "--of", "best")
    assert (last["same_as_results"], best["same_as_results"]) == (True, None)
    assert best["loss"] != last["loss"]
    assert best["predictions"] == "run/predictions-best-centre.csv"
    assert best["note"].startswith("weights of epoch 3 of 6, with the least validation error, 50 %")
    assert {name: (run / name).read_bytes() for name in before} == before
    assert said(capsys, "evaluate", "run", "--of", "last") == last


def test_the_best_has_its_validation_error(whole: Run) -> None:
    """The weights of the best checkpoint misclassify as many validation images as the row of its epoch says."""
    from resatlas.data import catalog
    from resatlas.evaluation.classification import classification
    from resatlas.evaluation.logits import predict as predictions
    from resatlas.training.splits import normaliser_of, split_images

    record = whole.record()
    data = catalog.resolve(record.experiment.data)
    images = split_images(data.read(), record.experiment, data, normaliser=normaliser_of(record))
    assert images.validation is not None
    network = trained(record, record.experiment, "best")
    figures = dict(classification(predictions(network, images.validation, images.pipeline)))
    assert figures["error_percent"] == record.metrics[2].validation_error_percent == 50
    assert figures["loss"] == pytest.approx(record.metrics[2].validation_loss)


def test_predict_and_the_saved_folder_use_the_best(run: Path, whole: Run) -> None:
    """A saved network has the weights of the best epoch, its validation error, and no test error."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("image.png")
    save_pretrained(run, "saved", of="best")
    record = whole.record()
    network = trained(record, record.experiment, "best")
    assert different(dict(from_pretrained("saved").state_dict()), dict(network.state_dict())) == []
    best, last = predict(run, ["image.png"], of="best"), predict(run, ["image.png"])
    assert predict("saved", ["image.png"])[0].classes == best[0].classes != last[0].classes
    training = read_config(Path("saved")).training
    assert training is not None
    assert (training.epochs, training.test) == (3, None)
    assert training.validation is not None
    assert training.validation.error_percent == 50
    assert training.departures[-1] == "the weights are those after epoch 3 of 6"
    card = Path("saved/README.md").read_text()
    assert "after epoch 3, which was chosen for its validation error" in card
    assert "| test |" not in card
    assert "accuracy" not in card
    with pytest.raises(UsageError, match="saved has the weights of one epoch; leave out --of best"):
        predict("saved", ["image.png"], of="best")
    with pytest.raises(UsageError, match="a network has the weights of one epoch"):
        save_pretrained(network, "again", of="best")


def test_dissect_probes_the_best(run: Path, capsys: Captured) -> None:
    """Its answer has a file of its own and a note; questions without weights or with a replay refuse it."""
    last = said(capsys, "dissect", "run", "lesion")
    best = said(capsys, "dissect", "run", "lesion", "--of", "best")
    assert best["facts"] != last["facts"]
    assert best["notes"][-1] == "Weights of run after epoch 3, its best."
    assert json.loads((run / "dissections" / "lesion.json").read_text()) == last
    assert json.loads((run / "dissections" / "lesion-best.json").read_text()) == best
    for words, sentence in (
        (("capacity",), "capacity needs no weights; leave out --of best"),
        (("flow", "--replay"), "--replay ends with the weights of the last epoch; leave out --of best"),
    ):
        assert main(("dissect", "run", *words, "--of", "best")) == 2
        assert capsys.readouterr().err == f"UsageError: {sentence}\n"


def test_a_replay_of_the_run_is_still_the_run(whole: Run) -> None:
    """A replay keeps no best epoch and ends with the same bits."""
    from resatlas.studies.dissection import _subject

    subject = _subject(whole.record(), "flow", None, "last", [])
    assert isinstance(subject, ProbedRun)
    assert replayed(subject, lambda _: 0).same


TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "1", "--out", "other")


def test_the_command_line_keeps_the_best(run: Path, capsys: Captured) -> None:
    """Text and JSON name the best epoch; the refusals are one line with exit code 2."""
    assert run.exists()
    assert main((*TRAIN, "--keep", "best,last")) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("least validation error"))
    assert line.endswith("after epoch 1 of 1, kept in step-00000005; the test error is that of the last epoch")
    assert set(said(capsys, *TRAIN, "--resume", "auto")["best"]) == {
        "epoch",
        "checkpoint",
        "validation_error_percent",
    }
    for words, sentence in (
        (
            (*TRAIN, "--keep", "best"),
            'no value of --keep "best"; did you mean "best,last"? (all: last | ',
        ),
        ((*TRAIN[:-1], "new", "--keep", "best,last", "--set", "validation=0"), "--keep best,last needs validation im"),
        ((*TRAIN, "--resume", "auto", "--keep", "last"), "other began with --keep best,last, which cannot change"),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert sentence in err
        assert err.count("\n") == 1
    assert not Path("new").exists()
    assert main((*TRAIN[:-1], "plain", "--quiet")) == 0
    for words in (("evaluate", "plain"), ("dissect", "plain", "lesion"), ("predict", "plain", "x.png")):
        assert main((*words, "--of", "best", "--quiet") if words[0] != "predict" else (*words, "--of", "best")) == 2
        assert capsys.readouterr().err == (
            "UsageError: plain keeps its last epoch only; train with --keep best,last to use the best one\n"
        )
