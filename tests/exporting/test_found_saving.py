"""Saved detectors and segmenters: they find what their run finds, and a malicious folder is refused."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import resatlas
from resatlas.cli.main import main
from resatlas.data.annotated import resolve_annotated
from resatlas.errors import CheckpointError, DataError, UsageError
from resatlas.exporting.found_card import found_card
from resatlas.exporting.found_config import FoundConfig, from_json, read_found_config, to_json
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.saving import save_pretrained
from resatlas.nets.detector import Detector
from resatlas.nets.segmenter import Segmenter
from resatlas.recipes.detection import Masks, Segment
from resatlas.runs.files import sha256_of
from resatlas.runs.store import Run
from resatlas.studies.finders import finder
from resatlas.studies.predictors import predictor_of
from resatlas.studies.subject import EvaluationOptions
from resatlas.studies.testing_found import check_fits, evaluate_found
from tests.data.few_scenes import few_scenes
from tests.exporting.saved import FOUND, PIXELS, changed
from tests.exporting.test_card import front
from tests.studies.test_finding import EXPERIMENT, RECIPE, SMALL, coco_folder
from tests.training import small

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """Five scenes for validation and six for the test."""
    with few_scenes():
        yield


@pytest.fixture(scope="module")
def run(few: None, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: ARG001 - a module's
    """A finished run on boxes and masks that keeps its best epoch."""
    task = replace(SMALL, masks=Masks(pooled=4, layers=1, width=4))
    experiment = replace(EXPERIMENT, recipe=replace(RECIPE, task=task))
    return small.carried_out(tmp_path_factory.mktemp("found") / "run", experiment, keep="best,last")


@pytest.fixture(scope="module")
def kept(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run as a saved folder, which tests must not change."""
    folder = tmp_path_factory.mktemp("kept") / "saved"
    save_pretrained(run.folder, folder)
    return folder


@pytest.fixture
def saved(kept: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(kept, tmp_path / "saved"))


@pytest.mark.parametrize(("name", "config"), [("found", FOUND), ("pixels", PIXELS)])
def test_cards_are_as_written(name: str, config: FoundConfig, golden: Callable[[Path, str], None]) -> None:
    """Those of a run on boxes, with markup in the names of classes, and of a segmenter without a run."""
    golden(GOLDEN / f"{name}.md", found_card(config, ()))
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_the_hub_reads_the_metadata() -> None:
    """Its library reads the task, the licence and the result as a share."""
    table = front(found_card(FOUND, ()))
    assert (table["pipeline_tag"], table["license"]) == ("object-detection", "apache-2.0")
    [result] = table["model-index"][0]["results"]
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("mean_average_precision", 0.375)]
    assert front(found_card(PIXELS, ()))["pipeline_tag"] == "image-segmentation"


