"""Explain: the test images that a network is most wrong about, and where it looks in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from resatlas.analysis.answer import Answer, Fact
from resatlas.analysis.passage import unit_modules
from resatlas.analysis.subject import Subject, views_of
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

MOST = 12
"""Images, unless told otherwise."""

SMALLEST = 128
"""Pixels a side that a picture has at least."""

COLOUR = (213, 94, 0)
"""Of what counts for the class: vermilion, by Okabe and Ito."""


@dataclass(frozen=True, kw_only=True)
class WrongRow:
    """A wrong test image, as predictions.csv has it; the picture shows it beside what speaks for the wrong class."""

    image: str = of_unit("")
    true: str = of_unit("")
    predicted: str = of_unit("")
    picture: str = of_unit("")
    probability: float = of_unit("1")


def grad_cam(
    network: Network, images: Float[Tensor, "n c h w"], classes: Int64[Tensor, " n"]
) -> Float[Tensor, "n h w"]:
    """relu(sum over channels of a_c·A_c), a_c the mean of d(logit)/d(A_c), scaled to a maximum of 1 for each image.

    A is what the last unit puts out, all streams of it; the map is enlarged bilinearly to the image.
    Source: Selvaraju et al. (arXiv:1610.02391), section 3.
    """
    network.eval()
    with torch.no_grad():
        streams = network.begin(images)
        for module in unit_modules(network).values():
            streams = run_unit(module, streams)
    maps = tuple(each.detach().clone().requires_grad_() for each in streams)
    with torch.enable_grad():
        chosen = network.end(maps).gather(1, classes[:, None]).sum()
    gradients = torch.autograd.grad(chosen, maps)
    pairs = zip(gradients, maps, strict=True)
    heat = torch.stack([(grad.mean(dim=(2, 3), keepdim=True) * each.detach()).sum(dim=1) for grad, each in pairs])
    cam = F.relu(heat.sum(dim=0))
    large = F.interpolate(cam[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return large / large.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)


def most_wrong(guesses: Iterable[Guess], count: int) -> tuple[Guess, ...]:
    """The wrong predictions that were most probable to the network, the surest first."""
    wrong = (guess for guess in guesses if guess.true != guess.predicted)
    return tuple(sorted(wrong, key=lambda guess: -guess.probability)[:count])


def answer(subjects: Sequence[Subject], *, images: int | None, pictures: Path) -> Answer:
    """The most wrong test images of one run, each as a picture in dissections/explain of some folder.

    Raises: FolderError if the run has no predictions, or if an image is not in the test part; DataError if it cannot
        be read.
    """
    [subject] = subjects
    part, pipeline = subject.material.test, subject.material.pipeline
    if subject.run.predictions is None:
        raise FolderError(f"{subject.run.folder} has no {PREDICTIONS}; explain needs it")
    wrong = most_wrong(subject.run.predictions, images or MOST)
    rows: list[WrongRow] = []
    if wrong:
        places = _places(part, wrong, subject)
        shown = views_of(part.take(np.asarray(places)), pipeline, at_once=subject.at_once)
        named = torch.tensor([_class_of(subject, each.predicted) for each in wrong])
        chosen = named.split([len(batch.labels) for batch in shown])
        heats = torch.cat([grad_cam(subject.network, b.images, c) for b, c in zip(shown, chosen, strict=True)])
        root = pictures.parent.parent
        for folder in (pictures.parent, pictures):
            make_folder(folder, within=root)
        for number, (each, place, heat) in enumerate(zip(wrong, places, heats, strict=True), start=1):
            file = pictures / f"{number:02d}.png"
            write_bytes(file, drawn(_pixels(part, place, pipeline), heat), within=root)
            rows.append(WrongRow(**each._asdict(), picture=f"{pictures.name}/{file.name}"))
    return Answer(
        question="explain",
        title="the test images that it is most wrong about, and where it looks",
        runs=(subject.name,),
        images=f"{len(rows)} of {len(part):,} test images",
        facts=(Fact(name="surest_error", unit="probability", value=rows[0].probability if rows else None),),
        tables=(table("wrong, the surest first", WrongRow, rows),),
    )


def drawn(pixels: UInt8[Tensor, "c h w"], heat: Float[Tensor, "h w"]) -> bytes:
    """A PNG file of an image beside the same under its heat map."""
    from PIL import Image

    grey = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    scale = max(1, -(-SMALLEST // pixels.shape[1]))
    image = grey.float().repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    large = F.interpolate(heat.float()[None, None], scale_factor=scale, mode="bilinear", align_corners=False)[0]
    tinted = image + 0.7 * large * (torch.tensor(COLOUR, dtype=torch.float32)[:, None, None] - image)
    both = torch.cat([image, tinted], dim=2).clamp(0, 255).byte().permute(1, 2, 0)
    file = BytesIO()
    Image.fromarray(both.numpy()).save(file, format="PNG")
    return file.getvalue()


def _pixels(part: Part, place: int, pipeline: Pipeline) -> Tensor:
    return cropping(part, pipeline)(pixels_of(part, place), place)


def _places(part: Part, wrong: Sequence[Guess], subject: Subject) -> list[int]:
    """Where the images stand in the test part."""
    names = part.files if isinstance(part, ImageFiles) else [str(each) for each in part.ids.tolist()]
    known = {name: k for k, name in enumerate(names)}
    found = [known.get(each.image, known.get(each.image.removeprefix("'"))) for each in wrong]
    places = [place for place in found if place is not None]
    if len(places) < len(found):
        raise FolderError(f"{subject.run.folder / PREDICTIONS} names images that are not in the test part")
    return places


def _class_of(subject: Subject, name: str) -> int:
    classes = subject.run.classes
    if name not in classes:
        raise FolderError(f"{subject.run.folder / PREDICTIONS} names classes that {subject.name} has not learnt")
    return classes.index(name)
