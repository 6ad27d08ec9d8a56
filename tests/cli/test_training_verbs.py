"""The effects, output and errors of train, evaluate, predict and report."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli import display
from resatlas.cli.main import main
from resatlas.data import fashion_mnist
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.schedule import OneCycle
from resatlas.runs import store
from resatlas.runs.experiment import from_json, to_json
from resatlas.runs.store import Run
from tests.data.pictures import write
from tests.promptness import SECONDS
from tests.training import processes
from tests.training.small import DATA, DESIGN, EXPERIMENT, assert_same, carried_out, results_without_times

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "1")
NAME = "synthetic_size_8_channels_1_classes_4_images_96-resnet_depth_8_base_2-quick"

Say = Callable[..., tuple[str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """A function that runs a command in an empty folder and returns its standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> tuple[str, str]:
        assert main(words) == code, capsys.readouterr()
        return tuple(capsys.readouterr())

    return run


@pytest.fixture
def refused(say: Say) -> Callable[..., str]:
    """A function that runs a wrong command and returns its sentence, without the kind of error."""

    def sentence_of(*words: str, code: int = 2) -> str:
        out, err = say(*words, code=code)
        assert out == ""
        assert err.count("\n") == 1
        assert err.endswith("\n")
        kind, colon, sentence = err.rstrip("\n").partition(": ")
        assert kind[0].isupper()
        assert colon
        return sentence

    return sentence_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    return carried_out(tmp_path_factory.mktemp("finished") / "run")


def test_training_gives_its_results_as_json(say: Say, tmp_path: Path) -> None:
    """Standard output is one JSON value: the results, with their keys."""
    out, err = say(*TRAIN, "--out", "run", "--json")
    results = json.loads(out)
    assert results == Run(tmp_path / "run").record().written
    assert set(results) >= {
        *("design", "data", "recipe", "seed", "epochs", "parameters", "multiply_adds", "seconds"),
        *("images_per_second", "test", "validation", "train"),
    }
    for part in ("test", "validation", "train"):
        assert set(results[part]) >= {"error_percent", "images"}
    assert (results["design"], results["data"], results["recipe"]) == (DESIGN, DATA, "quick")
    assert (results["seed"], results["epochs"]) == (0, 1)
    assert "epoch 1 loss " in err


def test_training_says_what_it_does_and_closes_with_a_table(say: Say) -> None:
    """Plain lines on standard error without a terminal, a table on standard output; the folder is the default."""
    out, err = say(*TRAIN)
    folder = f"runs/{NAME}-s0"
    head, row, departure = out.splitlines()
    assert departure == "each epoch leaves out 4 images, different ones each time: they do not fill a batch"
    assert head.split("  ")[0] == "run"
    assert row.startswith(folder)
    scaled, smaller, left_out, opening, how, epoch = err.splitlines()
    assert smaller == f"batch 16 (recipe quick: {NAMED['quick'].batch})"
    assert scaled == f"1 epoch (recipe quick: {NAMED['quick'].epochs})"
    assert left_out == f"Flip off: mirroring changes the class of images of {DATA}"
    assert opening == (
        f"{DESIGN} on {DATA}, recipe quick: 84 images, 1 epoch of 5 steps, batch 16, "
        f"learning rate up to {NAMED['quick'].schedule.peak:g}, seed 0 "
        f"-> {folder}"
    )
    assert how == "fp32 on cpu, channels-last, 1 process, batch 16, BN statistics over 16"
    assert [word for word in epoch.split() if not word[0].isdigit()] == [
        *("epoch", "loss", "error_percent", "validation_error_percent", "images_per_second", "seconds_left"),
    ]
    assert Run(Path(folder)).finished


