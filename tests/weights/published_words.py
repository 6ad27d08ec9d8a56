"""The rows of words.csv, made from the installed libraries: their weights of networks that are described here."""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import NamedTuple

from resatlas.arch.parameters import parameters
from resatlas.arch.plan import Plan
from resatlas.weights.words import Word
from tests.oracles.peers import library


class Network(NamedTuple):
    """A constructor's network here: its DESIGN text, and the number of units per stage where no name has them."""

    design: str
    units: tuple[int, ...] = ()


IMAGENET = {
    "resnet18": Network("resnet-18-B"),
    "resnet34": Network("resnet-34-B"),
    "resnet50": Network("resnet-50-v1.5"),
    "resnet101": Network("resnet-101-v1.5"),
    "resnet152": Network("resnet-152-v1.5"),
    "resnext50_32x4d": Network("resnext-50-32x4d"),
    "resnext101_32x4d": Network("resnext-101-32x4d"),
    "resnext101_32x8d": Network("resnext-101-32x8d"),
    "resnext101_32x16d": Network("resnext-101-32x16d"),
    "resnext101_32x32d": Network("resnext-101-32x32d"),
    "resnext101_64x4d": Network("resnext-101-64x4d"),
    "wide_resnet50_2": Network("wrn-50-2"),
    "wide_resnet101_2": Network("wrn-101-2"),
}
"""Constructors of torchvision and timm; the 3x3 convolution of a bottleneck has the stride."""

TIMM = {
    **IMAGENET,
    "resnet26": Network("resnet-50-v1.5", (2, 2, 2, 2)),
    **{
        f"res2net{depth}_{width}w_{scale}s": Network(f"res2net-{depth}-{width}w-{scale}s")
        for depth, width, scale in ((50, 48, 2), (50, 26, 4), (50, 14, 8), (50, 26, 6), (50, 26, 8), (101, 26, 4))
    },
    **{f"resnet{depth}d": Network(f"resnet-{depth}-d") for depth in (18, 34, 50, 101, 152, 200)},
    **{f"ecaresnet{depth}d": Network(f"eca-resnet-{depth}-d") for depth in (50, 101)},
    "resnet50c": Network("resnet-50-c"),
    "seresnet50": Network("se-resnet-50-v1.5"),
    "seresnext50_32x4d": Network("se-resnext-50-32x4d"),
    "seresnext101_32x4d": Network("se-resnext-101-32x4d"),
    "resnetv2_50": Network("preact-resnet-50:wiring=paper,stride=3x3"),
    "resnetv2_101": Network("preact-resnet-101:wiring=paper,stride=3x3"),
}

_SHALLOW = {10: (1, 1, 1, 1), 12: (2, 1, 1, 1), 14: (2, 2, 1, 1), 16: (2, 2, 2, 1), 26: (3, 3, 3, 3)}
_SHALLOW_BOTTLENECKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 38: (3, 3, 3, 3)}

PYTORCHCV = {
    **{f"resnet{depth}": Network("resnet-18-B", units) for depth, units in _SHALLOW.items()},
    **{f"resnetbc{depth}b": Network("resnet-50-v1.5", units) for depth, units in _SHALLOW_BOTTLENECKS.items()},
    **{f"resnet{depth}": Network(f"resnet-{depth}-B") for depth in (18, 34)},
    **{f"resnet{depth}": Network(f"resnet-{depth}") for depth in (50, 101, 152)},
    **{f"resnet{depth}b": Network(f"resnet-{depth}-v1.5") for depth in (50, 101, 152)},
    **{f"preresnet{depth}": Network("preact-resnet-18:wiring=projected", units) for depth, units in _SHALLOW.items()},
    **{
        f"preresnetbc{depth}b": Network("preact-resnet-50:wiring=projected,stride=3x3", units)
        for depth, units in _SHALLOW_BOTTLENECKS.items()
    },
    **{f"preresnet{depth}": Network(f"preact-resnet-{depth}:wiring=projected") for depth in (18, 34, 50, 101, 152)},
    **{
        f"preresnet{depth}b": Network(f"preact-resnet-{depth}:wiring=projected,stride=3x3")
        for depth in (50, 101, 152, 200)
    },
    "preresnet269b": Network("preact-resnet-200:wiring=projected,stride=3x3", (3, 30, 48, 8)),
    **{
        f"resnext{depth}_{size}": Network(f"resnext-50-{size}", units)
        for depth, units in ((14, (1, 1, 1, 1)), (26, (2, 2, 2, 2)))
        for size in ("16x4d", "32x2d", "32x4d")
    },
    "resnext50_32x4d": Network("resnext-50-32x4d"),
    "resnext101_32x4d": Network("resnext-101-32x4d"),
    "resnext101_64x4d": Network("resnext-101-64x4d"),
    "pyramidnet101_a360": Network("pyramidnet-101-bottleneck-a360"),
}
"""Constructors of pytorchcv for photographs; resnet50b has the stride in the 3x3, resnet50 in the first 1x1."""

_SMALL = (
    (r"resnet(20|56|110|1202)", r"resnet-\1-B"),
    (r"resnet(164|272|542)bn", r"resnet-\1-bottleneck:stride=3x3"),
    (r"resnet1001", r"resnet-1001-bottleneck:stride=3x3"),
    (r"preresnet(20|56|110|1202)", r"preact-resnet-\1-B:wiring=projected"),
    (r"preresnet(164|272|542)bn", r"preact-resnet-\1-bottleneck:stride=3x3"),
    (r"preresnet1001", r"preact-resnet-1001:stride=3x3"),
    (r"resnext(\d+)_(\d+)x(\d+)d", r"resnext-\1-\2x\3d"),
    (r"pyramidnet(\d+)_a(\d+)", r"pyramidnet-\1-a\2"),
    (r"pyramidnet(\d+)_a(\d+)_bn", r"pyramidnet-\1-bottleneck-a\2"),
    (r"wrn(\d+)_(\d+)", r"wrn-\1-\2"),
)
"""Names of pytorchcv for 32x32 images, as patterns, and our names."""

