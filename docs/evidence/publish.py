"""Write the pages of this folder and results.csv from the runs of its studies: python docs/evidence/publish.py RUNS.

RUNS holds a folder for each study, as `make evidence` leaves it. A study without a finished block has no page. Of a
study that RUNS does not have, page and rows stay. The blocks of a factorial study add up over several sittings: runs in
results.csv of its plan count as those in RUNS.
"""

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.comparing.blocks import complete_blocks
from resatlas.comparing.factorial import Factorial, factorial_of_values, response, scale_of
from resatlas.comparing.hypotheses import Judged, judged
from resatlas.comparing.measures import measure_of, value_at_chance
from resatlas.comparing.power import WelchScheme, power
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.designs.catalog import resolve
from resatlas.errors import FolderError, ResatlasError
from resatlas.page import effects_text, hypotheses_text
from resatlas.page.document import FORMATS, Block, Document, Heading, Paragraph
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import epochs_begun
from resatlas.runs.collection import Question
from resatlas.runs.files import csv_text
from resatlas.runs.frozen_plan import FILE as FROZEN
from resatlas.studies.study import read_study
from resatlas.values.codec import decode
from resatlas.values.table import Column, Table, words

HERE = Path(__file__).parent
FACTORIALS = ("factorial", "factorial-fashion")
ASKED = ("claims", "today", "today-fashion")

IMAGES: Mapping[str, int] = {"cifar-10": 50_000, "imagenet": 1_281_167}

RATES: Mapping[str, float] = {"cifar-10": 1.1e13, "imagenet": 3.9e13}
"""Multiply-adds per second that an H200 is assumed to train at, at images of 32 and 224 pixels; not measured."""

RESULTS = "results.csv"

RESPONSES: Mapping[str, str] = {"test_error": "test_error_percent", "train_loss": "train_loss"}
"""The metrics of a factorial study, each with its column of results.csv."""

_MANY = 1_000_000
"""Test images of a run that diverged: its error is that of chance exactly."""

Row = dict[str, str]
"""A run in results.csv, by column."""

