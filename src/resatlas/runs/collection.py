"""The runs of a study, grouped by its questions: study.json in the folder of the runs."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resatlas.errors import BlueprintError, FolderError, quoted
from resatlas.runs.decoding import decoded, read_run
from resatlas.runs.files import read_json, write_json
from resatlas.runs.record import RunRecord
from resatlas.values.codec import encode

SCHEMA = 1
FILE = "study.json"

View = Literal["runs", "depth", "budget"]
"""The layout of a question in the report: run by run; over depth; design by design at an equal budget."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A factor of a factorial study, and what its levels - and + mean."""

    name: str
    minus: str
    plus: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination of levels, such as "+-+", a sign for each factor, and the names of its runs with their seeds.

    Raises: BlueprintError for other signs, repeated seeds, or seeds and runs of different number.
    """

    levels: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]

    def __post_init__(self) -> None:
        if set(self.levels) - {"+", "-"}:
            raise BlueprintError(f"the levels of a cell are signs + and -; got {quoted(self.levels)}")
        if len(self.seeds) != len(self.runs) or len(set(self.seeds)) < len(self.seeds):
            raise BlueprintError(
                f"cell {self.levels} needs a run for each of its seeds, all different; got {len(self.runs)} runs for "
                f"the seeds {list(self.seeds)}"
            )

    @property
    def by_seed(self) -> dict[int, str]:
        """The name of the run of each seed."""
        return dict(zip(self.seeds, self.runs, strict=True))


Expected = Literal["lower", "higher", "not higher", "equal"]
"""How the first design's value relates to the second's; the last two within a margin."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What a question expects of two of its designs: that the `metric` of the first is `expected` to the second's.

    `margin` is the largest difference that does not matter, in the metric's unit; `source` is where it was claimed.
    Raises: BlueprintError for a margin that is missing, superfluous or not positive.
    """

    first: str
    second: str
    expected: Expected
    metric: str = "test_error"
    margin: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        needed = self.expected in ("not higher", "equal")
        if needed != (self.margin is not None):
            raise BlueprintError(
                f'a hypothesis "{self.expected}" {"needs a" if needed else "takes no"} margin; got '
                f"{'none' if self.margin is None else f'{self.margin:g}'}"
            )
        if self.margin is not None and not 0 < self.margin < math.inf:
            raise BlueprintError(f"the margin of a hypothesis must be above 0; got {self.margin:g}")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and the names of its run folders, in the order of the report; `about` introduces it.

    A factorial question also has its factors, and the runs of each cell; another may have a hypothesis.
    Raises: BlueprintError for factors without cells or of one name, or a cell whose levels do not fit the factors.
    """

    name: str
    title: str
    view: View
    runs: tuple[str, ...]
    about: str = ""
    factors: tuple[Factor, ...] = ()
    cells: tuple[Cell, ...] = ()
    hypothesis: Hypothesis | None = None

    def __post_init__(self) -> None:
        if self.factors and not self.cells:
            raise BlueprintError(f"question {self.name} has factors, but no cells")
        names = [factor.name for factor in self.factors]
        for name in names:
            if names.count(name) > 1:
                raise BlueprintError(f"question {self.name}: two factors have the name {quoted(name)}")
        for cell in self.cells:
            if len(cell.levels) != len(self.factors):
                raise BlueprintError(
                    f"question {self.name} has {len(self.factors)} factors; cell {cell.levels} has {len(cell.levels)} "
                    "levels"
                )


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Questions over the runs of one folder."""

    name: str
    questions: tuple[Question, ...]


def write_collection(folder: Path, collection: Collection) -> None:
    """Write study.json."""
    write_json(folder / FILE, {"schema": SCHEMA, **encode(collection)}, within=folder)


def read_collection(folder: Path) -> Collection:
    """The collection of a folder.

    Raises: FolderError if it has no study.json of this schema.
    """
    data: dict[str, Any] = read_json(folder / FILE)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise FolderError(f"{folder / FILE} is not of schema {SCHEMA}")
    return decoded(Collection, data, folder / FILE, where="study")


def answers(folder: Path, question: Question) -> list[RunRecord]:
    """The finished runs of a question.

    Raises: FolderError if a folder is not a run.
    """
    return [run for run in (read_run(folder / name) for name in question.runs) if run.finished]
