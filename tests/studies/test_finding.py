"""Trainings on objects from start to end: results, resume, refusals; scenes, COCO and VOC."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from resatlas.arch.ops import Shape
from resatlas.data.annotated import resolve_annotated
from resatlas.errors import CheckpointError, DataError, FolderError, RecipeError, ResatlasError, Stopped, UsageError
from resatlas.evaluation.detection import detection
from resatlas.evaluation.detections import read_detections
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import C4, Detect, Fpn, Frozen, Given, Masks, Proposals, Regions, Segment
from resatlas.recipes.images import AreaCrop, Centre, Flips, Standardise
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.regularisers import CrossEntropy, Ema
from resatlas.recipes.schedule import Plateau, Steps, WarmUp
from resatlas.recipes.task_cost import multiply_adds
from resatlas.runs.decoding import read_finished
from resatlas.runs.experiment import Experiment, digest, from_json, to_json, weights_in
from resatlas.runs.store import Run
from resatlas.studies.predictors import predictor_of
from resatlas.studies.single import prepare
from resatlas.studies.testing_found import evaluate_found
from resatlas.weights.conversion import save_weights
from tests.data.annotated import CATEGORIES, annotation, voc_object, write_coco, write_voc
from tests.data.few_scenes import few_scenes
from tests.training.small import (
    TIMES,
    carried_out,
    different,
    last_checkpoint,
    position,
    results_without_times,
    signalling,
    tensors,
)

SMALL = Detect(
    head=C4(pooled=4, anchors=(Fraction(1, 4),)),
    proposals=Proposals(sampled=16, before=(40, 20), after=(20, 8)),
    regions=Regions(sampled=8),
)
RECIPE = replace(NAMED["detect-quick"], epochs=2, task=SMALL)
EXPERIMENT = Experiment(design="resnet:depth=8,base=2", data="scenes:size=32,train=10", recipe=RECIPE)


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """Five scenes for validation and six for the test."""
    with few_scenes():
        yield


@pytest.fixture(scope="module")
def run(few: None, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: ARG001 - a module's
    """The smallest training on objects, finished."""
    return carried_out(tmp_path_factory.mktemp("finding") / "run", EXPERIMENT)


def coco_folder(root: Path) -> Path:
    """Two images to train on, two to test on, each with objects."""
    for part in ("train2017", "val2017"):
        write_coco(root, [annotation(1), annotation(2, image=2, category=90)], part=part)
    return root


def test_results_are_average_precision_beside_an_error(run: Run) -> None:
    """In percent; the error is 100 - AP under that name, and detections.json gives the same AP again."""
    record = read_finished(run.folder)
    test = record.written["test"]
    assert (test["images"], test["measure"]) == (6, "100 - AP")
    assert test["error_percent"] == 100 - test["ap"] == record.outcome.test.error_percent
    assert {"ap50", "ap75", "ap_small", "ar100"} <= test.keys()
    assert test["ap_large"] is None
    assert [row["class"] for row in test["classes"]] == [str(k) for k in range(10)]
    found = read_detections(run.folder / "detections.json")
    truth = resolve_annotated(EXPERIMENT.data).read().test
    assert dict(detection(truth, found))["ap"] == test["ap"]
    assert record.outcome.train.error_percent is None
    assert record.outcome.parameters < record.written["parameters_with_heads"]
    assert record.outcome.multiply_adds == multiply_adds(record.plan, SMALL)


def test_epochs_have_a_loss_and_the_ap_of_the_images_held_back(run: Run) -> None:
    """There is no training error to write down."""
    assert len(run.metrics) == 2
    for row in run.metrics:
        assert row["train_loss"] > 0
        assert "train_error_percent" not in row
        parts = [row[f"train_loss_{name}"] for name in ("rpn_objectness", "rpn_box", "class", "box")]
        assert sum(parts) == pytest.approx(row["train_loss"])
        assert row["validation_error_percent"] == 100 - row["validation_ap"]


def test_detections_are_sealed(run: Run, tmp_path: Path) -> None:
    """A changed box is found by every reader."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    file = copy / "detections.json"
    file.write_text(file.read_text().replace("0.", "1.", 1))
    with pytest.raises(FolderError, match=r"detections\.json was changed after the run ended"):
        read_finished(copy)


