"""`resatlas predict`: classify single images with a trained network."""

import argparse
from pathlib import Path
from typing import Any

from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.errors import DataError
from resatlas.studies.predicting import Predicted, predict
from resatlas.values.table import Column, Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

OPTIONS: Requirements = {
    "--top": ALWAYS,
    "--of": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run or of a saved network")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file, or folder of images")
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="how many classes to print for each image (default: 5)"
    )
    epoch_option(parser)


def run(options: argparse.Namespace) -> Outcome:
    """The most probable classes of each image; exit code 3 if one cannot be read, after the others."""
    images = predict(options.run, options.images, top=options.top, of=options.of)
    code = DataError.exit_code if any(image.error for image in images) else 0
    return Outcome([_data(image) for image in images], _table(images), exit_code=code)


def _data(image: Predicted) -> dict[str, Any]:
    if image.error:
        return {"image": image.image, "error": image.error}
    return {
        "image": image.image,
        "classes": [{"class": name, "probability": probability} for name, probability in image.classes],
    }


def _table(images: list[Predicted]) -> str:
    """One line for each class of each image, then one for each image that cannot be read."""
    rows = tuple(
        (image.image if k == 0 else "", name, probability)
        for image in images
        for k, (name, probability) in enumerate(image.classes)
    )
    errors = [plain(image.error) for image in images if image.error]
    table = Table(columns=(*words("image", "class"), Column("probability", "1", ".4f")), rows=rows)
    return "\n".join([aligned(table), *errors])
