"""A factorial study with planted effects, in the format of real runs, without training."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType

from resatlas.comparing.run_sets import RunSet
from resatlas.runs.collection import Cell, Collection, Factor, Question, write_collection
from resatlas.runs.store import Run
from tests.comparing.folders import IMAGES, Subject, write_run

FACTORS = (
    Factor(name="widths", minus="doubling", plus="pyramid"),
    Factor(name="streams", minus="one", plus="two"),
    Factor(name="unit", minus="post", plus="pre"),
)
CELLS: list[str] = ["".join("+" if level > 0 else "-" for level in cell) for cell in product((-1, 1), repeat=3)]
SUBJECT = Subject(family="resnet", depth=20)
SEEDS = (0, 1, 2)
DISTINCT = dict(
    zip(
        CELLS,
        (
            *("resnet:depth=20,base=8", "plain:depth=20,base=8", "preact-resnet:depth=20,base=8"),
            *("preact-resnet:depth=20,base=8,shortcut=B", "resnet:depth=20,base=8,shortcut=B"),
            *("resnet:depth=20,base=8,shortcut=C", "wide-resnet:depth=22,base=8,widen=1"),
            "wide-resnet:depth=22,base=8,widen=1,dropout=0.3",
        ),
        strict=True,
    )
)
"""A network for each cell, with multiply-adds within 6 % and parameters that do not follow from the factors."""


def misses(levels: str, seed: int) -> int:
    """Misclassified images: `widths` adds 40, `streams` x `unit` takes 30 away; the noise depends on cell and seed."""
    widths, streams, unit = (1 if level == "+" else -1 for level in levels)
    return 100 + 20 * widths - 15 * streams * unit + (7 * CELLS.index(levels) + 5 * seed) % 4


def write_factorial(folder: Path, *, designs: Mapping[str, str] = MappingProxyType({})) -> RunSet:
    """Eight cells of three blocks, all finished, below a folder with their study.json; `designs` are those of cells."""
    runs: dict[str, Run] = {}
    for levels in CELLS:
        for seed in SEEDS:
            name = f"{levels}-{seed}"
            wrong = [k < misses(levels, seed) for k in range(IMAGES)]
            runs[name] = write_run(folder / name, SUBJECT, seed=seed, wrong=wrong, design=designs.get(levels))
    cells = tuple(Cell(levels=c, seeds=SEEDS, runs=tuple(f"{c}-{seed}" for seed in SEEDS)) for c in CELLS)
    question = Question(name="f", title="Which part?", view="runs", runs=tuple(runs), factors=FACTORS, cells=cells)
    write_collection(folder, Collection(name="planted", questions=(question,)))
    return RunSet(question, tuple(run.record() for run in runs.values()), ())
