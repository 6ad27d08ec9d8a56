"""The export.json of an exported network, as data. Needs no torch."""

from dataclasses import dataclass
from typing import Any

from resatlas.exporting.targets import InputKind, Precision
from resatlas.values.codec import encode

SCHEMA = 1

EXPORT = "export.json"
SCRIPT = "predict.py"


@dataclass(frozen=True, kw_only=True)
class Input:
    """The input of the graph; `shape` has names where a size is free, and `free` lists them."""

    name: str
    type: str
    kind: InputKind
    shape: tuple[int | str, ...]
    free: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """The preparation of an image file: its shorter side becomes `shorter`, then its centre of `size` is cropped.

    `size` is (height, width). For normalised input, x -> (x/255 - mean)/std with one number per channel; for pixels
    the graph contains this, and `mean` and `std` are None where it is more than that.
    """

    size: tuple[int, int]
    shorter: int
    channels: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Largest differences of logits from float64: of torch in float32 and of the export, which `bound` limits.

    bound = 4·torch_fp32 + 1e-6·largest_logit. `top1_differs` is the number of images whose best class differs, which
    is allowed only where float64's two best logits differ by less than the bound.
    """

    images: int
    source: str
    largest_logit: float
    torch_fp32: float
    export: float
    bound: float
    top1_differs: int


@dataclass(frozen=True, kw_only=True)
class ErrorPercent:
    """Top-1 errors on the same images."""

    fp32: float
    int8: float


@dataclass(frozen=True, kw_only=True)
class Int8:
    """The answers of int8 against those of float32 on all test images.

    `lost` and `won` are the numbers of images that only float32, or only int8, classifies correctly; `points` is the
    additional error of int8 in percentage points, with its 95 % interval from `low` to `high`.
    """

    images: int
    calibrated_on: int
    error_percent: ErrorPercent
    lost: int
    won: int
    points: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """An exported network: its files with their size and sha256, input, preparation, classes and checks.

    `bytes` counts all files of the model, `sha256` is that of `file`; `further` has those of its other files. `epoch`
    is that of the training after which the network had these weights, None if unknown; `licence` is that of the
    weights, "" if nobody states one.
    """

    format: str
    precision: Precision
    file: str
    sha256: str
    bytes: int
    further: dict[str, str]
    weights_sha256: str
    epoch: int | None
    licence: str
    input: Input
    prepare: Prepare
    classes: tuple[str, ...]
    parity: Parity
    int8: Int8 | None
    versions: dict[str, str]


def to_json(description: Description) -> dict[str, Any]:
    """The description as JSON values."""
    return {"schema": SCHEMA, **encode(description)}
