"""A study's plan, frozen in its folder when its first run begins, so that no result can change the question."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from resatlas.arch.blueprint import Blueprint
from resatlas.errors import FolderError, ResatlasError, UsageError
from resatlas.recipes.recipe import Recipe
from resatlas.runs.files import write_json
from resatlas.runs.frozen_plan import FILE, SCHEMA, FrozenPlan, digest_of, read_plan
from resatlas.runs.names import FIRST
from resatlas.studies.study import Study
from resatlas.values.codec import decode, encode


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
    before = read_plan(folder)
    if before is None:
        if begun := [name for name in study.distinct_experiments() if (folder / name / FIRST).exists()]:
            raise UsageError(f"{folder} has no {FILE}, but {begun[0]} has begun: a plan is frozen before the first run")
        write_json(file, content, within=folder)
        return
    change = next(_differences(_as_written_now(before, file), content, ""), None)
    if change:
        raise UsageError(
            f"{file}: the plan of study {study.name} was frozen before its first run; {change}; restore it, "
            "or give another --out"
        )


def plan_of(study: Study) -> dict[str, Any]:
    """The plan as JSON values: the study, the networks of its designs, its recipes, and one digest of all."""
    experiments = study.distinct_experiments().values()
    networks = {experiment.design: experiment.entry.blueprint for experiment in experiments}
    recipes = dict.fromkeys(experiment.recipe for experiment in experiments)
    return _as_json(study, networks, list(recipes))


def _as_written_now(plan: FrozenPlan, file: Path) -> dict[str, Any]:
    """The plan of a file as this version writes it: keys that came later have their defaults.

    Raises: FolderError if its study cannot be read.
    """
    try:
        study = decode(Study, plan.study, where="study")
    except ResatlasError as error:
        raise FolderError(f"{file} cannot be read: {error}") from None
    return _as_json(study, plan.networks, plan.recipes)


def _as_json(study: Study, networks: Mapping[str, Blueprint], recipes: Sequence[Recipe]) -> dict[str, Any]:
    content = {
        "schema": SCHEMA,
        "study": {key: value for key, value in encode(study).items() if key != "blueprints"},
        "networks": {name: encode(blueprint) for name, blueprint in networks.items()},
        "recipes": [encode(recipe) for recipe in recipes],
    }
    return {**content, "sha256": digest_of(content)}


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
