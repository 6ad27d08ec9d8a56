"""Classification of single images by a trained network, with the preprocessing of its test images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.data.listing import ENDINGS, below, is_directory, printable
from resatlas.errors import DataError, UsageError
from resatlas.inference.engines.packages import Engine, check_engine
from resatlas.runs.record import Epoch
from resatlas.studies.predictors import Predictor, predictor_of
from resatlas.training.threads import computing, threads_for
from resatlas.values.progress import Progress, silent
from resatlas.weights.obtaining import Access

if TYPE_CHECKING:  # a wrong folder is reported before torch is imported
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The most probable classes of one image with their probabilities, or the reason why there are none."""

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ""


def predict(
    run: str | Path,
    images: Iterable[str | Path],
    *,
    top: int = 5,
    of: Epoch = "last",
    engine: Engine = "torch",
    access: Access = "online",
    progress: Progress = silent,
) -> list[Predicted]:
    """The `top` most probable classes of each image, or the reason why an image cannot be read.

    `run` is the folder of a finished run or of a saved network, or a WORD for published weights, which are downloaded
    unless `access` is "offline". `images` are files, or folders whose images are all classified. `of` is the epoch of
    a run whose weights are used, `engine` the library that computes.
    Raises: FolderError if `run` is none of these; UnknownName, CheckpointError; UsageError, also if the engine is not
        installed; DataError if there is no image, or none that can be read.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1; got {top}")
    chosen = check_engine(engine)
    predictor = predictor_of(run, of=of, access=access, progress=progress)
    from resatlas.inference.engines.network import run_by

    with computing(threads_for(predictor.network.plan, images=1)):
        network = run_by(chosen, predictor.network, free="none")
        predicted = [_predicted(network, predictor, path, top) for path in image_paths(map(Path, images))]
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


def _predicted(network: "nn.Module", predictor: Predictor, file: Path, top: int) -> Predicted:
    """The prediction of one file.

    Raises: UsageError if the network takes images of neither one nor three channels.
    """
    import torch

    from resatlas.data.photograph import decoded
    from resatlas.exporting.preprocessing import network_input

    try:
        pixels = torch.from_numpy(decoded(file))
    except DataError as error:
        return Predicted(image=printable(file), error=str(error))
    with torch.no_grad():
        logits = network(network_input(pixels, predictor.preprocessing)[None])
        probabilities, classes = logits.softmax(dim=1)[0].topk(min(top, logits.shape[1]))
    names = [predictor.classes[k] for k in classes.tolist()]
    return Predicted(image=printable(file), classes=tuple(zip(names, probabilities.tolist(), strict=True)))
