"""Explain: the most confident errors of a network on test images, with Grad-CAM heat maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from resatlas.analysis.probed_run import ProbedRun, views_of
from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.analysis.surgery import unit_modules
from resatlas.data.dataset import ImageFiles, Part
from resatlas.data.loading import cropping, pixels_of
from resatlas.data.pipeline import Pipeline
from resatlas.errors import FolderError
from resatlas.nets.network import Network
from resatlas.nets.streams import run_unit
from resatlas.runs.files import make_folder, write_bytes
from resatlas.runs.names import PREDICTIONS
from resatlas.runs.record import Guess
from resatlas.values.table import of_unit, table

_MOST = 12
"""Default number of images."""

_SMALLEST = 128
"""Least height of a picture in pixels."""

_COLOUR = (213, 94, 0)
"""Colour of the heat map: vermilion from the palette of Okabe and Ito."""


@dataclass(frozen=True, kw_only=True)
class WrongRow:
    """A misclassified test image, from predictions.csv; the picture shows it beside the heat map of the wrong class."""

    image: str = of_unit("")
    true: str = of_unit("")
    predicted: str = of_unit("")
    picture: str = of_unit("")
    probability: float = of_unit("1")


def grad_cam(
    network: Network, images: Float[Tensor, "n c h w"], classes: Int64[Tensor, " n"]
) -> Float[Tensor, "n h w"]:
    """relu(sum over channels of a_c·A_c), a_c the mean of d(logit)/d(A_c), scaled to a maximum of 1 for each image.

    A is the output of the last unit, summed over streams; the map is resized bilinearly to the image.
    Source: Selvaraju et al. (arXiv:1610.02391), section 3.
    """
    network.eval()
    with torch.no_grad():
        streams = network.begin(images)
        for module in unit_modules(network).values():
            streams = run_unit(module, streams)
    maps = tuple(stream.detach().clone().requires_grad_() for stream in streams)
    with torch.enable_grad():
        logit_sum = network.end(maps).gather(1, classes[:, None]).sum()
    gradients = torch.autograd.grad(logit_sum, maps)
    pairs = zip(gradients, maps, strict=True)
    heat = torch.stack([(grad.mean(dim=(2, 3), keepdim=True) * a.detach()).sum(dim=1) for grad, a in pairs])
    cam = F.relu(heat.sum(dim=0))
    large = F.interpolate(cam[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return large / large.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)


def most_wrong(guesses: Iterable[Guess], count: int) -> tuple[Guess, ...]:
    """The misclassified images of the highest confidence, in decreasing order of confidence."""
    wrong = (guess for guess in guesses if guess.true != guess.predicted)
    return tuple(sorted(wrong, key=lambda guess: -guess.probability)[:count])


def probe(runs: Sequence[ProbedRun], *, images: int | None, pictures: Path) -> ProbeResult:
    """The most confident errors of one run, each with a picture in the folder `pictures`.

    Raises: FolderError if the run has no predictions, or if an image is not in the test set; DataError if an image
        cannot be read.
    """
    [run] = runs
    part, pipeline = run.splits.test, run.splits.pipeline
    if run.record.predictions is None:
        raise FolderError(f"{run.record.folder} has no {PREDICTIONS}; explain needs this file")
    wrong = most_wrong(run.record.predictions, images or _MOST)
    rows: list[WrongRow] = []
    if wrong:
        places = _places(part, wrong, run)
        batches = views_of(part.take(np.asarray(places)), pipeline, batch_size=run.batch_size)
        predicted = torch.tensor([_class_of(run, guess.predicted) for guess in wrong])
        classes = predicted.split([len(batch.labels) for batch in batches])
        heats = torch.cat([grad_cam(run.network, b.images, c) for b, c in zip(batches, classes, strict=True)])
        root = pictures.parent.parent
        for folder in (pictures.parent, pictures):
            make_folder(folder, within=root)
        for number, (guess, place, heat) in enumerate(zip(wrong, places, heats, strict=True), start=1):
            file = pictures / f"{number:02d}.png"
            write_bytes(file, heat_map_png(_pixels(part, place, pipeline), heat), within=root)
            rows.append(WrongRow(**guess._asdict(), picture=f"{pictures.name}/{file.name}"))
    return ProbeResult(
        question="explain",
        title="most confident errors on test images",
        runs=(run.name,),
        images=f"{len(rows)} of {len(part):,} test images",
        facts=(
            Fact(
                name="highest_confidence_of_an_error", unit="probability", value=rows[0].probability if rows else None
            ),
        ),
        tables=(table("misclassified images, the most confident first", WrongRow, rows),),
    )


def heat_map_png(pixels: UInt8[Tensor, "c h w"], heat: Float[Tensor, "h w"]) -> bytes:
    """A PNG file with the image on the left, and the image under its heat map on the right."""
    from PIL import Image

    grey = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    scale = max(1, -(-_SMALLEST // pixels.shape[1]))
    image = grey.float().repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    large = F.interpolate(heat.float()[None, None], scale_factor=scale, mode="bilinear", align_corners=False)[0]
    tinted = image + 0.7 * large * (torch.tensor(_COLOUR, dtype=torch.float32)[:, None, None] - image)
    both = torch.cat([image, tinted], dim=2).clamp(0, 255).byte().permute(1, 2, 0)
    file = BytesIO()
    Image.fromarray(both.numpy()).save(file, format="PNG")
    return file.getvalue()


def _pixels(part: Part, place: int, pipeline: Pipeline) -> Tensor:
    return cropping(part, pipeline)(pixels_of(part, place), place)


def _places(part: Part, wrong: Sequence[Guess], run: ProbedRun) -> list[int]:
    """The positions of the images in the test set."""
    names = part.files if isinstance(part, ImageFiles) else [str(number) for number in part.ids.tolist()]
    positions = {name: k for k, name in enumerate(names)}
    # predictions.csv has a ' before names that a spreadsheet would take for formulas
    places = [positions.get(guess.image, positions.get(guess.image.removeprefix("'"))) for guess in wrong]
    known = [place for place in places if place is not None]
    if len(known) < len(places):
        raise FolderError(f"{run.record.folder / PREDICTIONS} names images that are not in the test set")
    return known


def _class_of(run: ProbedRun, name: str) -> int:
    classes = run.record.classes
    if name not in classes:
        raise FolderError(f"{run.record.folder / PREDICTIONS} names classes that {run.name} was not trained on")
    return classes.index(name)
