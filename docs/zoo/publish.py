"""Write the networks of the package, src/resatlas/weights/zoo, and results.md: python docs/zoo/publish.py RUNS.

RUNS holds the folder of the study zoo.toml, as `make zoo` leaves it. A network that is there already is replaced; the
command says by how much its error differs, since another machine trains other bytes.
"""

import shutil
import sys
from pathlib import Path

import resatlas
from resatlas.exporting.config import read_config
from resatlas.runs.decoding import read_finished
from resatlas.runs.record import RunRecord
from resatlas.runs.store import Run
from resatlas.studies.study import read_study
from resatlas.studies.testing import evaluate
from resatlas.values.markdown import table
from resatlas.values.table import Cell, Column, Table, numbers, words
from resatlas.weights.words import OWN, ZOO

HERE = Path(__file__).parent
LICENCE = "Apache-2.0"

WORDS = {
    "resnet-20": "fashion-resnet-20",
    "preact-resnet:depth=20": "fashion-preact-resnet-20",
    "wrn-16-2": "fashion-wrn-16-2",
    "resnext:depth=20,cardinality=8,width=4,base=32": "fashion-resnext-20",
    "pyramidnet:depth=20,alpha=48": "fashion-pyramidnet-20",
    "dmrnet-14": "fashion-dmrnet-14",
}
"""The name of each network of zoo.toml in the package."""


def main(runs: Path) -> None:
    """Save each finished run in half precision, test what is saved once, and write the table; name the other runs."""
    [question] = read_study(HERE / "zoo.toml").collection().questions
    finished = [name for name in question.runs if Run(runs / "zoo" / name).concluded]
    for name in question.runs:
        if name not in finished:
            print(f"{name} is not finished", file=sys.stderr)
    rows = tuple(_published(read_finished(runs / "zoo" / name)) for name in finished)
    (HERE / "results.md").write_text(f"# Networks in the package\n\n{table(_results(rows))}\n", encoding="utf-8")


def _results(rows: tuple[tuple[Cell, ...], ...]) -> Table:
    return Table(
        columns=(
            *words("word", "design"),
            *numbers("parameters", "multiply-adds"),
            Column("error after training", "%", ".2f"),
            Column("error as stored", "%", ".2f"),
            *numbers("bytes"),
        ),
        rows=rows,
    )


def _published(run: RunRecord) -> tuple[Cell, ...]:
    """Replace the network of a run in the package; its row in the table."""
    folder = ZOO / WORDS[run.experiment.design]
    before = read_config(folder).training if folder.exists() else None
    if folder.exists():
        shutil.rmtree(folder)
    resatlas.save_pretrained(run.folder, folder, stored="fp16", licence=LICENCE)
    [tested] = evaluate([folder])
    outcome, config = run.outcome, read_config(folder)
    if before and before.test:
        change = outcome.test.error_percent - before.test.error_percent
        print(f"{folder.name}: {outcome.test.error_percent:.2f} % error, {change:+.2f} points", file=sys.stderr)
    return (
        f"{OWN}/{folder.name}",
        run.experiment.design,
        config.parameters,
        config.multiply_adds,
        outcome.test.error_percent,
        tested.values["error_percent"],
        sum(file.stat().st_size for file in folder.iterdir()),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
