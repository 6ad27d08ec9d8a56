"""Trainings on folders with objects or masks: augmentation, images of several sizes, refusals in one line."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from resatlas.cli.main import main
from resatlas.comparing.comparison import compare
from resatlas.data.segments import write_mask
from resatlas.errors import DataError, RecipeError, Stopped, UsageError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import Detect, Masks, Resized, Segment
from resatlas.recipes.images import BoxStep, Flip, HslJitter, PadCrop, ShorterSide, Standardise
from resatlas.recipes.settings import with_settings
from resatlas.runs.experiment import from_json, to_json
from resatlas.runs.store import Run
from resatlas.studies.single import prepare
from resatlas.studies.subject import EvaluationOptions
from resatlas.studies.testing_found import evaluate_found
from resatlas.values.codec import kind_of
from tests.data.annotated import CATEGORIES, annotation, image, voc_object, write_coco, write_images, write_voc
from tests.studies.test_finding import EXPERIMENT, RECIPE, SMALL
from tests.training.small import (
    carried_out,
    different,
    last_checkpoint,
    results_without_times,
    signalling,
    tensors,
)

AUGMENTED = (ShorterSide(lengths=(16, 24), longest=48), PadCrop(), Flip(), HslJitter(), Standardise())
STEPS = {kind_of(step): step for step in get_args(BoxStep)}


def coco_folder(root: Path) -> Path:
    """Four images of two sizes to train on, one of them empty; two to test on, whose file lists the categories anew."""
    images = [image(1, "a.png"), image(2, "b.png"), image(3, "c.png", 36, 28), image(4, "d.png", 36, 28)]
    objects = [annotation(1), annotation(2, image=2, category=90), annotation(3, image=3, category=7)]
    write_coco(root, objects, images=images, part="train2017")
    write_images(root / "train2017", "c.png", "d.png", size=(28, 36))
    corners = [20, 2, 28, 2, 28, 8, 20, 8]
    crowd = annotation(3, iscrowd=1, bbox=[20, 2, 8, 6], segmentation=[corners])
    tested = [annotation(1), annotation(2, image=2, category=7), crowd]
    write_coco(root, tested, categories=CATEGORIES[::-1], part="val2017")
    write_images(root / "val2017", "b.png", size=(20, 30))
    return root


def masks_folder(root: Path) -> Path:
    """Images of two sizes with masks of three classes, the first row of each without one."""
    for part, sides in (("train", ((20, 30), (28, 36), (20, 30), (28, 36))), ("val", ((20, 30), (26, 22)))):
        (root / "masks" / part).mkdir(parents=True)
        for k, (height, width) in enumerate(sides):
            write_images(root / "images" / part, f"{k}.png", size=(height, width))
            values = np.zeros((height, width), np.uint8)
            values[5:15, 4:14] = 1 + k % 2
            values[0] = 255
            write_mask(root / "masks" / part / f"{k}.png", values)
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    return root


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder that no test changes."""
    return coco_folder(tmp_path_factory.mktemp("data") / "coco")


@pytest.fixture(scope="module")
def masks_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of masks that no test changes."""
    return masks_folder(tmp_path_factory.mktemp("data") / "masks")


@pytest.mark.parametrize(
    "task", [replace(SMALL, masks=Masks(pooled=4, layers=1, width=4)), Segment(stride=2)], ids=["masks", "segment"]
)
def test_an_augmented_training_resumes_to_the_same_results(
    task: Detect | Segment, coco_root: Path, tmp_path: Path
) -> None:
    """Every step stays on photographs: draws of sizes, crops, mirrors and colours are those of the straight run."""
    recipe = replace(RECIPE, task=task, batch=2, steps=AUGMENTED)
    experiment = replace(EXPERIMENT, data=str(coco_root), recipe=recipe)
    straight = carried_out(tmp_path / "straight", experiment)
    with pytest.raises(Stopped):
        carried_out(tmp_path / "stopped", experiment, watcher=signalling(3, signal.SIGTERM))
    resumed = carried_out(tmp_path / "stopped", experiment, resume="auto")
    assert different(tensors(last_checkpoint(straight)), tensors(last_checkpoint(resumed))) == []
    assert straight.metrics == resumed.metrics
    assert results_without_times(straight) == results_without_times(resumed)
    plain = carried_out(tmp_path / "plain", replace(experiment, recipe=replace(recipe, steps=(Standardise(),))))
    assert plain.metrics[0]["train_loss"] != straight.metrics[0]["train_loss"]


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_with_a_meaning_for_objects_is_set_written_read_and_trained(
    kind: str, coco_root: Path, tmp_path: Path
) -> None:
    """By --set, through experiment.json, to the weights: they are others than without the step."""
    recipe = replace(RECIPE, epochs=1, leftover="kept")
    settings = [f"steps={kind},standardise", *(["steps.shorter-side.lengths=40"] if kind == "shorter-side" else [])]
    experiment = replace(EXPERIMENT, data=str(coco_root), recipe=with_settings(recipe, settings))
    assert isinstance(experiment.recipe.steps[0], STEPS[kind])
    assert from_json(json.loads(json.dumps(to_json(experiment)))) == experiment
    run = carried_out(tmp_path / "run", experiment)
    assert run.beginning().experiment == experiment
    without = carried_out(tmp_path / "without", replace(EXPERIMENT, data=str(coco_root), recipe=recipe))
    assert different(tensors(last_checkpoint(run)), tensors(last_checkpoint(without)))


def test_two_ways_to_resize_are_refused(coco_root: Path, tmp_path: Path) -> None:
    """The network would undo the step; and for labels there is another step."""
    recipe = replace(RECIPE, task=replace(SMALL, sides=Resized(shorter=32, longest=64)), steps=AUGMENTED)
    with pytest.raises(RecipeError, match=r"resizes images twice, .* set task.sides=given"):
        prepare(replace(EXPERIMENT, data=str(coco_root), recipe=recipe), out=tmp_path / "run")
    labels = replace(NAMED["quick"], steps=(ShorterSide(), Standardise()))
    with pytest.raises(RecipeError, match=r"ShorterSide, which is for images with objects; .* ScaleCrop"):
        prepare(replace(EXPERIMENT, data="digits", recipe=labels), out=tmp_path / "run")


def test_masks_in_files_are_trained_and_tested(masks_root: Path, tmp_path: Path) -> None:
    """Classes are the user's, the first one among them; the test again is the same to the bit."""
    recipe = replace(RECIPE, task=Segment(stride=2), batch=2, steps=AUGMENTED)
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(masks_root), recipe=recipe))
    assert run.beginning().classes == ("road", "car", "sky")
    test = run.record().written["test"]
    assert [row["class"] for row in test["classes"]] == ["road", "car", "sky"]
    assert test["measure"] == "100 - mean IoU"
    assert test["images"] == 2
    evaluation = evaluate_found(run.folder)
    assert (evaluation.same, evaluation.standing) == (True, "own")


