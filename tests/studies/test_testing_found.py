"""Finished runs that find objects, tested again, compared, shown on a page, and applied to single images."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resatlas.cli.main import main
from resatlas.comparing.comparison import compare
from resatlas.data import scenes
from resatlas.data.annotated import resolve_annotated
from resatlas.data.masks import decompressed
from resatlas.errors import DataError, FolderError, UsageError
from resatlas.evaluation.detections import Detections, read_detections
from resatlas.recipes.detection import Masks, Segment
from resatlas.runs.store import Run
from resatlas.studies.finders import finder, finds_objects
from resatlas.studies.finding_in_images import find_in_images
from resatlas.studies.subject import EvaluationOptions
from resatlas.studies.testing import evaluate
from resatlas.studies.testing_found import evaluate_found
from tests.data.annotated import annotation, write_coco
from tests.data.few_scenes import few_scenes
from tests.studies.test_finding import EXPERIMENT, RECIPE, SMALL, coco_folder
from tests.training import small


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """Five scenes for validation and six for the test."""
    with few_scenes():
        yield


@pytest.fixture(scope="module")
def run(few: None, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: ARG001 - a module's
    """The smallest training on objects, finished."""
    return small.carried_out(tmp_path_factory.mktemp("found") / "run", EXPERIMENT)


@pytest.fixture(scope="module")
def pixels(few: None, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: ARG001 - a module's
    """The same with classes of pixels."""
    experiment = replace(EXPERIMENT, recipe=replace(RECIPE, task=Segment(stride=2)))
    return small.carried_out(tmp_path_factory.mktemp("pixels") / "run", experiment)


@pytest.fixture(scope="module")
def picture(few: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 - a module's
    """A test scene as a file."""
    file = tmp_path_factory.mktemp("pictures") / "scene.png"
    image = resolve_annotated(EXPERIMENT.data).read().test.sample(1).image
    Image.fromarray(image[:, :, 0].numpy()).save(file)
    return file


@pytest.mark.parametrize("batch", [1, 4])
def test_a_test_again_gives_the_same_figures(batch: int, run: Run) -> None:
    """Also in batches of another size: AP to the last digit of the boxes, here to nine."""
    evaluation = evaluate_found(run.folder, EvaluationOptions(test_batch=batch))
    assert evaluation.standing == "own"
    before = run.record().written["test"]
    assert evaluation.values["ap"] == pytest.approx(before["ap"], rel=1e-3)
    assert evaluation.values.keys() == before.keys()


def test_the_same_test_is_the_same_to_the_bit(run: Run, pixels: Run, tmp_path: Path) -> None:
    """With the batch of the training; the note says so, and --out has the same detections."""
    for k, folder in enumerate((run.folder, pixels.folder)):
        evaluation = evaluate_found(folder, EvaluationOptions(out=tmp_path / str(k)))
        assert evaluation.same is True
        assert "same as results.json" in evaluation.note
        again, stored = tmp_path / str(k) / "detections.json", folder / "detections.json"
        assert again.read_bytes() == stored.read_bytes()


def test_other_images_are_tested_only_if_named(run: Run, tmp_path: Path) -> None:
    """The data of the run by default: objects of other places are others."""
    other = evaluate_found(run.folder, EvaluationOptions(data="scenes:size=48,train=10"))
    assert (other.standing, other.same) == ("other", None)
    with pytest.raises(DataError, match="has other classes than"):
        evaluate_found(run.folder, EvaluationOptions(data=str(coco_folder(tmp_path / "coco"))))


def test_changed_objects_are_refused(tmp_path: Path) -> None:
    """A box of a test image that has moved since the run."""
    root = coco_folder(tmp_path / "coco")
    run = small.carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(root)))
    write_coco(root, [annotation(1, bbox=[4, 5, 11, 8]), annotation(2, image=2, category=90)], part="val2017")
    with pytest.raises(DataError, match=r"test has other objects; to test on these anyway, add --data"):
        evaluate_found(run.folder)
    assert evaluate_found(run.folder, EvaluationOptions(data=str(root))).standing == "other"


def test_the_verb_prints_twelve_numbers_and_a_line_for_each_class(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """In text and in JSON."""
    assert main(["evaluate", str(run.folder)]) == 0
    text = capsys.readouterr().out
    for name in ("ap ", "ap50 ", "ap75 ", "ap_small ", "ap_medium -", "ap_large -", "ar1 ", "ar10 ", "ar100 "):
        assert f"\n{name}" in f"\n{text}"
    assert "error_percent is 100 - AP" in text
    assert "same as results.json" in text
    assert main(["evaluate", str(run.folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["same_as_results"] is True
    assert {key: data[key] for key in run.record().written["test"]} == run.record().written["test"]


def test_mirror_images_are_tested_too_if_that_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each protocol; the figures of the run are those of the images as they are."""
    folder = small.carried_out(tmp_path / "run", replace(EXPERIMENT, data=str(coco_folder(tmp_path / "coco")))).folder
    assert main(["evaluate", str(folder), "--protocol", "centre", "--protocol", "flips", "--json"]) == 0
    centre, flips = json.loads(capsys.readouterr().out)
    assert [one["protocol"] for one in (centre, flips)] == ["centre", "flips"]
    assert [one["same_as_results"] for one in (centre, flips)] == [True, None]
    assert main(["evaluate", str(folder), "--protocol", "flips", "--protocol", "centre", "--out", str(tmp_path)]) == 2
    assert "--out takes the detections of one test; here are 2" in capsys.readouterr().err


