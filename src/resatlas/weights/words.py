"""WORDS for trained weights, such as torchvision/resnet50@V2: which network they are, and what its source publishes.

The table words.csv is data; `tests/weights/test_words.py` holds it equal to what the installed libraries say, and
rewrites it by UPDATE_GOLDEN=1. The words of resatlas itself are the folders of saved networks in the package.
Reading the table imports neither torch nor a library.
Sources: torchvision.models.get_model_weights; timm's pretrained_cfg; pytorchcv's model_metainfos.csv, and for the
preparation of its images pytorch/datasets of osmr/imgclsmob.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs import catalog
from resatlas.errors import BlueprintError, UnknownName, quoted, unknown
from resatlas.values.codec import decode

TABLE = "words.csv"
OWN = "resatlas"

ZOO = Path(str(files("resatlas.weights"))) / "zoo"
"""The folder of the networks in the package."""

Interpolation = Literal["bilinear", "bicubic"]

_DIGEST = re.compile(r"sha256:(?:[0-9a-f]{8}|[0-9a-f]{64})|sha1:[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Word:
    """Trained weights of a network at a source, with everything that the source publishes about them.

    design, units: the network; `units` replaces the number of units of each stage, for depths without a name.
    site, file: the address of the file and its name there; `packed` says whether it comes in a zip archive.
    digest: of the file, as the source publishes it: all digits, or the first eight that its name contains; "" if none.
    hub: the repository of the same weights on the Hugging Face hub; "" if there is none.
    bytes: of its tensors as float32, computed from the network; a file has a little more.
    image, shorter: sides in pixels of the network's image, and of the shorter side of a photograph before the crop.
    mean, std: of pixels from 0 to 1, for each channel.
    error_percent, top5_error_percent: on the test images of `data`, as published; None if the source has no figure.
    """

    word: str
    design: str
    units: tuple[int, ...] = ()
    site: str = ""
    file: str = ""
    packed: Literal["", "zip"] = ""
    digest: str = ""
    hub: str = ""
    bytes: int
    licence: str
    data: str
    classes: int
    image: int
    shorter: int
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    error_percent: float | None = None
    top5_error_percent: float | None = None

    def __post_init__(self) -> None:
        if self.digest and not _DIGEST.fullmatch(self.digest):
            raise BlueprintError(f"{self.word}: a digest is sha256:… or sha1:…; got {quoted(self.digest)}")
        if bool(self.site) != bool(self.file) or not (self.file or self.hub) or (self.file and not self.digest):
            raise BlueprintError(f"{self.word} needs a file with its site and its digest, or a repository of the hub")
        if self.site and not (self.site.startswith("https://") and self.site.endswith("/")):
            raise BlueprintError(f"{self.word}: weights are downloaded from https://…/ only; got {self.site}")

    @property
    def source(self) -> str:
        """The library whose names the tensors have, one of `weights.sources.SOURCES`."""
        return self.word.partition("/")[0]

    @property
    def name(self) -> str:
        """The word without its source."""
        return self.word.partition("/")[2]

    @property
    def protocol(self) -> str:
        """How the published error was measured; "" without such an error."""
        if self.error_percent is None and self.top5_error_percent is None:
            return ""
        view = f"centre {self.image} of {self.shorter}" if self.shorter != self.image else "whole images"
        return f"{self.data}, {view}, {self.interpolation}" if self.shorter != self.image else f"{self.data}, {view}"

    @property
    def published(self) -> str:
        """The published errors with their protocol; "" if the source has none."""
        errors = [
            f"{error:g} % {name}"
            for error, name in ((self.error_percent, "error"), (self.top5_error_percent, "top-5 error"))
            if error is not None
        ]
        return f"{', '.join(errors)} on {self.protocol}" if errors else ""

    @property
    def design_text(self) -> str:
        """The DESIGN text, with the units of each stage where no name has them."""
        return f"{self.design} ({'+'.join(map(str, self.units))} units)" if self.units else self.design

    def blueprint(self) -> Blueprint:
        """The blueprint of its network."""
        blueprint = catalog.resolve(self.design).blueprint
        return replace(blueprint, units=self.units) if self.units else blueprint

    def plan(self) -> Plan:
        """The plan of its network, for its image and its classes."""
        return catalog.plan(self.blueprint(), image=Shape(3, self.image, self.image), classes=self.classes)


@cache
def table() -> Mapping[str, Word]:
    """All words of other sources, in the order of the file."""
    text = files("resatlas.weights").joinpath(TABLE).read_text(encoding="utf-8")
    return {row["word"]: decode(Word, _values(row), where=TABLE) for row in csv.DictReader(text.splitlines())}


def own_words() -> dict[str, Path]:
    """The networks that the package contains, each a folder of `save_pretrained`, by their words resatlas/NAME."""
    folders = sorted(ZOO.iterdir()) if ZOO.is_dir() else []
    return {f"{OWN}/{folder.name}": folder for folder in folders if (folder / "config.json").is_file()}


def looks_like_word(text: str) -> bool:
    """Whether a text is a word, or can only be meant as one: it names a source, or weights that some source has."""
    return (text.partition("/")[0] in (*_sources(), OWN) and "/" in text) or text in _by_name()


def is_word(text: str | Path) -> bool:
    """Whether a text means a word: it looks like one, and no file or folder has this path."""
    return looks_like_word(str(text)) and not os.path.lexists(text)


def resolve(text: str) -> str:
    """The word that a text means: itself, a name that one source alone has, or torchvision's own name of the weights.

    Raises: UnknownName with the nearest words; also for a name that several words share.
    """
    spelled = re.sub(r"@IMAGENET1K_(V\d+)$", r"@\1", text)
    if spelled in table() or spelled in own_words():
        return spelled
    candidates = _by_name().get(spelled) or [word for word in table() if word.partition("@")[0] == spelled]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise UnknownName(f"{quoted(text)} can mean {' or '.join(candidates)}; give one of them")
    source = text.partition("/")[0]
    known = [*table(), *own_words()]
    near = [word for word in known if word.startswith(f"{source}/")] or known
    raise UnknownName(unknown("weights", text, near, where="all: resatlas weights list"))


def matching(pattern: str = "*") -> Iterator[str]:
    """The words that match a pattern, or whose name does; our own come first."""
    for word in (*own_words(), *table()):
        if fnmatchcase(word, pattern) or fnmatchcase(word.partition("/")[2], pattern):
            yield word


@cache
def _sources() -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.source for word in table().values()))


@cache
def _by_name() -> Mapping[str, list[str]]:
    """The words of each name, and of each name before its @."""
    names: dict[str, list[str]] = {}
    for word in (*own_words(), *table()):
        name = word.partition("/")[2]
        for spelling in dict.fromkeys((name, name.partition("@")[0])):
            names.setdefault(spelling, []).append(word)
    return names


def _values(row: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row, of the types of `Word`."""
    whole = {key: int(row[key]) for key in ("bytes", "classes", "image", "shorter")}
    errors = {key: float(row[key]) if row[key] else None for key in ("error_percent", "top5_error_percent")}
    numbers = {key: [float(number) for number in row[key].split()] for key in ("mean", "std")}
    units = [int(number) for number in row["units"].split()]
    return {**row, **whole, **errors, **numbers, "units": units}


def to_row(word: Word) -> dict[str, str]:
    """The row of the table that `table` reads as this word."""
    row: dict[str, str] = {}
    for key, value in vars(word).items():
        match value:
            case None:
                row[key] = ""
            case tuple():
                row[key] = " ".join(f"{number:g}" if key == "units" else repr(number) for number in value)
            case _:
                row[key] = str(value)
    return row
