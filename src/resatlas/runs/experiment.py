"""An experiment: design, data, recipe and seed, which together determine a run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resatlas.arch.codec import decode, encode
from resatlas.errors import CheckpointError, UsageError
from resatlas.recipes import catalog
from resatlas.recipes.recipe import Recipe
from resatlas.runs.files import sha256_of

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class TrainedWeights:
    """The weights that a training starts from: a file, and the sha256 that it must have."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is trained, on what, how, and from which seed.

    `design` and `data` are texts as the command line takes them. Precision and layout are chosen once and kept
    by every resume. `unreadable` is what happens at an image that cannot be read: the end, or another of its class in
    its place, and a test without it. `weights` are those of another training; without them the seed draws all.
    """

    design: str
    data: str
    recipe: Recipe = catalog.NAMED["quick"]
    seed: int = 0
    precision: Literal["fp32"] = "fp32"
    layout: Literal["channels-last", "contiguous"] = "channels-last"
    unreadable: Literal["error", "skip"] = "error"
    weights: TrainedWeights | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, Recipe):
            raise UsageError(f"an experiment takes a Recipe, as from recipes.catalog.resolve; {self.recipe!r} is none")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"a seed lies between 0 and {2**31 - 1:,}; {self.seed:,} does not")

    @property
    def run_name(self) -> str:
        """The name of its folder: <data>-<design>-<recipe>-s<seed>, odd characters as "_"."""
        return folder_name(f"{self.data}-{self.design}-{self.recipe.name}-s{self.seed}")


def weights_in(file: Path) -> TrainedWeights:
    """The weights of a file, by its content.

    Raises: CheckpointError if it cannot be read.
    """
    try:
        return TrainedWeights(file=str(file), sha256=sha256_of(file))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise CheckpointError(f"{file} cannot be read: {reason.lower()}") from None


def folder_name(text: str) -> str:
    """The text with every character outside [A-Za-z0-9._-] as "_"."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)


def to_json(experiment: Experiment) -> dict[str, Any]:
    """The experiment as JSON values."""
    return {"schema": SCHEMA, **encode(experiment)}


def from_json(data: Mapping[str, Any]) -> Experiment:
    """The experiment that `to_json` wrote; other keys of the file are passed over.

    Raises: UsageError if the data are not those of an experiment of this schema.
    """
    if data.get("schema") != SCHEMA:
        raise UsageError(f"an experiment has schema {SCHEMA}; this has {data.get('schema')}")
    known = Experiment.__dataclass_fields__
    return decode(Experiment, {key: value for key, value in data.items() if key in known}, where="experiment")


def digest(experiment: Experiment) -> str:
    """A hash that two experiments share only if they are equal."""
    text = json.dumps(to_json(experiment), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
