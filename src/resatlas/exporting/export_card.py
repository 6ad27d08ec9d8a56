"""The README.md of an exported network. Needs no torch."""

from collections.abc import Iterator

from resatlas.arch.ops import Shape
from resatlas.exporting.description import SCRIPT, Description
from resatlas.exporting.facts import from_files
from resatlas.values.markdown import as_text

_ENGINES = {"onnx": "onnxruntime", "openvino": "openvino", "torch-export": "torch", "executorch": "executorch"}


def export_card(description: Description, *, name: str) -> str:
    """Files, input, preparation and checks of an export, for whoever receives the folder."""
    return "\n\n".join(_parts(description, name)) + "\n"


def _parts(description: Description, name: str) -> Iterator[str]:
    parity = description.parity
    yield f"# {as_text(name)}, exported to {description.format} ({description.precision})"
    yield from _page(description) if description.format == "page" else _model(description)
    yield "## Checks"
    yield (
        f"Logits were compared with the network in float64 on {parity.images} images ({as_text(parity.source)}). They "
        f"differ by at most {parity.export:.2g}; torch's own float32 differs by {parity.torch_fp32:.2g}, and "
        f"{parity.bound:.2g} is the accepted bound. The largest logit is {parity.largest_logit:.3g}. The best class "
        f"differs for {parity.top1_differs} images."
    )
    if description.precision == "fp16":
        yield "The weights are rounded to half precision; the comparison is with the rounded weights."
    if description.int8:
        int8 = description.int8
        yield (
            "This comparison is of the graph before its conversion to 8 bits. After it, on all "
            f"{int8.images:,} test images, the error is {int8.error_percent.int8:.2f} % "
            f"(float32: {int8.error_percent.fp32:.2f} %): {int8.lost} answers were lost and {int8.won} won, "
            f"{int8.points:+.2f} percentage points, 95 % interval {int8.low:+.2f} to {int8.high:+.2f}. The ranges were "
            f"determined on {int8.calibrated_on} training images."
        )
    trained = f", after epoch {description.epoch} of their training" if description.epoch else ""
    licence = as_text(description.licence) or "unknown; ask the network's author"
    yield f"Weights: sha256 `{description.weights_sha256}`{trained}. Their licence: {licence}."


def _page(description: Description) -> Iterator[str]:
    yield (
        f"`{description.file}` opens in a browser, from disk and without a network: choose, drop or photograph a "
        f"picture, and it names the most probable of {len(description.classes):,} classes."
    )


def _model(description: Description) -> Iterator[str]:
    given, prepare = description.input, description.prepare
    shape = " x ".join(map(str, given.shape))
    engine = _ENGINES[description.format]
    yield (
        f"`{description.file}` takes `{given.name}`, {given.type} of shape {shape}, and returns one logit for each of "
        f"{len(description.classes):,} classes, whose names are in `export.json`."
    )
    if given.kind == "pixels":
        yield "The input are pixels from 0 to 255 in the order red, green, blue, or grey; the graph normalises them."
    else:
        yield f"The input are normalised images, (x/255 - mean)/std: mean {prepare.mean}, std {prepare.std}."
    yield (
        f"{from_files(Shape(prepare.channels, *prepare.size), prepare.shorter, interpolation='bilinear')} "
        f"`{SCRIPT}` does this:"
    )
    yield f"```sh\npip install numpy pillow {engine}\npython {SCRIPT} photo.png\n```"
