"""What a training on objects or on pixels will need: memory, disk, steps, and settings that fit."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.data.annotated import resolve_any
from resatlas.data.boxes import AnnotatedParts, DetectionData
from resatlas.nets.network import build
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import ShorterSide
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.settings import with_settings
from resatlas.runs.experiment import Experiment
from resatlas.studies import demand
from resatlas.studies.preflight import Preflight, preflight, to_json
from resatlas.studies.scene_sizing import scene_sizes
from resatlas.training.detecting import first_state_of
from resatlas.training.footprint import checkpoint_bytes
from resatlas.values.room import Room
from tests.data.annotated import annotation, image, voc_object, write_coco, write_voc
from tests.studies.test_finding_folders import masks_folder

Captured = pytest.CaptureFixture[str]

SCENES = "scenes:size=48,train=40"
CELLS = {
    "c4": (),
    "c4 with masks": ("task.masks.width=16",),
    "fpn": ("task.head=fpn",),
    "fpn with masks": ("task.head=fpn", "task.masks.width=16"),
}


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine of 64 GiB; call it for one of another memory."""

    def having(most: int) -> None:
        monkeypatch.setattr(demand, "memory_room", lambda: Room(most, most))

    having(64 << 30)
    return having


def experiment(*settings: str, recipe: str = "detect-quick", data: str = SCENES) -> Experiment:
    """A training of a small network."""
    return Experiment(design="resnet:depth=8,base=8", data=data, recipe=with_settings(NAMED[recipe], list(settings)))


@pytest.mark.parametrize("cell", CELLS)
def test_every_head_has_an_answer(cell: str) -> None:
    """Parts of the memory, disk, steps; of time it is said that only --measure tells."""
    result = preflight(experiment(*CELLS[cell]))
    values = to_json(result)
    memory = values["memory"]
    assert sum(memory["parts"].values()) == memory["process_bytes"] == memory["needed_bytes"]
    assert memory["parts"]["maps"] > 1 << 20
    assert (result.course.steps_per_epoch, result.course.steps) == (10, 30)
    assert values["time"]["step_seconds"] is None
    assert "no estimate of time: for objects, only --measure tells" in values["notes"]
    assert values["disk"]["needed_bytes"] == 3 * values["disk"]["checkpoint_bytes"] + values["disk"]["results_bytes"]
    assert values["disk"]["results_bytes"] >= 400 * 100 * 100
    assert values["fits"] is True


def test_masks_and_pyramids_need_more() -> None:
    """More layers, and more of what a test writes."""
    needed = {cell: preflight(experiment(*settings)).setting for cell, settings in CELLS.items()}
    for head in ("c4", "fpn"):
        assert needed[head].footprint.maps < needed[f"{head} with masks"].footprint.maps
        assert needed[head].checkpoint < needed[f"{head} with masks"].checkpoint
        assert needed[head].results < needed[f"{head} with masks"].results


@pytest.mark.parametrize(("cell", "most"), [("c4", 1400 << 20), ("c4 with masks", 1400 << 20), ("fpn", 1600 << 20)])
def test_every_setting_that_is_suggested_fits(
    cell: str, most: int, room: Callable[[int], None], capsys: Captured
) -> None:
    """The same command with the words of a suggestion passes, and needs what was said."""
    room(most)
    words = [word for setting in CELLS[cell] for word in ("--set", setting)]
    command = ("preflight", "resnet-56", "--data", "scenes:train=100", "--batch", "64", *words, "--json")
    assert main(command) == 1
    [shortage] = json.loads(capsys.readouterr().out)["shortages"]
    options = [remedy["option"] for remedy in shortage["remedies"]]
    assert any(option.startswith("--batch ") for option in options)
    assert not any("norm_group" in option for option in options)
    for remedy in shortage["remedies"]:
        assert main((*command, *shlex.split(remedy["option"]))) == 0, remedy
        assert json.loads(capsys.readouterr().out)["memory"]["needed_bytes"] == remedy["bytes"] <= most


def test_fewer_regions_may_be_enough(room: Callable[[int], None]) -> None:
    """Where the regions of an image take the most, half of them or fewer are proposed."""
    many = experiment("task.regions.sampled=512", "task.proposals.after=600,60", "batch=16")
    needed = preflight(many).setting.needed
    room(needed - (60 << 20))
    [shortage] = preflight(many).shortages
    assert "--set task.regions.sampled=256" in [remedy.option for remedy in shortage.remedies]


