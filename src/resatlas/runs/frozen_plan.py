"""plan.json in the folder of a study: its questions, networks and recipes as they were before the first run.

`studies.frozen` writes it; every reader of the runs holds them to it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.expand import expand
from resatlas.errors import FolderError, ResatlasError
from resatlas.recipes.recipe import Recipe
from resatlas.runs.collection import Question
from resatlas.runs.files import read_json
from resatlas.runs.record import Beginning
from resatlas.values.codec import decode, encode

FILE = "plan.json"
SCHEMA = 1

_KEPT = ("title", "about", "factors", "hypothesis")
"""What a question of study.json and one of a plan have in common."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenPlan:
    """A plan as it was written: the study as data, the networks by their designs, and the recipes."""

    study: Mapping[str, Any]
    networks: Mapping[str, Blueprint]
    recipes: tuple[Recipe, ...]

    def check_question(self, question: Question) -> None:
        """Refuse a question that the plan does not have, or that asks for something else.

        Raises: FolderError
        """
        asked = {one["name"]: one for one in self.study["questions"]}.get(question.name)
        written = encode(question)
        if asked is None or any(_part(written, key) != _part(asked, key) for key in _KEPT):
            raise FolderError(f"question {question.name} is not that of the frozen {FILE}")

    def check_run(self, run: Beginning) -> None:
        """Refuse a run of another network or recipe.

        Raises: FolderError
        """
        blueprint, recipe = self.networks.get(run.experiment.design), run.experiment.recipe
        image, classes = run.plan.image, run.plan.classes
        if blueprint is None or recipe.trained(expand(blueprint, image=image, classes=classes)) != run.plan:
            raise FolderError(f"{run.folder.name} trains another network than the frozen {FILE}")
        if recipe not in self.recipes:
            raise FolderError(f"{run.folder.name} is trained by another recipe than the frozen {FILE}")


def read_plan(folder: Path) -> FrozenPlan | None:
    """The frozen plan of a study's folder; None if it has none.

    Raises: FolderError if the file is damaged, or its digest is not that of its content.
    """
    file = folder / FILE
    if not file.exists():
        return None
    data = read_json(file)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise FolderError(f"{file} is not a frozen plan of schema {SCHEMA}")
    if data.get("sha256") != digest_of(data):
        raise FolderError(f"{file} was changed: its content has another sha256 than it says")
    try:
        return FrozenPlan(
            study=data["study"],
            networks={name: decode(Blueprint, network, where=name) for name, network in data["networks"].items()},
            recipes=tuple(decode(Recipe, recipe, where="recipes") for recipe in data["recipes"]),
        )
    except (KeyError, AttributeError, ResatlasError) as error:
        raise FolderError(f"{file} cannot be read: {error}") from None


def digest_of(content: Mapping[str, Any]) -> str:
    """The sha256 of a plan's content."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _part(question: Mapping[str, Any], key: str) -> object:
    """A part of a question; of a hypothesis all but its designs, which a plan may name by their files."""
    value = question.get(key)
    if key == "hypothesis" and value:
        return {name: part for name, part in value.items() if name not in ("first", "second")}
    return value
