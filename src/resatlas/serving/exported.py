"""A server's classifier from an exported folder: the written model computes, and export.json says how images look."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Affine, normalised, unit
from resatlas.errors import CheckpointError, UsageError
from resatlas.exporting.description import Description
from resatlas.exporting.preprocessing import cropped, in_channels
from resatlas.exporting.reading import read_export
from resatlas.inference.engines.packages import check_packages
from resatlas.inference.engines.sessions import Session, onnxruntime_session, openvino_session
from resatlas.recipes.images import Centre
from resatlas.serving.classifier import Classifier, Logits, Reader
from resatlas.values.reading import content

_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
"""The formats that a server runs, and the packages that it needs for them."""

Prepare = Callable[[UInt8[Tensor, "3 h w"]], Tensor]
"""RGB pixels -> the input of the model for one image: pixels, or normalised images."""

_LARGEST = 1 << 31  # bytes of an ONNX file: the limit of its format


def exported_classifier(folder: Path, read: Reader, *, threads: int) -> Classifier:
    """The classifier of an export to ONNX or OpenVINO.

    Raises: UsageError for another format, or if packages are missing; FolderError, CheckpointError.
    """
    description = read_export(folder)
    name = description.format
    if name not in _PACKAGES:
        raise UsageError(f"{folder} is an export to {name}; a server runs exports to {' and '.join(_PACKAGES)}")
    extras = "export,openvino" if name == "openvino" else "export"
    check_packages(_PACKAGES[name], install=f"pip install resatlas[{extras}]", purpose=f"an export to {name}")
    session = _session(folder / description.file, name, threads)
    image = Shape(description.prepare.channels, *description.prepare.size)
    prepare, logits = _preparation(description, image), _logits(session, description)
    _check_fits(folder, description, prepare, logits)
    return Classifier(
        image=image,
        prepare=lambda body: prepare(read(body)),
        logits=logits,
        classes=description.classes,
        threads=threads,
        description={
            "export": name,
            "image": image._asdict(),
            "classes": list(description.classes),
            "precision": description.precision,
            "weights_sha256": description.weights_sha256,
            "licence": description.licence,
            "resatlas": description.versions.get("resatlas", ""),
        },
    )


def _session(file: Path, name: str, threads: int) -> Session:
    """A function that runs the model of a file.

    Raises: CheckpointError if the file is no model, or has weights in other files.
    """
    try:
        if name == "openvino":
            return openvino_session(file, threads=threads)
        model = content(file, most=_LARGEST)
        _check_alone(model, file)
        return onnxruntime_session(model, threads=threads)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except Exception as error:  # each library has errors of its own
        raise CheckpointError(f"{file} cannot be run: {str(error).splitlines()[0]}") from None


def _check_fits(folder: Path, description: Description, prepare: Prepare, logits: Logits) -> None:
    """Refuse a model that cannot take the images that export.json describes, or has not one logit per class.

    Raises: UsageError for images of neither one nor three channels; CheckpointError.
    """
    image = prepare(torch.zeros(3, *description.prepare.size, dtype=torch.uint8))
    try:
        outputs = logits(image[None]).shape
    except Exception as error:  # each library has errors of its own
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{folder}: the model does not take the images of export.json: {reason}") from None
    if outputs != (1, len(description.classes)):
        raise CheckpointError(
            f"{folder}: the model gives {tuple(outputs[1:])} values an image, but export.json has "
            f"{len(description.classes):,} classes"
        )


def _check_alone(model: bytes, file: Path) -> None:
    """Refuse a model whose weights are in other files: an ONNX file may name any path of the machine.

    Raises: CheckpointError
    """
    import onnx
    from onnx.external_data_helper import uses_external_data

    loaded = onnx.load_model_from_string(model)
    if any(uses_external_data(tensor) for tensor in loaded.graph.initializer):
        raise CheckpointError(f"{file} has weights in other files; resatlas export writes one file")


def _preparation(description: Description, image: Shape) -> Prepare:
    """The preparation that export.json describes.

    Raises: CheckpointError if it lacks the normalisation that the model needs.
    """
    prepare = description.prepare
    view = Centre(shorter=Fraction(prepare.shorter, image.height))

    def pixels_of(pixels: Tensor) -> Tensor:
        return cropped(in_channels(pixels, image.channels), image, view)

    if description.input.kind == "pixels":
        return pixels_of
    if prepare.mean is None or prepare.std is None:
        raise CheckpointError("export.json has a model of normalised images, but no mean and standard deviation")
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (prepare.mean, prepare.std))
    normaliser = Affine(mean=mean, std=std)
    return lambda pixels: normalised(unit(pixels_of(pixels))[None], normaliser)[0]


def _logits(session: Session, description: Description) -> Logits:
    """The logits of prepared images, one image at a time where the model has no free batch."""
    dtype = torch.uint8 if description.input.kind == "pixels" else torch.float32
    size = None if "batch" in description.input.free else 1

    def logits(images: Tensor) -> Tensor:
        parts = images.to(dtype).contiguous().split(size or len(images))
        return torch.cat([torch.from_numpy(session(part.numpy())) for part in parts])

    return logits