def test_measured_steps_are_near_the_estimate() -> None:
    """The largest resident size of a process that takes some steps, within 15 %, as for networks of labels."""
    result: Preflight = preflight(experiment("task.masks.width=16", "batch=8"), measure=True)
    assert result.pace is not None
    assert "measured steps" in result.pace.basis
    assert result.measured_memory == pytest.approx(result.setting.footprint.resident, rel=0.15)
    assert result.loader.seconds is not None
    assert result.seconds is not None


@pytest.mark.parametrize("recipe", ["detect-quick", "segment-quick"])
def test_a_checkpoint_has_the_weights_of_the_heads(recipe: str) -> None:
    """Weights and buffers of the whole, and a momentum for each weight."""
    setting = preflight(experiment(recipe=recipe)).setting
    assert setting.scenes is not None
    network = build(setting.plan, seed=0)
    state = first_state_of(network, setting.recipe.task, setting.recipe, classes=setting.scenes.classes, seed=0)
    tensors = sum(tensor.nbytes for tensor in state.module.state_dict().values())
    momenta = sum(weight.nbytes for weight in state.module.parameters())
    assert checkpoint_bytes(setting.plan, setting.recipe, setting.scenes) == tensors + momenta


def test_frozen_norms_need_no_weights_to_be_foreseen() -> None:
    """A recipe of a paper is answered, though a training with it needs weights of ImageNet."""
    result = preflight(replace(experiment(recipe="frcnn-c4"), design="resnet-18"))
    assert result.setting.scenes is not None
    assert result.setting.scenes.batch == (600, 600)
    assert result.setting.footprint.optimizer < result.setting.footprint.weights


def test_folders_of_coco_voc_and_masks(tmp_path: Path, capsys: Captured) -> None:
    """Images in files are read in threads of the training itself."""
    coco = tmp_path / "coco"
    for part in ("train2017", "val2017"):
        write_coco(coco, [annotation(), annotation(2, image=2, category=7)], part=part)
    voc = tmp_path / "voc"
    write_voc(voc, "train", {f"a{k}": voc_object() for k in range(4)})
    write_voc(voc, "test", {f"b{k}": voc_object("dog") for k in range(4)})
    masks = masks_folder(tmp_path / "masks")
    for folder, more in ((coco, ()), (voc, ()), (masks, ("--set", "task.weights=none"))):
        words = ("preflight", "resnet:depth=8,base=4", "--data", str(folder), "--batch", "2", *more, "--json")
        assert main(words) == 0, folder
        values = json.loads(capsys.readouterr().out)
        assert values["loader"]["source"].startswith("files, read in ")
        assert values["memory"]["needed_bytes"] > 700 << 20


def test_the_largest_sides_count(tmp_path: Path) -> None:
    """Of a batch the largest height and the largest width, of one image its own; as steps and the task resize them."""
    images = (image(1, "a.png"), image(2, "b.png", 20, 30))
    for part in ("train2017", "val2017"):
        write_coco(tmp_path, [annotation()], images=images, part=part)
    data = resolve_any(str(tmp_path))
    assert isinstance(data, DetectionData)
    parts = data.read()

    def sizes(recipe: Recipe) -> SceneSizes:
        assert isinstance(parts, AnnotatedParts)
        return scene_sizes(data, parts, recipe)

    quick = NAMED["detect-quick"]
    assert (sizes(quick).batch, sizes(quick).objects, sizes(quick).classes) == ((30, 30), 1, 3)
    assert sorted(sizes(quick).alone) == [20, 30]
    larger = replace(quick, steps=(ShorterSide(lengths=(10, 40), longest=50), *quick.steps))
    assert sizes(larger).batch == (50, 50)
    assert sorted(sizes(NAMED["frcnn-c4"]).alone) == [600, 900]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--recipe", "quick"), "has objects; a recipe for it is detect-quick"),
        (("--set", "task.head=c5"), "there are c4, fpn"),
        (("--set", "norm_group=2"), "splits batches into norm groups, which detection and segmentation do not support"),
        (("--set", "task.head=fpn", "--set", "task.head.finest=64"), "no level has a stride of at least 64"),
        (
            ("--recipe", "segment-quick", "--set", "task.weights=1,2"),
            "or one for each; got 11 classes and 2",
        ),
        (("--recipe", "detect-quik"), 'did you mean "detect-quick"?'),
        (("--processes", "5"), "processes must be between 1 and 4, the images of a batch; got 5"),
    ],
)
def test_wrong_words_are_answered_in_a_line(words: tuple[str, ...], line: str, capsys: Captured) -> None:
    """As a training answers them."""
    assert main(("preflight", "resnet-20", "--data", SCENES, *words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1