def test_a_saved_detector_has_the_results_of_its_run(run: Run, kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the data that it names: the same figures to the bit; its note says what it says."""
    before = run.record().written["test"]
    config = read_found_config(kept)
    assert config.training is not None
    assert config.training.test is not None
    assert config.training.test.values["ap"] == before["ap"]
    assert main(["evaluate", str(kept), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {key: data[key] for key in before} == before
    assert (data["test_images"], data["same_as_results"]) == ("unrecorded", None)
    assert f"published: an error of {before['error_percent']:g} % on 6 test images" in data["note"]


def test_the_card_is_a_program(kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lines of Python run in the folder; the verbs predict and report take it too."""
    text = (kept / "README.md").read_text()
    monkeypatch.chdir(kept)
    exec(text.split("```python\n")[1].split("```")[0], {})  # noqa: S102 - the program that the card shows
    assert capsys.readouterr().out.startswith("[")
    file = kept.parent / "grey.png"
    Image.new("L", (40, 32), 90).save(file)
    assert main(["predict", str(kept), str(file), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["objects"][0]["box"]) == 4
    assert main(["report", str(kept), "--out", str(kept.parent / "page.html")]) == 0
    assert "How it finds" in (kept.parent / "page.html").read_text()


def test_a_segmenter_is_saved_too(tmp_path: Path) -> None:
    """With the strides of its plan, which dilation replaces again; half precision changes its logits a little."""
    experiment = replace(EXPERIMENT, recipe=replace(RECIPE, epochs=1, task=Segment(stride=2)))
    run = small.carried_out(tmp_path / "run", experiment)
    save_pretrained(run.folder, tmp_path / "own")
    save_pretrained(run.folder, tmp_path / "half", stored="fp16")
    own, half = from_pretrained(tmp_path / "own"), from_pretrained(tmp_path / "half")
    assert isinstance(own, Segmenter)
    assert evaluate_found(tmp_path / "own").values == run.record().written["test"]
    prepare = resatlas.preprocessing(tmp_path / "own")
    images = prepare(torch.randint(0, 256, (1, 40, 32), dtype=torch.uint8))[None]
    with torch.no_grad():
        difference = (own(images) - half(images)).abs().max()
    assert 0 < difference < 0.05
    assert "rounded to half precision" in (tmp_path / "half" / "README.md").read_text()
    with pytest.raises(UsageError, match="an image must be uint8"):
        prepare(torch.zeros(1, 4, 4))


def test_the_best_epoch_was_not_tested(run: Run, tmp_path: Path) -> None:
    """Its card has the validation error alone; a saved network has one epoch."""
    save_pretrained(run.folder, tmp_path / "best", of="best")
    training = read_found_config(tmp_path / "best").training
    assert training is not None
    assert training.test is None
    assert training.validation is not None
    assert training.validation.values.keys() == {"error_percent"}
    assert "The weights were not tested." in (tmp_path / "best" / "README.md").read_text()
    with pytest.raises(UsageError, match="leave out --of best"):
        finder(tmp_path / "best", of="best")


def test_who_needs_labels_refuses_it(kept: Path, tmp_path: Path) -> None:
    """As of a run; images of other channels or classes too, and data of which only the name of a folder is known."""
    with pytest.raises(UsageError, match=r"finds boxes and masks of objects, not one label per image"):
        predictor_of(kept)
    with pytest.raises(CheckpointError, match=r'this network finds "boxes and masks"; resatlas\.read_found_config'):
        resatlas.read_config(kept)
    with pytest.raises(DataError, match="has other classes than"):
        evaluate_found(kept, EvaluationOptions(data=str(coco_folder(tmp_path / "coco"))))
    scenes = resolve_annotated(EXPERIMENT.data)
    with pytest.raises(UsageError, match=r"have 3 channels, and .* takes 1"):
        check_fits(finder(kept), replace(scenes, channels=3), scenes.read())
    changed(copy := Path(shutil.copytree(kept, tmp_path / "copy")), lambda t: t["training"].update(data="photos"))
    with pytest.raises(UsageError, match="not those of a known data set; evaluate takes --data DATA"):
        evaluate_found(copy)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another kind": (lambda t: t.update(finds="boxes"), 'finds boxes and masks, but the config says "boxes"'),
    "another task": (lambda t: t.update(task={"kind": "classify"}), "no kind"),
    "code": (lambda t: t["task"].update(head={"kind": "os.system"}), "no kind"),
    "unknown key": (lambda t: t.update(parametres=1), 'did you mean "parameters"'),
    "missing key": (lambda t: t.pop("task"), 'key "task" is missing'),
    "no names": (lambda t: t.update(class_names=[]), "1 to 1,000,000 names of classes; got 0"),
    "fewer names": (lambda t: t["class_names"].pop(), "is 11x"),
    "classes inside": (lambda t: t["network"].update(class_names=[]), "has no classes, view or training of its own"),
    "a network inside": (lambda t: t["network"].update(finds="boxes"), "this network finds"),
    "no network": (lambda t: t.pop("network"), "a saved network has schema 1"),
    "layers": (lambda t: t["task"]["masks"].update(layers=10**9), "masks.layers is at most 64"),
    "regions": (lambda t: t["task"]["head"].update(pooled=10**6), "pooled is at most 64"),
    "ratios": (lambda t: t["task"].update(ratios=[0.5] * 100_000), "number of ratios is at most 64"),
    "no ratio": (lambda t: t["task"].update(ratios=[float("nan")]), "ratios is at most 1,000; got nan"),
    "proposals": (lambda t: t["task"]["proposals"].update(after=[1, 10**9]), "proposals is at most 20,000"),
    "sides": (
        lambda t: t["task"].update(sides={"kind": "resized", "shorter": 1, "longest": 10**9}),
        "longest is at most",
    ),
    "wide head": (
        lambda t: t["task"].update(
            head={"kind": "fpn", "channels": 10**12, "finest": 2, "anchor": "1/2", "pooled": 2, "hidden": 8}
        ),
        "config.json",
    ),
    "result": (lambda t: t["training"]["test"]["values"].update(ap=101), "results are from 0 to 100 %; ap is 101"),
    "no result": (lambda t: t["training"]["test"]["values"].pop("error_percent"), "need an error_percent"),
    "parameters": (lambda t: t.update(parameters=1), "parameters and multiply-adds"),
    "plan": (lambda t: t["network"]["plan"]["stem"][0]["op"].update(groups=0), "no network can be built"),
    "sha256": (lambda t: t["network"].update(weights_sha256="0" * 64), "is damaged or was changed"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_malicious_config_is_refused_at_once(name: str, saved: Path) -> None:
    """The refusal is one line of CheckpointError and takes less than a second."""
    change, reason = CHANGES[name]
    changed(saved, change)
    started = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        from_pretrained(saved)
    assert time.process_time() - started < 1
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    """Also if their sha256 is the right one; other types of numbers too."""
    file = saved / "model.safetensors"
    weights = load_file(file)
    for broken in (torch.full_like(weights["rpn.head.cls_logits.bias"], torch.nan), torch.zeros(3, dtype=torch.int64)):
        save_file(weights | {"rpn.head.cls_logits.bias": broken}, file)
        sha256 = sha256_of(file)
        changed(saved, lambda table, sha256=sha256: table["network"].update(weights_sha256=sha256))
        with pytest.raises(CheckpointError, match="holds NaN or infinity, or numbers of another type"):
            from_pretrained(saved)


def test_loading_draws_nothing(kept: Path) -> None:
    """Torch's generator is as before."""
    before = torch.random.get_rng_state()
    assert isinstance(from_pretrained(kept), Detector)
    assert torch.equal(torch.random.get_rng_state(), before)
