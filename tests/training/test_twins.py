"""Each recipe for labels has a tiny twin: the same on few small images, with a network of some thousand parameters.

Those of recipes for objects are in tests/studies/test_finding.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import Classify
from resatlas.recipes.recipe import Recipe, with_epochs
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run
from tests.data.pictures import write_parts
from tests.training.small import assert_same, carried_out, signalling

DESIGNS: Mapping[str, str] = {
    "quick": "resnet:depth=8,base=2",
    "fine": "resnet:depth=8,base=2",
    "resnet": "resnet:depth=8,base=2",
    "fb": "resnet:depth=8,base=2,shortcut=B",
    "preact": "preact-resnet:depth=8,base=2",
    "wrn": "wide-resnet:depth=10,base=2,widen=2",
    "resnext": "resnext:depth=11,base=4,cardinality=2,width=32",
    "pyramidnet": "pyramidnet:depth=8,base=2,alpha=6",
    "dmrnet": "dmrnet:depth=8,base=2",
    "rsb": "resnet:depth=8,base=2,shortcut=B",
    "torchvision": "resnet:depth=8,base=2,shortcut=B",
    "bag": "resnet:depth=8,base=2,shortcut=B",
    "senet": "se-resnet:depth=8,reduction=2,base=2",
    "res2net": "res2net:depth=11,width=2,scale=2,setting=cifar,base=2",
    "shake": "shake-shake:depth=8,width=16,base=2",
    "stochastic": "resnet:depth=8,base=2",
    "regnet": "regnet:depth=6,variant=y,w0=8,wa=4,wm=2,group=8,base=8",
}
"""A design of the recipe's family, by the first word of its name; a similar one where 16 pixels are too few for it."""

IN_MEMORY = "synthetic:size=8,channels=3,classes=4,images=40"


def twin(recipe: Recipe) -> Recipe:
    """The recipe with three epochs, a small batch and small norm groups."""
    groups = None if recipe.norm_group is None else 4
    return replace(with_epochs(recipe, 3), batch=8, norm_group=groups)


def photographic(name: str) -> bool:
    """Whether a recipe is for photographs in files."""
    return name == "fine-tune" or NAMED[name].data.startswith("imagenet")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twenty small pictures of two classes to train on, four to test on."""
    root = write_parts(tmp_path_factory.mktemp("photographs"), 10)
    for surplus in [*(root / "val").glob("*/[2-9].png")]:
        surplus.unlink()
    return f"{root}:size=16"


@pytest.mark.parametrize("name", [name for name in NAMED if isinstance(NAMED[name].task, Classify)])
def test_the_twin_of_a_recipe_trains(name: str, photographs: str, tmp_path: Path) -> None:
    """It reaches finite results with the initial weights of its recipe, and resumes to bit-equal results."""
    recipe = twin(NAMED[name])
    experiment = Experiment(
        design=DESIGNS[name.partition("-")[0]],
        data=photographs if photographic(name) else IN_MEMORY,
        recipe=recipe,
    )
    run = carried_out(tmp_path / "run", experiment)
    assert [row["epoch"] for row in run.metrics] == [1, 2, 3]
    assert 0 < run.record().written["train"]["loss"] < 10
    assert run.record().written["recipe"] == name
    if recipe.initial:
        assert run.beginning().plan.initial == recipe.initial
    with pytest.raises(Exception, match="SIGTERM"):
        carried_out(tmp_path / "stopped", experiment, watcher=signalling(3))
    carried_out(tmp_path / "stopped", experiment, resume="auto")
    assert_same(Run(tmp_path / "stopped"), run)
