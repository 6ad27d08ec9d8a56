"""The runs of a study, grouped by its questions: study.json in the folder of the runs."""

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


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and the names of its run folders, in the order of the report; `about` introduces it.

    A factorial question also has its factors, and the runs of each cell.
    Raises: BlueprintError for factors without cells or of one name, or a cell whose levels do not fit the factors.
    """

    name: str
    title: str
    view: View
    runs: tuple[str, ...]
    about: str = ""
    factors: tuple[Factor, ...] = ()
    cells: tuple[Cell, ...] = ()

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
