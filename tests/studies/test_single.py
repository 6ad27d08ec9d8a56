"""One experiment from start to end: checked first, tested once, results written last."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import resatlas
from resatlas.arch.cost import cost
from resatlas.arch.paths import path_lengths
from resatlas.data import annotated
from resatlas.data import catalog as datasets
from resatlas.data.batches import views
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.normalisation import Affine
from resatlas.designs import catalog as designs
from resatlas.errors import CheckpointError, DataError, DesignError, FolderError, Stopped, UnknownName, UsageError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.settings import with_settings
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run
from resatlas.studies import labelling, single
from resatlas.studies.checks import check_classes
from resatlas.studies.departures import departures
from resatlas.studies.single import prepare, train
from resatlas.studies.testing import evaluate
from resatlas.training.logs import EVENTS
from resatlas.training.session import Watcher
from resatlas.training.splits import split_images
from resatlas.training.starting import trained
from tests.data.pictures import write_parts
from tests.training.small import EXPERIMENT, assert_same, carried_out, results_without_times, signalling


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest experiment, finished."""
    return carried_out(tmp_path_factory.mktemp("single") / "run")


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Run:
    """A copy of it, to be damaged."""
    shutil.copytree(run.folder, tmp_path / "copy")
    return Run(tmp_path / "copy")


