"""Write the pages of this folder and results.csv from the runs of its studies: python docs/evidence/publish.py RUNS.

RUNS holds a folder for each study, as `make evidence` leaves it. A study without a finished block has no page.
"""

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.comparing.factorial import Factorial, factorial
from resatlas.comparing.hypotheses import Judged, judged
from resatlas.comparing.measures import measure_of
from resatlas.comparing.power import WelchScheme, power
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.designs.catalog import resolve
from resatlas.errors import ResatlasError
from resatlas.page import effects_text, hypotheses_text
from resatlas.page.document import FORMATS, Block, Document, Heading, Paragraph
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import epochs_begun
from resatlas.runs.files import csv_text
from resatlas.runs.frozen_plan import FILE as FROZEN
from resatlas.values.codec import decode
from resatlas.values.table import Column, Table, words

HERE = Path(__file__).parent
FACTORIALS = ("factorial", "factorial-fashion")
ASKED = ("claims", "today", "today-fashion")

IMAGES: Mapping[str, int] = {"cifar-10": 50_000, "imagenet": 1_281_167}

RATES: Mapping[str, float] = {"cifar-10": 1.1e13, "imagenet": 3.9e13}
"""Multiply-adds per second that an H200 is assumed to train at, at images of 32 and 224 pixels; not measured."""

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
    sets: dict[str, tuple[RunSet, ...]] = {}
    for name in (*FACTORIALS, *ASKED):
        try:
            run_sets = read_run_sets([runs / name])
            page = _factorial_page(run_sets) if name in FACTORIALS else _asked_page(name, run_sets)
        except ResatlasError as error:
            print(f"no page for {name}: {error}", file=sys.stderr)
            continue
        sets[name] = run_sets
        shutil.copyfile(runs / name / FROZEN, HERE / f"{name}.plan.json")
        head = Paragraph(
            f"The plan is {name}.toml, frozen as {name}.plan.json before the first run. The runs are made by: resatlas "
            f"study docs/evidence/{name}.toml; this page by: python docs/evidence/publish.py runs."
        )
        (HERE / f"{name}.md").write_text(FORMATS["markdown"]([head, *page]) + "\n", encoding="utf-8")
    (HERE / "results.csv").write_text(csv_text(_HEAD, list(_rows(sets))), encoding="utf-8")


def _factorial_page(run_sets: Sequence[RunSet]) -> Document:
    analyses: list[Factorial] = []
    for metric in ("test_error", "train_loss"):
        analyses += [factorial(run_set, measure_of(metric)) for run_set in run_sets]
    return effects_text.document(analyses)


def _asked_page(name: str, run_sets: Sequence[RunSet]) -> Document:
    answers: tuple[Judged, ...] = judged(run_sets)
    blocks: list[Block] = list(hypotheses_text.document(answers))
    return [*blocks, Heading("Elsewhere"), priced()] if name == "claims" else blocks


_HEAD = (
    *("study", "run", "design", "data", "recipe", "seed", "epochs", "parameters", "multiply_adds"),
    *("test_error_percent", "test_images", "train_loss", "seconds"),
)


def _rows(sets: Mapping[str, Sequence[RunSet]]) -> Iterator[tuple[object, ...]]:
    """A row for each finished run, each once."""
    for study, run_sets in sets.items():
        runs = {run.name: run for run_set in run_sets for run in run_set.runs}
        for name, run in runs.items():
            written = run.written
            evaluated = run.outcome.train_evaluated
            yield (
                study,
                name,
                run.experiment.design,
                *(written[key] for key in ("data", "recipe", "seed", "epochs", "parameters", "multiply_adds")),
                run.outcome.test.error_percent,
                run.outcome.test.images,
                None if evaluated is None else evaluated.loss,
                written["seconds"],
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
