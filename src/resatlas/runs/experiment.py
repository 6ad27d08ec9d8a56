"""An experiment: design, data, recipe and seed, which together determine a run."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.designs import catalog as designs
from resatlas.designs.catalog import Entry, OwnDesign
from resatlas.designs.tasks import Design
from resatlas.errors import CheckpointError, ResatlasError, UsageError
from resatlas.recipes import catalog
from resatlas.recipes.recipe import Precision, Recipe
from resatlas.runs.files import sha256_of
from resatlas.values.codec import decode, encode
from resatlas.values.weights import Which, check_offered

SCHEMA = 2
_READABLE = (1, SCHEMA)
"""The schemas of experiments, and of their checkpoints, that this version reads; it writes the last."""

Compiled = Literal["nothing", "units"]


@dataclass(frozen=True, kw_only=True)
class TrainedWeights:
    """The weights that a training starts from: a file, and the sha256 that it must have.

    `which` selects, if the file contains the raw weights and their average.
    """

    file: str
    sha256: str
    which: Which = "raw"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The design, the data, the recipe and the seed of a training.

    `design` and `data` are texts as the command line takes them. What changes the last bits of a result is chosen once
    and kept on every resume: `precision` is the recipe's, None where the machine on which a run begins still has to
    choose it; `layout` is that of maps in memory; `compiled` is what of the network torch.compile makes. `unreadable`
    is what happens at an image that cannot be read: the end, or another of its class in its place and a test without
    it; `nonfinite` at a step whose loss or gradient is no number: the end, or the next step, without an update.
    `weights` are those of another training; without them the seed draws all. `own` is the network where its text means
    nothing without somebody's own code, so that nothing that reads a run needs that code.
    """

    design: str
    data: str
    recipe: Recipe = catalog.NAMED["quick"]
    seed: int = 0
    precision: Precision | None = None
    layout: Literal["channels-last", "contiguous"] = "channels-last"
    compiled: Compiled = "nothing"
    unreadable: Literal["error", "skip"] = "error"
    nonfinite: Literal["stop", "skip"] = "stop"
    weights: TrainedWeights | None = None
    own: OwnDesign | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, Recipe):
            raise UsageError(f"an experiment takes a Recipe, as from recipes.catalog.resolve; got {self.recipe!r}")
        # one design has one name in all runs
        object.__setattr__(self, "design", designs.canonical(self.design))
        if self.own is None:
            object.__setattr__(self, "own", designs.own_design_named(self.design))
        if self.recipe.precision != "auto":
            object.__setattr__(self, "precision", self.recipe.precision)
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"a seed must be between 0 and {2**31 - 1:,}; got {self.seed:,}")

    @classmethod
    def of(cls, design: str | Design | Blueprint, **rest: Any) -> "Experiment":  # noqa: ANN401 - the other fields
        """An experiment with a design or a blueprint of your own instead of a DESIGN text."""
        if isinstance(design, str):
            return cls(design=design, **rest)
        entry = designs.resolve(design)
        return cls(design=entry.name, own=designs.own_design(entry), **rest)

    @property
    def entry(self) -> Entry:
        """The entry of the design: the stored one of an own design, or that of its text.

        Raises: as `designs.catalog.resolve`.
        """
        return designs.entry_of_own(self.design, self.own) if self.own else designs.resolve(self.design)

    @property
    def conditions(self) -> "Experiment":
        """The experiment without its design: what designs share when they are compared."""
        return replace(self, design="", own=None)

    @property
    def run_name(self) -> str:
        """The name of its folder in a study: <data>-<design>-<recipe>-s<seed>, each as `distinct_name` spells it."""
        return f"{distinct_name(self.data)}-{distinct_name(self.design)}-{folder_name(self.recipe.name)}-s{self.seed}"


def begun_as(experiment: Experiment, begun: Experiment) -> Experiment:
    """The experiment with the precision of the started run, if its own precision is `auto`."""
    return replace(experiment, precision=experiment.precision or begun.precision)


