"""What `resatlas predict` prints of the objects in images."""

import argparse
from typing import Any

from resatlas.cli.outcome import Outcome
from resatlas.errors import DataError, UsageError
from resatlas.studies.finding_in_images import InImage, find_in_images
from resatlas.values.table import Column, Table, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain


def found_outcome(options: argparse.Namespace) -> Outcome:
    """The objects of each image; exit code 3 if one cannot be read, after the others.

    Raises: UsageError for another engine than torch.
    """
    if options.engine != "torch":
        raise UsageError(f"--engine {options.engine} computes networks that classify images; objects need torch")
    images = find_in_images(
        options.run,
        options.images,
        top=options.top,
        score=options.score,
        of=options.of,
        draw=options.draw,
        protocol=options.protocol,
    )
    code = DataError.exit_code if any(image.error for image in images) else 0
    return Outcome([_data(image) for image in images], _table(images), exit_code=code)


def _data(image: InImage) -> dict[str, Any]:
    if image.error:
        return {"image": image.image, "error": image.error}
    objects = [
        {
            "class": one.label,
            "score": one.score,
            **({} if one.box is None else {"box": list(one.box)}),
            **({} if one.mask is None else {"segmentation": one.mask.segmentation()}),
        }
        for one in image.objects
    ]
    more = {name: words for name, words in (("drawn", image.drawn), ("note", image.note)) if words}
    return {"image": image.image, "objects": objects, **more}


def _table(images: list[InImage]) -> str:
    """One line for each object of each image, its corners in pixels; then what was drawn, notes, and what failed."""
    rows = tuple(
        (
            image.image if k == 0 else "",
            one.label,
            one.score,
            "" if one.box is None else " ".join(f"{side:.1f}" for side in one.box),
        )
        for image in images
        for k, one in enumerate(image.objects)
    )
    nothing = [plain(f"{image.image}: no object") for image in images if not image.objects and not image.error]
    drawn = [plain(f"{image.image}: drawn in {image.drawn}") for image in images if image.drawn]
    notes = [plain(f"{image.image}: {image.note}") for image in images if image.note]
    errors = [plain(image.error) for image in images if image.error]
    columns = (*words("image", "class"), Column("score", "1", ".4f"), *words("x0 y0 x1 y1"))
    return "\n".join([aligned(Table(columns=columns, rows=rows)), *nothing, *drawn, *notes, *errors])