def test_a_run_that_another_process_has_begun_anew_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process trains another run in the folder before this one gets its lock; they are not mixed."""
    folder, other, opened = tmp_path / "run", replace(EXPERIMENT, seed=1), single.open_run

    def stop(experiment: Experiment) -> None:
        with pytest.raises(Stopped):
            carried_out(folder, experiment, resume="auto", watcher=signalling(2))

    def meanwhile(prepared: single.Prepared, watcher: Watcher, lock: ExitStack) -> Run:
        monkeypatch.undo()
        shutil.rmtree(folder)
        stop(other)
        return opened(prepared, watcher, lock)

    stop(EXPERIMENT)
    monkeypatch.setattr(single, "open_run", meanwhile)
    with pytest.raises(FolderError, match=r"another process has started or finished .* meanwhile; rerun the command"):
        carried_out(folder, resume="auto")
    run = Run(folder)
    assert run.beginning().experiment.seed == 1
    assert not run.metrics


def test_a_finished_run_has_its_files(run: Run) -> None:
    """The results of the experiment, and no temporary file."""
    names = sorted(path.name for path in run.folder.iterdir())
    assert [name for name in names if name != EVENTS] == [  # which TensorBoard reads, where it is installed
        "SEAL.json",
        "checkpoints",
        "env.json",
        "experiment.json",
        "metrics.jsonl",
        "normalisation.safetensors",
        "predictions.csv",
        "results.json",
        "status.json",
        "timing.jsonl",
    ]
    status = json.loads((run.folder / "status.json").read_text())
    assert status == {"status": "finished", "pid": os.getpid(), "epoch": 3}


def test_results_say_what_was_trained_and_what_came_out(run: Run) -> None:
    """Names as in the command, sizes of the plan for these images, and the values of the last epoch."""
    data = datasets.resolve(EXPERIMENT.data)
    plan = designs.plan(EXPERIMENT.design, image=data.image, classes=4)
    results, last = run.record().written, run.metrics[-1]
    assert {key: results[key] for key in ("design", "data", "recipe", "seed", "epochs", "family", "depth")} == {
        "design": EXPERIMENT.design,
        "data": EXPERIMENT.data,
        "recipe": "quick",
        "seed": 0,
        "epochs": 3,
        "family": "resnet",
        "depth": 8,
    }
    assert (results["parameters"], results["multiply_adds"]) == (cost(plan).parameters, cost(plan).multiply_adds)
    assert results["mean_path_length"] == path_lengths(plan).mean
    assert results["train"] == {
        "loss": last["train_loss"],
        "error_percent": last["train_error_percent"],
        "images": 84,
    }
    assert results["validation"] == {
        "loss": last["validation_loss"],
        "error_percent": last["validation_error_percent"],
        "images": 12,
    }
    assert set(results["test"]) == {"loss", "error_percent", "images"}
    assert results["test"]["images"] == 24
    assert results["seconds"] == sum(row["seconds"] for row in run.timing) > 0
    assert results["images_per_second"] == pytest.approx(3 * 80 / results["seconds"])


def test_an_experiment_is_written_down_whole(run: Run) -> None:
    """The run knows its experiment, the plan of its network for its images, its classes and the note on its data."""
    data = datasets.resolve(EXPERIMENT.data)
    assert run.beginning().experiment == EXPERIMENT
    assert run.beginning().plan == designs.plan(EXPERIMENT.design, image=data.image, classes=4)
    written = json.loads((run.folder / "experiment.json").read_text())
    assert (tuple(written["classes"]), written["note"]) == (data.classes, data.note)


@torch.no_grad()
def test_predictions_and_results_are_those_of_the_last_weights(run: Run) -> None:
    """Each test image once, in order; an independent evaluation of the saved weights gives the same table and error."""
    data = datasets.resolve(EXPERIMENT.data)
    images = split_images(data.read(), EXPERIMENT, data)
    network = trained(run.record(), EXPERIMENT).eval()
    rows = []
    losses = []
    names = data.classes
    for batch in views(images.test, images.pipeline, 1):
        [logits] = network(batch.images)
        best = int(logits.argmax())
        losses.append(F.cross_entropy(logits, batch.labels[0]).item())
        shares = [f"{share:.3f}" for share in (logits.softmax(0)[best], *logits.softmax(0))]
        label = int(batch.labels.item())
        rows.append([str(batch.ids.item()), names[label], names[best], str(label), *shares])
    with (run.folder / "predictions.csv").open(newline="", encoding="utf-8") as lines:
        [head, *written] = csv.reader(lines)
    assert head == ["id", "true", "predicted", "probability", "label", *(f"p:{name}" for name in names)]
    assert [[*row[:3], row[4], *(f"{float(share):.3f}" for share in (row[3], *row[5:]))] for row in written] == rows
    wrong = sum(row[1] != row[2] for row in rows)
    assert run.record().written["test"]["error_percent"] == pytest.approx(100 * wrong / 24)
    assert run.record().written["test"]["loss"] == pytest.approx(sum(losses) / 24, rel=1e-4)


def test_the_test_images_are_touched_once_after_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation images are evaluated after every epoch; training images at the end; test images once, last."""
    calls: list[tuple[int, int]] = []
    real = labelling.predict
    folder = tmp_path / "run"

    def recorded(network: Any, part: ImageSet, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 - as the real one
        calls.append((len(part), len(Run(folder).metrics)))
        return real(network, part, *rest, **more)

    monkeypatch.setattr(labelling, "predict", recorded)
    carried_out(folder)
    assert calls == [(12, 0), (12, 1), (12, 2), (84, 3), (12, 3), (24, 3)]


def test_no_test_image_is_among_those_trained_on() -> None:
    """The parts that a training sees are disjoint, and measured on the training images alone."""
    data = datasets.resolve("digits")
    images = split_images(data.read(), replace(EXPERIMENT, data="digits"), data)
    assert images.validation is not None
    ids = [set(part.ids.tolist()) for part in (images.train, images.validation, images.test)]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 1797
    assert isinstance(images.train, ImageSet)
    assert isinstance(images.pipeline.normaliser, Affine)
    assert images.pipeline.normaliser.mean.item() == pytest.approx((images.train.images / 255).mean())


def test_without_validation_there_are_no_such_values(tmp_path: Path) -> None:
    """A recipe that holds nothing back trains on all images, and its results have no validation."""
    experiment = replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, validation=Fraction(0)))
    run = carried_out(tmp_path / "run", experiment)
    assert "validation" not in run.record().written
    assert run.record().written["train"]["images"] == 96
    assert all("validation_loss" not in row for row in run.metrics)


