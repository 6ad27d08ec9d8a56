"""Single images classified by a finished run, or by a saved network, as its test images were prepared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.data.listing import ENDINGS, below, is_directory, printable
from resatlas.errors import CheckpointError, DataError, FolderError, UsageError
from resatlas.exporting.config import CONFIG
from resatlas.runs.decoding import read_finished
from resatlas.runs.names import FIRST
from resatlas.studies.checks import check_plan
from resatlas.training.threads import computing, threads_for

if TYPE_CHECKING:  # a wrong folder is answered before torch is there
    from jaxtyping import UInt8
    from torch import Tensor

    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.nets.network import Network


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The likeliest classes of one image with their probabilities, or the reason why there are none."""

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A network, what its images go through, and the names of its classes."""

    network: "Network"
    by: "Preprocessing"
    classes: tuple[str, ...]


def predict(run: str | Path, images: Iterable[str | Path], *, top: int = 5) -> list[Predicted]:
    """The `top` likeliest classes of each image, or of each in a folder of images; unreadable ones have the reason.

    Raises: FolderError if `run` is the folder of no finished run and no saved network; UsageError, CheckpointError;
        DataError if there is no image, or none that can be read.
    """
    if top < 1:
        raise UsageError(f"--top is a number of classes from 1; {top} is not")
    predictor = _predictor(Path(run))
    with computing(threads_for(predictor.network.plan, images=1)):
        found = [_predicted(predictor, each, top) for each in listed(map(Path, images))]
    if not found:
        raise DataError(f"no image is given: the folders have none that ends in {', '.join(ENDINGS)}")
    if not any(each.classes for each in found):
        others = f"{len(found) - 1:,} other{'s' if len(found) > 2 else ''}"
        more = f"; nor can {others}" if len(found) > 1 else ""
        raise DataError(found[0].error + more)
    return found


def listed(images: Iterable[Path]) -> Iterator[Path]:
    """The images, those of a folder in the order of their bytes."""
    for each in images:
        if is_directory(each):
            yield from (each / found.name for found in below(each) if found.kind == "image")
        else:
            yield each


def _predictor(folder: Path) -> Predictor:
    if (folder / FIRST).is_file():
        return _of_run(folder)
    if (folder / CONFIG).is_file():
        return _of_saved(folder)
    reason = f"it has neither {FIRST} nor {CONFIG}" if folder.exists() else "it does not exist"
    raise FolderError(f"{folder} is neither a run folder nor a saved network: {reason}")


def _of_run(folder: Path) -> Predictor:
    run = read_finished(folder)
    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import trained

    check_plan(run)
    normaliser = normaliser_of(run)
    if normaliser is None:
        raise CheckpointError(f"{folder} does not say how it normalises images; no image can be shown to it")
    by = Preprocessing(image=run.plan.image, view=run.experiment.recipe.view, normaliser=normaliser)
    return Predictor(network=trained(run, run.experiment).eval(), by=by, classes=run.classes)


def _of_saved(folder: Path) -> Predictor:
    from resatlas.exporting.config import read_config
    from resatlas.exporting.loading import from_pretrained
    from resatlas.exporting.preprocessing import read_preprocessing

    config = read_config(folder)
    names = config.class_names or tuple(f"class {k}" for k in range(config.classes))
    return Predictor(network=from_pretrained(folder), by=read_preprocessing(folder), classes=names)


def _predicted(predictor: Predictor, file: Path, top: int) -> Predicted:
    """The answer to one file.

    Raises: UsageError if the network takes no photographs.
    """
    import torch

    from resatlas.data.photograph import decoded
    from resatlas.exporting.preprocessing import prepared

    try:
        pixels = torch.from_numpy(decoded(file))
    except DataError as error:
        return Predicted(image=printable(file), error=str(error))
    with torch.no_grad():
        logits = predictor.network(prepared(in_channels(pixels, predictor.by.image.channels), predictor.by)[None])
        probabilities, classes = logits.softmax(dim=1)[0].topk(min(top, logits.shape[1]))
    names = [predictor.classes[k] for k in classes.tolist()]
    return Predicted(image=printable(file), classes=tuple(zip(names, probabilities.tolist(), strict=True)))


def in_channels(pixels: "UInt8[Tensor, '3 h w']", channels: int) -> "UInt8[Tensor, 'c h w']":
    """The colours, or for a network of one channel their brightness, of grey the grey itself.

    Raises: UsageError for any other number of channels.
    Source: ITU-R BT.601, luma: 0.299 red + 0.587 green + 0.114 blue.
    """
    if channels == 3:
        return pixels
    if channels != 1:
        raise UsageError(f"the network takes images of {channels} channels; files of images have 3, or 1 as grey")
    red, green, blue = pixels.int()
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).byte()[None]