def test_mirrored_digits_are_others(run: Run) -> None:
    """So scenes are not tested in mirror images."""
    with pytest.raises(
        UsageError, match=r"flips uses mirror images, and mirroring changes the class of objects of scen"
    ):
        evaluate_found(run.folder, EvaluationOptions(protocols=("flips",)))


@pytest.mark.parametrize("option", [["--engine", "openvino"], ["--norm-statistics", "reestimated"], ["--ensemble"]])
def test_options_of_classifiers_are_refused(option: list[str], run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    assert main(["evaluate", str(run.folder), str(run.folder), *option]) == 2
    assert "classify images" in capsys.readouterr().err


def test_scales_are_looked_at_in_the_images_own_pixels(run: Run, pixels: Run, tmp_path: Path) -> None:
    """Scale 1 alone is the whole image; boxes of larger scales lie in the image, in batches of any size."""

    def test(folder: Path, protocol: str, batch: int | None = None) -> Detections:
        options = EvaluationOptions(protocols=(protocol,), out=tmp_path / "out", test_batch=batch)
        evaluation = evaluate_found(folder, options)
        assert (evaluation.same, evaluation.protocol) == (None, protocol)
        return read_detections(tmp_path / "out" / "detections.json")

    test(run.folder, "multi-scale:shorter=224")
    assert (tmp_path / "out" / "detections.json").read_bytes() == (run.folder / "detections.json").read_bytes()
    two, alone = (test(run.folder, "multi-scale:shorter=224+322", batch) for batch in (None, 1))
    assert sum(len(image.scores) for image in two.images) > 0
    for image, other in zip(two.images, alone.images, strict=True):
        assert (image.corners <= 32.001).all()
        np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-3)
    for scales in ("224+322", "322"):  # classes of pixels are those of the image's own pixels
        options = EvaluationOptions(protocols=(f"multi-scale:shorter={scales}",))
        assert evaluate_found(pixels.folder, options).values["images"] == 6
    with pytest.raises(UsageError, match="by centre or flips without knobs, by multi-scale:shorter"):
        evaluate_found(run.folder, EvaluationOptions(protocols=("multi-scale:places=windows",)))


