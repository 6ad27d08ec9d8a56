"""The study of docs/detection: its networks are what its question says."""

from pathlib import Path

from resatlas.arch.ops import Shape
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.task_cost import multiply_adds
from resatlas.studies.study import read_study

STUDY = Path(__file__).parents[2] / "docs" / "detection" / "backbones.toml"
SCENE = Shape(1, 96, 96)


def test_the_backbones_have_equal_multiply_adds() -> None:
    """Within 3 % of the first, as the study says, with four seeds each."""
    study = read_study(STUDY)
    experiments = study.distinct_experiments().values()
    recipe = NAMED["detect-quick"]
    assert all(experiment.recipe == recipe for experiment in experiments)
    work = {
        experiment.design: multiply_adds(experiment.entry.plan(image=SCENE, classes=0), recipe.task)
        for experiment in experiments
    }
    half = work.pop("half")
    assert len(experiments) == 4 * 6
    assert len(work) == 5
    assert all(abs(own / work["resnet"] - 1) < 0.03 for own in work.values())
    assert half < 0.4 * work["resnet"]
