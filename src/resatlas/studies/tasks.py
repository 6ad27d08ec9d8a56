"""Whether data, recipe and task belong together, before any image is read."""

from fractions import Fraction
from importlib.util import find_spec
from typing import assert_never

from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.data.boxes import AnnotatedParts, DetectionData, Masks, held_back, usual_sides
from resatlas.data.dataset import DataSet, Parts
from resatlas.errors import DataError, UsageError
from resatlas.recipes.detection import Classify, Detect, Given, Resized, Segment, Task, needs_masks
from resatlas.recipes.schedule import Plateau
from resatlas.recipes.task_check import check_for_labels, check_recipe
from resatlas.recipes.task_text import noun
from resatlas.runs.experiment import Experiment

_EXAMPLES: dict[type, str] = {Classify: "quick", Detect: "detect-quick", Segment: "segment-quick"}
"""A recipe of each task, which a refusal names."""


def usual_recipe(data: DataSet | DetectionData) -> str:
    """The recipe for data if none is named."""
    if isinstance(data, DetectionData):
        return _EXAMPLES[Detect if data.annotated == "objects" else Segment]
    return _EXAMPLES[Classify]


def masks_for(task: Task) -> Masks:
    """Whether the masks of objects are read."""
    return "with masks" if needs_masks(task) else "boxes alone"


def classes_of(task: Task, data: DataSet | DetectionData) -> tuple[str, ...]:
    """What a task calls its classes, in the order of the outputs: with the ground, if every pixel has one."""
    if isinstance(data, DetectionData) and isinstance(task, Segment):
        return data.pixel_classes
    return data.classes


def check_task(experiment: Experiment, data: DataSet | DetectionData) -> None:
    """Check that the recipe learns what the data have, and that every part of it has a meaning for objects.

    Raises: UsageError, RecipeError.
    """
    recipe = experiment.recipe
    if _fits(recipe.task, data):
        if isinstance(data, DetectionData):
            check_recipe(recipe)
            _check_experiment(experiment)
        else:
            check_for_labels(recipe)
        return
    raise UsageError(
        f"recipe {recipe.name} learns {noun(recipe.task)}, and {data.name} has {_has(data)}; a recipe for it is "
        f"{usual_recipe(data)}"
    )


def _fits(task: Task, data: DataSet | DetectionData) -> bool:
    if isinstance(data, DataSet):
        return isinstance(task, Classify)
    return isinstance(task, Segment) or (isinstance(task, Detect) and data.annotated == "objects")


def _has(data: DataSet | DetectionData) -> str:
    if isinstance(data, DataSet):
        return "one label per image"
    return "objects" if data.annotated == "objects" else "the class of every pixel"


def check_trained(experiment: Experiment) -> None:
    """Check that norms which are frozen have been trained.

    Raises: UsageError
    """
    task = experiment.recipe.task
    frozen = None if isinstance(task, Classify) else task.frozen
    if frozen and experiment.weights is None:
        raise UsageError(
            f"recipe {experiment.recipe.name} freezes norms, which needs trained weights: add --init-from WORD|FILE "
            "(resatlas weights list), or --set task.frozen=none"
        )


def _check_experiment(experiment: Experiment) -> None:
    task = experiment.recipe.task
    if experiment.unreadable == "skip":
        raise UsageError("--unreadable skip is for images with labels; images with objects must all be readable")
    if isinstance(task, Detect) and find_spec("faster_coco_eval") is None:
        raise UsageError("average precision needs faster-coco-eval: pip install 'resatlas[detect]'")


def plan_for(experiment: Experiment, data: DataSet | DetectionData, parts: Parts | AnnotatedParts | None) -> Plan:
    """The plan that is trained: for the image of the data, and for its classes if labels are learnt.

    The images of labels need not be read for it.
    Raises: as `image_for` and `Entry.plan`; RecipeError if the recipe has parts that the network lacks.
    """
    if isinstance(data, DataSet):
        image, classes = data.image, len(data.classes)
    else:
        image, classes = image_for(experiment, data, parts), 0
    return experiment.recipe.trained(experiment.entry.plan(image=image, classes=classes))


def image_for(experiment: Experiment, data: DetectionData, parts: Parts | AnnotatedParts | None) -> Shape:
    """The image of the plan, which anchors and costs refer to: of the usual sides of training images, or resized.

    Raises: DataError if a part has no object to learn from, or to be measured on; UsageError if the schedule needs
        validation images, and there are none.
    """
    if not isinstance(parts, AnnotatedParts):
        raise TypeError(f"{data.name} has images with objects")
    recipe, task = experiment.recipe, experiment.recipe.task
    if not len(parts.train):
        raise DataError(f"{data.name} has no training images; add a part train, in COCO's layout instances_train*.json")
    held, more = parts.validation, ""
    if held is None:
        _, held = held_back(parts.train, recipe.validation)
        more = f"; hold more of the training images back with --set validation={Fraction(1, 5)}"
    for what, part, remedy in (("training", parts.train, ""), ("validation", held, more), ("test", parts.test, "")):
        if part is not None and not part.counts:
            raise DataError(f"the {what} images of {data.name} have no object that counts{remedy}")
    if isinstance(recipe.schedule, Plateau) and parts.validation is None and not recipe.validation:
        raise UsageError(
            f"recipe {recipe.name} follows the validation error, and {data.name} has no validation images: hold some "
            f"back with --set validation={Fraction(1, 10)}"
        )
    if isinstance(task, Segment) and not parts.train.has_masks:
        raise DataError(f"{data.name} has objects without masks, from which the classes of pixels cannot be learnt")
    sides = task.sides if isinstance(task, Detect) else Given()
    match sides:
        case Given():
            return Shape(data.channels, *usual_sides(parts.train))
        case Resized(shorter=shorter):
            return Shape(data.channels, shorter, shorter)
        case _:
            assert_never(sides)
