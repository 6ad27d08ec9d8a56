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
    "se-resnet-20": "fashion-se-resnet-20",
}
"""The name of each network of zoo.toml in the package."""


def main(runs: Path) -> None:
    """Save the finished runs in half precision, name the others, and write the table of all networks in the package."""
    [question] = read_study(HERE / "zoo.toml").collection().questions
    for name in question.runs:
        if Run(runs / "zoo" / name).concluded:
            _publish(read_finished(runs / "zoo" / name))
        else:
            print(f"{name}: no finished run, nothing is replaced", file=sys.stderr)
    rows = tuple(_row(ZOO / name) for name in WORDS.values() if (ZOO / name).exists())
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


def _publish(run: RunRecord) -> None:
    """Replace the network of a run in the package, and say by how much its error differs."""
    folder = ZOO / WORDS[run.experiment.design]
    before = read_config(folder).training if folder.exists() else None
    if folder.exists():
        shutil.rmtree(folder)
    resatlas.save_pretrained(run.folder, folder, stored="fp16", licence=LICENCE)
    if before and before.test:
        error = run.outcome.test.error_percent
        print(f"{folder.name}: {error:.2f} % error, {error - before.test.error_percent:+.2f} points", file=sys.stderr)


def _row(folder: Path) -> tuple[Cell, ...]:
    """A network of the package, tested once as it is stored."""
    config, [tested] = read_config(folder), evaluate([folder])
    assert config.training is not None  # noqa: S101 - the package has networks of finished runs alone
    assert config.training.test is not None  # noqa: S101
    return (
        f"{OWN}/{folder.name}",
        config.design,
        config.parameters,
        config.multiply_adds,
        config.training.test.error_percent,
        tested.values["error_percent"],
        sum(file.stat().st_size for file in folder.iterdir()),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
