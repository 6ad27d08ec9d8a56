"""`resatlas predict`: what a trained network says of single images: their classes, or the objects in them."""

import argparse
from pathlib import Path
from typing import Any, get_args

from resatlas.cli.display import meter
from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.offline import RUN_HELP, access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.predict_found import found_outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.errors import DataError, UsageError
from resatlas.inference.engines.packages import Engine
from resatlas.studies.finders import finds_objects
from resatlas.studies.predicting import Predicted, predict
from resatlas.values.table import Column, Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

OPTIONS: Requirements = {
    "--top": ALWAYS,
    "--score": ALWAYS,
    "--draw": ALWAYS,
    "--protocol": ALWAYS,
    "--of": ALWAYS,
    "--offline": ALWAYS,
    "--engine": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("run", type=Path, metavar="RUN|FOLDER|WORD", help=RUN_HELP)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image file, or folder of images")
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="N",
        help="how many classes, or objects, to print for each image (default: 5)",
    )
    parser.add_argument(
        "--score",
        type=float,
        metavar="X",
        help="least score of an object, from 0 to 1, to print and draw it (default: the recipe's, mostly 0.05)",
    )
    parser.add_argument(
        "--draw", type=Path, metavar="DIR", help="draw the objects on copies of the images in DIR (default: none)"
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="views of an image in which objects are looked for, as in evaluate: centre, flips, multi-scale or refined "
        "(default: centre, the image as it is)",
    )
    epoch_option(parser)
    offline_option(parser)
    parser.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="torch",
        help="library that computes: torch, onnxruntime or openvino, in float32 (default: torch)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """The most probable classes of each image; exit code 3 if one cannot be read, after the others."""
    if finds_objects(options.run):
        return found_outcome(options)
    if any(getattr(options, name) is not None for name in ("draw", "score", "protocol")):
        raise UsageError(
            f"--draw, --score and --protocol are for networks that find objects; {options.run} classifies images"
        )
    with meter("bytes", quiet=options.quiet) as progress:
        images = predict(
            options.run,
            options.images,
            top=options.top,
            of=options.of,
            engine=options.engine,
            access=access(options),
            progress=progress,
        )
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