_DATA = {"in1k": ("imagenet", 1000), "cifar10": ("cifar-10", 10), "cifar100": ("cifar-100", 100)}
_DATA |= {"svhn": ("svhn", 10), "cub": ("cub-200-2011", 200)}

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Source: osmr/imgclsmob, pytorch/datasets; CIFAR-10, CIFAR-100 and SVHN share the second pair there."""


def all_words() -> Iterator[Word]:
    """The words of the three libraries."""
    yield from torchvision_words()
    yield from timm_words()
    yield from pytorchcv_words()


def torchvision_words() -> Iterator[Word]:
    """Weights of torchvision: the enumeration of every constructor."""
    models = library("torchvision.models")
    for name, network in IMAGENET.items():
        if name not in models.list_models(module=models):
            continue
        for entry in models.get_model_weights(name):
            preset = entry.transforms()
            site, _, file = entry.url.rpartition("/")
            accuracy = entry.meta["_metrics"]["ImageNet-1K"]
            yield _sized(
                Word(
                    word=f"torchvision/{name}@{entry.name.removeprefix('IMAGENET1K_')}",
                    design=network.design,
                    units=network.units,
                    site=f"{site}/",
                    file=file,
                    digest=_digest_in(file),
                    bytes=0,
                    licence="bsd-3-clause",
                    data="imagenet",
                    classes=len(entry.meta["categories"]),
                    image=preset.crop_size[0],
                    shorter=preset.resize_size[0],
                    interpolation=preset.interpolation.value,
                    mean=tuple(preset.mean),
                    std=tuple(preset.std),
                    error_percent=round(100 - accuracy["acc@1"], 3),
                    top5_error_percent=round(100 - accuracy["acc@5"], 3),
                )
            )


def timm_words() -> Iterator[Word]:
    """Weights of timm for ImageNet's classes: the tags of every constructor. The package has no results."""
    timm = library("timm")
    for name in timm.list_models(pretrained=True):
        network, config = TIMM.get(name.partition(".")[0]), timm.get_pretrained_cfg(name)
        if network is None or config.num_classes != 1000:
            continue
        site, _, file = (config.url or "").rpartition("/")
        yield _sized(
            Word(
                word=f"timm/{name}",
                design=network.design,
                units=network.units,
                site=f"{site}/" if site else "",
                file=file,
                digest=_digest_in(file) if file else "",
                hub=config.hf_hub_id,
                bytes=0,
                licence=config.license,
                data="imagenet",
                classes=config.num_classes,
                image=config.input_size[1],
                shorter=math.floor(config.input_size[1] / config.crop_pct),
                interpolation=config.interpolation,
                mean=tuple(config.mean),
                std=tuple(config.std),
            )
        )


def pytorchcv_words() -> Iterator[Word]:
    """Weights of pytorchcv: the rows of its model_metainfos.csv that have a file."""
    library("pytorchcv")
    text = files("pytorchcv.models.common").joinpath("model_metainfos.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        name = row["model_name"]
        network, ending = _network_of(name)
        if network is None or row["checksum"] == "NA":
            continue
        data, classes = _DATA[ending or "in1k"]
        large = data in ("imagenet", "cub-200-2011")
        error = int(row["error_value"]) / 100
        yield _sized(
            Word(
                word=f"pytorchcv/{name}",
                design=network.design,
                units=network.units,
                site=f"https://github.com/osmr/imgclsmob/releases/download/{row['repo_release_tag']}/",
                file=f"{name}-{row['error_value']}-{row['checksum'][:8]}.pth",
                packed="zip",
                digest=f"sha1:{row['checksum']}",
                bytes=0,
                licence="mit",
                data=data,
                classes=classes,
                image=224 if large else 32,
                shorter=256 if large else 32,
                interpolation="bilinear",
                mean=_IMAGENET_MEAN if large else _CIFAR_MEAN,
                std=_IMAGENET_STD if large else _CIFAR_STD,
                error_percent=None if data == "imagenet" else error,
                top5_error_percent=error if data == "imagenet" else None,
            )
        )


def _network_of(name: str) -> tuple[Network | None, str]:
    """The network of a name of pytorchcv, if we describe it, and the data at its end."""
    if name in PYTORCHCV:
        return PYTORCHCV[name], ""
    bare, _, ending = name.rpartition("_")
    if ending == "cub" and bare in PYTORCHCV:
        return PYTORCHCV[bare], ending
    if ending in ("cifar10", "cifar100", "svhn"):
        for theirs, ours in _SMALL:
            if match := re.fullmatch(theirs, bare):
                return Network(match.expand(ours)), ending
    return None, ""


def _digest_in(file: str) -> str:
    """The first digits of the sha256 in the name of a file, as torch.hub writes and checks it."""
    match = re.search(r"-([0-9a-f]{8})\.", file)
    assert match, file
    return f"sha256:{match[1]}"


def _sized(word: Word) -> Word:
    return replace(word, bytes=tensor_bytes(word.plan()))


def tensor_bytes(plan: Plan) -> int:
    """Bytes of all parameters and running statistics as float32; a norm has as many statistics as parameters."""
    own = [(parameter.path, math.prod(parameter.shape)) for parameter in parameters(plan)]
    statistics = sum(numbers for path, numbers in own if "norm" in path.split(".")[-2])
    return 4 * (sum(numbers for _, numbers in own) + statistics)