def test_a_changed_mask_is_found(tmp_path: Path) -> None:
    """By a test, and by a resume."""
    root = masks_folder(tmp_path / "masks")
    recipe = replace(RECIPE, task=Segment(stride=2), batch=2)
    experiment = replace(EXPERIMENT, data=str(root), recipe=recipe)
    run = carried_out(tmp_path / "run", experiment)
    with pytest.raises(Stopped):
        carried_out(tmp_path / "stopped", experiment, watcher=signalling(1))
    write_mask(root / "masks" / "val" / "0.png", np.ones((20, 30), np.uint8))
    with pytest.raises(DataError, match="test has other masks; to test on these anyway, add --data"):
        evaluate_found(run.folder)
    assert evaluate_found(run.folder, EvaluationOptions(data=str(root))).standing == "other"
    with pytest.raises(DataError, match=r"the masks of test in .* have changed since"):
        carried_out(tmp_path / "stopped", experiment, resume="auto")


def test_the_verb_trains_on_masks_by_default_with_a_recipe_for_them(masks_root: Path, tmp_path: Path) -> None:
    """The data decide; the recipe's weights are for other classes, and it says how to leave them out."""
    words = ["train", "resnet:depth=8,base=4", "--data", str(masks_root), "--recipe", "segment-quick", "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "run"), "--set", "task.weights=none", "--set", "batch=2"]) == 0
    assert Run(tmp_path / "run").record().written["test"]["images"] == 2


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("detect-quick", "detect-quick learns boxes of objects, and .* has the class of every pixel; .* segment-quick"),
        ("quick", "quick learns one label per image, and .* has the class of every pixel; .* segment-quick"),
    ],
)
def test_masks_in_files_are_no_objects(recipe: str, sentence: str, masks_root: Path, tmp_path: Path) -> None:
    """A recipe for them is named."""
    with pytest.raises(UsageError, match=sentence):
        prepare(replace(EXPERIMENT, data=str(masks_root), recipe=NAMED[recipe]), out=tmp_path / "run")


@pytest.mark.parametrize("unlabelled", [0, 3])
def test_a_class_of_the_data_counts(unlabelled: int, coco_root: Path, tmp_path: Path) -> None:
    """What does not count is no class, ground and all categories included; refused before a run begins."""
    recipe = replace(RECIPE, task=Segment(stride=2, unlabelled=unlabelled))
    with pytest.raises(UsageError, match=rf"task.unlabelled is {unlabelled}, one of the 4 classes, .* --set task"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(coco_root), recipe=recipe))
    assert not (tmp_path / "run").exists()


def test_another_number_for_what_does_not_count_gives_the_same_training(coco_root: Path, tmp_path: Path) -> None:
    """The number is a name: loss, gradients and test are equal."""
    runs = [
        carried_out(
            tmp_path / str(unlabelled),
            replace(
                EXPERIMENT, data=str(coco_root), recipe=replace(RECIPE, task=Segment(stride=2, unlabelled=unlabelled))
            ),
        )
        for unlabelled in (255, -1)
    ]
    one, other = (run.record().written["test"] for run in runs)
    assert runs[0].metrics == runs[1].metrics
    assert one == other