def test_a_machine_is_told_how_to_carry_it_out(say: Say) -> None:
    """Every option is printed at the start and recorded; only the precision changes the experiment."""
    how = ("--precision", "bf16", "--checkpoint-activations", "segments", "--deterministic", "--device", "cpu")
    _, err = say(*TRAIN, *how, "--log", "none", "--out", "run")
    assert "precision bf16 (recipe quick: fp32)" in err.splitlines()
    assert any(line.startswith("deterministic: the same seed gives the same weights") for line in err.splitlines())
    assert any(line.startswith("bf16 on cpu, channels-last, 1 process") for line in err.splitlines())
    run = Run(Path("run"))
    execution = json.loads((run.folder / "env.json").read_text())["execution"]
    assert {name: execution[name] for name in ("device", "kept", "deterministic", "logs")} == {
        "device": "cpu",
        "kept": "segments",
        "deterministic": True,
        "logs": [],
    }
    assert run.beginning().experiment.precision == run.beginning().experiment.recipe.precision == "bf16"
    out, _ = say(*TRAIN, "--compile", "units", "--precision", "auto", "--print-config")
    assert (json.loads(out)["compiled"], json.loads(out)["precision"]) == ("units", None)


@pytest.mark.parametrize(("flags", "slow"), [({"avx2"}, True), ({"avx2", "amx_bf16"}, False)])
def test_a_precision_that_is_slow_here_is_said(
    flags: set[str], slow: bool, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 on a processor that does not multiply in it; the run begins all the same."""
    monkeypatch.setattr("resatlas.runs.environment.processor_flags", lambda: flags)
    _, err = say(*TRAIN, "--precision", "bf16", "--log", "none", "--out", "run")
    assert ("precision bf16 is several times slower here than fp32: the processor does" in err) == slow
    _, err = say(*TRAIN, "--log", "none", "--out", "other")
    assert "slower here" not in err


def test_quiet_trains_in_silence(say: Say, finished: Run, tmp_path: Path) -> None:
    """Nothing is printed, and the run is the same as from Python."""
    assert say(*TRAIN, "--epochs", "3", "--save-every", "0", "--out", "run", "--quiet") == ("", "")
    assert_same(Run(tmp_path / "run"), finished)


def test_several_seeds_make_sibling_folders_and_a_list(say: Say, tmp_path: Path) -> None:
    """Each seed has its own folder, named after --out or the default."""
    out, _ = say(*TRAIN, "--seeds", "2", "--json")
    results = json.loads(out)
    assert [result["seed"] for result in results] == [0, 1]
    assert [Run(tmp_path / "runs" / f"{NAME}-s{seed}").record().written for seed in (0, 1)] == results
    out, _ = say(*TRAIN, "--seeds", "2", "--out", "mine", "--json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-s0", "mine-s1", "runs"]
    for seed, result in enumerate(results):
        other = Run(tmp_path / f"mine-s{seed}")
        assert results_without_times(other) == results_without_times(Run(tmp_path / "runs" / f"{NAME}-s{seed}"))
        assert result["test"] == other.record().written["test"]
    assert isinstance(json.loads(say(*TRAIN, "--seeds", "1", "--out", "one", "--json")[0]), list)


def test_no_seed_is_trained_where_a_folder_is_occupied(refused: Callable[..., str], tmp_path: Path) -> None:
    """All folders are checked before the first run is started."""
    (tmp_path / "mine-s1").mkdir()
    (tmp_path / "mine-s1" / "file").write_text("")
    assert "mine-s1 holds other files" in refused(*TRAIN, "--seeds", "2", "--out", "mine")
    assert not (tmp_path / "mine-s0").exists()


@pytest.mark.parametrize("out", [".", "/"])
def test_several_seeds_need_a_folder_with_a_name(refused: Callable[..., str], tmp_path: Path, out: str) -> None:
    """A folder without a name cannot be extended by the seed."""
    assert "--out" in refused(*TRAIN, "--seeds", "2", "--out", out)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_resumed_in_a_word(say: Say) -> None:
    """A message, the same results, and exit code 0."""
    first, _ = say(*TRAIN, "--out", "run", "--json")
    again, err = say(*TRAIN, "--out", "run", "--json", "--resume", "auto")
    assert again == first
    assert err == "run is finished: nothing is left to train\n"
    assert say(*TRAIN, "--out", "run", "--quiet", "--resume") == ("", "")


CONFIG = ("--print-config", "--set", "schedule.peak=0.3", "--set", "schedule.rise=1/3")


def test_the_resolved_experiment_is_printed(say: Say, tmp_path: Path) -> None:
    """Every field of it, the same as text and as JSON; nothing is trained or written."""
    text, err = say(*TRAIN, *CONFIG)
    out, _ = say(*TRAIN, *CONFIG, "--json")
    experiment = from_json(json.loads(out))
    assert json.loads(text) == json.loads(out)
    assert to_json(experiment) == json.loads(out)
    assert (experiment.recipe.epochs, experiment.recipe.batch) == (1, 16)
    assert experiment.recipe.schedule == OneCycle(peak=0.3, rise=Fraction(1, 3))
    assert (experiment.design, experiment.data, experiment.seed) == (DESIGN, DATA, 0)
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_experiments_of_several_seeds_are_a_list(say: Say) -> None:
    """The list has one experiment for each seed."""
    out, _ = say(*TRAIN, "--print-config", "--seeds", "3", "--json")
    assert [experiment["seed"] for experiment in json.loads(out)] == [0, 1, 2]


def test_data_are_named_by_their_shortest_text(say: Say) -> None:
    """The default value of a knob is not part of a name."""
    out, _ = say("train", "resnet-20", "--data", "digits:size=8", "--print-config")
    assert json.loads(out)["data"] == "digits"


def test_evaluating_gives_the_values_of_the_results(say: Say, finished: Run, tmp_path: Path) -> None:
    """By name, as JSON and as text; nothing with --quiet."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    out, err = say("evaluate", "run", "--json")
    values = json.loads(out)
    assert ({name: values[name] for name in finished.record().written["test"]}, err) == (
        finished.record().written["test"],
        "",
    )
    assert list(values) == [
        *("loss", "error_percent", "images", "calibration_error_percent", "classes", "confusion", "predictions"),
        *("test_images", "same_as_results", "note"),
    ]
    assert (values["test_images"], values["same_as_results"]) == ("own", True)
    wrong = sum(confusion["images"] for confusion in values["confusion"])
    assert 100 * wrong / values["images"] == pytest.approx(values["error_percent"])
    assert [row["class"] for row in values["classes"]] == [f"wave {k}" for k in range(4)]
    out, _ = say("evaluate", "run")
    assert [line.split()[0] for line in out.splitlines()[:4]] == [
        *("loss", "error_percent", "images", "calibration_error_percent"),
    ]
    assert f"images {finished.record().written['test']['images']}" in out.splitlines()
    assert "predictions of every image: run/predictions.csv" in out.splitlines()
    assert [line.split()[0] for line in out.splitlines()[-5:]] == ["class", *["wave"] * 4]
    assert say("evaluate", "run", "--quiet") == ("", "")


def test_a_long_evaluation_is_told_of(say: Say, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each run and protocol, the number of images so far; nothing with --quiet."""
    shutil.copytree(finished.folder, tmp_path / "run")
    monkeypatch.setattr(display, "SILENCE_SECONDS", -1)
    progress = re.findall(
        r"run (\S+) images (\d+) of 24 seconds_left \d+\n", say("evaluate", "run", "--test-batch", "16")[1]
    )
    assert progress == [("centre", "16"), ("centre", "24")]
    assert say("evaluate", "run", "--quiet") == ("", "")


def test_several_evaluations_are_a_list_and_a_table(say: Say, finished: Run, tmp_path: Path) -> None:
    """A row for each run and protocol; an ensemble is a single evaluation."""
    for name in ("one", "two"):
        shutil.copytree(finished.folder, tmp_path / name)
    out, err = say("evaluate", "one", "two", "--json")
    rows = json.loads(out)
    assert [(row["runs"], row["protocol"], err) for row in rows] == [
        (["one"], "centre", ""),
        (["two"], "centre", ""),
    ]
    assert {row["error_percent"] for row in rows} == {finished.record().written["test"]["error_percent"]}
    head, *lines = say("evaluate", "one", "two")[0].splitlines()
    assert re.split("  +", head) == ["run", "protocol", "loss", "error percent", "images", "calibration error percent"]
    assert [line.split()[:2] for line in lines[:2]] == [["one", "centre"], ["two", "centre"]]
    assert lines[2] == "one, centre: same as results.json; one/predictions.csv is kept"
    both = json.loads(say("evaluate", "one", "two", "--ensemble", "--json")[0])
    assert both["error_percent"] == finished.record().written["test"]["error_percent"]
    assert both["predictions"].startswith("one/predictions-ensemble-2-")


def test_images_are_classified(say: Say, finished: Run, tmp_path: Path) -> None:
    """As JSON and as a table; exit code 3 if one cannot be read, while the others are classified."""
    write(tmp_path / "in" / "a.png")
    out, err = say("predict", str(finished.folder), "in", "--json")
    [image] = json.loads(out)
    assert (image["image"], err) == ("in/a.png", "")
    assert len(image["classes"]) == 4
    assert sum(answer["probability"] for answer in image["classes"]) == pytest.approx(1)
    out, _ = say("predict", str(finished.folder), "in/a.png", "--top", "2")
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["image", "in/a.png"]
    assert len(out.splitlines()) == 3
    (tmp_path / "in" / "b.png").write_text("")
    out, _ = say("predict", str(finished.folder), "in", code=3)
    assert out.splitlines()[-1] == "in/b.png cannot be read as an image: an empty file"
    assert [
        ("error" in image) for image in json.loads(say("predict", str(finished.folder), "in", "--json", code=3)[0])
    ] == [
        *(False, True),
    ]


def test_a_report_is_a_page(say: Say, finished: Run, tmp_path: Path) -> None:
    """One file, whose path is printed as JSON or text, or not with --quiet."""
    out, err = say("report", str(finished.folder), "--out", "page.html", "--json")
    assert (json.loads(out)["page"], err) == ("page.html", "")
    assert "page.html" in say("report", str(finished.folder), "--out", "page.html")[0]
    assert say("report", str(finished.folder), "--out", "page.html", "--quiet") == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert DESIGN in (tmp_path / "page.html").read_text()


def test_a_report_leaves_its_figures_too(say: Say, finished: Run, tmp_path: Path) -> None:
    """Every chart of the page as SVG and PNG, and their names; a second call gives the same, and keeps other files."""
    words = ("report", str(finished.folder), "--out", "page.html", "--figures", "figures")
    names = json.loads(say(*words, "--json")[0])["figures"]
    page = (tmp_path / "page.html").read_text()
    files = {f"figures/{file.name}": file.read_bytes() for file in (tmp_path / "figures").iterdir()}
    assert set(names) == set(files)
    assert len(names) == len(set(names)) == 2 * page.count("data-chart=") > 0
    assert all(re.fullmatch(r"figures/[a-z0-9-]+\.(svg|png)", name) for name in names)
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    assert f"figures: {len(names)} figures, SVG and PNG" in say(*words)[0]
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())
    assert (tmp_path / "figures" / "mine.svg").read_text() == "mine"


USAGE: tuple[tuple[str, str], ...] = (
    ("train resnt-20 --data digits", 'no design "resnt-20"; did you mean "resnet-20"'),
    ("train resnet-21 --data digits", "depth"),
    ("train resnet-20 --data digts", 'no data set "digts"; did you mean "digits"?'),
    ("train resnet-20 --data digits:sise=8", 'no knob of digits "sise"; did you mean "size"?'),
    ("train resnet-20 --data digits:size=2", "8 to 256 pixels"),
    ("train --data digits", "DESIGN"),
    ("train resnet-20 --data digits --recipe qick", 'no recipe "qick"; did you mean "quick"?'),
    ("train resnet-20 --data digits --set epoch=3", 'no recipe field "epoch"; did you mean "epochs"?'),
    ("train resnet-20 --data digits --set epochs=three", 'epochs needs a whole number; got "three"'),
    ("train resnet-20 --data digits --set epochs", "key=value"),
    ("train resnet-20 --data digits --set epochs=2 --set epochs=3", 'setting "epochs" is given twice'),
    ("train resnet-20 --data digits --set schedule.peak=nan", "finite and above 0"),
    ("train resnet-20 --data digits --set schedule.peak=-1", "finite and above 0"),
    ("train resnet-20 --data digits --epochs 0", "epochs must be between 1 and 1,000,000"),
    ("train resnet-20 --data digits --epochs 1000000000", "epochs must be between 1 and 1,000,000"),
    ("train resnet-20 --data digits --epochs ten", "--epochs"),
    ("train resnet-20 --data digits --seed -1", "a seed must be between 0 and"),
    ("train resnet-20 --data digits --seed x", "--seed"),
    ("train resnet-20 --data digits --seeds 0", "--seeds must be between 1 and 1000"),
    ("train resnet-20 --data digits --seeds 2000000000", "--seeds must be between 1 and 1000"),
    ("train resnet-20 --data digits --seed 1 --seeds 2", "not allowed with"),
    (f"train {DESIGN} --data {DATA} --save-every nan", "save"),
    (f"train {DESIGN} --data {DATA} --save-every -1", "save"),
    ("train resnet-20 --data digits --epoch 3", 'no option of resatlas train "--epoch"; did you mean "--epochs"?'),
    (f"train {DESIGN} --data {DATA} --log tensorbord", 'no log "tensorbord"; did you mean "tensorboard"?'),
    (f"train {DESIGN} --data {DATA} --log none,wandb", 'no log "none"'),
    ("train resnet-20 --data digits --precision fp8", "--precision"),
    ("train resnet-20 --data digits --precision bf16 --set precision=fp16", "--precision is --set precision=…"),
    ("train resnet-20 --data digits --device tpu", "--device"),
    ("train resnet-20 --data digits --compile all", "--compile"),
    ("train resnet-20 --data digits --checkpoint-activations some", "--checkpoint-activations"),
    ("train resnet-20 --data digits --out full", "full holds other files"),
    ("train resnet-20 --data digits --out file", "file is "),
    ("train resnet-20 --data digits --out file/run", "file is not a folder"),
    ("train resnet-20 --data digits --out " + "x" * 300, "name too long"),
    ("train resnet-20 --data digits --out new --resume nowhere", "new has no run to resume"),
    ("train missing.toml --data digits", "missing.toml: no such file or directory"),
    ("train digits:size=16 --data digits", 'no design "digits"'),
    ("evaluate", "RUN"),
    ("evaluate nowhere", "nowhere is neither a run folder nor a saved network: it does not exist"),
    ("evaluate full", "it has neither experiment.json nor config.json"),
    ("evaluate file", "file is neither a run folder nor a saved network"),
    ("evaluate full full", "full is neither a run folder nor a saved network"),
    ("evaluate full --protocl centre", 'no option of resatlas evaluate "--protocl"; did you mean "--protocol"?'),
    ("evaluate full --among all", "--among"),
    ("evaluate full --norm-statistics new", "--norm-statistics"),
    ("evaluate full --processes 0", "--processes must be between 1 and"),
    ("evaluate full --workers 0", "--workers must be between 1 and 256; got 0"),
    ("predict", "RUN"),
    ("predict full", "IMAGE"),
    (
        "predict full file",
        "full is neither a run folder nor a saved network: it has neither experiment.json nor config.json",
    ),
    ("predict nowhere file", "nowhere is neither a run folder nor a saved network: it does not exist"),
    ("predict full file --top x", "--top"),
    ("report full --out page.html", "full is neither a run nor a study"),
    ("report nowhere --out page.html", "nowhere is neither a run nor a study: it does not exist"),
    ("report file --out page.html", "it is a file"),
    ("report full", "--out"),
    ("report full --out page.html --figures file", "file is a file; figures are written into a folder"),
    ("report --out page.html", "RUN"),
)


@pytest.mark.parametrize(("command", "sentence"), USAGE, ids=[command for command, _ in USAGE])
def test_a_wrong_command_is_answered_in_a_line(
    refused: Callable[..., str], tmp_path: Path, command: str, sentence: str
) -> None:
    """Exit code 2, one line with what was given, what is allowed or what is near; no run is started."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    assert sentence in refused(*shlex.split(command)).replace("File", "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


@pytest.fixture
def no_fashion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Fashion-MNIST."""
    monkeypatch.setattr(fashion_mnist, "PACKAGED", tmp_path / "nowhere")
    monkeypatch.delenv("RESATLAS_DATA", raising=False)


@pytest.mark.usefixtures("no_fashion")
def test_missing_data_are_answered_with_their_package(refused: Callable[..., str], tmp_path: Path) -> None:
    """Exit code 3, the package and the environment variable for them; no folder is created."""
    sentence = refused("train", DESIGN, "--data", "fashion-mnist", code=3)
    assert "apt-get install dataset-fashion-mnist" in sentence
    assert "RESATLAS_DATA" in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_fashion")
def test_damaged_data_are_answered_with_their_file(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3 and the file that differs from the published one."""
    folder = tmp_path / "data"
    folder.mkdir()
    for file in fashion_mnist.FILES:
        (folder / file.name).write_bytes(b"\x1f\x8bnot what it seems")
    monkeypatch.setenv("RESATLAS_DATA", str(folder))
    sentence = refused("train", DESIGN, "--data", "fashion-mnist", "--out", "run", code=3)
    assert sentence.startswith(f"{folder / fashion_mnist.FILES[0].name} is damaged or another file")
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_that_was_named_is_answered(
    refused: Callable[..., str], finished: Run, tmp_path: Path
) -> None:
    """Exit code 4 and the damage."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "results.json").unlink()
    (folder / "checkpoints" / "step-00000010" / "state.json").write_text("{}")
    command = (*TRAIN, "--epochs", "3", "--out", "run", "--quiet", "--resume", "run/checkpoints/step-00000010")
    assert refused(*command, code=4).startswith("checkpoint step-00000010 is damaged: state.json has size 2 ")
    shutil.rmtree(folder / "checkpoints")
    for name in ("results.json", "SEAL.json"):
        shutil.copy(finished.folder / name, folder)
    assert refused("evaluate", "run", code=4) == "run has no valid checkpoint of its last step"


def test_a_rate_that_is_too_high_is_non_finite(refused: Callable[..., str], tmp_path: Path) -> None:
    """Exit code 5, the step, and advice; no results are written."""
    command = (*TRAIN, "--epochs", "3", "--set", "schedule.peak=1e30", "--out", "run", "--quiet")
    sentence = refused(*command, code=5)
    assert "schedule.peak" in sentence
    assert not Run(tmp_path / "run").finished
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "failed"


def test_another_experiment_in_the_folder_is_refused(refused: Callable[..., str], finished: Run) -> None:
    """It is neither started over nor resumed with other settings."""
    out = ("--out", str(finished.folder))
    assert "already holds a run; continue it with --resume auto" in refused(*TRAIN, "--epochs", "3", *out)
    assert "holds another experiment" in refused(*TRAIN, "--epochs", "2", "--resume", "auto", *out)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2}'])
@pytest.mark.parametrize("command", ["evaluate run", "report run --out page.html", "train --resume auto"])
def test_a_damaged_experiment_is_answered_in_a_line(
    refused: Callable[..., str], finished: Run, tmp_path: Path, command: str, text: str
) -> None:
    """No verb ends in a traceback if experiment.json is damaged."""
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "experiment.json").write_text(text)
    words = command.split()
    if words[0] == "train":
        words = [*TRAIN, "--epochs", "3", "--out", "run", "--resume", "auto"]
    assert "experiment" in refused(*words)


@pytest.mark.parametrize("out", ["file/page.html", "folder"])
def test_a_page_that_cannot_be_written_is_answered_in_a_line(
    refused: Callable[..., str], finished: Run, tmp_path: Path, out: str
) -> None:
    """A path below a file and a folder are usage errors."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    assert out in refused("report", str(finished.folder), "--out", out)


def fill_the_disk(function: str) -> None:
    """Make every write of this kind fail with a full disk; the error names no file, as from the system."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    setattr(store, function, full)


@pytest.mark.parametrize("function", ["append_line", "write_json", "write_text"])
def test_a_full_disk_ends_a_training_in_a_line(finished: Run, tmp_path: Path, function: str) -> None:
    """For every kind of file: no traceback, an exit code other than 0, and the right cause."""
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000015")
    command = (*TRAIN, "--epochs", "3", "--out", "run", "--quiet", "--resume", "auto")
    ended = processes.run(tmp_path, *command, first=partial(fill_the_disk, function))
    assert (ended.code, ended.out) not in ((0, ""), (75, ""))
    assert "o space left on device" in ended.line
    assert "standard output" not in ended.line


def test_a_folder_that_was_removed_ends_a_training_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line instead of a traceback if a run in progress is removed."""
    monkeypatch.chdir(tmp_path)
    real = store.append_line

    def removing(file: Path, row: dict[str, Any]) -> None:
        shutil.rmtree(file.parent, ignore_errors=True)
        real(file, row)

    monkeypatch.setattr(store, "append_line", removing)
    assert main((*TRAIN, "--out", "run", "--quiet")) not in (0, 75)
    assert capsys.readouterr().err.count("\n") == 1


IMPORTED = """
import sys
from pathlib import Path
from time import process_time
from resatlas.data import fashion_mnist
fashion_mnist.PACKAGED = Path("nowhere")
from resatlas.cli.main import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules, process_time())
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("train", "resnt-20", "--data", "digits"), 2),
        (("train", "resnet-20", "--data", "digts"), 2),
        (("train", "resnet-20", "--data", "digits:size=16", "--out", "full"), 2),
        (("train", "resnet-20", "--data", "fashion-mnist", "--out", "full"), 2),
        (("train", "resnet-20", "--data", "fashion-mnist"), 3),
        (("train", "resnet-20", "--data", "digits", "--set", "epoch=3"), 2),
        (("evaluate", "full"), 2),
        (("report", "full", "--out", "page.html"), 2),
        (("study", "nowhere.toml"), 2),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_cannot_be_done_is_refused_before_torch_is_imported(
    tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    """Design, data and folder are checked first, at once, in the program's own time."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    environment = {name: value for name, value in os.environ.items() if name != "RESATLAS_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("\n") == 1
    exit_code, with_torch, spent = done.stdout.split()
    assert (int(exit_code), with_torch) == (code, "False")
    assert float(spent) < SECONDS


def test_the_usual_recipe_is_the_quick_one(say: Say) -> None:
    """Without --recipe the recipe is quick."""
    out, _ = say("train", "resnet-20", "--data", "digits", "--print-config", "--json")
    assert from_json(json.loads(out)).recipe == NAMED["quick"]
    assert from_json(json.loads(out)).layout == EXPERIMENT.layout


def test_a_scaled_schedule_is_told_and_kept(say: Say) -> None:
    """When the learning rate changes in the given epochs, and dropout rates that the recipe does not have."""
    out, err = say(
        "train", "wide-resnet:depth=10,base=2,widen=1,dropout=0.1", "--data", DATA, "--recipe", "wrn-cifar",
        "--epochs", "2", "--set", "batch=16", "--out", "run", "--json",
    )  # fmt: skip
    departures = err.splitlines()[:4]
    assert departures == [
        "2 epochs (recipe wrn-cifar: 200); its schedule changes after 0.59, 1.19, 1.59 epochs",
        "batch 16 (recipe wrn-cifar: 128)",
        f"Flip off: mirroring changes the class of images of {DATA}",
        "dropout rate of the network 0.1 (recipe wrn-cifar: 0 or 0.3)",
    ]
    assert json.loads(Path("run/experiment.json").read_text())["departures"] == departures
    assert json.loads(out)["recipe"] == "wrn-cifar"
    rates = [row["learning_rate"] for row in Run(Path("run")).metrics]
    assert rates == [0.02, 0.0008]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--init-from", "nothere.pth"), 4),
        (("--init-from", "."), 4),
        (("--init-from", "empty.pth"), 4),
        (("--workers", "0"), 2),
        (("--unreadable", "maybe"), 2),
        (("--recipe", "wrn-cifr"), 2),
        (("--epochs", "0"), 2),
        (("--set", "norm_group=17"), 2),
    ],
)
def test_a_training_that_cannot_begin_leaves_no_folder(
    words: tuple[str, ...],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line and an exit code; the corrected command can use the same folder."""
    monkeypatch.chdir(tmp_path)
    Path("empty.pth").write_bytes(b"")
    assert main((*TRAIN, "--out", "run", *words)) == code
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert not Path("run").exists()


def test_weights_start_a_training(say: Say, finished: Run) -> None:
    """Their source is printed; the experiment has their digest."""
    weights = next(iter(sorted(finished.checkpoints.glob("step-*")))) / "model.safetensors"
    copy = Path("start.safetensors")
    shutil.copy(weights, copy)
    _, err = say(*TRAIN, "--init-from", "start.safetensors", "--out", "run")
    assert "starts from start.safetensors (weight names of resatlas)" in err.splitlines()
    experiment = Run(Path("run")).beginning().experiment
    assert experiment.weights is not None
    assert experiment.weights.sha256 == sha256(copy.read_bytes()).hexdigest()
