"""The folder of an exported detector or segmenter: written as a draft, checked, and renamed only if all checks hold."""

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from resatlas import __version__
from resatlas.arch.ops import Shape
from resatlas.data.boxes import AnnotatedImages
from resatlas.data.normalisation import Affine, normalised, unit
from resatlas.errors import UsageError
from resatlas.exporting import standalone, standalone_found
from resatlas.exporting.config import CARD
from resatlas.exporting.description import EXPORT, SCRIPT, Input
from resatlas.exporting.drafts import drafting
from resatlas.exporting.found_config import kind_found
from resatlas.exporting.found_description import Finds, FoundDescription, FoundParity, summary, to_json
from resatlas.exporting.found_graph import FoundGraph
from resatlas.exporting.found_parity import Outputs, found_parity
from resatlas.exporting.images import Pixels, noise
from resatlas.exporting.parity import LARGER, grown
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.graph import INPUT, OUTPUT, onnx_along, onnx_bytes, traced_along
from resatlas.inference.engines.sessions import onnxruntime_outputs
from resatlas.nets.detector import Detector
from resatlas.nets.segmenter import Segmenter
from resatlas.recipes.detection import Resized
from resatlas.runs.environment import installed_version
from resatlas.runs.files import sha256_of, write_bytes, write_json, write_text
from resatlas.values.markdown import as_text

_UNSTATED = "unknown; ask the network's author"