@pytest.mark.parametrize(
    "task",
    [
        replace(SMALL, masks=Masks(pooled=4, layers=1, width=4)),
        replace(SMALL, head=Fpn(channels=4, hidden=8)),
        Segment(stride=2),
    ],
    ids=["masks", "fpn", "segment"],
)
def test_a_stopped_training_resumes_to_the_same_results(task: Detect | Segment, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch by a signal, through the session: rows, results and weights are equal."""
    experiment = replace(EXPERIMENT, recipe=replace(RECIPE, task=task, batch=3))
    straight = carried_out(tmp_path / "straight", experiment)
    with pytest.raises(Stopped):
        carried_out(tmp_path / "stopped", experiment, watcher=signalling(4, signal.SIGTERM))
    resumed = carried_out(tmp_path / "stopped", experiment, resume="auto")
    one, other = last_checkpoint(straight), last_checkpoint(resumed)
    assert different(tensors(one), tensors(other)) == []
    assert position(one)["step"] == position(other)["step"] == 6
    assert straight.metrics == resumed.metrics
    assert results_without_times(straight) == results_without_times(resumed)
    assert (straight.folder / "detections.json").read_bytes() == (resumed.folder / "detections.json").read_bytes()
    assert not {*TIMES} & straight.metrics[0].keys()


def test_another_seed_is_another_training(run: Run, tmp_path: Path) -> None:
    """What the equalities above rest on: the seed reaches weights, order and samples."""
    other = carried_out(tmp_path / "other", replace(EXPERIMENT, seed=1))
    assert run.metrics[0]["train_loss"] != other.metrics[0]["train_loss"]


def test_coco_in_a_folder_is_trained_and_tested(tmp_path: Path) -> None:
    """Categories keep their ids and names; images keep their sizes; the anchors refer to the usual one."""
    root = coco_folder(tmp_path / "coco")
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(root)))
    beginning = run.beginning()
    assert beginning.classes == ("cat", "dog", "owl")
    assert tuple(beginning.plan.image) == (3, 20, 30)
    assert [role for role, _ in beginning.images] == ["train", "test", "train objects", "test objects"]
    found = json.loads((run.folder / "detections.json").read_text())
    assert [category["id"] for category in found["categories"]] == [0, 7, 90]
    assert [one["id"] for one in found["images"]] == [1, 2]


def test_voc_in_a_folder_is_trained_and_has_both_of_its_figures(tmp_path: Path) -> None:
    """VOC's AP by 11 points and by area stand beside COCO's."""
    root = tmp_path / "voc"
    for part in ("train", "val"):
        write_voc(root, part, {f"{part}_{k}": voc_object() for k in range(2)})
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(root)))
    assert {"ap", "voc_ap_11_points", "voc_ap_area"} <= run.record().written["test"].keys()


def test_changed_annotations_end_a_resume(tmp_path: Path) -> None:
    """A box that has moved since the run began is named by its part."""
    root = coco_folder(tmp_path / "coco")
    experiment = replace(EXPERIMENT, data=str(root))
    with pytest.raises(Stopped):
        carried_out(tmp_path / "run", experiment, watcher=signalling(1))
    write_coco(root, [annotation(1, bbox=[4, 5, 11, 8]), annotation(2, image=2, category=90)], part="train2017")
    with pytest.raises(DataError, match=r"the objects of train in .* have changed since .* began"):
        carried_out(tmp_path / "run", experiment, resume="auto")


@pytest.mark.parametrize(
    ("data", "recipe", "sentence"),
    [
        (
            "scenes",
            "quick",
            r"quick learns one label per image, and scenes has objects; a recipe for it is detect-quick",
        ),
        (
            "digits",
            "detect-quick",
            r"detect-quick learns boxes of objects, and digits has one label per image; .* quick$",
        ),
        ("digits", "segment-quick", r"segment-quick learns the class of every pixel, and digits has one label"),
        ("scenes", "frcnn-c4", r"frcnn-c4 freezes norms, which needs trained weights: add --init-from"),
    ],
)
def test_a_recipe_of_another_task_is_refused(data: str, recipe: str, sentence: str, tmp_path: Path) -> None:
    """In one line that names the right one."""
    experiment = Experiment(design="resnet-20", data=data, recipe=NAMED[recipe])
    with pytest.raises(UsageError, match=sentence):
        prepare(experiment, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (replace(RECIPE, steps=(AreaCrop(), Standardise())), "step AreaCrop, which has no meaning for objects"),
        (
            replace(
                RECIPE,
                schedule=Steps(
                    peak=Fraction(1, 10),
                    drops=(),
                    warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(1, 2), below_percent=Fraction(80)),
                ),
            ),
            "objects have no training error",
        ),
        (replace(RECIPE, loss=CrossEntropy(smoothing=0.1)), "has a loss of labels"),
        (replace(RECIPE, testing=(Centre(), Flips())), "tests other views than the whole image"),
        (replace(RECIPE, repeats=2), "repeats images within an epoch, which detection and segmentation do not support"),
    ],
)
def test_parts_of_a_recipe_without_a_meaning_for_objects_are_refused(
    recipe: Recipe, sentence: str, tmp_path: Path
) -> None:
    """Before a folder is made."""
    with pytest.raises(RecipeError, match=sentence):
        carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=recipe))
    assert not (tmp_path / "run").exists()


def test_a_plateau_needs_images_held_back(tmp_path: Path) -> None:
    """It follows the validation error; COCO's val is the test here."""
    recipe = replace(RECIPE, schedule=Plateau(peak=Fraction(1, 100), patience=1))
    experiment = replace(EXPERIMENT, data=str(coco_folder(tmp_path / "coco")), recipe=recipe)
    with pytest.raises(UsageError, match=r"follows the validation error, .* --set validation=1/10"):
        prepare(experiment, out=tmp_path / "run")


def test_images_held_back_without_objects_are_refused_before_the_training(tmp_path: Path) -> None:
    """After it, nothing could be measured on them, and the run would never end."""
    root = tmp_path / "coco"
    for part, image in (("train2017", 2), ("val2017", 1)):
        write_coco(root, [annotation(1, image=image)], part=part)
    experiment = replace(EXPERIMENT, data=str(root), recipe=replace(RECIPE, validation=Fraction(1, 2)))
    with pytest.raises(DataError, match=r"validation images of .* no object that counts; hold more .* validation=1/5"):
        prepare(experiment, out=tmp_path / "run")


def test_a_validation_part_without_images_is_refused_before_the_training(tmp_path: Path) -> None:
    """It is the part of the source, which no image of the training takes the place of."""
    root = coco_folder(tmp_path / "coco")
    write_coco(root, [annotation(1)], part="test2017")
    (root / "annotations" / "instances_val2017.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": CATEGORIES})
    )
    with pytest.raises(DataError, match=r"the validation images of .* have no object that counts$"):
        prepare(replace(EXPERIMENT, data=str(root)), out=tmp_path / "run")


