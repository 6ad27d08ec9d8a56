"""Classification of single images by a finished run or a saved network, with the preprocessing of its test images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.data.listing import ENDINGS, below, is_directory, printable
from resatlas.errors import CheckpointError, DataError, FolderError, UsageError
from resatlas.exporting.config import CONFIG
from resatlas.runs.decoding import read_finished
from resatlas.runs.names import FIRST
from resatlas.runs.record import Epoch
from resatlas.studies.checks import check_plan
from resatlas.training.threads import computing, threads_for

if TYPE_CHECKING:  # a wrong folder is reported before torch is imported
    from jaxtyping import UInt8
    from torch import Tensor

    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.nets.network import Network


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The most probable classes of one image with their probabilities, or the reason why there are none."""

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A network, the preprocessing of its images, and the names of its classes."""

    network: "Network"
    preprocessing: "Preprocessing"
    classes: tuple[str, ...]


def predict(run: str | Path, images: Iterable[str | Path], *, top: int = 5, of: Epoch = "last") -> list[Predicted]:
    """The `top` most probable classes of each image, or the reason why an image cannot be read.

    `images` are files, or folders whose images are all classified. `of` is the epoch of a run whose weights are used.
    Raises: FolderError if `run` is the folder of neither a finished run nor a saved network; UsageError,
        CheckpointError; DataError if there is no image, or none that can be read.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1; got {top}")
    predictor = _predictor(Path(run), of)
    with computing(threads_for(predictor.network.plan, images=1)):
        predicted = [_predicted(predictor, path, top) for path in image_paths(map(Path, images))]
    if not predicted:
        raise DataError(f"no images: the folders have no file that ends in {', '.join(ENDINGS)}")
    if not any(image.classes for image in predicted):
        others = f"{len(predicted) - 1:,} other{'s' if len(predicted) > 2 else ''}"
        more = f"; nor can {others}" if len(predicted) > 1 else ""
        raise DataError(predicted[0].error + more)
    return predicted


def image_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """The images of paths, in which a folder stands for its images, sorted by the bytes of their names."""
    for path in paths:
        if is_directory(path):
            yield from (path / entry.name for entry in below(path) if entry.kind == "image")
        else:
            yield path


def _predictor(folder: Path, of: Epoch) -> Predictor:
    if (folder / FIRST).is_file():
        return _of_run(folder, of)
    if (folder / CONFIG).is_file():
        if of == "best":
            raise UsageError(f"{folder} is a saved network, which has the weights of one epoch; leave out --of best")
        return _of_saved(folder)
    reason = f"it has neither {FIRST} nor {CONFIG}" if folder.exists() else "it does not exist"
    raise FolderError(f"{folder} is neither a run folder nor a saved network: {reason}")


def _of_run(folder: Path, of: Epoch) -> Predictor:
    run = read_finished(folder)
    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import trained

    check_plan(run)
    normaliser = normaliser_of(run)
    if normaliser is None:
        raise CheckpointError(f"{folder} has no record of its normalisation, so it cannot classify single images")
    preprocessing = Preprocessing(image=run.plan.image, view=run.experiment.recipe.view, normaliser=normaliser)
    network = trained(run, run.experiment, of).eval()
    return Predictor(network=network, preprocessing=preprocessing, classes=run.classes)


def _of_saved(folder: Path) -> Predictor:
    from resatlas.exporting.config import read_config
    from resatlas.exporting.loading import from_pretrained
    from resatlas.exporting.preprocessing import read_preprocessing

    config = read_config(folder)
    names = config.class_names or tuple(f"class {k}" for k in range(config.classes))
    return Predictor(network=from_pretrained(folder), preprocessing=read_preprocessing(folder), classes=names)


def _predicted(predictor: Predictor, file: Path, top: int) -> Predicted:
    """The prediction of one file.

    Raises: UsageError if the network takes images of neither one nor three channels.
    """
    import torch

    from resatlas.data.photograph import decoded
    from resatlas.exporting.preprocessing import prepared

    try:
        pixels = torch.from_numpy(decoded(file))
    except DataError as error:
        return Predicted(image=printable(file), error=str(error))
    preprocessing = predictor.preprocessing
    with torch.no_grad():
        logits = predictor.network(prepared(in_channels(pixels, preprocessing.image.channels), preprocessing)[None])
        probabilities, classes = logits.softmax(dim=1)[0].topk(min(top, logits.shape[1]))
    names = [predictor.classes[k] for k in classes.tolist()]
    return Predicted(image=printable(file), classes=tuple(zip(names, probabilities.tolist(), strict=True)))


def in_channels(pixels: "UInt8[Tensor, '3 h w']", channels: int) -> "UInt8[Tensor, 'c h w']":
    """RGB pixels for a network of three channels; their luma for a network of one.

    Raises: UsageError for any other number of channels.
    Source: ITU-R BT.601, luma: 0.299 red + 0.587 green + 0.114 blue.
    """
    if channels == 3:
        return pixels
    if channels != 1:
        raise UsageError(f"the network takes images of {channels} channels; image files have 3, or 1 (greyscale)")
    red, green, blue = pixels.int()
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).byte()[None]