_IMAGES = 16
"""Images of the comparison, which takes seconds for each photograph in float64."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundSubject:
    """A trained detector or segmenter, and test images of its data if they are at hand; else `source` says why not."""

    name: str
    module: Detector | Segmenter
    normaliser: Affine
    classes: tuple[str, ...]
    images: AnnotatedImages | None
    source: str
    epoch: int | None
    licence: str = ""

    @property
    def finds(self) -> Finds:
        """What the graph returns."""
        return kind_found(self.module.task)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        boxes = ("boxes", "labels", "scores")
        return {"classes of pixels": (OUTPUT,), "boxes": boxes, "boxes and masks": (*boxes, "masks")}[self.finds]

    @property
    def image(self) -> Shape:
        """The usual size of the images."""
        return self.module.network.plan.image


def check_found(subject: FoundSubject, options: ExportOptions) -> None:
    """Refuse what a graph of a detector or segmenter cannot be.

    Raises: UsageError
    """
    if options.to != "onnx" or options.precision != "fp32":
        raise UsageError(
            f"{subject.name} finds {subject.finds}, which are exported by --to onnx --precision fp32 alone; got "
            f"--to {options.to} --precision {options.precision}"
        )
    if isinstance(subject.module, Detector):
        if options.dynamic == "batch":
            raise UsageError("a detector is exported for one image at a time: use --dynamic size or none")
        if isinstance(subject.module.task.sides, Resized) and options.dynamic != "none":
            raise UsageError(
                f"{subject.name} resizes its images itself (task.sides=resized), which a graph does for one size: use "
                f"--dynamic none, for images of {subject.image.width} x {subject.image.height} pixels"
            )
    if max(subject.normaliser.mean[0].numel(), subject.normaliser.std[0].numel()) > 1:
        raise UsageError(f"images of {subject.name} are normalised with one number per pixel, which fits one size")


def write_found_export(subject: FoundSubject, options: ExportOptions, out: Path) -> FoundDescription:
    """Write model.onnx, export.json, predict.py and README.md as a new folder.

    Raises: UsageError if network and options do not fit; ExportError if the export finds something else; FolderError if
        the folder cannot be written. After an error the folder does not exist.
    """
    check_found(subject, options)
    file = TARGETS["onnx"].file
    axes = _axes(subject, options)
    with drafting(out) as draft:
        write_bytes(draft / file, _model(subject, options, axes))
        parity = _compared(subject, options, draft / file, fixed=2 not in axes)
        mean, std = (tensor.flatten().tolist() for tensor in (subject.normaliser.mean, subject.normaliser.std))
        sizes = (1, *subject.image)
        tensors = {path: tensor.detach().contiguous() for path, tensor in subject.module.state_dict().items()}
        description = FoundDescription(
            finds=subject.finds,
            format=options.to,
            precision=options.precision,
            file=file,
            sha256=sha256_of(draft / file),
            bytes=(draft / file).stat().st_size,
            weights_sha256=hashlib.sha256(save(tensors)).hexdigest(),
            epoch=subject.epoch,
            input=Input(
                name=INPUT,
                type="uint8" if options.input == "pixels" else "float32",
                kind=options.input,
                shape=tuple(axes.get(axis, size) for axis, size in enumerate(sizes)),
                free=tuple(axes.values()),
            ),
            outputs=subject.outputs,
            mean=tuple(mean),
            std=tuple(std),
            classes=subject.classes,
            parity=parity,
            versions={
                "resatlas": __version__,
                **{name: installed_version(name) or "" for name in ("torch", "torchvision", *options.packages)},
            },
        )
        write_json(draft / EXPORT, to_json(description))
        write_text(draft / SCRIPT, _script())
        write_text(draft / CARD, _card(description, subject))
    return description


def _axes(subject: FoundSubject, options: ExportOptions) -> dict[int, str]:
    """The free axes: height and width by default, and the number of images if it can be."""
    images = {0: "batch"} if isinstance(subject.module, Segmenter) else {}
    match options.dynamic:
        case "none":
            return {}
        case "batch":
            return images
        case _:
            return {**images, 2: "height", 3: "width"}


def _model(subject: FoundSubject, options: ExportOptions, axes: dict[int, str]) -> bytes:
    graph = FoundGraph(subject.module, subject.normaliser, options.input)
    dtype = torch.uint8 if options.input == "pixels" else torch.float32
    example = torch.zeros(2 if 0 in axes else 1, *subject.image, dtype=dtype)
    program = traced_along(graph, example, axes=axes)
    sizes = {axis: name for axis, name in axes.items() if axis != 1}
    objects = {0: "objects"}
    each = {OUTPUT: sizes, "masks": objects | {axis: name for axis, name in sizes.items() if axis > 1}}
    outputs = {name: each.get(name, objects) for name in subject.outputs}
    return onnx_bytes(onnx_along(program, axes=axes, outputs=outputs))


def _compared(subject: FoundSubject, options: ExportOptions, file: Path, *, fixed: bool) -> FoundParity:
    """The comparison on test images; also on larger ones, unless the graph has a fixed size."""
    session = onnxruntime_outputs(file, threads=torch.get_num_threads())

    def export(pixels: Pixels) -> Outputs:
        images = pixels if options.input == "pixels" else normalised(unit(pixels), subject.normaliser)
        return tuple(map(torch.from_numpy, session(images.numpy())))

    images = list(_images(subject, fixed=fixed))
    if not fixed:
        images += [grown(images[0], *more) for more in LARGER[1:]]
    return found_parity(subject.module, subject.normaliser, export, images, source=subject.source)


def _images(subject: FoundSubject, *, fixed: bool) -> Iterator[Pixels]:
    """Test images, evenly spaced, or random pixels; of the usual size if the graph has one."""
    _, height, width = subject.image
    part = subject.images
    if part is None or not len(part):
        yield from noise(subject.image)[:_IMAGES].split(1)
        return
    count = min(_IMAGES, len(part))
    for k in range(count):
        pixels = torch.from_numpy(part.read(k * len(part) // count)).permute(2, 0, 1)[None].contiguous()
        if fixed:
            whole = torch.zeros(1, *subject.image, dtype=torch.uint8)
            cut = pixels[:, :, :height, :width]
            whole[:, :, : cut.shape[2], : cut.shape[3]] = cut
            pixels = whole
        yield pixels


def _script() -> str:
    """The program for image files, with the function that reads them, which a program for classes has too."""
    text = Path(standalone_found.__file__).read_text(encoding="utf-8")
    text = text.replace(f"from {standalone.__name__} import read_image\n", "from PIL import Image, ImageOps\n")
    marker = "def prepare("
    head, rest = text.split(marker)
    return f"{head}{inspect.getsource(standalone.read_image)}\n\n{marker}{rest}"


def _card(description: FoundDescription, subject: FoundSubject) -> str:
    given = description.input
    shape = " x ".join(map(str, given.shape))
    kind = "pixels from 0 to 255" if given.kind == "pixels" else f"(x/255 - {description.mean})/{description.std}"
    returns = {
        "classes of pixels": "`logits`, one per class and pixel",
        "boxes": "`boxes` (x0, y0, x1, y1 in pixels), `labels` (from 1 on) and `scores`, the highest first",
        "boxes and masks": "`boxes` (x0, y0, x1, y1 in pixels), `labels` (from 1 on), `scores`, the highest first, and "
        "`masks` from 0 to 1",
    }[description.finds]
    parts = [
        f"# {as_text(subject.name)}, exported to {description.format} ({description.precision})",
        f"`{description.file}` takes `{given.name}`, {given.type} of shape {shape}: {kind}. It "
        f"returns {returns}. The names of the {len(description.classes):,} classes are in `export.json`.",
        "```sh\npip install numpy pillow onnxruntime\npython predict.py photo.png\n```",
        f"## Checks\n\n{as_text(summary(description.parity))}.",
        f"Weights: sha256 `{description.weights_sha256}`. Their licence: {as_text(subject.licence or _UNSTATED)}.",
    ]
    return "\n\n".join(parts) + "\n"
