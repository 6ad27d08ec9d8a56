"""`resatlas predict`: what a trained network sees in single images."""

import argparse
from pathlib import Path
from typing import Any

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.errors import DataError
from resatlas.studies.predicting import Predicted, predict
from resatlas.values.table import Column, Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

OPTIONS: Requirements = {
    "--top": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run or of a saved network")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files, or folders of them")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many classes of each (default: 5)")


def run(options: argparse.Namespace) -> Outcome:
    """The likeliest classes of each image; exit code 3 if one cannot be read, while the others are answered."""
    found = predict(options.run, options.images, top=options.top)
    code = DataError.exit_code if any(each.error for each in found) else 0
    return Outcome([_data(each) for each in found], _table(found), exit_code=code)


def _data(found: Predicted) -> dict[str, Any]:
    if found.error:
        return {"image": found.image, "error": found.error}
    return {
        "image": found.image,
        "classes": [{"class": name, "probability": probability} for name, probability in found.classes],
    }


def _table(found: list[Predicted]) -> str:
    """A line a class of each image, then a line for each that cannot be read."""
    rows = tuple(
        (each.image if k == 0 else "", name, probability)
        for each in found
        for k, (name, probability) in enumerate(each.classes)
    )
    errors = [plain(each.error) for each in found if each.error]
    table = Table(columns=(*words("image", "class"), Column("probability", "1", ".4f")), rows=rows)
    return "\n".join([aligned(table), *errors])
