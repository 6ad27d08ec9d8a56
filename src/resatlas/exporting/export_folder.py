"""The folder of an exported network: written as a draft, checked, and renamed only if every check holds."""

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import torch

from resatlas import __version__
from resatlas.arch.ops import Shape
from resatlas.data.normalisation import Affine, Normaliser
from resatlas.exporting import standalone
from resatlas.exporting.config import CARD
from resatlas.exporting.description import EXPORT, SCRIPT, Description, Input, Int8, Parity, Prepare, to_json
from resatlas.exporting.drafts import drafting
from resatlas.exporting.export_card import export_card
from resatlas.exporting.images import noise
from resatlas.exporting.onnx_target import graph_of
from resatlas.exporting.page.runtime import PACKAGE, VERSION
from resatlas.exporting.parity import parity
from resatlas.exporting.quantising import learnt_images, measured
from resatlas.exporting.subject import Subject, check_representable
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.engines.graph import FREE_AXES, INPUT, onnx_bytes
from resatlas.inference.engines.sessions import Session, onnxruntime_session
from resatlas.runs.environment import installed_version
from resatlas.runs.files import sha256_of, write_json, write_text


class Writer(Protocol):
    """A module that writes one format."""

    def write(self, subject: Subject, options: ExportOptions, folder: Path) -> Session:
        """Write the model into an empty folder, and return a function that runs the written file."""
        ...


def write_export(subject: Subject, options: ExportOptions, out: Path) -> Description:
    """Write the model, export.json, predict.py (a page needs none) and README.md as a new folder.

    Raises: UsageError if format, network and options do not fit; ExportError if the export computes something else;
        FolderError if the folder cannot be written. After an error the folder does not exist.
    """
    check_representable(subject, options)
    if options.precision == "int8":
        learnt_images(subject)
    with drafting(out) as draft:
        compared, int8 = _checked(subject, options, draft)
        description = _description(subject, options, draft, compared, int8)
        write_json(draft / EXPORT, to_json(description))
        if options.target.script == SCRIPT:
            write_text(draft / SCRIPT, Path(standalone.__file__).read_text(encoding="utf-8"))
        write_text(draft / CARD, export_card(description, name=subject.name))
    return description


def _checked(subject: Subject, options: ExportOptions, draft: Path) -> tuple[Parity, Int8 | None]:
    """Write the model and check it; for int8, parity is that of the same graph in float32."""
    pixels = subject.images.parity() if subject.images else noise(subject.network.plan.image)
    source = subject.images.source if subject.images else f"random pixels: {subject.note}"
    session = cast("Writer", import_module(options.target.module)).write(subject, options, draft)
    if options.precision != "int8":
        return parity(subject, options, session, pixels, source=source), None
    floats = replace(options, precision="fp32")
    content = onnx_bytes(graph_of(subject, floats))
    float_session = onnxruntime_session(content, threads=torch.get_num_threads())
    compared = parity(subject, floats, float_session, pixels, source=source)
    return compared, measured(subject, options, float_session, session)


def _description(
    subject: Subject, options: ExportOptions, draft: Path, compared: Parity, int8: Int8 | None
) -> Description:
    file = options.target.file
    files = sorted(draft.iterdir())
    return Description(
        format=options.to,
        precision=options.precision,
        file=file,
        sha256=sha256_of(draft / file),
        bytes=sum(path.stat().st_size for path in files),
        further={path.name: sha256_of(path) for path in files if path.name != file},
        weights_sha256=subject.weights_sha256,
        epoch=subject.epoch,
        licence=subject.licence,
        input=_input(subject.network.plan.image, options),
        prepare=_prepare(subject),
        classes=subject.classes,
        parity=compared,
        int8=int8,
        versions={
            "resatlas": __version__,
            **{name: installed_version(name) or "" for name in ("torch", *options.packages)},
            **({} if options.runtime is None else {PACKAGE: VERSION}),
        },
    )


def _input(image: Shape, options: ExportOptions) -> Input:
    axes = FREE_AXES[options.free]
    sizes = (1, *image)
    return Input(
        name=INPUT,
        type="uint8" if options.input == "pixels" else "float32",
        kind=options.input,
        shape=tuple(axes.get(axis, size) for axis, size in enumerate(sizes)),
        free=tuple(axes.values()),
    )


def _prepare(subject: Subject) -> Prepare:
    image, view = subject.network.plan.image, subject.preprocessing.view
    mean, std = _per_channel(subject.preprocessing.normaliser, image.channels)
    return Prepare(
        size=(image.height, image.width),
        shorter=math.floor(view.shorter * image.height + 0.5),
        channels=image.channels,
        mean=mean,
        std=std,
    )


def _per_channel(
    normaliser: Normaliser, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | tuple[None, None]:
    """Mean and standard deviation of each channel; None if the normalisation is more than that."""
    if not isinstance(normaliser, Affine) or normaliser.mean[0].numel() > 1 or normaliser.std[0].numel() > 1:
        return None, None
    mean, std = (tuple(tensor.expand(channels, 1, 1).flatten().tolist()) for tensor in vars(normaliser).values())
    return mean, std
