"""Images per second of detection: our detector with a folded body against torchvision's `fasterrcnn_resnet50_fpn`.

Both have the same weights, sizes, anchors, numbers of proposals and boxes. All contenders take turns in one
process of all threads, under torch.inference_mode, with the same photograph in memory.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, fasterrcnn_resnet50_fpn

from resatlas.analysis.probes import Fact
from resatlas.arch.ops import Shape
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.inference import precisions_here
from resatlas.bench.rows import Measured
from resatlas.bench.stopwatch import alternate, ratio, spread
from resatlas.errors import UsageError
from resatlas.inference.detecting import for_detection
from resatlas.nets.detector import Detector
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import Detect, Resized
from resatlas.runs.environment import installed_version
from resatlas.values.table import Cell, Column, Table, words
from resatlas.weights.conversion import load_weights

DESIGN = "resnet-50-v1.5"
CLASSES = 90

PHOTOGRAPH = (480, 640)
"""Height and width of an image before it is resized, as most of COCO's."""

_RECIPE = "torchvision-fpn"
_ROUNDS = 7
_BATCH = 1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_RATIOS = ("over_default", "over_tuned")

COLUMNS = (
    *words("design", "precision"),
    Column("batch", "images"),
    Column("images_per_second", "images/s"),
    Column("default_images_per_second", "images/s"),
    Column("tuned_images_per_second", "images/s"),
    *(Column(f"{name}{end}", "1") for name in _RATIOS for end in ("", "_low", "_high")),
    Column("rounds", "rounds"),
)
"""Columns of a row: rates are medians over rounds, ratios are medians of ratios within a round, with quartiles."""

_NOTES = (
    "Ours: resatlas.inference.detecting.for_detection, body and pyramid in the precision of the row, channels-last, "
    "norms folded; proposals and heads in float32. default: torchvision's detector in float32 as its users run it. "
    "tuned: channels-last and, where the row is bf16, its body under autocast in bfloat16.",
    "Weights are random and the same on both sides. That the same weights give the same boxes is a test: "
    "tests/oracles/test_detectors.py.",
)


def measure(options: Options, on_advance: Advance) -> Measured:
    """A row for each precision; the contenders of all precisions take turns within one run.

    Raises: UsageError for compiled peers, whose graphs change with every image.
    """
    if "compiled" in options.forms:
        raise UsageError("detection compares eager networks; leave out --compiled")
    threads, rounds, batch = contest.threads(), options.rounds or _ROUNDS, options.batch or _BATCH
    torch.set_num_threads(threads)
    on_advance("setup", 0, 1)
    calls = contenders(batch)
    on_advance("setup", 1, 1)
    seconds = alternate(calls, rounds=rounds, on_advance=lambda done, total: on_advance("detection", done, total))
    rates = {name: tuple(batch / call for call in times) for name, times in seconds.items()}
    return Measured(
        question="detection",
        title="Images a second of detection",
        rows=Table(
            title="Detection",
            columns=COLUMNS,
            rows=tuple(_row(precision, batch, rounds, rates) for precision in precisions_here()),
        ),
        facts=(
            Fact(name="threads, of one process", unit="", value=threads),
            Fact(name="torchvision", unit="", value=installed_version("torchvision")),
            Fact(name="photograph", unit="pixels", value="x".join(map(str, PHOTOGRAPH))),
            Fact(name="shorter side in the network", unit="pixels", value=sides().shorter),
        ),
        notes=_NOTES,
    )


def contenders(batch: int) -> Mapping[str, Callable[[], object]]:
    """Each contender by its name and precision: ours, and torchvision's as it comes and tuned."""
    coarse = torch.rand(batch, 3, 27, 40, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, PHOTOGRAPH, mode="bicubic").clamp(0, 1)
    theirs, ours = detectors()
    calls: dict[str, Callable[[], object]] = {"default fp32": _call(theirs, images)}
    for precision in precisions_here():
        fast = for_detection(ours, precision=precision)
        calls[f"ours {precision}"] = _call(partial(_normalised_first, fast), images)
    for precision in precisions_here():
        tuned = deepcopy(theirs).to(memory_format=torch.channels_last)
        if precision == "bf16":
            tuned.backbone = _InBfloat16(tuned.backbone)
        calls[f"tuned {precision}"] = _call(tuned, images)
    return calls


class _InBfloat16(nn.Module):
    """images -> the maps of a body and its pyramid under autocast, in float32, which proposals and heads need."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps by level."""
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return {name: own.float() for name, own in maps.items()}


def detectors() -> tuple[FasterRCNN, Detector]:
    """Torchvision's detector, and ours with its weights."""
    own = sides()
    torch.manual_seed(0)
    theirs = fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, min_size=own.shorter, max_size=own.longest
    ).eval()
    image = Shape(3, own.shorter, own.shorter)
    network = build(DESIGN, image=image, classes=0, seed=0)
    load_weights(network, theirs.get_submodule("backbone.body").state_dict(), source="torchvision")
    ours = Detector(network, replace(_task(), frozen=None, sides=own), classes=CLASSES)
    assert ours.fpn is not None  # noqa: S101 - the recipe's head is a pyramid
    ours.fpn.load_state_dict(theirs.get_submodule("backbone.fpn").state_dict())
    ours.rpn.load_state_dict(theirs.rpn.state_dict())
    ours.roi_heads.load_state_dict(theirs.roi_heads.state_dict())
    return theirs, ours.eval()


def _task() -> Detect:
    task = NAMED[_RECIPE].task
    assert isinstance(task, Detect)  # noqa: S101 - what the recipe learns
    return task


def sides() -> Resized:
    """How both sides resize images."""
    own = _task().sides
    assert isinstance(own, Resized)  # noqa: S101 - of the recipe
    return own


def _normalised_first(detector: nn.Module, images: list[Tensor]) -> object:
    """What is found in images that are normalised as torchvision's detector does it itself."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
    return detector([(image - mean) / std for image in images])


def _call(detect: Callable[[list[Tensor]], object], images: Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode():
            return detect(list(images))

    return call


def _row(precision: str, batch: int, rounds: int, rates: Mapping[str, tuple[float, ...]]) -> tuple[Cell, ...]:
    ours, default, tuned = (rates[name] for name in (f"ours {precision}", "default fp32", f"tuned {precision}"))
    ratios: list[Cell] = []
    for under in (default, tuned):
        low, middle, high = ratio(ours, under)
        ratios += [middle, low, high]
    medians = [spread(values).median for values in (ours, default, tuned)]
    return (DESIGN, precision, batch, *medians, *ratios, rounds)
