"""A study's plan, frozen in its folder when its first run begins, so that no result can change the question."""

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from resatlas.arch.blueprint import Blueprint
from resatlas.errors import FolderError, ResatlasError, UsageError
from resatlas.recipes.recipe import Recipe
from resatlas.runs.collection import FILE as COLLECTION
from resatlas.runs.collection import read_collection
from resatlas.runs.decoding import read_beginning
from resatlas.runs.files import read_json, write_json
from resatlas.runs.names import FIRST
from resatlas.studies.study import Study
from resatlas.values.codec import decode, encode

FILE = "plan.json"

_SCHEMA = 1


def freeze(study: Study, folder: Path) -> None:
    """Write the plan of a study to its folder, or check that it is the one written there before.

    The plan is the whole study file with its networks and recipes; code and images are not part of it.
    Raises: UsageError if the plan has changed, with the first difference, or if runs began without it; FolderError if
        the file is damaged.
    """
    file = folder / FILE
    if study.plan is None:
        if file.exists():
            raise UsageError(
                f"{file}: the plan of study {study.name} is frozen, but its file has no [plan]; restore it, "
                "or give another --out"
            )
        return
    content = plan_of(study)
    if not file.exists():
        if begun := [name for name in study.distinct_experiments() if (folder / name / FIRST).exists()]:
            raise UsageError(f"{folder} has no {FILE}, but {begun[0]} has begun: a plan is frozen before the first run")
        write_json(file, content, within=folder)
        return
    change = next(_differences(_frozen(file), content, ""), None)
    if change:
        raise UsageError(
            f"{file}: the plan of study {study.name} was frozen before its first run; {change}; restore it, "
            "or give another --out"
        )


def check_frozen(folder: Path) -> None:
    """Check that the questions and the runs of a folder are those of its frozen plan; a folder without one passes.

    Raises: UsageError for another question or run; FolderError if the plan is damaged.
    """
    file = folder / FILE
    if not file.exists() or not (folder / COLLECTION).exists():
        return
    plan = _frozen(file)
    asked = {question["name"]: question for question in plan["study"]["questions"]}
    for question in read_collection(folder).questions:
        written = encode(question)
        frozen = asked.get(question.name)
        if frozen is None or any(_asked(written, key) != _asked(frozen, key) for key in _KEPT):
            raise UsageError(f"{folder / COLLECTION}: question {question.name} is not that of the frozen {FILE}")
        for name in question.runs:
            if (folder / name / FIRST).exists():
                _check_run(folder / name, plan)


_KEPT = ("title", "about", "factors", "hypothesis")
"""What a question of study.json and one of a plan have in common."""


def _asked(question: Mapping[str, Any], key: str) -> object:
    """A part of a question; of a hypothesis all but its designs, which a plan may name by their files."""
    value = question[key]
    if key == "hypothesis" and value:
        return {name: part for name, part in value.items() if name not in ("first", "second")}
    return value


def _check_run(folder: Path, plan: Mapping[str, Any]) -> None:
    experiment = read_beginning(folder).experiment
    if plan["networks"].get(experiment.design) != encode(experiment.entry.blueprint):
        raise UsageError(f"{folder.name} trains another network than the frozen {FILE}: {experiment.design}")
    if encode(experiment.recipe) not in plan["recipes"]:
        raise UsageError(f"{folder.name} is trained by another recipe than the frozen {FILE}")


def plan_of(study: Study) -> dict[str, Any]:
    """The plan as JSON values: the study, the networks of its designs, its recipes, and one digest of all."""
    experiments = study.distinct_experiments().values()
    networks = {experiment.design: experiment.entry.blueprint for experiment in experiments}
    recipes = dict.fromkeys(experiment.recipe for experiment in experiments)
    return _as_json(study, networks, list(recipes))


def _frozen(file: Path) -> dict[str, Any]:
    """The plan of a file as this version writes it: keys that it does not know yet have their defaults.

    Raises: FolderError if the file is damaged, or its digest is not that of its content.
    """
    data = read_json(file)
    if not isinstance(data, dict) or data.get("schema") != _SCHEMA:
        raise FolderError(f"{file} is not a frozen plan of schema {_SCHEMA}")
    if data.get("sha256") != _digest(data):
        raise FolderError(f"{file} was changed: its content has another sha256 than it says")
    try:
        study = decode(Study, data["study"], where="study")
        networks = {name: decode(Blueprint, network, where=name) for name, network in data["networks"].items()}
        recipes = [decode(Recipe, recipe, where="recipes") for recipe in data["recipes"]]
    except (KeyError, AttributeError, ResatlasError) as error:
        raise FolderError(f"{file} cannot be read: {error}") from None
    return _as_json(study, networks, recipes)


def _as_json(study: Study, networks: Mapping[str, Blueprint], recipes: Sequence[Recipe]) -> dict[str, Any]:
    content = {
        "schema": _SCHEMA,
        "study": {key: value for key, value in encode(study).items() if key != "blueprints"},
        "networks": {name: encode(blueprint) for name, blueprint in networks.items()},
        "recipes": [encode(recipe) for recipe in recipes],
    }
    return {**content, "sha256": _digest(content)}


def _digest(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _differences(before: object, now: object, path: str) -> Iterator[str]:
    """The values that differ, with their place; lists of other lengths by their number of entries."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            if key != "sha256":
                yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield f"{path} had {len(before)} entries, and has {len(now)}"
        for place, pair in enumerate(zip(before, now, strict=False)):
            yield from _differences(*pair, f"{path}[{place}]")
    elif before != now:
        yield f"{path} was {str(before)[:60]}, and is {str(now)[:60]}"


def block_order(study: Study) -> list[str]:
    """The names of the runs block by block: seed by seed, each block in an order fixed by a digest."""
    experiments = study.distinct_experiments()

    def place(name: str) -> tuple[int, str]:
        return experiments[name].seed, sha256(f"{study.name} {name}".encode()).hexdigest()

    return sorted(experiments, key=place)
