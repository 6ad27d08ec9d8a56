"""The figures published by the papers, their authors and libraries, and the networks that they belong to.

Errors of classification are those of a network; AP, localisation errors and mean IoU are those of a network with a
detector, a localiser or a segmenter on it. The two are never listed together.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import Entry, resolve, same_network
from resatlas.values.codec import decode
from resatlas.values.table import Table, words


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure of a trained network.

    `name` is the name in the record, `value` is in percent with the published digits, `spread` is a standard deviation.
    """

    name: str
    dataset: str
    metric: str
    value: Decimal
    spread: Decimal | None
    protocol: str
    source: str

    def __str__(self) -> str:
        return f"{self.value}" if self.spread is None else f"{self.value} ± {self.spread}"


def published_table(figures: Iterable[Published]) -> Table:
    """A row for each figure of one network."""
    rows = tuple((figure.dataset, figure.metric, str(figure), figure.protocol, figure.source) for figure in figures)
    return Table(columns=words("data set", "metric", "published %", "protocol", "source"), rows=rows)


@cache
def published() -> tuple[Published, ...]:
    """All known published figures."""
    text = files("resatlas.designs").joinpath("published.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(
        decode(
            Published,
            {**row, "value": Decimal(row["value"]), "spread": Decimal(row["spread"]) if row["spread"] else None},
            where="published.csv",
        )
        for row in rows
    )


def published_of(entry: Entry) -> tuple[Published, ...]:
    """The figures published for one network, under any of its names."""
    return tuple(figure for figure, owner in _attributed() if same_network(entry, owner))


def error_of(entry: Entry) -> Published | None:
    """The first error of classification that is published for a network on a test or validation set."""
    metrics = ("test error", "top-1 error")
    return next((one for one in _by_network().get((entry.blueprint, entry.image), ()) if one.metric in metrics), None)


@cache
def _by_network() -> Mapping[tuple[Blueprint, Shape], Sequence[Published]]:
    """The figures of each network, in the order of the record."""
    figures: dict[tuple[Blueprint, Shape], list[Published]] = {}
    for figure, owner in _attributed():
        figures.setdefault((owner.blueprint, owner.image), []).append(figure)
    return figures


def published_as_backbone(entry: Entry) -> tuple[Published, ...]:
    """The figures published for detectors, localisers and segmenters on one network, under any of its names."""
    return tuple(figure for figure, owner in _on_backbones() if same_network(entry, owner))


@cache
def _on_backbones() -> tuple[tuple[Published, Entry], ...]:
    known = cache(resolve)
    owned = ((figure, backbone_of(figure)) for figure in published())
    return tuple((figure, known(design)) for figure, design in owned if design is not None)


def backbone_of(figure: Published) -> str | None:
    """The DESIGN of the network that a detector, localiser or segmenter stands on; None if it is not one of ours."""
    match = _WITH_BACKBONE.fullmatch(figure.name)
    network = next(filter(None, match.groups()), None) if match else None
    return None if network is None or _NOT_OURS.fullmatch(network) else network


@cache
def _attributed() -> tuple[tuple[Published, Entry], ...]:
    known = cache(resolve)
    owned = ((figure, design_of(figure)) for figure in published())
    return tuple((figure, known(design)) for figure, design in owned if design is not None)


def design_of(figure: Published) -> str | None:
    """The DESIGN of a figure, or None if it is not one of our networks: see `elsewhere`."""
    if elsewhere(figure.name):
        return None
    corrected = _MISATTRIBUTED.search(figure.protocol)
    name = corrected["owner"] if corrected else figure.name
    for pattern, replacement in _ALIASES.items():
        name = re.sub(pattern, replacement, name)
    return f"{name}:dropout={_SVHN_DROPOUT}" if figure.dataset == "SVHN" and name.endswith("-dropout") else name


def elsewhere(name: str) -> str | None:
    """The reason why a name of the record is not a design, or None if it is one."""
    return next((reason for pattern, reason in ELSEWHERE.items() if re.fullmatch(pattern, name)), None)


_ALIASES: Mapping[str, str] = {
    r"^resnet-(110|164)-order-full-preact$": r"preact-resnet-\1",
    r"^resnet-164-order": "resnet-164-bottleneck-order",
    r"-order-original$|-shortcut-original$|-mxnet-rerun$": "",
    r"-order-": "-",
}
"""Parts of names in the record that designs omit: a twin, the usual order of a network, the source of a rerun."""

_SVHN_DROPOUT = 0.4
"""Source: Wide ResNet paper, section 3; on CIFAR it is the designs' own."""

_MISATTRIBUTED = re.compile(r"misattributed: belongs to (?P<owner>\S+)")

_WITH_BACKBONE = re.compile(
    r"(?:faster-rcnn|mask-rcnn|r-fcn|mnc|multipathnet|fcn|deeplabv3|loc)-(.+?)(?:\+.*|-rpn.*)?|(.+)-multipath-locnet"
)
"""Names of the record that have a network in them: box refinement, context and the like follow a plus."""

_NOT_OURS = re.compile(r"vgg(-.*)?|googlenet|overfeat|resnext-101|.*-ensemble(-\d+)?")
"""Backbones of other papers, without a stated cardinality, or of several networks."""

ELSEWHERE: Mapping[str, str] = {
    r".*-ensemble(-\d+)?": "several networks together",
    r"(faster-rcnn|mask-rcnn|r-fcn|mnc|multipathnet)-.*|googlenet-det|.*-multipath-locnet": (
        "a detector, perhaps on one of the networks"
    ),
    r"(fcn|deeplabv3)-.*": "a segmenter, perhaps on one of the networks",
    r"loc-.*": "a localiser, perhaps on one of the networks",
    r"dmrnet-ijcai-best|dmrnet-(shared|separate)-conv0-fc|pyramidnet-shortcut-.*": "a network without full description",
    r"(vgg|googlenet|prelu-net|(bn-)?inception|maxout|nin|dsn|elu|fitnet|highway)(-.*)?": "a network of another paper",
    r"stochastic-depth-\d+": "a training of another paper",
}
"""Names of the record that are not designs, and the reasons."""