def weights_in(file: Path, *, which: Which = "raw") -> TrainedWeights:
    """The weights of a file, by its content.

    Raises: CheckpointError if it cannot be read or is of another kind.
    """
    check_offered(file)
    try:
        return TrainedWeights(file=str(file), sha256=sha256_of(file), which=which)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise CheckpointError(f"{file} cannot be read: {reason.lower()}") from None


def folder_name(text: str) -> str:
    """The text with every character outside [A-Za-z0-9._-] as "_"."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text)


def distinct_name(text: str) -> str:
    """The text as part of a folder's name, with a digest where another path or a word of other letters has the same.

    Names with knobs, as in digits:size=16, differ in their other characters and need no digest.
    """
    name = folder_name(text)
    return name if _KNOWN.fullmatch(text) else f"{name}-{short_digest(text)}"


def default_folder(experiment: Experiment) -> Path:
    """The default folder of a run: runs/ and its name; for an own design with a digest of the blueprint."""
    if not experiment.design.endswith(".toml") and experiment.own is None:
        return Path("runs") / experiment.run_name
    try:
        content = json.dumps(encode(experiment.entry.blueprint), sort_keys=True)
    except ResatlasError:  # training reports it
        content = ""
    design = f"{distinct_name(experiment.design)}-{short_digest(content)}"
    recipe = folder_name(experiment.recipe.name)
    return Path("runs") / f"{distinct_name(experiment.data)}-{design}-{recipe}-s{experiment.seed}"


_KNOWN = re.compile(r"[A-Za-z0-9._-]*(:[A-Za-z0-9._=,/-]*)?")
"""A plain word, with or without knobs."""


def short_digest(text: str) -> str:
    """A digest of eight digits, for names of files and folders."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:8]


def to_json(experiment: Experiment) -> dict[str, Any]:
    """The experiment as JSON values."""
    values = {"schema": SCHEMA, **encode(experiment)}
    return values if experiment.own else {key: value for key, value in values.items() if key != "own"}


def from_json(data: Mapping[str, Any]) -> Experiment:
    """The experiment that `to_json` wrote; other keys of the file are ignored.

    Raises: UsageError if the data are not those of an experiment of a readable schema.
    """
    if fault := schema_fault(data.get("schema")):
        raise UsageError(f"an experiment {fault}")
    if data["schema"] == 1:
        data = _migrated(data)
    own = Experiment.__dataclass_fields__
    return decode(Experiment, {key: value for key, value in data.items() if key in own}, where="experiment")


def schema_fault(schema: object) -> str | None:
    """Why a file of that schema cannot be read, as the predicate of a sentence; None if it can."""
    numbered = type(schema) is int
    if numbered and schema in _READABLE:
        return None
    fault = "was written by a later version of resatlas" if numbered and schema > SCHEMA else "cannot be read"
    return f"of schema {str(schema)[:20]} {fault}; this version reads {' and '.join(map(str, _READABLE))}"


def _migrated(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """An experiment of schema 1 as one of today, which differs in one thing alone: every optimizer was SGD.

    What schema 1 did not say is as it is by default.
    """
    recipe = data.get("recipe")
    optimizer = recipe.get("optimizer") if isinstance(recipe, dict) else None
    if not isinstance(recipe, dict) or not isinstance(optimizer, dict):
        return data
    return {**data, "recipe": {**recipe, "optimizer": {"kind": "sgd", **optimizer}}}


def digest(experiment: Experiment) -> str:
    """A hash of the experiment: equal for equal experiments only."""
    return digest_as_written(to_json(experiment))


def digest_as_written(data: Mapping[str, Any]) -> str:
    """The digest of an experiment from its file, in the schema of that file."""
    own = {key: value for key, value in data.items() if key == "schema" or key in Experiment.__dataclass_fields__}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
