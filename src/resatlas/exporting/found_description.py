"""The export.json of an exported detector or segmenter, as data. Needs no torch."""

from dataclasses import dataclass
from typing import Any, Literal

from resatlas.exporting.description import SCHEMA, Input
from resatlas.exporting.targets import Precision
from resatlas.values.codec import encode

Finds = Literal["boxes", "boxes and masks", "classes of pixels"]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """The largest differences of one kind of number, `of`, from float64: of torch in float32 and of the export.

    `bound` is 4·torch_fp32 + 1e-5 of the largest possible number, or of the largest logit.
    """

    of: str
    torch_fp32: float
    export: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Unpaired:
    """How many objects or pixels differ altogether from those of float64: of torch in float32 and of the export.

    An object differs if there is none of its class with nearly its box, score and mask on the other side, a pixel if
    its class is another. At most `accepted` of the export may: 4 times those of torch, and 1 in 1000 of all.
    """

    of: int
    torch_fp32: int
    export: int
    accepted: int


@dataclass(frozen=True, kw_only=True)
class FoundParity:
    """The comparison on some images: `boxes` in pixels, `scores` and, of masks, `masks`, each from 0 to 1; or `logits`.

    Differences are those of objects that have a partner; the others are in `unpaired`.
    """

    images: int
    source: str
    differences: tuple[Differences, ...]
    unpaired: Unpaired


@dataclass(frozen=True, kw_only=True)
class FoundDescription:
    """An exported detector or segmenter: its file with size and sha256, input, outputs, classes and checks.

    `classes` are in the order of the labels, of objects from 1 on, of pixels from 0 on. `mean` and `std` are those of
    the normalisation, one number per channel: x -> (x/255 - mean)/std.
    """

    finds: Finds
    format: str
    precision: Precision
    file: str
    sha256: str
    bytes: int
    weights_sha256: str
    epoch: int | None
    input: Input
    outputs: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    parity: FoundParity
    versions: dict[str, str]


def to_json(description: FoundDescription) -> dict[str, Any]:
    """The description as JSON values."""
    return {"schema": SCHEMA, **encode(description)}


def summary(parity: FoundParity) -> str:
    """The comparison in one sentence."""
    parts = [
        f"{own.of} by at most {own.export:.2g} (torch's float32: {own.torch_fp32:.2g}, accepted: {own.bound:.2g})"
        for own in parity.differences
    ]
    kind = "pixels" if parity.differences[0].of == "logits" else "objects"
    rest = parity.unpaired
    return (
        f"on {parity.images} images, {parity.source}, the export differs from float64 in {', '.join(parts)}; "
        f"{rest.export:,} of {rest.of:,} {kind} differ altogether (torch's float32: {rest.torch_fp32:,})"
    )
