"""Saved networks for the tests: configs written by hand, and changes of folders."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from resatlas.arch.cost import cost
from resatlas.designs.catalog import resolve
from resatlas.exporting.config import CONFIG, Affine, Config, Figures, Training, to_json
from resatlas.exporting.found_config import FoundConfig, FoundTraining, Measures
from resatlas.recipes.detection import C4, DeepLab, Detect, Segment
from resatlas.recipes.images import Centre
from resatlas.recipes.task_cost import multiply_adds
from resatlas.runs.experiment import TrainedWeights
from resatlas.runs.record import Learnt

MARKUP = ("<script>alert(1)</script>", "a | b", "`c` **d** [e](https://f.example) $g$\n# h", "=cmd()")
"""Class names that a page, a table or a spreadsheet could interpret as markup or code."""

ENTRY = resolve("wrn-16-4")
PLAN = ENTRY.plan(classes=4)

BARE = Config(
    library="resatlas 9.9.9",
    design=None,
    family=None,
    image=PLAN.image,
    classes=4,
    class_names=None,
    parameters=cost(PLAN).parameters,
    multiply_adds=cost(PLAN).multiply_adds,
    weights_sha256="0" * 64,
    layout="contiguous",
    view=None,
    normalisation=None,
    training=None,
    plan=PLAN,
)

TRAINED = replace(
    BARE,
    design="wrn-16-4",
    family="wide-resnet",
    class_names=MARKUP,
    view=Centre(),
    normalisation=Affine(mean=(((0.5,),),) * 3, std=(((0.25,),),) * 3),
    training=Training(
        data="beasts:size=32",
        note="the same beasts appear twice, so errors are optimistic",
        recipe="quick",
        departures=(
            "3 epochs in place of the 15 of quick",
            "Flip is left out: mirrored <b>beasts</b> lose their class",
        ),
        epochs=3,
        seed=7,
        begun_from=TrainedWeights(file="older_weights.pt", sha256="f" * 64),
        train=Figures(loss=0.125, error_percent=1.25, images=1600),
        validation=None,
        test=Figures(loss=0.25, error_percent=2.5, images=360),
    ),
)

_INSIDE = ENTRY.plan(classes=0)

FOUND = FoundConfig(
    task=Detect(head=C4()),
    class_names=MARKUP,
    parameters=3_000_000,
    multiply_adds=multiply_adds(_INSIDE, Detect(head=C4())),
    training=FoundTraining(
        data="beasts",
        note="",
        recipe="detect-quick",
        departures=("3 epochs (recipe detect-quick: 15)",),
        epochs=3,
        seed=7,
        begun_from=None,
        train=Learnt(loss=0.5, images=1600),
        validation=None,
        test=Measures(
            images=360,
            values={"ap": 37.5, "ap50": 60.0, "ap_large": None, "error_percent": 62.5},
            classes={name: {"ap": None if k == 3 else float(k)} for k, name in enumerate(MARKUP)},
        ),
    ),
    network=replace(
        BARE,
        design="wrn-16-4",
        family="wide-resnet",
        classes=0,
        plan=_INSIDE,
        parameters=cost(_INSIDE).parameters,
        multiply_adds=cost(_INSIDE).multiply_adds,
        normalisation=TRAINED.normalisation,
        licence="Apache-2.0",
    ),
)

PIXELS = replace(FOUND, task=Segment(head=DeepLab()), training=None)


def without_weights(folder: Path, config: Config) -> Path:
    """The folder of a saved network with its config.json alone, which is all that a page reads."""
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps(to_json(config)), encoding="utf-8")
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change config.json."""
    file = folder / "config.json"
    table = json.loads(file.read_text(encoding="utf-8"))
    change(table)
    file.write_text(json.dumps(table), encoding="utf-8")


def resealed(folder: Path) -> None:
    """Update the sha256 of the weights in config.json."""
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    changed(folder, lambda table: table.update(weights_sha256=sha256))