@pytest.mark.parametrize("task", [SMALL, Segment(stride=2)], ids=["detect", "segment"])
def test_products_in_bfloat16_train_nearly_the_same(task: Detect | Segment, tmp_path: Path) -> None:
    """Through the heads too: finite, not equal to float32, and within a tenth of its loss in the first epoch."""
    experiment = replace(EXPERIMENT, recipe=replace(RECIPE, epochs=1, task=task))
    exact = carried_out(tmp_path / "fp32", experiment)
    recipe = replace(experiment.recipe, precision="bf16")
    half = carried_out(tmp_path / "bf16", replace(experiment, recipe=recipe, precision=None))
    [[loss], [other]] = [[row["train_loss"] for row in trained.metrics] for trained in (exact, half)]
    assert other != loss
    assert other == pytest.approx(loss, rel=0.1)
    assert 0 <= half.record().written["test"]["error_percent"] <= 100


def test_the_average_of_the_weights_is_tested(tmp_path: Path) -> None:
    """That of network and heads; it resumes to the bit, and a test again tests the same."""
    recipe = replace(RECIPE, average=Ema(decay=0.5))
    experiment = replace(EXPERIMENT, recipe=recipe)
    straight = carried_out(tmp_path / "straight", experiment)
    with pytest.raises(Stopped):
        carried_out(tmp_path / "stopped", experiment, watcher=signalling(3))
    resumed = carried_out(tmp_path / "stopped", experiment, resume="auto")
    weights = tensors(last_checkpoint(straight))
    assert different(weights, tensors(last_checkpoint(resumed))) == []
    path = "roi_heads.box_predictor.cls_score.weight"
    assert not weights[f"average: {path}"].equal(weights[f"model: {path}"])
    assert evaluate_found(straight.folder).same is True
    assert straight.record().written["weights"] == "average"