def test_python_trains_as_the_command_line_does(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`resatlas.train` returns the results, which are in the given folder or in the default one."""
    monkeypatch.chdir(tmp_path)
    results = resatlas.train(EXPERIMENT, out=tmp_path / "told")
    assert results == Run(tmp_path / "told").record().written
    assert_same(Run(tmp_path / "told"), run)
    train(EXPERIMENT)
    assert_same(Run(tmp_path / "runs" / EXPERIMENT.run_name), run)
    assert train(EXPERIMENT, resume="auto") == Run(tmp_path / "runs" / EXPERIMENT.run_name).record().written


def unreadable() -> Parts:
    """Images that must not be read."""
    raise AssertionError("read too early")


def reading(monkeypatch: pytest.MonkeyPatch, read: Callable[[], Parts]) -> None:
    """Let every data set be read by this function."""
    real = datasets.resolve

    def resolve(text: str) -> DataSet:
        return replace(real(text), read=read)

    monkeypatch.setattr(annotated, "resolve", resolve)


def test_design_comes_before_data_and_data_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cheap checks come before an image is read, and nothing is written."""
    reading(monkeypatch, unreadable)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    wrong = replace(EXPERIMENT, design="resnt-20", data="synthtic")
    for experiment, out, kind in (
        (wrong, "full", "no design"),
        (replace(wrong, design="resnet-20"), "full", "no data set"),
        (replace(wrong, design="resnet-20", data="synthetic"), "full", "holds other files"),
    ):
        with pytest.raises(UsageError, match=kind):
            prepare(experiment, out=tmp_path / out)
    with pytest.raises(AssertionError, match="read too early"):
        prepare(EXPERIMENT, out=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"design": "nothing-of-ours"}, UnknownName),
        ({"design": "resnet-21"}, DesignError),
        ({"design": "resnet-18", "data": "synthetic:size=4,channels=1,classes=2,images=8"}, DesignError),
        ({"data": "nothing"}, UnknownName),
        ({"data": "digits:size=7"}, UsageError),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path: Path, changes: dict[str, str], error: type[UsageError]) -> None:
    """Unknown names, impossible depths, and images that are too small."""
    with pytest.raises(error):
        prepare(replace(EXPERIMENT, **changes), out=tmp_path / "run")  # type: ignore[arg-type]


def test_data_that_are_missing_are_told_before_a_run_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is left behind."""

    def missing() -> Parts:
        raise DataError("not here")

    reading(monkeypatch, missing)
    with pytest.raises(DataError, match="not here"):
        carried_out(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def retest(folder: Path) -> dict[str, float]:
    """The values of a repeated test."""
    [tested] = evaluate([folder])
    return {name: tested.values[name] for name in ("loss", "error_percent", "images")}


def test_retesting_gives_the_same_values(copy: Run) -> None:
    """Loss and error are those of the results, and so is each prediction, in a file beside those of the training."""
    predictions = (copy.folder / "predictions.csv").read_bytes()
    results = (copy.folder / "results.json").read_bytes()
    for name in ("predictions.csv", "SEAL.json"):  # as in a run of an earlier version
        (copy.folder / name).unlink()
    [tested] = evaluate([copy.folder])
    assert (tested.same, tested.filing) == ("yes", "written")
    assert {name: tested.values[name] for name in ("loss", "error_percent", "images")} == copy.record().written["test"]
    assert [file.name for file in copy.folder.glob("predictions*")] == [tested.file.name]
    assert tested.file.name != "predictions.csv"  # which a training alone writes
    assert tested.file.read_bytes() == predictions
    assert (copy.folder / "results.json").read_bytes() == results


def test_retesting_uses_no_other_weights_than_the_last(copy: Run) -> None:
    """If the last checkpoint is damaged, an older one is not tested instead."""
    (copy.checkpoints / "step-00000015" / "model.safetensors").write_bytes(b"")
    before = (copy.folder / "predictions.csv").read_bytes()
    with pytest.raises(CheckpointError, match="step-00000015 is damaged"):
        retest(copy.folder)
    assert (copy.folder / "predictions.csv").read_bytes() == before


def without_checkpoints(run: Run) -> None:
    """Remove them."""
    shutil.rmtree(run.checkpoints)


def with_damaged_checkpoints(run: Run) -> None:
    """Damage all of them."""
    for manifest in run.checkpoints.glob("*/MANIFEST.json"):
        manifest.write_text("{}")


@pytest.mark.parametrize("damage", [without_checkpoints, with_damaged_checkpoints], ids=lambda damage: damage.__name__)
def test_without_a_valid_checkpoint_there_is_nothing_to_test(copy: Run, damage: Callable[[Run], None]) -> None:
    """The error has the reason for each checkpoint, in one line."""
    damage(copy)
    with pytest.raises(CheckpointError) as refused:
        retest(copy.folder)
    assert str(copy.folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unfinished_run_is_not_tested(copy: Run) -> None:
    """The test images stay untouched until the last epoch is over."""
    for name in ("results.json", "SEAL.json"):
        (copy.folder / name).unlink()
    with pytest.raises(FolderError, match="is not finished; train it to its end with --resume auto first"):
        retest(copy.folder)


def test_a_finished_run_gives_its_results_without_its_checkpoints(copy: Run) -> None:
    """The results remain after the checkpoints are removed."""
    without_checkpoints(copy)
    assert results_without_times(carried_out(copy.folder, resume="auto")) == results_without_times(copy)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run on a folder with train, val and test, and the folder."""
    root = write_parts(tmp_path_factory.mktemp("images"), 8, parts=("train", "val", "test"))
    experiment = replace(EXPERIMENT, data=f"{root}:size=8", recipe=replace(EXPERIMENT.recipe, batch=4))
    return carried_out(tmp_path_factory.mktemp("runs") / "run", experiment), root