def test_runs_with_masks_and_without_are_of_the_same_images(coco_root: Path, tmp_path: Path) -> None:
    """The error of both is one of boxes: they are two recipes on one data set."""
    masked = replace(RECIPE, name="masked", task=replace(SMALL, masks=Masks(pooled=4, layers=1, width=4)))
    folders = [
        carried_out(tmp_path / recipe.name, replace(EXPERIMENT, data=str(coco_root), recipe=recipe)).folder
        for recipe in (RECIPE, masked)
    ]
    assert len(compare(folders)) == 1


def test_categories_are_in_the_order_of_the_training_part(coco_root: Path, tmp_path: Path) -> None:
    """The test's file lists them the other way round, and has no owl."""
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(coco_root)))
    assert run.beginning().classes == ("cat", "dog", "owl")
    classes = {row["class"]: row["ap"] for row in run.record().written["test"]["classes"]}
    assert [*classes] == ["cat", "dog", "owl"]
    assert classes["owl"] is None
    found = json.loads((run.folder / "detections.json").read_text())
    assert [category["id"] for category in found["categories"]] == [0, 7, 90]
    assert None not in (classes["cat"], classes["dog"])


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that ends with exit code 3."""
    capsys.readouterr()
    assert main(words) == 3
    *_, last = capsys.readouterr().err.splitlines()
    return last


def test_bad_annotations_end_a_training_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, the file, the annotation and the remedy; no run is left."""
    root = coco_folder(tmp_path / "coco")
    write_coco(root, [annotation(1, image=8)], part="train2017")
    words = ["train", "resnet:depth=8,base=2", "--data", str(root), "--recipe", "detect-quick"]
    line = refused([*words, "--out", str(tmp_path / "run")], capsys)
    assert "instances_train2017.json: annotation 1: no image has the id 8; correct it, or remove the annot" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verify", ["none", "all"])
def test_a_missing_image_ends_a_training_in_one_line(
    verify: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it begins or when the image is read: exit code 3, the file, and no advice that objects refuse."""
    missing = coco_folder(tmp_path / "coco") / "train2017" / "a.png"
    missing.unlink()
    words = ["train", "resnet:depth=8,base=2", "--data", str(tmp_path / "coco"), "--recipe", "detect-quick"]
    line = refused([*words, "--verify", verify, "--out", str(tmp_path / "run")], capsys)
    assert str(missing) in line
    assert "no such file" in line
    assert "skip" not in line


def test_a_mask_without_its_image_ends_a_training_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 and the mask."""
    root = masks_folder(tmp_path / "masks")
    (root / "images" / "train" / "0.png").unlink()
    words = ["train", "resnet:depth=8,base=4", "--data", str(root), "--recipe", "segment-quick"]
    line = refused([*words, "--out", str(tmp_path / "run")], capsys)
    assert f"{root}/masks/train/0.png has no image in {root}/images/train; add it (1 of 4 lack one)" in line


def test_what_cannot_be_tested_is_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A test image of another size than its annotation, or a mask with a value that is no class: known before."""
    write_images(coco_folder(tmp_path / "coco") / "val2017", "b.png", size=(21, 30))
    words = ["train", "resnet:depth=8,base=4", "--recipe", "detect-quick", "--data", str(tmp_path / "coco")]
    line = refused([*words, "--out", str(tmp_path / "run")], capsys)
    assert "val2017/b.png: it has 30 x 21 pixels, its annotation says 30 x 20" in line
    write_mask(masks_folder(tmp_path / "masks") / "masks" / "val" / "1.png", np.full((26, 22), 7, np.uint8))
    words = ["train", "resnet:depth=8,base=4", "--set", "task.weights=none", "--data", str(tmp_path / "masks")]
    line = refused([*words, "--out", str(tmp_path / "run")], capsys)
    assert "masks/val/1.png has the value 7, where 3 classes have 0 to 2" in line
    assert not (tmp_path / "run").exists()


def test_images_of_several_sizes_in_voc(tmp_path: Path) -> None:
    """Boxes of images of two sizes in one batch."""
    root = write_voc(tmp_path / "voc", "train", {"a": voc_object()})
    write_voc(root, "val", {"v": voc_object()})
    write_voc(root, "train", {"c": voc_object()}, size=(36, 28))
    write_images(root / "JPEGImages", "c.jpg", size=(28, 36))
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nc\n")
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(root), recipe=replace(RECIPE, batch=2)))
    assert run.record().written["test"]["images"] == 1


@pytest.mark.parametrize("task", [SMALL, Segment(stride=2)], ids=["detect", "segment"])
def test_a_training_on_empty_images_alone_is_refused(task: Detect | Segment, tmp_path: Path) -> None:
    """Nothing could be learnt; batches without objects are trained on, see test_scenery."""
    root = write_coco(tmp_path / "coco", part="train2017")
    write_coco(root, [annotation(1)], part="val2017")
    with pytest.raises(DataError, match=r"the training images of .* have no object that counts"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(root), recipe=replace(RECIPE, task=task)))
    assert not (tmp_path / "run").exists()