def test_boxes_are_refined(run: Run, pixels: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other boxes than those of one pass, at most as many, in any batch; classes of pixels have none to refine."""
    found = []
    for batch in ("4", "1"):
        command = ["evaluate", str(run.folder), "--protocol", "refined:nms=0.5", "--test-batch", batch]
        assert main([*command, "--out", str(tmp_path)]) == 0
        assert "refined:nms=0.5: the whole image, and once more the regions" in capsys.readouterr().out
        found.append(read_detections(tmp_path / "detections.json").images)
    once = read_detections(run.folder / "detections.json").images
    assert any(image.boxes.tolist() != own.boxes.tolist() for image, own in zip(found[0], once, strict=True))
    for image, own in zip(*found, strict=True):
        np.testing.assert_allclose(image.boxes, own.boxes, atol=1e-3)
        assert len(image) <= 100
    with pytest.raises(UsageError, match="refined refines boxes alone: classes of pixels have no boxes"):
        evaluate_found(pixels.folder, EvaluationOptions(protocols=("refined",)))


def test_a_run_of_labels_is_told_apart(run: Run, tmp_path: Path) -> None:
    """Classifiers are evaluated as ever, and the two are not mixed."""
    labels = small.carried_out(tmp_path / "labels")
    assert finds_objects(run.folder)
    assert not finds_objects(labels.folder)
    with pytest.raises(UsageError, match="has learnt one label per image, not objects"):
        finder(labels.folder)
    with pytest.raises(UsageError, match="finds boxes of objects, not one label per image"):
        evaluate([run.folder])


def test_objects_of_a_picture_are_told_and_drawn(run: Run, picture: Path, tmp_path: Path) -> None:
    """The boxes are those of the detector in the pixels of the picture; the copy differs from it at their edges."""
    [found] = find_in_images(run.folder, [picture], top=2, draw=tmp_path)
    assert 1 <= len(found.objects) <= 2
    assert [one.score for one in found.objects] == sorted((one.score for one in found.objects), reverse=True)
    box = found.objects[0].box
    assert box is not None
    assert 0 <= box[0] < box[2] <= 32
    drawn = np.asarray(Image.open(found.drawn))
    before = np.asarray(Image.open(picture).convert("RGB"))
    assert drawn.shape == before.shape
    assert (drawn != before).any()
    stored = json.loads((run.folder / "detections.json").read_text())["images"][1]["objects"][0]
    assert [found.objects[0].score, box[0]] == pytest.approx([stored["score"], stored["bbox"][0]], rel=1e-4)


def test_few_objects_are_sure(run: Run, picture: Path) -> None:
    """None has a score of 1; all have one of the recipe's least score."""
    [none] = find_in_images(run.folder, [picture], score=1.0)
    [all_] = find_in_images(run.folder, [picture], top=100)
    assert not none.objects
    assert all(one.score >= 0.05 for one in all_.objects)


def test_classes_of_pixels_are_told_by_their_shares(pixels: Run, picture: Path, tmp_path: Path) -> None:
    """They are shares of the picture, which the copy colours."""
    [found] = find_in_images(pixels.folder, [picture], top=11, draw=tmp_path)
    assert sum(one.score for one in found.objects) == pytest.approx(1)
    assert Path(found.drawn).is_file()


def test_the_verb_predicts_objects(run: Run, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON, with the corners of each box; of a classifier --draw is refused."""
    assert main(["predict", str(run.folder), str(picture), "--json", "--top", "1"]) == 0
    [image] = json.loads(capsys.readouterr().out)
    assert len(image["objects"][0]["box"]) == 4
    assert main(["predict", str(run.folder), str(picture.with_name("none.png"))]) == 3


@pytest.mark.parametrize("protocol", ["centre", "multi-scale:shorter=224+322", "refined"])
def test_a_picture_is_looked_at_as_in_a_test(run: Run, picture: Path, tmp_path: Path, protocol: str) -> None:
    """By every protocol the objects are those that a test by it finds in the same pixels."""
    evaluate_found(run.folder, EvaluationOptions(protocols=(protocol,), out=tmp_path))
    stored = json.loads((tmp_path / "detections.json").read_text())["images"][1]["objects"]
    [found] = find_in_images(run.folder, [picture], top=len(stored) + 1, protocol=protocol)
    assert len(found.objects) == len(stored) > 0
    for one, other in zip(found.objects, stored, strict=True):
        x, y, width, height = other["bbox"]
        assert one.score == pytest.approx(other["score"], abs=1e-5)
        assert one.box == pytest.approx((x, y, x + width, y + height), abs=1e-3)


def test_classes_of_pixels_are_looked_at_as_in_a_test(pixels: Run, picture: Path, tmp_path: Path) -> None:
    """At two scales the shares are those of the masks that a test finds in the picture's own pixels."""
    protocol = "multi-scale:shorter=224+322"
    evaluate_found(pixels.folder, EvaluationOptions(protocols=(protocol,), out=tmp_path))
    [found] = find_in_images(pixels.folder, [picture], top=11, protocol=protocol)
    stored = read_detections(tmp_path / "detections.json").images[1]
    shares = sorted(mask.runs().area / 32**2 for mask in stored.masks)
    assert sorted(one.score for one in found.objects if one.label != "ground") == pytest.approx(shares)


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        ("flips", "mirroring changes the class of objects of scenes"),
        ("ten-crops", "objects are found in whole images"),
        ("refind", 'no protocol "refind"'),
    ],
)
def test_a_picture_is_refused_other_protocols(
    run: Run, picture: Path, protocol: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, as in a test."""
    assert main(["predict", str(run.folder), str(picture), "--protocol", protocol]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_masks_are_drawn_and_written(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON they are those of detections.json; in the picture the pixels of the best one have its colour."""
    task = replace(SMALL, masks=Masks(pooled=4, layers=1, width=4))
    masked = small.carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=replace(RECIPE, task=task)))
    words = ["predict", str(masked.folder), str(picture), "--top", "1", "--draw", str(tmp_path), "--json"]
    assert main(words) == 0
    [[best]] = [image["objects"] for image in json.loads(capsys.readouterr().out)]
    stored = json.loads((masked.folder / "detections.json").read_text())["images"][1]["objects"][0]
    assert best["segmentation"] == stored["segmentation"]
    mask = decompressed(best["segmentation"]["counts"], 32, 32).decoded() == 1
    assert mask.any()
    before = np.asarray(Image.open(picture).convert("RGB"))
    drawn = np.asarray(Image.open(tmp_path / "scene.png"))
    inner = mask.copy()
    x0, y0, x1, y1 = (int(side) for side in best["box"])
    for row, column in np.argwhere(mask).tolist():  # the box and its text lie on top
        inner[row, column] = x0 + 1 < column < x1 - 2 and y0 + 12 < row < y1 - 2
    expected = (before.astype(int) + np.array([255, 214, 0])) // 2
    assert (drawn[inner] == expected[inner]).all()
    capsys.readouterr()
    assert main([*words[:3], "--protocol", "refined"]) == 2
    assert "masks would be of other boxes; use centre" in capsys.readouterr().err


