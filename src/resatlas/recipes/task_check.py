"""What of a recipe has no meaning for objects, or for one label per image."""

from typing import get_args

from resatlas.errors import RecipeError, UsageError
from resatlas.recipes.detection import Detect, Given, Resized, Segment
from resatlas.recipes.images import BoxStep, Centre, Rescale, ShorterSide, Standardise
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.recipes.schedule import Steps

_STEPS = (*get_args(BoxStep), Standardise, Rescale)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe for objects with parts that exist for one label per image alone.

    Raises: RecipeError
    """
    parts = {
        "mixing": "mixes images" if recipe.mixing else "",
        "norm_group": "splits batches into norm groups" if recipe.norm_group else "",
        "repeats": "repeats images within an epoch" if recipe.repeats != 1 else "",
        "loss": "has a loss of labels" if recipe.loss != CrossEntropy() else "",
        "testing": "tests other views than the whole image" if recipe.testing != (Centre(),) else "",
    }
    if foreign := {name: words for name, words in parts.items() if words}:
        raise RecipeError(
            f"recipe {recipe.name} {' and '.join(foreign.values())}, which detection and segmentation do not support; "
            f"leave out {', '.join(foreign)}"
        )
    for step in recipe.steps:
        if not isinstance(step, _STEPS):
            allowed = ", ".join(kind.__name__ for kind in _STEPS)
            raise RecipeError(
                f"recipe {recipe.name} has the step {type(step).__name__}, which has no meaning for objects; steps "
                f"that have one are {allowed}"
            )
    sides = recipe.task.sides if isinstance(recipe.task, Detect) else Given()
    if isinstance(sides, Resized) and any(isinstance(step, ShorterSide) for step in recipe.steps):
        raise RecipeError(
            f"recipe {recipe.name} resizes images twice, by ShorterSide and then by task.sides; set task.sides=given, "
            "or leave out ShorterSide"
        )
    warm_up = recipe.schedule.warm_up if isinstance(recipe.schedule, Steps) else None
    if warm_up and warm_up.below_percent is not None:
        raise RecipeError(
            f"recipe {recipe.name} warms up until the training error falls, and objects have no training error; set "
            "schedule.warm_up=none, or another schedule"
        )


def check_pixel_classes(task: Segment, classes: int) -> None:
    """Refuse weights for another number of classes, and a class that is the mark of pixels without one.

    Raises: UsageError
    """
    if classes < 2 or len(task.weights) not in (0, classes):
        raise UsageError(
            f"a segmenter has at least 2 classes, and no weights or one for each; got {classes} classes and "
            f"{len(task.weights)} weights (--set task.weights=none)"
        )
    if 0 <= task.unlabelled < classes:
        raise UsageError(
            f"task.unlabelled is {task.unlabelled}, one of the {classes} classes, whose pixels would not count; "
            "--set task.unlabelled=-1"
        )


def check_for_labels(recipe: Recipe) -> None:
    """Refuse a recipe for one label per image with a step that is for objects alone.

    Raises: RecipeError
    """
    if any(isinstance(step, ShorterSide) for step in recipe.steps):
        raise RecipeError(
            f"recipe {recipe.name} has the step ShorterSide, which is for images with objects; for one label per image "
            "take ScaleCrop"
        )