FORWARD_AND_BACKWARD = 3
"""A training step costs about three forward passes."""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A claim whose runs are too dear for two cores: what it would take."""

    name: str
    source: str
    claim: str
    first: str
    second: str
    data: str
    recipe_of_first: str
    recipe_of_second: str
    seeds: int
    expected_points: float
    deviation_points: float

    @property
    def hours(self) -> float:
        """Hours on one H200 at the assumed rate."""
        images = IMAGES[self.data]
        work = 0.0
        for design, name in ((self.first, self.recipe_of_first), (self.second, self.recipe_of_second)):
            epochs = epochs_begun(recipes.resolve(name), images)
            work += FORWARD_AND_BACKWARD * cost(resolve(design).plan()).multiply_adds * images * epochs
        return self.seeds * work / RATES[self.data] / 3600

    @property
    def power(self) -> float:
        """The probability that so many seeds find a difference as large as expected."""
        scheme = WelchScheme(weights=(1.0, -1.0), deviations=(self.deviation_points,) * 2, counts=(self.seeds,) * 2)
        return power(scheme, self.expected_points, level=CLAIM_LEVEL)

    @property
    def commands(self) -> str:
        """The commands that train both designs, and compare them."""
        pairs = ((self.first, self.recipe_of_first), (self.second, self.recipe_of_second))
        trains = [
            f"resatlas train {design} --data {self.data} --recipe {recipe} --seeds {self.seeds} --precision bf16"
            for design, recipe in pairs
        ]
        folders = " ".join(f"runs/{self.data}-{design}-*" for design, _ in pairs)
        return "; ".join([*trains, f"resatlas compare {folders} --against {self.second}"])


def elsewhere() -> list[Elsewhere]:
    """The claims of elsewhere.csv."""
    with (HERE / "elsewhere.csv").open(encoding="utf-8", newline="") as file:
        return [
            decode(Elsewhere, {**row, **{name: json.loads(row[name]) for name in _NUMBERS}}, where="elsewhere.csv")
            for row in csv.DictReader(file)
        ]


_NUMBERS = ("seeds", "expected_points", "deviation_points")


def priced() -> Table:
    """The claims of elsewhere.csv with their prices."""
    rates = ", ".join(f"{rate / 1e12:g} on {data}" for data, rate in RATES.items())
    return Table(
        title="Not testable here: what they would cost",
        columns=(
            *words("name", "claim", "source"),
            Column("seeds", "1"),
            Column("expected points", "1", "+.2f"),
            Column("deviation", "1", ".2f"),
            Column("power", "1", ".2f"),
            Column("H200 hours", "1", ".1f"),
            *words("commands"),
        ),
        rows=tuple(
            (
                *(one.name, one.claim, one.source, one.seeds, one.expected_points, one.deviation_points),
                *(one.power, one.hours, one.commands),
            )
            for one in elsewhere()
        ),
        note="Assumed, not measured: an H200 trains at so many 10^12 multiply-adds a second: "
        f"{rates}; a step costs three forward passes. Expected points are the papers' figures; the deviation of a seed "
        "is the papers' where they print one, else assumed; power is that of one claim alone.",
    )


def main(runs: Path) -> None:
    """Write every page whose study has an answer, say which have none, and write results.csv."""
    rows = published()
    for name in (*FACTORIALS, *ASKED):
        try:
            run_sets = read_run_sets([runs / name])
            _check_plan(name, runs / name / FROZEN)
            own = {row["run"]: row for run_set in run_sets for row in _rows(name, run_set)}
            if name in FACTORIALS:
                own = rows.get(name, {}) | own
            page = _factorial_page(name, own) if name in FACTORIALS else _asked_page(name, run_sets)
        except ResatlasError as error:
            print(f"no new page for {name}: {error}", file=sys.stderr)
            continue
        rows[name] = own
        shutil.copyfile(runs / name / FROZEN, HERE / f"{name}.plan.json")
        head = Paragraph(
            f"The plan is {name}.toml, frozen as {name}.plan.json before the first run. The runs are made by: resatlas "
            f"study docs/evidence/{name}.toml; this page by: python docs/evidence/publish.py runs."
        )
        (HERE / f"{name}.md").write_text(FORMATS["markdown"]([head, *page]) + "\n", encoding="utf-8")
    in_order = [row for name in (*FACTORIALS, *ASKED) for row in rows.get(name, {}).values()]
    (HERE / RESULTS).write_text(csv_text(_HEAD, [[row[key] for key in _HEAD] for row in in_order]), encoding="utf-8")


def published() -> dict[str, dict[str, Row]]:
    """The rows of results.csv by study and run."""
    rows: dict[str, dict[str, Row]] = {}
    with (HERE / RESULTS).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["study"], {})[row["run"]] = row
    return rows


def _check_plan(name: str, plan: Path) -> None:
    """Refuse runs of another plan than that of the published ones.

    Raises: FolderError
    """
    kept = HERE / f"{name}.plan.json"
    if kept.exists() and kept.read_bytes() != plan.read_bytes():
        raise FolderError(f"{plan} is another plan than {kept.name}; runs of two plans do not add up")


def _factorial_page(name: str, rows: Mapping[str, Row]) -> Document:
    [question] = read_study(HERE / f"{name}.toml").collection().questions
    return effects_text.document([effects(question, rows, metric) for metric in RESPONSES])


def effects(question: Question, rows: Mapping[str, Row], metric: str) -> Factorial:
    """The effects of a factorial study on a metric, from its rows; those of incomplete blocks are left out."""
    measure = measure_of(metric)
    seeds, left_out = complete_blocks(question, rows)
    cells = [[rows[cell.by_seed[seed]] for seed in seeds] for cell in question.cells]
    diverged = [row["run"] for cell in cells for row in cell if row["status"] == "diverged"]
    scale = scale_of(measure, diverged=len(diverged) / sum(map(len, cells)))
    return factorial_of_values(
        question,
        measure,
        scale,
        seeds=seeds,
        values=[
            [response(float(row[RESPONSES[metric]]), int(row["test_images"]), scale) for row in cell] for cell in cells
        ],
        designs=[cell[0]["design"] for cell in cells],
        multiply_adds=[int(cell[0]["multiply_adds"]) for cell in cells],
        parameters=[int(cell[0]["parameters"]) for cell in cells],
        left_out=left_out,
        diverged=diverged,
    )


def _asked_page(name: str, run_sets: Sequence[RunSet]) -> Document:
    answers: tuple[Judged, ...] = judged(run_sets)
    blocks: list[Block] = list(hypotheses_text.document(answers))
    return [*blocks, Heading("Elsewhere"), priced()] if name == "claims" else blocks


_HEAD = (
    *("study", "run", "design", "data", "recipe", "seed", "epochs", "parameters", "multiply_adds"),
    *("test_error_percent", "test_images", "train_loss", "seconds", "status"),
)


def _rows(study: str, run_set: RunSet) -> Iterator[Row]:
    """A row for each run that is finished or diverged; one that diverged has the values of chance, and no seconds."""
    for run in run_set.runs:
        written, evaluated = run.written, run.outcome.train_evaluated
        costs = (written[key] for key in ("data", "recipe", "seed", "epochs", "parameters", "multiply_adds"))
        loss = "" if evaluated is None else evaluated.loss
        test = run.outcome.test
        values = (test.error_percent, test.images, loss, written["seconds"], "finished")
        yield _row(study, run.name, run.experiment.design, *costs, *values)
    for begun in run_set.diverged:
        one, total = begun.experiment, cost(begun.plan)
        costs = (one.data, one.recipe.name, one.seed, one.recipe.epochs, total.parameters, total.multiply_adds)
        error, loss = (value_at_chance(begun, measure_of(metric)) for metric in RESPONSES)
        yield _row(study, begun.folder.name, one.design, *costs, error, _MANY, loss, "", "diverged")


def _row(*values: object) -> Row:
    return dict(zip(_HEAD, map(str, values), strict=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
