"""A study's plan, frozen in its folder when its first run begins, so that no result can change the question."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from resatlas.errors import FolderError, UsageError
from resatlas.runs.experiment import digest
from resatlas.runs.files import read_json, write_json
from resatlas.studies.study import Study
from resatlas.values.codec import encode

FILE = "plan.json"

_SCHEMA = 1


def freeze(study: Study, folder: Path) -> None:
    """Write the plan of a study to its folder, or check that it is the one written there before.

    The plan is the whole study file with a digest of each experiment, its network included.
    Raises: UsageError if the plan has changed, with the first difference; FolderError if the file is damaged.
    """
    if study.plan is None:
        if (folder / FILE).exists():
            raise UsageError(
                f"{folder / FILE}: the plan of study {study.name} is frozen, but its file has no [plan]; restore it, "
                "or give another --out"
            )
        return
    content = json.loads(json.dumps(plan_of(study)))
    if not (folder / FILE).exists():
        write_json(folder / FILE, content, within=folder)
        return
    frozen = read_json(folder / FILE)
    if not isinstance(frozen, dict) or frozen.get("schema") != _SCHEMA:
        raise FolderError(f"{folder / FILE} is not a frozen plan of schema {_SCHEMA}")
    change = next(_differences(frozen, content, ""), None)
    if change:
        raise UsageError(
            f"{folder / FILE}: the plan of study {study.name} was frozen before its first run; {change}; restore it, "
            "or give another --out"
        )


def plan_of(study: Study) -> dict[str, Any]:
    """The plan as JSON values: the study, the digests of its experiments and networks, and one digest of both."""
    experiments = {
        name: f"{digest(experiment)} {sha256(repr(experiment.entry.blueprint).encode()).hexdigest()[:16]}"
        for name, experiment in study.distinct_experiments().items()
    }
    written = {"study": encode(study), "experiments": experiments}
    return {"schema": _SCHEMA, "sha256": sha256(repr(written).encode()).hexdigest(), **written}


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