def test_trained_weights_start_the_network_and_may_be_frozen(tmp_path: Path) -> None:
    """A classifier's file fits but for its classifier; the norms then keep their statistics."""
    file = tmp_path / "weights.safetensors"
    whole = build("resnet:depth=8,base=2", image=Shape(1, 32, 32), classes=10, seed=7)
    for path, buffer in whole.named_buffers():
        if path.endswith("running_mean"):
            buffer.fill_(0.25)
    save_weights(whole, file)
    recipe = replace(RECIPE, epochs=1, task=replace(SMALL, frozen=Frozen()))
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=recipe, weights=weights_in(file)))
    trained = tensors(last_checkpoint(run))
    means = [tensor for path, tensor in trained.items() if path.endswith("running_mean")]
    assert means
    assert all(bool((mean == 0.25).all()) for mean in means)
    stem = next(
        tensor for path, tensor in trained.items() if path.startswith("model: network.stem") and tensor.ndim == 4
    )
    assert not stem.equal(dict(whole.named_parameters())[next(path for path, _ in whole.named_parameters())])


def test_weights_of_another_network_are_refused_before_a_run_begins(tmp_path: Path) -> None:
    """As for classifiers."""
    file = tmp_path / "weights.safetensors"
    save_weights(build("resnet:depth=8,base=4", image=Shape(1, 32, 32), classes=10, seed=7), file)
    with pytest.raises(CheckpointError):
        carried_out(tmp_path / "run", replace(EXPERIMENT, weights=weights_in(file)))
    assert not (tmp_path / "run").exists()


def test_a_network_that_finds_objects_is_no_classifier(run: Run) -> None:
    """Every verb that takes a network for labels refuses it in one line."""
    with pytest.raises(ResatlasError, match=r"finds boxes of objects, not one label per image; resatlas"):
        predictor_of(run.folder)


def test_an_experiment_without_a_task_learns_labels() -> None:
    """Files of earlier versions read as ever, and write the same digest."""
    before = to_json(Experiment(design="resnet-20", data="digits"))
    assert "task" not in before["recipe"]
    assert from_json(before).recipe == NAMED["quick"]
    assert digest(from_json(before)) == "6974d225041c0c45a5f8bdaabea82d6d8ef5b5dac52869c9753771965a7ed48c"
    assert from_json(to_json(EXPERIMENT)) == EXPERIMENT


@pytest.mark.parametrize("name", [name for name in NAMED if isinstance(NAMED[name].task, Detect | Segment)])
def test_the_twin_of_a_recipe_trains(name: str, tmp_path: Path) -> None:
    """The same recipe for two epochs of few images, with small heads and nothing frozen."""
    recipe = NAMED[name]
    task = recipe.task
    if isinstance(task, Detect):
        head = Fpn(channels=4, hidden=8) if isinstance(task.head, Fpn) else C4(pooled=4, anchors=task.head.anchors)
        few = replace(task.proposals, before=(40, 20), after=(20, 8))
        task = replace(task, head=head, sides=Given(), proposals=few, frozen=None)
    twin = replace(recipe, epochs=2, iterations=None, batch=min(recipe.batch, 4), task=task)
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=twin))
    assert run.record().outcome.epochs == 2