def test_a_folder_s_own_validation_comes_before_the_recipe_s(photographs: tuple[Run, Path]) -> None:
    """Nothing of train is held back where val and test both exist; predictions name the files of test."""
    run, root = photographs
    assert {part: run.record().written[part]["images"] for part in ("train", "validation", "test")} == {
        "train": 16,
        "validation": 16,
        "test": 16,
    }
    with (run.folder / "predictions.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["id"] for row in rows] == [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(8)]
    assert [row["true"] for row in rows] == ["cat"] * 8 + ["dog"] * 8
    before = run.record().written["test"]["error_percent"]
    assert retest(run.folder)["error_percent"] == before
    assert (root / "test").is_dir()


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "wolf"), 'class 1 of .* is "wolf", but .* was trained with "dog"'),
        (("ant", "cat", "dog"), 'class 0 of .* is "ant", but .* was trained with "cat"'),
        (("cat",), 'class 1 of .* is missing, but .* was trained with "dog"'),
        (("cat", "dog", "wolf"), 'class 2 of .* is "wolf", but .* was trained with fewer classes'),
    ],
)
def test_other_classes_than_those_learnt_are_refused(
    classes: tuple[str, ...], words: str, photographs: tuple[Run, Path]
) -> None:
    """Renamed, additional or missing classes are a DataError that names the first difference."""
    run, root = photographs
    data = datasets.resolve(f"{root}:size=8")
    check_classes(run.record(), data)
    with pytest.raises(DataError, match=words):
        check_classes(run.record(), replace(data, classes=classes))


def test_images_that_cannot_be_read_may_be_skipped(tmp_path: Path) -> None:
    """With "skip" the training continues, as the experiment records; with "error" it ends with the file's name."""
    root = write_parts(tmp_path / "images", 6)
    (root / "train" / "cat" / "2.png").write_bytes(b"not an image")
    recipe = replace(NAMED["fb-imagenet"], epochs=1, batch=4, norm_group=None)
    experiment = replace(EXPERIMENT, data=f"{root}:size=8", recipe=recipe)
    with pytest.raises(DataError, match=r"cat/2\.png cannot be read as an image"):
        carried_out(tmp_path / "error", experiment)
    run = carried_out(tmp_path / "skip", replace(experiment, unreadable="skip"))
    assert run.finished
    assert run.beginning().experiment.unreadable == "skip"


