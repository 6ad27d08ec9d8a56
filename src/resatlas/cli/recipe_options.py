"""The options of a verb that set up a training: its data, its recipe and the fields of the recipe."""

import argparse
from collections.abc import Mapping
from typing import get_args

from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.data.boxes import DetectionData
from resatlas.data.dataset import DataSet
from resatlas.errors import RecipeError
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import PrecisionWanted, Recipe, with_epochs
from resatlas.recipes.settings import fields_named, with_settings
from resatlas.studies.tasks import usual_recipe

RECIPE_OPTIONS: Requirements = {
    "--data": ALWAYS,
    "--recipe": ALWAYS,
    "--epochs": ALWAYS,
    "--lr": ALWAYS,
    "--batch": ALWAYS,
    "--set": ALWAYS,
    "--precision": ALWAYS,
}

_SETTINGS: Mapping[str, str] = {"--lr": "schedule.peak", "--batch": "batch", "--precision": "precision"}
"""Fields of a recipe that have their own option."""

_SYNONYMS: Mapping[str, str] = {
    "learning_rate": "schedule.peak",
    "batch_size": "batch",
    "weight_decay": "decay",
    "wd": "decay",
    "label_smoothing": "loss.smoothing",
    "optim": "optimizer",
    "scheduler": "schedule",
    "grad_clip": "clip",
    "ema": "average",
    "drop_path": "stochastic_depth",
}
"""Fields of a recipe by their names in other programs."""


def recipe_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options of `RECIPE_OPTIONS`."""
    group.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help="data set, as in digits:size=16 or cifar-10, or a folder of images; scenes or a folder in COCO's or VOC's "
        "layout to find objects; a folder of images, masks and classes.txt for classes of pixels (default: digits)",
    )
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help="how to train; all: resatlas list --recipes (default: quick; detect-quick for images with objects)",
    )
    group.add_argument(
        "--epochs", type=int, metavar="N", help="epochs; the schedule is scaled to them (default: the recipe's)"
    )
    group.add_argument("--lr", metavar="X", help="peak learning rate, schedule.peak (default: the recipe's)")
    group.add_argument("--batch", metavar="N", help="batch size, over all processes (default: the recipe's)")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a field of the recipe, as in schedule.peak=0.2; repeatable (default: the recipe's values)",
    )
    group.add_argument(
        "--precision",
        choices=get_args(PrecisionWanted),
        help="arithmetic precision; auto picks the fastest supported here (default: the recipe's, mostly fp32)",
    )


def recipe_of(options: argparse.Namespace, data: DataSet | DetectionData) -> Recipe:
    """The recipe with the settings of the options; the usual one for the data if none is named.

    Raises: UnknownName, RecipeError
    """
    named = recipes.resolve(options.recipe or usual_recipe(data))
    recipe = with_settings(named, [*options.set, *_named_settings(options)])
    return recipe if options.epochs is None else with_epochs(recipe, options.epochs)


def _named_settings(options: argparse.Namespace) -> list[str]:
    """The settings of --lr, --batch and --precision.

    Raises: RecipeError for a setting that --set has too.
    """
    values = {name: getattr(options, name.removeprefix("--")) for name in _SETTINGS}
    keys = {setting.partition("=")[0] for setting in options.set}
    for name, key in _SETTINGS.items():
        if values[name] is not None and key in keys:
            raise RecipeError(f"{name} is --set {key}=…; use only one of the two")
    return [f"{key}={values[name]}" for name, key in _SETTINGS.items() if values[name] is not None]


def hint(word: str, options: argparse.Namespace) -> str:
    """A hint for a word that is no option but the name of a field of the recipe: how to set it; else ""."""
    recipe = recipes.NAMED.get(options.recipe or "", recipes.NAMED["quick"])
    name = word.lstrip("-").replace("-", "_")
    key = _SYNONYMS.get(name, name)
    for option, field in _SETTINGS.items():
        if field == key:
            return f'did you mean "{option}"?'
    keys = fields_named(recipe, key)
    return f"it is a field of the recipe: {' or '.join(f'--set {field}=…' for field in keys)}" if keys else ""