def test_a_picture_of_another_size_has_a_note(
    run: Run, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where its shorter side is more than twice that of the training, or less than half."""
    for side, noted in ((16, False), (15, True), (64, False), (65, True)):
        file = tmp_path / f"{side}.png"
        Image.open(picture).resize((2 * side, side)).save(file)
        [found] = find_in_images(run.folder, [file])
        assert bool(found.note) == noted
    assert main(["predict", str(run.folder), str(tmp_path / "65.png")]) == 0
    assert "it has 130 x 65 pixels, images of the training 32 x 32" in capsys.readouterr().out


def test_compare_is_of_one_measure(run: Run, pixels: Run, tmp_path: Path) -> None:
    """Two designs are compared on 100 - AP; AP and mean IoU are not compared."""
    plain = replace(EXPERIMENT, design="plain:depth=8,base=2")
    other = small.carried_out(tmp_path / "other", plain)
    [comparison] = compare([run.folder, other.folder])
    means = [group.row.test_error_percent.mean for group in comparison.question.groups]
    assert sorted(means) == sorted(one.record().outcome.test.error_percent for one in (run, other))
    assert "The test error is 100 - AP, in percent." in comparison.notes
    with pytest.raises(FolderError, match=r"the errors are of 2 measures \(100 - AP, 100 - mean IoU\)"):
        compare([other.folder, pixels.folder])


def page_of(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    """The page about a run, and what the verb prints."""
    assert main(["report", str(run.folder), "--out", str(folder / "page.html"), "--json"]) == 0
    return (folder / "page.html").read_text(), json.loads(capsys.readouterr().out)


def test_the_page_shows_what_is_found(
    run: Run, pixels: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Curves of boxes, confusions and the worst images of both, and the measures in JSON."""
    for one, charts, words in (
        (run, ("runs-precision-recall", "runs-precision-recall-classes"), "100 - AP, % of the validation images"),
        (pixels, (), "100 - mean IoU, % of the validation images"),
    ):
        text, data = page_of(one, tmp_path, capsys)
        test = one.record().written["test"]
        assert data["missing"] == []
        assert data["found"] == [{"run": str(one.folder), **{key: test[key] for key in test if key != "classes"}}]
        names = re.findall(r'data-chart="chart-([^"]*)"', text)
        assert (
            len([name for name in names if name.startswith(("runs-precision", "runs-confusions"))]) == len(charts) + 1
        )
        assert all(any(name.startswith(chart) for name in names) for chart in charts)
        assert words in text
        shown = re.findall(r'<img src="data:image/(?:png|jpeg);base64,[^"]*" alt="test image ([0-5]): [^"]+"', text)
        assert len(shown) == len(set(shown)) > 0
        assert "of 6 test images have any" in text


def test_a_page_without_the_data_says_what_is_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other test images than those of the run, no detections, detections of other images, and results of no form."""
    monkeypatch.setattr(scenes, "TEST_SCENES", 7)
    text, data = page_of(run, tmp_path, capsys)
    [line] = data["missing"]
    assert line.endswith("its data are not on this machine, or have changed since it was tested.")
    assert line in text
    assert "What is found of each class" in text
    assert '<img src="data:' not in text
    monkeypatch.setattr(scenes, "TEST_SCENES", 6)
    copy = Run(tmp_path / "copy")
    shutil.copytree(run.folder, copy.folder)
    (copy.folder / "SEAL.json").unlink()
    file = copy.folder / "detections.json"
    file.write_text(file.read_text().replace('"id": 5, "objects"', '"id": 6, "objects"'))
    assert "images have no entry in the detections, such as 5." in page_of(copy, tmp_path, capsys)[1]["missing"][0]
    file.unlink()
    assert "it has no detections.json" in page_of(copy, tmp_path, capsys)[1]["missing"][0]
    for broken in ({"classes": 5}, {"classes": [{"class": "0", "ap": "many"}]}, {"ap": float("inf")}):
        results = json.loads((run.folder / "results.json").read_text())
        results["test"] |= broken
        (copy.folder / "results.json").write_text(json.dumps(results))
        assert main(["report", str(copy.folder), "--out", str(tmp_path / "page.html")]) == 2
        assert "results.json" in capsys.readouterr().err


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    """As for classifiers."""
    with pytest.raises(FolderError):
        evaluate_found(tmp_path)