def test_every_other_value_than_the_recipe_s_is_told() -> None:
    """By its path, with both values; the paper's own dropout after the last unit is not a departure."""
    data = datasets.resolve("synthetic:size=32,channels=3,classes=4,images=96")
    changed = with_settings(NAMED["wrn-svhn"], ("decay.conv=0", "optimizer.form=plain", "iterations=9"))
    plan = designs.plan("wrn-10-2", classes=4)
    assert list(departures(changed, data, plan)) == [
        "9 iterations (recipe wrn-svhn: 160 epochs)",
        "optimizer.form plain (recipe wrn-svhn: nesterov)",
        "decay.conv 0.0 (recipe wrn-svhn: 0.0005)",
    ]
    assert list(departures(NAMED["wrn-svhn"], data, plan)) == []
    last = designs.plan("pyramidnet-200-bottleneck-a450", classes=4)
    sentences = list(departures(NAMED["pyramidnet-imagenet"], data, last))
    assert sentences == [f"Flip off: mirroring changes the class of images of {data.name}"]


def test_other_kinds_are_told_with_their_values() -> None:
    """Another optimizer, mixing, a removed average, and a network without shortcuts."""
    data = datasets.resolve("synthetic:size=32,channels=3,classes=4,images=96")
    changed = with_settings(NAMED["quick"], ("optimizer=lamb", "mixing=mixup,cutmix", "average.decay=0.9", "clip=1"))
    assert list(departures(changed, data, designs.plan("wrn-10-2", classes=4)))[:4] == [
        "optimizer lamb (beta1 0.9, beta2 0.999, eps 1e-06) (recipe quick: muon (momentum 0.9, ratio 0.35))",
        "clip 1.0 (recipe quick: none)",
        "mixing mixup (alpha 0.2), cutmix (alpha 1.0) (recipe quick: none)",
        "average ema (decay 0.9, every 1, begins 0) (recipe quick: none)",
    ]
    without = with_settings(NAMED["torchvision-v2"], ("average=none", "stochastic_depth=0.1"))
    sentences = list(departures(without, data, designs.plan("plain-20", classes=4)))
    assert any(line.startswith("average none (recipe torchvision-v2: ema (decay 0.99") for line in sentences)
    assert "stochastic depth has no effect: no shortcuts" in sentences


def test_a_run_stopped_on_its_last_step_can_be_tested_again(tmp_path: Path) -> None:
    """Its last checkpoint is at the last step."""
    with pytest.raises(Exception, match="SIGTERM"):
        carried_out(tmp_path / "run", watcher=signalling(15))
    run = carried_out(tmp_path / "run", resume="auto")
    assert retest(run.folder)["error_percent"] == run.record().written["test"]["error_percent"]


def test_one_image_has_no_statistics(tmp_path: Path) -> None:
    """A leftover batch of one before a 1x1 map is refused in words, before the first step."""
    recipe = replace(EXPERIMENT.recipe, batch=83, leftover="kept")
    with pytest.raises(UsageError, match="a norm of a 1x1 map needs more than one image for its statistics"):
        carried_out(
            tmp_path / "run",
            replace(EXPERIMENT, design="resnet-18-B:base=2", data="synthetic:classes=4,images=96", recipe=recipe),
        )


def test_a_folder_that_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    """One missing or replaced image is an error before anything is trained; once restored, the run continues."""
    root = write_parts(tmp_path / "images", 6)
    experiment = replace(EXPERIMENT, data=f"{root}:size=8", recipe=replace(EXPERIMENT.recipe, batch=4))
    with pytest.raises(Exception, match="SIGTERM"):
        carried_out(tmp_path / "run", experiment, watcher=signalling(2))
    file = root / "train" / "cat" / "2.png"
    content = file.read_bytes()
    for change in (file.unlink, lambda: file.write_bytes(content + b"\0")):
        change()
        words = (
            r"have changed since .* began: train has (11 images, where it had 12|images of the same names with other)"
        )
        with pytest.raises(DataError, match=words):
            carried_out(tmp_path / "run", experiment, resume="auto")
        file.write_bytes(content)
    assert carried_out(tmp_path / "run", experiment, resume="auto").finished
